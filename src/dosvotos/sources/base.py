"""What every source delivers, and what becomes of it before anything is stored."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable, PublicationRule
from dosvotos.contracts.parameters import QualityThresholdsParams
from dosvotos.errors import DataError
from dosvotos.market.alignment import is_dated
from dosvotos.market.calendar import published_at
from dosvotos.quality.bars import check_bars
from dosvotos.quality.findings import CheckedRows, no_findings
from dosvotos.quality.macro import check_macro

BAR_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
MACRO_COLUMNS = ("variable", "observation_date", "value")
BARS = "bars"
"""What findings about bars are filed under, as those about a variable under its name."""


class RawMarket(NamedTuple):
    """A source's answer, unchecked."""

    bars: pd.DataFrame
    """timestamp (bar open, timezone-aware), open, high, low, close, volume, source."""
    macro: pd.DataFrame
    """variable, observation_date (datetime.date), value, vintage, source."""


class CheckedMarket(NamedTuple):
    """A source's answer after its judgement."""

    bars: pd.DataFrame
    """Bars of scheduled sessions, each instant once, UTC."""
    macro: pd.DataFrame
    """Observations with ``published_at`` (UTC) and ``frequency``."""
    findings: pd.DataFrame
    """What was put aside and what is odd about the rest, as in `quality.findings`."""


def check_market(
    raw: RawMarket,
    variables: Mapping[str, MacroVariable],
    thresholds: QualityThresholdsParams,
    as_of: pd.Timestamp,
    known: pd.DataFrame,
) -> CheckedMarket:
    """Put aside what breaks a rule of quality, and date every observation that is kept.

    Parameters
    ----------
    raw : RawMarket
        Either part may be empty.
    variables : mapping of MacroVariable by name
    thresholds : QualityThresholdsParams
    as_of : Timestamp, timezone-aware
        What counts as now.
    known : DataFrame
        Observations stored before: variable, observation_date, value, vintage, source.

    Raises
    ------
    DataError
        For missing columns or naive timestamps: such data are refused as a whole.

    Notes
    -----
    Of several dated vintages of an observation the latest is judged; the others follow it.
    """
    _require_columns("bars", raw.bars, BAR_COLUMNS)
    _require_columns("macro", raw.macro, MACRO_COLUMNS)
    bars = (
        check_bars(raw.bars, thresholds.bars, as_of)
        if len(raw.bars)
        else CheckedRows(raw.bars, no_findings())
    )
    earlier = _earlier_vintages(raw.macro)
    latest = raw.macro[~earlier]
    macro = CheckedRows(latest, no_findings())
    if len(latest):
        macro = check_macro(latest, variables, thresholds.macro, as_of, known)
    followers = raw.macro[earlier & _keys(raw.macro).isin(_keys(macro.kept))]
    kept = pd.concat([part for part in (macro.kept, followers) if len(part)] or [latest])
    findings = [part for part in (bars.findings, macro.findings) if len(part)]
    return CheckedMarket(
        bars.kept,
        date_publications(
            kept.sort_values(["variable", "observation_date", "vintage"], ignore_index=True), variables
        ),
        pd.concat(findings, ignore_index=True) if findings else no_findings(),
    )


def _earlier_vintages(macro: pd.DataFrame) -> pd.Series:
    in_order = macro.sort_values("vintage", kind="stable")
    superseded = in_order.duplicated(["variable", "observation_date"], keep="last")
    return (superseded & is_dated(in_order["vintage"])).reindex(macro.index)


def _keys(macro: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(macro[["variable", "observation_date"]])


def date_publications(macro: pd.DataFrame, variables: Mapping[str, MacroVariable]) -> pd.DataFrame:
    """Add ``published_at`` (UTC), by each source's rule or the vendor's vintage, and ``frequency``."""
    published = pd.Series(pd.NaT, index=macro.index, dtype="datetime64[us, UTC]")
    for (name, source), rows in macro.groupby(["variable", "source"], sort=False):
        published[rows.index] = _publications(rows, variables[str(name)].rule_of(str(source)))
    frequency = macro["variable"].map({n: v.frequency for n, v in variables.items()})
    return macro.assign(published_at=published, frequency=frequency)


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
