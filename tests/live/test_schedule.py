from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np

from dosvotos.contracts.parameters import CalendarException, CalendarParams
from dosvotos.live.schedule import BarSchedule
from dosvotos.market.calendar import REGULAR, scheduled_sessions, session_bar_times

MINUTE = timedelta(minutes=1)


def test_the_schedule_is_the_calendar_s_over_two_years():
    schedule, days = BarSchedule(REGULAR), scheduled_sessions(date(2025, 1, 1), date(2026, 12, 31))
    expected = [time.to_pydatetime() for day in days for time in session_bar_times(day)]
    bar = schedule.at(datetime(2025, 1, 1, tzinfo=UTC))
    for opened, following in pairwise(expected):
        assert bar == (opened, opened + 5 * MINUTE, following + 5 * MINUTE)
        bar = schedule.after(bar.opened)


def test_the_pending_bar_is_the_first_whose_deadline_has_not_passed():
    schedule, rng = BarSchedule(REGULAR), np.random.default_rng(4)
    start = datetime(2026, 3, 20, tzinfo=UTC)  # a week with a weekend and a holiday in it
    bars = [schedule.at(start - timedelta(days=20))]
    while bars[-1].opened < start + timedelta(days=12):
        bars.append(schedule.after(bars[-1].opened))
    edges = [
        bar.deadline + step for bar in bars[900:1000] for step in (timedelta(0), timedelta(microseconds=1))
    ]
    moments = [start + timedelta(seconds=float(s)) for s in rng.uniform(0, 9 * 86400, 500)]
    for now in (*moments, *edges):
        slow = next(bar for bar in bars if bar.deadline >= now)
        assert schedule.pending_at(now) == slow


def test_exceptions_close_and_shorten_sessions():
    day, short = date(2026, 1, 5), date(2026, 1, 6)
    calendar = CalendarParams(
        exceptions={
            day: CalendarException(closed=True, reason="closed for a day"),
            short: CalendarException(opens="09:00", closes="09:15", reason="a short session"),
        }
    )
    schedule = BarSchedule(calendar)
    bar = schedule.at(datetime(2026, 1, 5, 5, tzinfo=UTC))
    opens = []
    for _ in range(4):
        opens.append(bar.opened)
        bar = schedule.after(bar.opened)
    assert [f"{opened:%d %H:%M}" for opened in opens] == ["06 14:00", "06 14:05", "06 14:10", "07 13:00"]
