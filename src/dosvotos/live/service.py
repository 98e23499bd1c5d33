"""The loop's service level: of each session's bars, how many had a signal, why the others had none."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Row

from dosvotos.contracts.parameters import CalendarParams
from dosvotos.live.schedule import BarSchedule
from dosvotos.market.calendar import scheduled_sessions, session_bar_times


class ServiceDay(NamedTuple):
    """One session."""

    day: date
    scheduled: int
    """Bars that have their row, or whose deadline has passed."""
    signals: int
    reasons: dict[str, int]
    """Scheduled bars without a signal, by reason code; ``no row`` where there is none."""

    @property
    def level(self) -> float:
        """Signals over scheduled bars; 1 on a day without any."""
        return self.signals / self.scheduled if self.scheduled else 1.0


NO_ROW = "no row"


def service_days(
    rows: Iterable[Row[Any]], calendar: CalendarParams, since: datetime, last: date, now: datetime
) -> list[ServiceDay]:
    """Count by session, oldest first; rows of bars that are not scheduled play no part.

    Parameters
    ----------
    rows : iterable of Row
        timestamp, status, reason_code and spooled of one instrument's rows. A signal that waited on disk is
        none: nobody acted on it.
    calendar : CalendarParams
    since : datetime, timezone-aware
        Bars that opened before it play no part.
    last : date
        Bogota session, included.
    now : datetime, timezone-aware
    """
    by_bar, schedule, found = {row.timestamp: row for row in rows}, BarSchedule(calendar), []
    for day in scheduled_sessions(since.date(), last, calendar):
        opens = [time.to_pydatetime() for time in session_bar_times(day, calendar) if time >= since]
        due = [opened for opened in opens if opened in by_bar or schedule.at(opened).deadline < now]
        reasons = Counter(_reason(by_bar.get(opened)) for opened in due)
        signals = reasons.pop("", 0)
        found.append(ServiceDay(day.item(), len(due), signals, dict(reasons.most_common())))
    return found


def _reason(row: Row[Any] | None) -> str:
    """Why a bar has no signal; empty if it has."""
    if row is None:
        return NO_ROW
    if row.status == "SIGNAL":
        return "spooled" if row.spooled else ""
    return str(row.reason_code)
