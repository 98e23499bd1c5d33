"""Dates of daily macro series: a day early is a leak; the calendar, a like series or the bars tell."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from dosvotos.market.calendar import closed_days_around, in_session, session_dates
from dosvotos.quality.findings import CheckedRows, QualityCheck
from dosvotos.quality.references import SPOT
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
_MIN_SESSIONS, _NEARER, _NEARER_ON_AVERAGE = 10, 0.6, 0.8
_MIN_CHANGES, _AT_MOST, _AT_LEAST = 250, 2.5, 4.0
_LONGEST_WEEKEND: Final = np.timedelta64(4, "D")


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
    return _quarantine(macro, why)


def check_dates_by_bars(macro: CheckedRows, bars: pd.DataFrame, variables: Variables) -> CheckedRows:
    """Quarantine the daily series of a delivery that the sessions' closes show to be dated a day early.

    Parameters
    ----------
    macro : CheckedRows
        As `check_dates` leaves it.
    bars : DataFrame
        Bars kept, and those stored before around them: timestamp (UTC), close.
    variables : mapping of MacroVariable by name

    Notes
    -----
    The daily USD/COP is dated early if ten or more sessions close nearer to the value dated the day before
    than to their own: 0.6 of the median distance and 0.8 of the mean. Any other daily series is, if over 250
    or more sessions its changes go with those of the closes a day later by four standard errors more than on
    the same day, and there by 2.5 at most (rank correlations, Fisher's transform): what foretells the
    market goes with it on the same day too. A value dated late betrays nothing early, and the TRM, in force
    the day after its session, looks like one.
    """
    closes = _last_closes(bars)
    rows, why = macro.kept, dict[str, str]()
    for name, own in rows.groupby("variable"):
        if variables[str(name)].frequency != "daily" or len(closes) < _MIN_SESSIONS:
            continue
        dated = own.drop_duplicates("observation_date", keep="last")
        days = dated["observation_date"].to_numpy("datetime64[D]")
        series = pd.Series(dated["value"].to_numpy(float), days).sort_index()
        found = _spot_tells(series, closes) if name == SPOT else _changes_tell(series, closes)
        if found:
            why[str(name)] = f"{found}: dated a day early, or the bars a day late"
    return _quarantine(macro, why)


def _quarantine(macro: CheckedRows, why: Mapping[str, str]) -> CheckedRows:
    """Put all rows of the series named aside, each with its sentence."""
    if not why:
        return macro
    rows = macro.kept
    check = QualityCheck.of_macro(rows)
    violates = rows["variable"].isin(list(why)).to_numpy()
    check.quarantine(DATED_EARLY, violates, [why[name] for name in rows["variable"][violates]])
    return macro.followed_by(check)


def _last_closes(bars: pd.DataFrame) -> pd.Series:
    """Take the last close of each session, indexed by its day."""
    times = pd.DatetimeIndex(bars["timestamp"])
    close = pd.Series(bars["close"].to_numpy(float), times)[in_session(times)].sort_index()
    return close.groupby(session_dates(pd.DatetimeIndex(close.index))).last()


def _spot_tells(spot: pd.Series, closes: pd.Series) -> str:
    """Say how the closes show that the daily USD/COP is dated early; an empty string if they do not."""
    days = closes.index.to_numpy("datetime64[D]")
    dated = spot.index.to_numpy("datetime64[D]")
    index = np.searchsorted(dated, days).clip(1, len(dated) - 1) if len(dated) > 1 else np.zeros(0, int)
    if len(index) == 0:
        return ""
    both = (dated[index] == days) & (days - dated[index - 1] <= _LONGEST_WEEKEND)
    if both.sum() < _MIN_SESSIONS:
        return ""
    close, level = np.log(closes.to_numpy()[both]), np.log(spot.to_numpy())
    own, before = (np.abs(close - level[index[both] - back]) for back in (0, 1))
    nearer = np.median(before) < _NEARER * np.median(own) and before.mean() < _NEARER_ON_AVERAGE * own.mean()
    if not nearer:
        return ""
    return (
        f"{both.sum()} sessions close {np.median(before):.2%} from the value dated the day before and "
        f"{np.median(own):.2%} from their own (medians)"
    )


def _changes_tell(series: pd.Series, closes: pd.Series) -> str:
    """Say how the closes' changes show that a series is dated early; an empty string if they do not."""
    both = pd.concat([closes, series], axis=1, join="inner").sort_index()
    closes_change, change = (both[name].diff().rank() for name in (0, 1))
    n = len(both) - 2
    if n < _MIN_CHANGES or change.nunique() < _MIN_STEPS:
        return ""
    same_day, day_before = (closes_change.corr(change.shift(back)) for back in (0, 1))
    none, tied = np.arctanh(np.abs([same_day, day_before])) * np.sqrt(n)
    if none > _AT_MOST or tied - none < _AT_LEAST * np.sqrt(2):
        return ""
    return (
        f"its changes go with those of the bars a day later (rank correlation {day_before:.2f}, on the same "
        f"day {same_day:.2f}, {n} sessions)"
    )


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
