"""A thread that hands items to one receiver, so that who queues them never waits."""

import logging
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, Generic, TypeVar

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
_AT_THE_END: Final = 2.0
"""Seconds that `close` waits for a receiver."""


class Courier(Generic[Item]):
    """Hands each item over in its turn; a newer one takes the place of one that is to be tried again.

    Parameters
    ----------
    name : str
        Of the thread.
    hand_over : callable
        Tries once. Gives the seconds until the next try; None when there is no more to do.
    """

    def __init__(self, name: str, hand_over: Callable[[Item], float | None]) -> None:
        self._hand_over = hand_over
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._thread = Thread(target=self._work, daemon=True, name=name)
        self._thread.start()

    def take(self, item: Item) -> None:
        """Take an item to be handed over; returns at once."""
        self._queue.put(item)

    def close(self) -> None:
        """Hand over what was taken, once and for two seconds at most, and end."""
        self._queue.put(None)
        self._thread.join(_AT_THE_END)

    def _work(self) -> None:
        item, pause = self._queue.get(), None
        while item is not None:
            pause = self._try(item)
            with suppress(Empty):  # the pause is over: the same item again
                item = self._queue.get(timeout=pause)

    def _try(self, item: Item) -> float | None:
        try:
            return self._hand_over(item)
        except Exception:  # whatever it is, the next item has its turn
            logger.exception("%s", self._thread.name)
            return None
