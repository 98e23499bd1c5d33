"""Limits that act by themselves: what was reached, and what follows until an admin's RESUME."""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from sqlalchemy import Connection

from dosvotos.contracts.live_limits import LiveLimits, StatedLimits
from dosvotos.database.live_limits import (
    Trip,
    add_trip,
    count_rows,
    last_trip_bar,
    standing_trips,
    targets_between,
)
from dosvotos.database.signals import last_signal_before
from dosvotos.formats import Figure, Form
from dosvotos.live.account import AccountBook, LiveAccount, keep_account
from dosvotos.live.reasons import Reason
from dosvotos.market.calendar import BAR
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.tripwires import Lapses, library_lock
from dosvotos.refusals import Phrase

logger = logging.getLogger(__name__)

_HOUR: Final = 12 * BAR.to_pytimedelta()
_SMALLEST: Final = timedelta(microseconds=1)
_LONGEST_DETAIL: Final = 500
"""Characters kept of an error."""


class Approval(NamedTuple):
    """What limits are judged by of a model's approval."""

    account: AccountBook
    approved_at: datetime
    config_hash: str
    """Of the contract that is served."""
    lapses: Lapses | None
    """When it ends, as its reviewer signed."""
    stated: StatedLimits | None
    """What its experiment states beside the house's limits."""


class Bar(NamedTuple):
    """What is judged at a bar."""

    timestamp: datetime
    target: float | None
    """What the bar's row is about to signal."""
    rate_difference: float | None
    now: datetime


def judge_bar(connection: Connection, approval: Approval, bar: Bar) -> None:
    """Mark the model's account to a bar and store the trips of all limits it reaches.

    The caller holds the instrument's lock and reads afterwards what holds. An error on the way is itself a
    trip to HALTED, unless not even that can be written.
    """
    instrument, standing = approval.account.instrument, set()
    try:
        with connection.begin_nested():
            standing = {(row.rule, row.state) for row in standing_trips(connection, instrument)}
            trips = list(_reached(connection, approval, bar))
    except Exception as error:  # whatever it is, nothing is known of the limits, so nothing may be held
        logger.exception("%s: limits at bar %s", instrument, bar.timestamp)
        said = Phrase.of("said", said=f"{type(error).__name__}: {error}"[:_LONGEST_DETAIL])
        trips = [Trip(Reason.LIMITS_UNKNOWN, "HALTED", Phrase.of("limits_unknown", problem=said))]
    for trip in trips:
        if (trip.rule, trip.state) not in standing:
            add_trip(connection, instrument, approval.account.approval_id, trip, bar.timestamp, bar.now)


def judge_errors(connection: Connection, instrument: str, bar: datetime, now: datetime) -> None:
    """Store a trip if too many bars up to one ended with ERROR, where no model came to decide."""
    limit = current_policy(connection).live_limits.errors_an_hour
    for trip in _errors(connection, instrument, bar, limit):
        if all(row.rule != trip.rule for row in standing_trips(connection, instrument)):
            add_trip(connection, instrument, None, trip, bar, now)


def _reached(connection: Connection, approval: Approval, bar: Bar) -> Iterator[Trip]:
    instrument = approval.account.instrument
    limits = current_policy(connection).live_limits.tightened(approval.stated)

    def target_before(opened: datetime) -> float:
        row = last_signal_before(connection, instrument, opened)
        return 0.0 if row is None else float(row.signal)

    account = keep_account(connection, approval.account, bar.timestamp, bar.rate_difference, target_before)
    yield from _drawdown(account, limits)
    yield from _lapsed(account, approval, bar.now)
    yield from _flips(connection, instrument, bar, limits.flips_an_hour)
    yield from _errors(connection, instrument, bar.timestamp, limits.errors_an_hour)


def _drawdown(account: LiveAccount, limits: LiveLimits) -> Iterator[Trip]:
    found, halt, reduce = account.drawdown, limits.halt_at_drawdown, limits.reduce_at_drawdown
    if not found < halt:  # one that cannot be computed is reached too
        detail = Phrase.of("limit_drawdown", found=_percent(found), limit=_percent(halt))
        yield Trip(Reason.DRAWDOWN, "HALTED", detail)
    elif not found < reduce:
        detail = Phrase.of("limit_drawdown_reduces", found=_percent(found), limit=_percent(reduce))
        yield Trip(Reason.DRAWDOWN, "REDUCING", detail)


def lapse_reasons(account: LiveAccount, approval: Approval, now: datetime) -> list[Phrase]:
    """Say why an approval has ended by what its reviewer signed; empty while it counts."""
    if (lapses := approval.lapses) is None:
        return []
    age = (now - approval.approved_at).days
    reasons = []
    if not account.approval_drawdown < lapses.max_drawdown:
        found, limit = _percent(account.approval_drawdown), _percent(lapses.max_drawdown)
        reasons.append(Phrase.of("lapsed_drawdown", found=found, limit=limit))
    if age >= lapses.max_age_days:
        reasons.append(Phrase.of("lapsed_age", found=age, limit=lapses.max_age_days))
    if approval.config_hash != lapses.contract:
        served, signed = approval.config_hash[:12], lapses.contract[:12]
        reasons.append(Phrase.of("lapsed_contract", found=served, signed=signed))
    if (lock := library_lock()) != lapses.library_lock:
        reasons.append(Phrase.of("lapsed_libraries", found=lock[:12], signed=lapses.library_lock[:12]))
    return reasons


def vote_again(reasons: Sequence[Phrase]) -> Phrase:
    """Write why an approval has ended, and what to do."""
    first, *more = reasons
    for one in more:
        first = Phrase.of("and_also", one=first, other=one)
    return Phrase.of("vote_again", why=first)


def _percent(fraction: float) -> Figure:
    return Figure(fraction, Form(2, percent=True))


def _lapsed(account: LiveAccount, approval: Approval, now: datetime) -> Iterator[Trip]:
    if reasons := lapse_reasons(account, approval, now):
        yield Trip(Reason.LAPSED, "HALTED", Phrase.of("approval_lapsed", why=vote_again(reasons)))


def _flips(connection: Connection, instrument: str, bar: Bar, limit: int) -> Iterator[Trip]:
    """Count reversals of the target, over flat bars too, since the limit was reached last."""
    start = _counted_from(connection, instrument, Reason.FLIPS, bar.timestamp)
    before = last_signal_before(connection, instrument, start + _SMALLEST)
    targets = [0.0 if before is None else before.signal]
    targets += targets_between(connection, instrument, start, bar.timestamp)
    sides = [target for target in (*targets, bar.target) if target]
    if (flips := sum(one != other for one, other in pairwise(sides))) >= limit:
        yield Trip(Reason.FLIPS, "REDUCING", Phrase.of("limit_flips", found=flips, limit=limit))


def _errors(connection: Connection, instrument: str, bar: datetime, limit: int) -> Iterator[Trip]:
    start = _counted_from(connection, instrument, Reason.ERRORS, bar)
    if (errors := count_rows(connection, instrument, Reason.ERROR, start, bar)) >= limit:
        yield Trip(Reason.ERRORS, "HALTED", Phrase.of("limit_errors", found=errors, limit=limit))


def _counted_from(connection: Connection, instrument: str, rule: Reason, bar: datetime) -> datetime:
    """Begin an hour before a bar, or at the bar at which the rule was reached last, if that is later."""
    start, tripped = bar - _HOUR, last_trip_bar(connection, instrument, rule)
    return start if tripped is None else max(start, tripped)
