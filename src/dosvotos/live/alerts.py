"""What a person must know of: logged as an error once, until it is over, and told to people."""

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
"""An alert that lasts and says something else by now is told again."""
TELLS_EVERY: Final = 10.0
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


class Told(NamedTuple):
    """A notification and when it happened."""

    notification: Notification
    at: datetime


class ToldAlerts(LoggedAlerts):
    """Alerts in the log and on their way to people: one when it begins, one when it is over.

    Parameters
    ----------
    instrument : str
    told : SimpleQueue of Told
        Takes them without waiting for anything; `Teller` takes them from there.
    clock : callable
        The wall clock.
    """

    def __init__(self, instrument: str, told: SimpleQueue[Told], clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._instrument, self._told, self._clock = instrument, told, clock
        self._told_at: dict[str, datetime] = {}

    def raise_alert(self, code: str, message: str) -> None:
        """Log an alert and have it told; while it lasts, another message within an hour is only logged."""
        again = self.open.get(code) == message
        super().raise_alert(code, message)
        now, last = self._clock(), self._told_at.get(code)
        if last is None or (not again and now - last >= REMINDS_AFTER):
            self._told_at[code] = now
            self._tell("ALERT", code, message, now)

    def clear(self, code: str) -> None:
        """Log that an open alert is over, and have it told."""
        super().clear(code)
        if self._told_at.pop(code, None) is not None:
            self._tell("ALERT_OVER", code, None, self._clock())

    def _tell(self, event: str, code: str, message: str | None, at: datetime) -> None:
        told = Notification(event=event, instrument=self._instrument, about=code, note=message)
        self._told.put(Told(told, at))


class Teller:
    """Writes alerts to the outbox and has it drained, in a thread of its own: no bar waits for either.

    Parameters
    ----------
    engine : Engine
    told : SimpleQueue of Told
    drain : callable
        Starts to drain the outbox and does not wait for it.
    clock : callable
        The wall clock.
    """

    def __init__(
        self,
        engine: Engine,
        told: SimpleQueue[Told],
        drain: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._engine, self._told, self._drain, self._clock = engine, told, drain, clock
        self._waiting: list[Told] = []
        """What could not be written yet."""

    def run(self, stop: Event) -> None:
        """Step until `stop` is set, and once more."""
        while not stop.wait(TELLS_EVERY):
            self.step()
        self.step()

    def step(self) -> None:
        """Write what was told since; drain what is due. While the database is away, both wait."""
        while not self._told.empty():
            self._waiting.append(self._told.get())
        try:
            self._write()
            if is_due(self._engine, self._clock(), sendable_kinds()):
                self._drain()
        except (DatabaseError, OSError) as error:
            logger.warning("notifications: %s; sent later", error)

    def _write(self) -> None:
        if self._waiting:
            with writing(self._engine) as connection:
                for told in self._waiting:
                    announce(connection, told.notification, told.at)
            self._waiting.clear()
