"""Check a source's answer by the rules of quality and date its observations, before anything is stored."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable, PublicationRule
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.contracts.quality_thresholds import QualityThresholdsParams
from dosvotos.errors import DataError
from dosvotos.market.alignment import is_dated
from dosvotos.market.calendar import REGULAR, published_at
from dosvotos.quality.bars import check_bars
from dosvotos.quality.columns import refuse_wrong_columns
from dosvotos.quality.copied_series import check_copied_series
from dosvotos.quality.dates import check_dates, check_dates_by_bars
from dosvotos.quality.findings import CheckedRows, no_findings, require_columns
from dosvotos.quality.levels import check_levels, quarantine_spot, session_levels
from dosvotos.quality.macro import check_macro
from dosvotos.quality.references import SPOT, Witnesses, spot_levels
from dosvotos.quality.relations import check_relations
from dosvotos.quality.remainders import check_remainders
from dosvotos.quality.vintages import check_superseded, is_superseded
from dosvotos.sources.raw_market import BAR_COLUMNS, MACRO_COLUMNS, RawMarket

_SHOWN_NAMES: Final = 3


class CheckedMarket(NamedTuple):
    """A source's answer after the rules of quality: what is kept, and what they found."""

    bars: pd.DataFrame
    """Bars of scheduled sessions, each instant once, UTC."""
    macro: pd.DataFrame
    """Observations with ``published_at`` (UTC) and ``frequency``."""
    findings: pd.DataFrame
    """Rows quarantined and anomalies reported, as in `quality.findings`."""


def check_market(
    raw: RawMarket,
    variables: Mapping[str, MacroVariable],
    thresholds: QualityThresholdsParams,
    as_of: pd.Timestamp,
    known: pd.DataFrame,
    stored_bars: pd.DataFrame | None = None,
    calendar: CalendarParams = REGULAR,
) -> CheckedMarket:
    """Quarantine rows that break a rule of quality, and add the publication time of every observation kept.

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
    stored_bars : DataFrame or None
        Bars stored before, around those that are new: timestamp (UTC), close.
    calendar : CalendarParams

    Raises
    ------
    DataError
        If columns are missing, timestamps have no zone, or the bars are of another pair or unit: such data
        are refused as a whole.

    Notes
    -----
    Macro values come first: the bars' level is judged by the daily USD/COP among them. Every vintage of an
    observation is judged.
    """
    require_columns("macro", raw.macro, MACRO_COLUMNS)
    require_columns(raw.origin, raw.bars, BAR_COLUMNS)
    macro = _check_macro(raw.macro, variables, thresholds, as_of, known)
    if raw.bars.empty:
        return CheckedMarket(raw.bars, add_published_at(macro.kept, variables), macro.findings)
    stored = session_levels(raw.bars[:0] if stored_bars is None else stored_bars)
    witnesses = Witnesses(spot_levels(macro.kept, known), stored, _price_range(variables))
    levelled = check_levels(raw.bars, witnesses, thresholds.bars.level, raw.origin)
    macro = quarantine_spot(macro, levelled.wrong_spot_days)
    bars = check_bars(levelled.checked.kept, thresholds.bars, as_of, calendar, stored_bars)
    refuse_wrong_columns(bars, raw.origin)
    around = [part[["timestamp", "close"]] for part in (stored_bars, bars.kept) if part is not None]
    macro = check_dates_by_bars(macro, pd.concat(around), variables)
    findings = pd.concat([levelled.checked.findings, bars.findings, macro.findings], ignore_index=True)
    return CheckedMarket(bars.kept, add_published_at(macro.kept, variables), findings)


def require_content(raw: RawMarket, variables: Mapping[str, MacroVariable]) -> None:
    """Refuse files without a bar, without an observation, or without a known variable.

    Raises
    ------
    DataError
    """
    if raw.bars.empty:
        raise DataError(f"{raw.origin}: holds no bar; nothing is stored. Deliver the file with its rows")
    if raw.macro.empty:
        raise DataError(f"{raw.macro_origin}: holds no observation; nothing is stored. Deliver its rows")
    names = raw.macro["variable"].astype("str").unique()
    if not set(names) & set(variables):
        near = {name: get_close_matches(name, variables, 1) for name in names[:_SHOWN_NAMES]}
        shown = ", ".join(f"{n!r}" + (f" (like {found[0]}?)" if found else "") for n, found in near.items())
        raise DataError(
            f"{raw.macro_origin}: variable: none of its {len(names):,} name(s) is in macro_variables.yml: "
            f"{shown}; nothing is stored. Write the 40 variables' own names; docs/data.md has the format"
        )


def _check_macro(
    macro: pd.DataFrame,
    variables: Mapping[str, MacroVariable],
    thresholds: QualityThresholdsParams,
    as_of: pd.Timestamp,
    known: pd.DataFrame,
) -> CheckedRows:
    """Check the latest vintage of each observation, then the earlier ones."""
    if macro.empty:
        return CheckedRows(macro, no_findings())
    superseded = is_superseded(macro)
    latest = check_macro(macro[~superseded], variables, thresholds.macro, as_of, known)
    latest = check_relations(latest, variables, thresholds.macro.relations, known)
    latest = check_copied_series(check_remainders(latest), known)
    latest = check_dates(latest, variables)
    if not superseded.any():
        return latest
    earlier = check_superseded(macro[superseded], latest.kept, variables, thresholds.macro, as_of)
    kept = pd.concat([part for part in (latest.kept, earlier.kept) if len(part)] or [latest.kept])
    ordered = kept.sort_values(["variable", "observation_date", "vintage"], ignore_index=True)
    return CheckedRows(ordered, pd.concat([latest.findings, earlier.findings], ignore_index=True))


def _price_range(variables: Mapping[str, MacroVariable]) -> tuple[float, float]:
    """Return the range of the pair, which the daily USD/COP's is."""
    spot = variables.get(SPOT)
    return (spot.expected_min, spot.expected_max) if spot else (0.0, np.inf)


def add_published_at(macro: pd.DataFrame, variables: Mapping[str, MacroVariable]) -> pd.DataFrame:
    """Add ``published_at`` (UTC), by each source's rule or the vintage's date, and ``frequency``."""
    published = pd.Series(pd.NaT, index=macro.index, dtype="datetime64[us, UTC]")
    for (name, source), rows in macro.groupby(["variable", "source"], sort=False):
        published[rows.index] = _publications(rows, variables[str(name)].rule_of(str(source)))
    frequency = macro["variable"].map({n: v.frequency for n, v in variables.items()})
    return macro.assign(published_at=published, frequency=frequency)


def _publications(rows: pd.DataFrame, rule: PublicationRule) -> pd.DatetimeIndex:
    """Publication times by the rule; a dated vintage's is its own day at the rule's time."""
    published = published_at(list(rows["observation_date"]), rule)
    dated = is_dated(rows["vintage"]).to_numpy()
    if not dated.any():
        return published
    on_its_day = PublicationRule(rule="B+0", time=rule.time, zone=rule.zone)
    days = pd.to_datetime(rows["vintage"].where(dated, "1970-01-01"), format="%Y-%m-%d").dt.date
    return published.where(~dated, published_at(list(days), on_its_day))
