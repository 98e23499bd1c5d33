"""Runs a loop until it is stopped: steps when they are due, and what may take its time in between."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Final

from dosvotos.live.clock import Clock, MarketClock, WallClock
from dosvotos.live.loop import LiveLoop
from dosvotos.live.macro_task import MacroTask

logger = logging.getLogger(__name__)

_HEADROOM: Final = timedelta(seconds=20)
"""On the machine's clock at least so long is left for housekeeping."""


def run(
    loop: LiveLoop,
    macro: MacroTask | None,
    clock: Clock,
    stop: Event,
    on_turn: Callable[[], None] = lambda: None,
) -> None:
    """Step the loop until `stop` is set; `on_turn` is called every second or so, while the loop lives.

    On the machine's clock macro values have a thread of their own, so that a slow provider delays no bar; a
    market's clock is faster than any thread, so there both take turns.
    """
    headroom = timedelta(0)
    if isinstance(clock, WallClock):
        headroom = _HEADROOM
        if macro is not None:
            Thread(target=run_macro, args=(macro, WallClock(stop), stop), daemon=True, name="macro").start()
            macro = None
    macro_due = datetime.max.replace(tzinfo=clock.now().tzinfo) if macro is None else clock.now()
    kept_for: object = None
    while not stop.is_set():
        if macro is not None and clock.now() >= macro_due:
            macro_due = macro.step(clock.now())
        due = loop.step()
        if loop.bar is not kept_for and due - clock.now() > headroom:
            kept_for = loop.bar
            loop.housekeep()
        wait_until(min(due, macro_due), clock, stop, on_turn)


def run_macro(macro: MacroTask, clock: Clock, stop: Event) -> None:
    """Step the macro task until `stop` is set."""
    due = clock.now()
    while not stop.is_set():
        if clock.now() >= due:
            due = macro.step(clock.now())
        clock.sleep_until(due)


def wait_until(
    moment: datetime, clock: Clock, stop: Event, on_turn: Callable[[], None] = lambda: None
) -> None:
    """Sleep until a moment, in pieces; a clock that is set back or forth is looked at between them."""
    on_turn()
    while clock.now() < moment and not stop.is_set():
        clock.sleep_until(moment)
        on_turn()
        if not isinstance(clock, MarketClock):
            return
