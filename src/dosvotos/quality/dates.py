"""Dates of daily macro series: a day early is a leak, and the calendar or a like series tells."""

from typing import Final

import numpy as np
import pandas as pd

from dosvotos.market.calendar import closed_days_around
from dosvotos.quality.findings import CheckedRows, QualityCheck
from dosvotos.quality.series import Variables

DATED_EARLY: Final = "dated_early"
_MIN_DAYS, _MIN_HOLIDAYS, _MIN_STEPS = 15, 2, 40
_RARE, _USUAL = 0.1, 0.5
"""Share of a usual weekday's values below which one has hardly any, and above which a Sunday is a weekday."""
_LIKE: Final = (
    ("comm_oil_brent_glb_d_brent", "comm_oil_wti_glb_d_wti"),
    ("finc_bond_yield10y_col_d_col10y", "finc_bond_yield5y_col_d_col5y"),
    ("finc_bond_yield10y_usa_d_ust10y", "finc_bond_yield2y_usa_d_dgs2"),
)
"""Pairs whose daily changes correlate by 0.7 to 0.85 on the same day, and by at most 0.15 a day apart."""
_MIN_CORRELATION, _MIN_GAIN = 0.5, 0.5


def check_dates(macro: CheckedRows, variables: Variables) -> CheckedRows:
    """Quarantine the daily series of a delivery that are dated a day early.

    Parameters
    ----------
    macro : CheckedRows
        Rows that passed every other rule: variable, observation_date, value, source.
    variables : mapping of MacroVariable by name

    Notes
    -----
    A series is dated early if it has Sundays and no Fridays; if most values next to holidays stand on the
    holiday and not on the day before; or if its changes go with those of a like series a day later, and not
    on the same day. A series that keeps its dates while its values move up is seen by the last alone.
    """
    rows = macro.kept
    days = rows["observation_date"].to_numpy("datetime64[D]")
    series = {
        str(name): np.unique(days[index])
        for name, index in rows.groupby("variable").indices.items()
        if variables[str(name)].frequency == "daily"
    }
    told = {name: _calendar_tells(own, variables[name].publication.zone) for name, own in series.items()}
    why = {name: sentence for name, sentence in told.items() if sentence}
    for pair in _LIKE:
        why |= {name: found for name, found in _likeness_tells(rows, *pair).items() if name not in why}
    if not why:
        return macro
    at = pd.to_datetime(rows["observation_date"]).dt.tz_localize("UTC")
    check = QualityCheck(rows, rows["variable"], at, rows["value"])
    violates = rows["variable"].isin(list(why)).to_numpy()
    check.quarantine(DATED_EARLY, violates, [why[name] for name in rows["variable"][violates]])
    checked = check.result()
    return CheckedRows(checked.kept, pd.concat([macro.findings, checked.findings], ignore_index=True))


def _calendar_tells(days: np.ndarray, zone: str) -> str:
    """Say how the calendar shows that dates are a day early; an empty string if it does not."""
    if len(days) < _MIN_DAYS:
        return ""
    per_weekday = np.bincount((days.astype(int) + 3) % 7, minlength=7)
    usual = per_weekday[:4].mean()
    if per_weekday[4] <= _RARE * usual and per_weekday[6] >= _USUAL * usual:
        return f"{per_weekday[6]} Sundays and {per_weekday[4]} Fridays of {len(days)} days: dated a day early"
    closed = closed_days_around(days, zone)
    holidays = closed[np.is_busday(closed) & (closed > days[0]) & (closed < days[-1])]
    before = np.busday_offset(holidays, -1, roll="backward")
    open_before = ~np.isin(before, closed) & (before >= days[0])
    on_holiday, on_day_before = np.isin(holidays, days), np.isin(before, days)
    early = int((on_holiday & ~on_day_before & open_before).sum())
    if early >= _MIN_HOLIDAYS and early > _USUAL * open_before.sum():
        return f"{early} of {open_before.sum()} holidays have a value, the day before none: dated a day early"
    return ""


def _likeness_tells(rows: pd.DataFrame, one: str, other: str) -> dict[str, str]:
    """Name the series of two like ones whose changes come a day before the other's, and say so."""
    values = [rows[rows["variable"] == name].set_index("observation_date")["value"] for name in (one, other)]
    both = pd.concat(values, axis=1, keys=[one, other], join="inner").sort_index().astype(float)
    changes = both.where(both > 0).transform("log").diff()
    if len(changes) <= _MIN_STEPS:
        return {}
    same_day = changes[one].corr(changes[other])
    found = {}
    for early, late in ((one, other), (other, one)):
        next_day = changes[early].corr(changes[late].shift(-1))
        if next_day >= _MIN_CORRELATION and next_day - same_day >= _MIN_GAIN:
            found[early] = (
                f"its changes go with those of {late} a day later (correlation {next_day:.2f}, on the same "
                f"day {same_day:.2f}): dated a day early, or {late} a day late"
            )
    return found
