"""Faults put into the judging of limits: after each of them the row must be flat, and nothing go on."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from dosvotos.database.connection import writing
from dosvotos.live import limits
from tests.live.live_desk import LiveDesk

Patch = Callable[[Any, str, Any], None]
"""`setattr`, undone later."""
JUDGED_BY = (
    "standing_trips", "current_policy", "keep_account", "last_signal_before", "last_trip_bar",
    "targets_between", "count_rows",
)  # fmt: skip
"""What `dosvotos.live.limits` asks on its way."""


def _raising(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("put in by a test")


def broken_step(desk: LiveDesk, patch: Patch, name: str) -> None:
    """One of the questions on the way raises."""
    patch(limits, name, _raising)


def no_account_table(desk: LiveDesk, patch: Patch) -> None:
    """SQL fails inside the transaction, as after a broken migration."""
    with writing(desk.engine) as connection:
        connection.execute(text("DROP TABLE model_accounts"))


def no_number(desk: LiveDesk, patch: Patch) -> None:
    """The account is worth no number."""
    kept = limits.keep_account
    patch(limits, "keep_account", lambda *args: kept(*args)._replace(equity=float("nan")))


def other_feed(desk: LiveDesk, patch: Patch) -> None:
    """The account is marked to a market that has no bars."""
    kept = limits.keep_account
    patch(limits, "keep_account", lambda c, book, *rest: kept(c, book._replace(feed="none"), *rest))


FAULTS: dict[str, Callable[[LiveDesk, Patch], None]] = {
    **{name: lambda desk, patch, name=name: broken_step(desk, patch, name) for name in JUDGED_BY},
    "no_number": no_number,
    "other_feed": other_feed,
    "no_account_table": no_account_table,
}


def failed_open(desk: LiveDesk, bars: int) -> int:
    """Run bars under a fault; count the policy's own signals among them, of which there must be none."""
    before = len(desk.rows())
    desk.run(bars)
    return sum(row.signal is not None and row.reason_code is None for row in desk.rows()[before:])
