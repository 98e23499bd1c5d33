"""Whether a test window is the calendar's or a person's choice."""

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.window import JudgedWindow, WindowFacts, WindowStatus
from dosvotos.market.calendar import (
    in_session,
    last_complete_session,
    last_ended_session,
    scheduled_sessions,
    session_dates,
)

MAX_SESSIONS_BEHIND = 10
"""Scheduled sessions that stored bars may lie behind the clock before their end is a choice too."""


def last_session_by_clock(parameters: Parameters, clock: datetime) -> date:
    """Return the last session that had ended: by the sample market's `test_end` where set, else by the clock.

    Parameters
    ----------
    parameters : Parameters
    clock : datetime
        The wall clock, timezone-aware; never ``as_of``, which is a person's to choose.
    """
    ended = last_ended_session(pd.Timestamp(clock))
    stated = parameters.sample_market.test_end
    if parameters.data_acquisition.source != "sample" or stated is None:
        return ended
    last: date = scheduled_sessions(stated - timedelta(days=30), stated)[-1].astype(object)
    return last


def judge_window(
    parameters: Parameters,
    test_end: date,
    bar_times: pd.DatetimeIndex,
    newest_look: date | None,
    clock: datetime,
    ever_stored: pd.DatetimeIndex | None = None,
) -> JudgedWindow:
    """Judge an experiment's test window once, when its contract is made.

    Parameters
    ----------
    parameters : Parameters
        For the date ranges; of a walk-forward line the window is the whole test range.
    test_end : date
        As the contract will have it.
    bar_times : DatetimeIndex of shape (n_bars,), UTC
        When every stored bar opened, whatever ``as_of``.
    newest_look : date or None
        Last session of this market that any look has seen.
    clock : datetime
        The wall clock.
    ever_stored : DatetimeIndex, UTC
        As `bar_times`, bars of retracted deliveries too; by default nothing was retracted.

    Returns
    -------
    JudgedWindow
        ``calendar`` if test begins with the first scheduled session after val and ends with the last
        complete session stored by the clock, or with the newest look's if that is later; ``stale_window`` if
        so, but the bars end more than 10 scheduled sessions behind the clock; else ``chosen_window``, also
        where stored bars between start and end were taken out or let in.
    """
    dates, clock_session = parameters.date_ranges, last_session_by_clock(parameters, clock)
    inside = in_session(bar_times) & (session_dates(bar_times) <= clock_session)
    stored = last_complete_session(bar_times[inside])
    calendar_last = max(stored, newest_look or stored)
    after_val = dates.val.end + timedelta(days=1)
    calendar_first = scheduled_sessions(after_val, max(after_val, test_end) + timedelta(days=30))[0]
    window = scheduled_sessions(dates.test.start, test_end)
    behind = max(0, len(scheduled_sessions(stored, clock_session)) - 1)
    first, last = (window[0], window[-1]) if len(window) else (dates.test.start, test_end)
    edited = _edited_sessions(
        parameters, test_end, bar_times, bar_times if ever_stored is None else ever_stored
    )
    by_calendar = str(first) == str(calendar_first) and str(last) == str(calendar_last)
    status: WindowStatus = "chosen_window"
    if by_calendar and not edited:
        status = "stale_window" if behind > MAX_SESSIONS_BEHIND else "calendar"
    facts = WindowFacts(
        first_session=str(first),
        last_session=str(last),
        calendar_first=str(calendar_first),
        calendar_last=str(calendar_last),
        stored_last=str(stored),
        clock=str(clock_session),
        sessions_behind=behind,
        edited_sessions=edited,
    )
    return JudgedWindow(status, facts)


def _edited_sessions(
    parameters: Parameters, test_end: date, bar_times: pd.DatetimeIndex, ever_stored: pd.DatetimeIndex
) -> tuple[str, ...]:
    """List the dates of test on which bars once stored count otherwise than by the regular calendar.

    A person who knows the bars could leave out the sessions that lose, or let in others that win. A session
    that never had a bar may be closed: nobody gains by it.
    """
    days = session_dates(ever_stored)
    in_test = (days >= np.datetime64(parameters.date_ranges.test.start)) & (days <= np.datetime64(test_end))
    times, days = ever_stored[in_test], days[in_test]
    counted = in_session(times, parameters.calendar) & times.isin(bar_times)
    edited: np.ndarray = np.unique(days[counted != in_session(times)])
    return tuple(map(str, edited))
