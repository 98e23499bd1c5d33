"""What a person must know of: logged as an error once, until it is over, and announced to people."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from queue import SimpleQueue
from threading import Event
from typing import Final, NamedTuple, Protocol

from sqlalchemy import Engine

from dosvotos.database.connection import writing
from dosvotos.database.outbox import is_due
from dosvotos.errors import DatabaseError
from dosvotos.promotion.notify import Notification, announce, sendable_kinds

logger = logging.getLogger(__name__)

REMINDS_AFTER: Final = timedelta(hours=1)
"""An alert that lasts and says something else by now is announced again."""
ANNOUNCES_EVERY: Final = 10.0
"""Seconds."""


class Alerts(Protocol):
    """Where alerts go."""

    def raise_alert(self, code: str, message: str) -> None:
        """Raise an alert; the same code with the same message is none while it lasts."""

    def clear(self, code: str) -> None:
        """Note that it is over."""


class LoggedAlerts:
    """Alerts in the log, each once until it is cleared."""

    def __init__(self) -> None:
        self.open: dict[str, str] = {}

    def raise_alert(self, code: str, message: str) -> None:
        """Log an alert, unless it is open with the same message."""
        if self.open.get(code) != message:
            self.open[code] = message
            logger.error("ALERT %s: %s", code, message)

    def clear(self, code: str) -> None:
        """Log that an open alert is over."""
        if self.open.pop(code, None) is not None:
            logger.warning("ALERT %s: over", code)


class Announcement(NamedTuple):
    """A notification and when it happened."""

    notification: Notification
    at: datetime


class AnnouncedAlerts(LoggedAlerts):
    """Alerts in the log and on their way to people: one when it begins, one when it is over.

    Parameters
    ----------
    instrument : str
    announcements : SimpleQueue of Announcement
        Takes them without waiting for anything; `Announcer` takes them from there.
    clock : callable
        The wall clock.
    """

    def __init__(
        self, instrument: str, announcements: SimpleQueue[Announcement], clock: Callable[[], datetime]
    ) -> None:
        super().__init__()
        self._instrument, self._announcements, self._clock = instrument, announcements, clock
        self._announced_at: dict[str, datetime] = {}

    def raise_alert(self, code: str, message: str) -> None:
        """Log an alert and announce it; while it lasts, another message within an hour is only logged."""
        again = self.open.get(code) == message
        super().raise_alert(code, message)
        now, last = self._clock(), self._announced_at.get(code)
        if last is None or (not again and now - last >= REMINDS_AFTER):
            self._announced_at[code] = now
            self._announce("ALERT", code, message, now)

    def clear(self, code: str) -> None:
        """Log that an open alert is over, and announce that."""
        super().clear(code)
        if self._announced_at.pop(code, None) is not None:
            self._announce("ALERT_OVER", code, None, self._clock())

    def _announce(self, event: str, code: str, message: str | None, at: datetime) -> None:
        notification = Notification(event=event, instrument=self._instrument, about=code, note=message)
        self._announcements.put(Announcement(notification, at))


class Announcer:
    """Writes alerts to the outbox and has it drained, in a thread of its own: no bar waits for either.

    Parameters
    ----------
    engine : Engine
    announcements : SimpleQueue of Announcement
    drain : callable
        Starts to drain the outbox and does not wait for it.
    clock : callable
        The wall clock.
    """

    def __init__(
        self,
        engine: Engine,
        announcements: SimpleQueue[Announcement],
        drain: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._engine, self._announcements = engine, announcements
        self._drain, self._clock = drain, clock
        self._waiting: list[Announcement] = []
        """What could not be written yet."""

    def run(self, stop: Event) -> None:
        """Step until `stop` is set, and once more."""
        while not stop.wait(ANNOUNCES_EVERY):
            self.step()
        self.step()

    def step(self) -> None:
        """Write what was announced since; drain what is due. While the database is away, both wait."""
        while not self._announcements.empty():
            self._waiting.append(self._announcements.get())
        try:
            self._write()
            if is_due(self._engine, self._clock(), sendable_kinds()):
                self._drain()
        except (DatabaseError, OSError) as error:
            logger.warning("notifications: %s; sent later", error)

    def _write(self) -> None:
        if self._waiting:
            with writing(self._engine) as connection:
                for one in self._waiting:
                    announce(connection, one.notification, one.at)
            self._waiting.clear()
