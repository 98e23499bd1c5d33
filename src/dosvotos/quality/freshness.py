"""Freshness and coverage of what is stored, as known at one moment: a row a subject, a kind a day."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.market.calendar import (
    BAR,
    BARS_PER_SESSION,
    BOGOTA,
    REGULAR,
    closed_days_around,
    in_session,
    last_ended_session,
    published_at,
    scheduled_sessions,
    session_bar_times,
    session_dates,
    session_slots,
    slots,
)
from dosvotos.quality.bars import last_ended_day
from dosvotos.quality.findings import BARS, QUARANTINED, REPORTED
from dosvotos.quality.series import first_days, period_numbers

FRESH: Final = "fresh"
STALE: Final = "stale"
ABSENT: Final = "absent"
_DAY: Final = pd.Timedelta(days=1)
_MIN_BARS: Final = {"60 bars": BARS_PER_SESSION, "48 to 59": 48, "24 to 47": 24, "1 to 23": 1}
_NONE, _CLOSED, _CLOSED_WITH_BARS = "none, though scheduled", "closed day", "bars on a closed day"
KINDS: Final = (*_MIN_BARS, _NONE, _CLOSED, _CLOSED_WITH_BARS)
"""Kinds of days, by the number of their bars."""


class _Freshness(NamedTuple):
    """A row of the summary; by default that of a subject without any value."""

    subject: str
    priority: str
    source: str | None = None
    last_observation: str | None = None
    last_value: float = np.nan
    unit: str = ""
    published_at: Any = pd.NaT
    age_days: float = np.nan
    limit_days: float = np.nan
    state: str = ABSENT
    observations: int = 0
    coverage: float = np.nan


def summary_table(
    bars: pd.DataFrame,
    observations: pd.DataFrame,
    findings: pd.DataFrame,
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
    calendar: CalendarParams = REGULAR,
) -> pd.DataFrame:
    """Return the freshness, coverage and number of findings of the bars and of each variable.

    Parameters
    ----------
    bars : DataFrame
        Index ``timestamp`` (bar open, UTC), in order; open, high, low, close, source.
    observations : DataFrame
        variable, observation_date, published_at and fetched_at (UTC), value, source; a revision is a further
        row.
    findings : DataFrame
        severity and subject ("bars" or the variable).
    variables : mapping of MacroVariable by name
    as_of : Timestamp, timezone-aware
        What counts as now.

    Returns
    -------
    DataFrame
        One row for the bars, then one a variable: subject, priority, source (of the newest value),
        last_observation (a bar's open in UTC, or a date), last_value, unit, published_at (UTC; a bar's
        close), age_days since then, limit_days (NaN for bars), state ("fresh", "stale" or "absent"),
        observations (bars, or dates with a published value), coverage, quarantined, reported. None, NaT or
        NaN where nothing is known.

    Notes
    -----
    Any frame may be empty. Bars are fresh if the last ended session has some, a variable while its age is
    within its limit. Coverage is the share of periods with a value (bars of sessions; business days where it
    is published, months, quarters), from the first observation to the last one that should be out.
    """
    known = known_values(observations, as_of)
    rows = [_bar_freshness(bars, as_of, calendar)]
    for name, variable in variables.items():
        rows.append(_series_freshness(name, variable, known.get(name), as_of))
    table = pd.DataFrame(rows).astype({"source": "str", "last_observation": "str"})
    table["published_at"] = pd.to_datetime(table["published_at"], utc=True).astype("datetime64[us, UTC]")
    for severity in (QUARANTINED, REPORTED):
        subjects = findings.loc[findings["severity"] == severity, "subject"] if len(findings) else pd.Series()
        table[severity] = table["subject"].map(subjects.value_counts()).fillna(0).astype(int)
    return table


def session_calendar(
    bar_times: pd.DatetimeIndex, as_of: pd.Timestamp, calendar: CalendarParams = REGULAR
) -> pd.DataFrame:
    """Return the number of bars and the kind of each Bogota date, from the first bar to the last ended date.

    Parameters
    ----------
    bar_times : DatetimeIndex, UTC, not empty
    as_of : Timestamp, timezone-aware

    Returns
    -------
    DataFrame
        By date (``datetime64``): ``bars`` and ``kind``, one of `KINDS`.
    """
    counts = pd.Series(*np.unique(session_dates(bar_times), return_counts=True)[::-1])
    first, today = counts.index[0].date(), as_of.tz_convert(BOGOTA).date()
    days = pd.date_range(first, last_ended_day(as_of))
    n_bars = counts.reindex(days, fill_value=0).to_numpy()
    kind = np.select([n_bars >= fewest for fewest in _MIN_BARS.values()], list(_MIN_BARS), _NONE)
    closed = ~days.isin(scheduled_sessions(first, today, calendar))
    kind[closed] = np.where(n_bars[closed] > 0, _CLOSED_WITH_BARS, _CLOSED)
    return pd.DataFrame({"bars": n_bars, "kind": kind}, index=days)


def known_values(observations: pd.DataFrame, as_of: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Return each variable's values published by `as_of`, the last revision of each date, in date order.

    ``published_at`` is the first publication of the date's value: a rewrite does not make it younger.
    """
    if observations.empty:
        return {}
    rows = observations[observations["published_at"] <= as_of]
    ordered = rows.sort_values(["variable", "observation_date", "published_at", "fetched_at"], kind="stable")
    key = ["variable", "observation_date"]
    first = ordered.groupby(key)["published_at"].transform("min")
    latest = ordered.assign(published_at=first).drop_duplicates(key, keep="last")
    return {str(name): part for name, part in latest.groupby("variable")}


def _bar_freshness(bars: pd.DataFrame, as_of: pd.Timestamp, calendar: CalendarParams) -> _Freshness:
    absent = _Freshness(BARS, "HIGH", unit="COP per USD")
    if bars.empty:
        return absent
    times = pd.DatetimeIndex(bars.index)
    last = times[-1]
    is_fresh = session_dates(times[-1:])[0] >= np.datetime64(last_ended_session(as_of, calendar))
    return absent._replace(
        source=bars["source"].iloc[-1],
        last_observation=f"{last.tz_convert('UTC'):%Y-%m-%d %H:%M}",
        last_value=float(bars["close"].iloc[-1]),
        published_at=last + BAR,
        age_days=_age_days(last + BAR, as_of),
        state=FRESH if is_fresh else STALE,
        observations=len(bars),
        coverage=_bar_coverage(times, as_of, calendar),
    )


def _series_freshness(
    name: str, variable: MacroVariable, known: pd.DataFrame | None, as_of: pd.Timestamp
) -> _Freshness:
    limit = float(variable.ffill_max_days)
    absent = _Freshness(name, variable.priority, unit=variable.unit, limit_days=limit)
    if known is None:
        return absent
    last: Any = known.iloc[-1]
    age = _age_days(last["published_at"], as_of)
    return absent._replace(
        source=last["source"],
        last_observation=str(last["observation_date"]),
        last_value=float(last["value"]),
        published_at=last["published_at"],
        age_days=age,
        state=FRESH if age <= limit else STALE,
        observations=len(known),
        coverage=_series_coverage(known, variable, as_of),
    )


def _age_days(since: pd.Timestamp, as_of: pd.Timestamp) -> float:
    return round((as_of - since) / _DAY, 2)


def _bar_coverage(times: pd.DatetimeIndex, as_of: pd.Timestamp, calendar: CalendarParams) -> float:
    """Return the share of the sessions' bars from the first stored one to now that are stored."""
    stored = times[in_session(times, calendar)]
    if len(stored) == 0:
        return float("nan")
    today = as_of.tz_convert(BOGOTA).date()
    sessions = scheduled_sessions(session_dates(stored[:1])[0].astype(object), today, calendar)
    bounds = [session_slots(day, calendar) for day in sessions]
    expected = sum(last - first + 1 for first, last in bounds) - int(slots(stored[:1])[0] - bounds[0][0])
    if sessions[-1] == np.datetime64(today):
        expected -= int((session_bar_times(sessions[-1], calendar) + BAR > as_of).sum())
    return len(stored) / expected


def _series_coverage(known: pd.DataFrame, variable: MacroVariable, as_of: pd.Timestamp) -> float:
    """Return the share of periods with a value, from the first observation's to the last one due."""
    stored = period_numbers(known["observation_date"].to_numpy("datetime64[D]"), variable.frequency)
    today = np.datetime64(as_of.tz_convert(variable.publication.zone).date())
    last = period_numbers(np.array([today]), variable.frequency)[0]
    periods = np.arange(stored[0], last + 1)
    days = first_days(periods, variable.frequency)
    if variable.frequency == "daily":
        is_open = np.is_busday(days, holidays=closed_days_around(days, variable.publication.zone))
        periods, days = periods[is_open], days[is_open]
    due = published_at(days.tolist(), variable.rule_of(known["source"].iloc[-1])) <= as_of
    return float(np.isin(periods[due], stored).mean()) if due.any() else float("nan")
