"""Check a source's answer by the rules of quality and date its observations, before anything is stored."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable, PublicationRule
from dosvotos.contracts.parameters import CalendarParams, QualityThresholdsParams
from dosvotos.market.alignment import is_dated
from dosvotos.market.calendar import REGULAR, published_at
from dosvotos.quality.bars import check_bars
from dosvotos.quality.findings import CheckedRows, no_findings, require_columns
from dosvotos.quality.macro import check_macro
from dosvotos.sources.raw_market import BAR_COLUMNS, MACRO_COLUMNS, RawMarket


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
    calendar : CalendarParams

    Raises
    ------
    DataError
        If columns are missing or timestamps have no zone: such data are refused as a whole.

    Notes
    -----
    Of several dated vintages of an observation the latest is checked; the earlier ones are kept if it is.
    """
    require_columns("bars", raw.bars, BAR_COLUMNS)
    require_columns("macro", raw.macro, MACRO_COLUMNS)
    bars = CheckedRows(raw.bars, no_findings())
    if len(raw.bars):
        bars = check_bars(raw.bars, thresholds.bars, as_of, calendar)
    earlier = _earlier_vintages(raw.macro)
    latest = raw.macro[~earlier]
    macro = CheckedRows(latest, no_findings())
    if len(latest):
        macro = check_macro(latest, variables, thresholds.macro, as_of, known)
    earlier_kept = raw.macro[earlier & _keys(raw.macro).isin(_keys(macro.kept))]
    kept = pd.concat([part for part in (macro.kept, earlier_kept) if len(part)] or [latest])
    ordered = kept.sort_values(["variable", "observation_date", "vintage"], ignore_index=True)
    findings = pd.concat([bars.findings, macro.findings], ignore_index=True)
    return CheckedMarket(bars.kept, add_published_at(ordered, variables), findings)


def _earlier_vintages(macro: pd.DataFrame) -> pd.Series:
    in_order = macro.sort_values("vintage", kind="stable")
    superseded = in_order.duplicated(["variable", "observation_date"], keep="last")
    return (superseded & is_dated(in_order["vintage"])).reindex(macro.index)


def _keys(macro: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(macro[["variable", "observation_date"]])


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
