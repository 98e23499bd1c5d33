"""The clock the loop lives by: the machine's, watched for jumps and skew, or a market's that runs faster."""

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Final, NamedTuple, Protocol

MAX_SKEW: Final = timedelta(seconds=2)
_CHUNK: Final = 1.0
"""Longest sleep in one piece (seconds): a clock that is set meanwhile is noticed."""
_UNSYNCHRONISED: Final = 0x0040
_NANOSECONDS: Final = 0x2000


class Clock(Protocol):
    """What the loop asks of time."""

    def now(self) -> datetime:
        """Tell the time, UTC."""

    def sleep_until(self, moment: datetime) -> None:
        """Return at a moment, or earlier to have things looked at again."""

    def jumped(self) -> timedelta:
        """Tell by how much the clock was set since the last call."""

    def skew(self) -> timedelta | None:
        """Tell how far the clock is ahead of true time; None where nobody knows."""


class WallClock:
    """The machine's clock.

    Parameters
    ----------
    stop : Event
        Ends a sleep early.
    """

    def __init__(self, stop: Event | None = None) -> None:
        self._stop = stop or Event()
        self._ahead = self._wall_over_monotonic()

    def now(self) -> datetime:
        """Tell the machine's time, UTC."""
        return datetime.now(UTC)

    def sleep_until(self, moment: datetime) -> None:
        """Sleep until a moment, at most a second."""
        left = (moment - self.now()).total_seconds()
        if left > 0:
            self._stop.wait(min(left, _CHUNK))

    def jumped(self) -> timedelta:
        """Tell by how much the clock was set since the last call, from the monotonic clock."""
        ahead = self._wall_over_monotonic()
        moved, self._ahead = ahead - self._ahead, ahead
        return timedelta(seconds=moved)

    def skew(self) -> timedelta | None:
        """Ask the kernel, which knows if a time service keeps the clock."""
        return kernel_skew()

    @staticmethod
    def _wall_over_monotonic() -> float:
        return time.time() - time.monotonic()


class MarketClock:
    """A clock that leaves out what no bar lies in, and runs `speed` times as fast while it is slept by.

    What is computed between sleeps takes the time it takes: at any speed a slow machine has the deadlines of
    a real market.

    Parameters
    ----------
    start : datetime, timezone-aware
    speed : float
    stop : Event
        Ends a sleep early.
    monotonic : callable
    """

    LEAP: Final = timedelta(minutes=10)
    """Nothing happens for so long: between sessions."""

    def __init__(
        self, start: datetime, speed: float, stop: Event, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._start, self._speed, self._stop, self._monotonic = start, speed, stop, monotonic
        self.begin()

    def begin(self) -> None:
        """Start here and now."""
        self._began = self._monotonic()

    def now(self) -> datetime:
        """Tell the market's time, UTC."""
        return self._start + timedelta(seconds=self._monotonic() - self._began)

    def sleep_until(self, moment: datetime) -> None:
        """Sleep until a moment of the market, at most a second; leap to it over closed hours."""
        began = self.now()
        left = (moment - began).total_seconds()
        if left > self.LEAP.total_seconds():
            self._start, self._began = moment, self._monotonic()
        elif left > 0:
            self._stop.wait(min(left / self._speed, _CHUNK))
            slept = timedelta(seconds=min((self.now() - began).total_seconds() * self._speed, left))
            self._start, self._began = began + slept, self._monotonic()

    def jumped(self) -> timedelta:
        """Nobody sets this clock."""
        return timedelta(0)

    def skew(self) -> timedelta | None:
        """Its time is the market's."""
        return timedelta(0)


class _Timex(ctypes.Structure):
    """struct timex of Linux, as far as it is read, and room for the rest."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]


def kernel_skew() -> timedelta | None:
    """Read the offset that a time service has left; None if none keeps the clock, or off Linux."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    found = _Timex()
    if adjtimex(ctypes.byref(found)) < 0 or found.status & _UNSYNCHRONISED:
        return None
    unit = 1e-9 if found.status & _NANOSECONDS else 1e-6
    return timedelta(seconds=-found.offset * unit)


class ServerTime(NamedTuple):
    """What a server called its time (a Date header, whole seconds), between sending and receiving."""

    sent: datetime
    stated: datetime
    received: datetime

    def least_skew(self) -> timedelta:
        """Give the least skew that explains it: positive if our clock is ahead, 0 if it may be right."""
        if (ahead := self.sent - self.stated - timedelta(seconds=1)) > timedelta(0):
            return ahead
        behind = self.stated - self.received
        return -behind if behind > timedelta(0) else timedelta(0)
