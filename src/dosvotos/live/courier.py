"""A thread that hands things to one receiver, so that whoever gives them never waits."""

import logging
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, Generic, TypeVar

logger = logging.getLogger(__name__)

Thing = TypeVar("Thing")
_AT_THE_END: Final = 2.0
"""Seconds that `close` waits for a receiver."""


class Courier(Generic[Thing]):
    """Hands each thing over in its turn; a newer one takes the place of one that is to be tried again.

    Parameters
    ----------
    name : str
        Of the thread.
    hand_over : callable
        Tries once. Gives the seconds until the next try; None when there is no more to do.
    """

    def __init__(self, name: str, hand_over: Callable[[Thing], float | None]) -> None:
        self._hand_over = hand_over
        self._things: SimpleQueue[Thing | None] = SimpleQueue()
        self._thread = Thread(target=self._work, daemon=True, name=name)
        self._thread.start()

    def take(self, thing: Thing) -> None:
        """Take a thing to be handed over; returns at once."""
        self._things.put(thing)

    def close(self) -> None:
        """Hand over what was taken, once and for two seconds at most, and end."""
        self._things.put(None)
        self._thread.join(_AT_THE_END)

    def _work(self) -> None:
        thing, pause = self._things.get(), None
        while thing is not None:
            pause = self._try(thing)
            with suppress(Empty):  # the pause is over: the same thing again
                thing = self._things.get(timeout=pause)

    def _try(self, thing: Thing) -> float | None:
        try:
            return self._hand_over(thing)
        except Exception:  # whatever it is, the next thing has its turn
            logger.exception("%s", self._thread.name)
            return None
