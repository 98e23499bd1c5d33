"""The bars that are to come: when each closes, and until when a signal about it is one."""

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from dosvotos.contracts.parameters import CalendarParams
from dosvotos.market.calendar import BAR, scheduled_sessions, session_bar_times

_BAR: Final = BAR.to_pytimedelta()
_BEHIND: Final = timedelta(days=3)
_AHEAD: Final = timedelta(days=45)
_LONGEST_BREAK: Final = timedelta(days=15)
"""No two scheduled sessions lie further apart."""


class ScheduledBar(NamedTuple):
    """One bar of a scheduled session; times in UTC."""

    opened: datetime
    close: datetime
    deadline: datetime
    """The close of the next scheduled bar, at which an order of this bar fills."""


class BarSchedule:
    """The scheduled bars of a calendar, in time order."""

    def __init__(self, calendar: CalendarParams) -> None:
        self.use(calendar)

    def use(self, calendar: CalendarParams) -> None:
        """Go by a calendar from now on."""
        self.calendar = calendar
        self._opens: list[datetime] = []
        self._covers = (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))

    def after(self, opened: datetime) -> ScheduledBar:
        """Give the first bar that opens after a moment."""
        self._cover(opened)
        return self._bar(bisect_right(self._opens, opened))

    def at(self, opened: datetime) -> ScheduledBar:
        """Give the bar that opens at a moment, or the first one after it."""
        return self.after(opened - timedelta(microseconds=1))

    def pending_at(self, now: datetime) -> ScheduledBar:
        """Give the first bar whose deadline has not passed."""
        self._cover(now - _LONGEST_BREAK)
        following = bisect_left(self._opens, now - _BAR)
        return self._bar(max(following - 1, 0))

    def _bar(self, index: int) -> ScheduledBar:
        first, following = self._opens[index], self._opens[index + 1]
        return ScheduledBar(first, first + _BAR, following + _BAR)

    def _cover(self, moment: datetime) -> None:
        first, last = self._covers
        if first <= moment <= last:
            return
        start, end = moment - _BEHIND, moment + _AHEAD
        days = scheduled_sessions(start.date(), end.date(), self.calendar)
        times = (time for day in days for time in session_bar_times(day, self.calendar))
        self._opens = [time.to_pydatetime().replace(tzinfo=UTC) for time in times]
        self._covers = (start + timedelta(days=1), end - _LONGEST_BREAK)


def bars_closed(calendar: CalendarParams, since: datetime, until: datetime) -> int:
    """Count the scheduled bars that closed after `since` and by `until`."""
    days = scheduled_sessions(since.date() - timedelta(days=1), until.date(), calendar)
    closes = (time + _BAR for day in days for time in session_bar_times(day, calendar))
    return sum(since < close <= until for close in closes)
