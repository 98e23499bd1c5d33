"""What every source delivers, and the rules it must keep before anything is stored."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable, PublicationRule
from dosvotos.errors import DataError
from dosvotos.market.alignment import is_dated
from dosvotos.market.calendar import published_at

BAR_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
MACRO_COLUMNS = ("variable", "observation_date", "value")
BARS = "bars"
"""What findings about bars are filed under, as those about a variable under its name."""
REAL_FEED = "market"
_PRICES = ["open", "high", "low", "close"]


class RawMarket(NamedTuple):
    """A source's answer, unchecked."""

    bars: pd.DataFrame
    """timestamp (bar open, timezone-aware), open, high, low, close, volume, source."""
    macro: pd.DataFrame
    """variable, observation_date (datetime.date), value, vintage, source."""


class CheckedMarket(NamedTuple):
    """What may be stored, and what was refused."""

    bars: pd.DataFrame
    macro: pd.DataFrame
    problems: dict[str, str]
    """"bars" or a variable's name, and why nothing of it may be stored."""


def check_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the bars in time order and UTC, or refuse them.

    Raises
    ------
    DataError
        For missing columns, no rows, naive timestamps, labels stored twice, prices that are not positive and
        finite, or a high or low that contradicts open and close. Nothing is repaired.
    """
    _require_columns("bars", bars, BAR_COLUMNS)
    if not isinstance(bars["timestamp"].dtype, pd.DatetimeTZDtype):
        raise DataError(
            "bars: timestamps must carry their time zone, found naive ones such as "
            f"{bars['timestamp'].iloc[0]}; write them as 2025-07-01T13:00:00+00:00"
        )
    checked = bars.sort_values("timestamp", kind="stable", ignore_index=True)
    checked["timestamp"] = checked["timestamp"].dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    repeated = checked["timestamp"].duplicated(keep=False)
    _refuse("bars: each timestamp may stand once", checked, repeated, "timestamp")
    prices = checked[_PRICES]
    sound = (np.isfinite(prices) & (prices > 0)).all(axis=1)
    _refuse("bars: prices must be positive and finite", checked, pd.Series(~sound))
    outside = (checked["high"] < prices.max(axis=1)) | (checked["low"] > prices.min(axis=1))
    _refuse("bars: open and close must lie between low and high", checked, outside)
    return checked


def check_macro(macro: pd.DataFrame, variables: Mapping[str, MacroVariable]) -> pd.DataFrame:
    """Return the observations of known variables with the moment each became known, or refuse them.

    Parameters
    ----------
    macro : DataFrame
        variable, observation_date, value, vintage, source.
    variables : mapping of MacroVariable by name

    Returns
    -------
    DataFrame
        The same columns, ``frequency`` and ``published_at`` (UTC), sorted by variable and observation date.

    Raises
    ------
    DataError
        For missing columns, an unknown variable, an observation stored twice, or a value that is not finite
        or lies outside the variable's range.
    """
    _require_columns("macro", macro, MACRO_COLUMNS)
    if unknown := sorted(set(macro["variable"]) - set(variables)):
        raise DataError(f"macro: unknown variable(s) {unknown}; known are those of macro_variables.yml")
    checked = macro.sort_values(["variable", "observation_date"], kind="stable", ignore_index=True)
    keys = [name for name in ("variable", "observation_date", "vintage") if name in checked]
    repeated = checked.duplicated(keys, keep=False)
    _refuse("macro: each observation may stand once", checked, repeated, "observation_date")
    low, high = (
        checked["variable"].map({n: getattr(v, bound) for n, v in variables.items()}).to_numpy(float)
        for bound in ("expected_min", "expected_max")
    )
    value = checked["value"].to_numpy(float)
    outside = ~(np.isfinite(value) & (value >= low) & (value <= high))
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        row = checked.iloc[i]
        raise DataError(
            f"macro: {row['variable']} of {row['observation_date']} must lie in [{low[i]:g}, {high[i]:g}], "
            f"was {row['value']}; {int(outside.sum())} value(s) in all lie outside their range"
        )
    published = pd.Series(pd.NaT, index=checked.index, dtype="datetime64[us, UTC]")
    for (name, source), rows in checked.groupby(["variable", "source"], sort=False):
        published[rows.index] = _publications(rows, rule_of(variables[str(name)], str(source)))
    frequency = checked["variable"].map({n: v.frequency for n, v in variables.items()})
    return checked.assign(published_at=published, frequency=frequency)


def check_apart(raw: RawMarket, variables: Mapping[str, MacroVariable]) -> CheckedMarket:
    """Check the bars and each variable by itself, so that one's defect does not refuse another's data.

    A subject that is absent is no problem: nothing new may have been due.
    """
    problems: dict[str, str] = {}
    bars, kept = raw.bars, []
    if len(raw.bars):
        try:
            bars = check_bars(raw.bars)
        except DataError as error:
            bars, problems[BARS] = raw.bars.iloc[:0], str(error)
    for name, rows in raw.macro.groupby("variable"):
        try:
            kept.append(check_macro(rows, variables))
        except DataError as error:
            problems[str(name)] = str(error)
    nothing = raw.macro.iloc[:0].assign(frequency="", published_at=pd.Series(dtype="datetime64[us, UTC]"))
    return CheckedMarket(bars, pd.concat(kept, ignore_index=True) if kept else nothing, problems)


def rule_of(variable: MacroVariable, source: str) -> PublicationRule:
    """The publication rule of a variable, or that of the source where it publishes later."""
    own = [s.publication for s in variable.sources if s.provider == source and s.publication is not None]
    return own[0] if own else variable.publication


def _publications(rows: pd.DataFrame, rule: PublicationRule) -> pd.DatetimeIndex:
    """By the rule, or on the day of the vintage at the rule's time where the vendor dates it."""
    published = published_at(list(rows["observation_date"]), rule)
    dated = is_dated(rows["vintage"]).to_numpy()
    if not dated.any():
        return published
    on_its_day = PublicationRule(rule="B+0", time=rule.time, zone=rule.zone)
    days = pd.to_datetime(rows["vintage"].where(dated, "1970-01-01"), format="%Y-%m-%d").dt.date
    return published.where(~dated, published_at(list(days), on_its_day))


def _require_columns(what: str, frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
    if missing := [name for name in columns if name not in frame.columns]:
        raise DataError(f"{what}: column(s) {missing} are missing, found {list(frame.columns)}")
    if frame.empty:
        raise DataError(f"{what}: no rows")


def _refuse(rule: str, frame: pd.DataFrame, broken: pd.Series, show: str | None = None) -> None:
    if broken.any():
        first = frame[broken].iloc[0]
        found = first[show] if show else first.drop("source", errors="ignore").to_dict()
        raise DataError(f"{rule}: {int(broken.sum())} row(s) do not, first {found}")
