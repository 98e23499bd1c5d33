"""Every decision stopped in mid-work, or on a full disk: all of it or nothing is there; a retry ends it."""

from collections.abc import Iterator
from contextlib import chdir
from datetime import datetime
from itertools import product
from multiprocessing.connection import Connection as Pipe
from shutil import copytree, rmtree
from typing import Any, NamedTuple

from sqlalchemy import select

from dosvotos.database.connection import make_engine, reading
from dosvotos.database.tables import metadata, outbox
from dosvotos.errors import DosVotosError
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import ProposalVote, Vote
from dosvotos.promotion.gate_policy import GatePolicies
from dosvotos.promotion.house_acts import AddReviewer, RevokeReviewer, SetPolicy
from dosvotos.promotion.live_acts import Rollback, SwitchSignals
from dosvotos.promotion.reopening import Reopen
from dosvotos.promotion.restoring import Restore
from dosvotos.promotion.transaction import Act, Signed, carry_out, text_to_sign
from tests.faults.databases import HOMES, Databases, answer_of, enter, url_of
from tests.faults.voting import Fault, arm, stop
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY, Team, now

STEPS = ("lock_instrument", "append_audit_row", "append_checkpoint")
MOST_STATEMENTS, MOST_BYTES = 40, 300_000
"""More than any decision writes; the points of a series end with the first one that is not reached."""
LEAST_BYTES, BYTES_APART = 32_800, 1_201
"""SQLite's shared memory needs the least; its log of changes grows above it, page by page of 4,096."""
KEY = "the-same-request"
_IN_SHORT = ("APPROVE, second of two", "REOPEN", "ROLLBACK", "POLICY", "RESTORE")
_DIFFERS = ("_at", "_hash", "signature", "countersignature", "text", "seal")
"""Endings of columns that hold a time, or what is hashed or signed over one."""


class Prepared(NamedTuple):
    """A decision that somebody has signed, and the desk it is about."""

    name: str
    desk: Desk
    act: Act
    by: str
    signed: Signed | None


class StopCount(NamedTuple):
    """What stopped decisions left behind."""

    crashes: int = 0
    states_half_done: int = 0
    """Neither what was before nor what the decision makes of it, or rows that contradict each other."""
    decisions_lost: int = 0
    """Acknowledged and not there."""
    decisions_doubled: int = 0
    """Carried out again by the same request, or refused to it."""
    stopped_after_commit: int = 0
    """All of the decision was there, and no answer that says so was sent; the rest was stopped before."""
    unclear_answers: int = 0
    """An error that is none of ours where a disk was full."""

    @property
    def failures(self) -> int:
        return sum(self) - self.crashes - self.stopped_after_commit

    def plus(self, other: "StopCount") -> "StopCount":
        return StopCount(*(a + b for a, b in zip(self, other, strict=True)))


def desks(databases: Databases) -> tuple[tuple[Desk, Team], tuple[Desk, Team]]:
    """A desk with two approvals, a rejection and an open proposal; another one, halted, of quorum 2."""
    first = databases.empty()
    with chdir(first.root):
        team = Team(first.engine).begin()
        team.vote(first.propose("one", 1), "ana")
        baseline = _production(first)
        team.vote(first.propose("two", 2, baseline_model_id=baseline), "ana")
        team.vote(first.propose("three", 3, baseline_model_id=_production(first)), "ana", "REJECT")
        first.propose("four", 4, baseline_model_id=_production(first))
    second = databases.copy(first)
    later = Team(second.engine, keys=team.keys)
    with chdir(second.root):
        later.do(SwitchSignals("HALT", INSTRUMENT, WHY), "olga")
        later.do(_quorum_of_two(second), "ada")
        for experiment, seed in (("five", 5), ("six", 6)):
            second.propose(experiment, seed, baseline_model_id=_production(second))
        later.vote(5, "ben")
    return (first, team), (second, later)


def _production(desk: Desk) -> str:
    return next(name for name, stage in desk.stages().items() if stage == "production")


def _quorum_of_two(desk: Desk) -> SetPolicy:
    return SetPolicy(WHY, GatePolicies(desk.engine).current().model_copy(update={"quorum": 2}))


def lost(databases: Databases, first: Desk, team: Team) -> tuple[Desk, Team]:
    """The first desk as a backup put back: with the home of one that has decided since."""
    backup, gone = databases.copy(first), databases.copy(first)
    with chdir(gone.root):
        Team(gone.engine, keys=team.keys).do(SwitchSignals("HALT", INSTRUMENT, WHY), "olga")
    rmtree(backup.root / HOMES)
    copytree(gone.root / HOMES, backup.root / HOMES)
    databases.drop(gone)
    return backup, Team(backup.engine, keys=team.keys)


def prepared(databases: Databases) -> Iterator[Prepared]:
    """Every decision, signed where it needs to be."""
    (first, team), (second, later) = desks(databases)
    third, after_loss = lost(databases, first, team)
    added = team.person("eve", "reviewer")
    acts: list[tuple[str, Desk, Team, Act, str]] = [
        ("APPROVE", first, team, _vote(4, "APPROVE", "ben"), "ben"),
        ("APPROVE to shadow", first, team, _vote(4, "APPROVE", "ben", promote_to_production=False), "ben"),
        ("REJECT", first, team, _vote(4, "REJECT", "ben"), "ben"),
        ("REQUEST_MORE_TESTS", first, team, _vote(4, "REQUEST_MORE_TESTS", "ben"), "ben"),
        ("REOPEN", first, team, Reopen(3, "ben", WHY), "ben"),
        ("HALT", first, team, SwitchSignals("HALT", INSTRUMENT, WHY), "olga"),
        ("ROLLBACK", first, team, Rollback(INSTRUMENT, WHY), "olga"),
        ("ADD_REVIEWER", first, team, AddReviewer(WHY, added), "ada"),
        ("REVOKE_REVIEWER", first, team, RevokeReviewer(WHY, "ben"), "ada"),
        ("POLICY", first, team, _quorum_of_two(first), "ada"),
        ("RESUME", second, later, SwitchSignals("RESUME", INSTRUMENT, WHY), "ada"),
        ("APPROVE, first of two", second, later, _vote(6, "APPROVE", "ana"), "ana"),
        ("APPROVE, second of two", second, later, _vote(5, "APPROVE", "ana"), "ana"),
        ("RESTORE", third, after_loss, Restore(WHY, "b" * 64), "ada"),
    ]
    for name, desk, people, act, by in acts:
        signed = None
        if act.needs_signature:
            with chdir(desk.root):
                signed = people.sign(text_to_sign(desk.engine, act, by, now()), by)
        yield Prepared(name, desk, act, by, signed)
    for desk in (first, second, third):
        databases.drop(desk)


def _vote(proposal_id: int, decision: Any, by: str, **changes: Any) -> ProposalVote:
    return ProposalVote(proposal_id, Vote(decision, by, WHY, **changes))


def stop_every_act(databases: Databases, quick: bool) -> dict[str, StopCount]:
    """Stop each decision at each point, in a copy of its desk, and look at what is left; by decision.

    In short two decisions about proposals, one about signals and two about the house are stopped.
    """
    return {
        one.name: _stop_act(databases, one, quick)
        for one in prepared(databases)
        if not quick or one.name in _IN_SHORT
    }


def _stop_act(databases: Databases, one: Prepared, quick: bool) -> StopCount:
    before, total = what_is(one.desk), StopCount()
    with databases.copied(one.desk) as desk:
        _carry_out(desk, one)
        after = what_is(desk)
    if before == after:
        raise AssertionError(f"{one.name}: changes nothing that `what_is` sees, so nothing would be tried")
    for series in faults(databases.kind, quick):
        for fault in series:
            with databases.copied(one.desk) as desk:
                counted, was_reached = _stopped(desk, one, fault, before, after)
            total = total.plus(counted)
            if not was_reached:
                break
    return total


def faults(kind: str, quick: bool) -> Iterator[Iterator[Fault]]:
    """Every point at which a decision is stopped, in series; in short, at its commit and on a full disk."""
    if quick:
        last = Fault("statement", 0, "after", "error")
        if kind == "sqlite":
            last = _full_disk(LEAST_BYTES + 5_000)
        around = Fault("step", "append_audit_row", "after"), Fault("step", "append_checkpoint", "before")
        yield from (iter((fault,)) for fault in (*around, last))
        return
    for step, when, action in product(STEPS, ("before", "after"), ("kill", "error")):
        yield iter((Fault("step", step, when, action),))  # type: ignore[arg-type]
    yield (Fault("statement", number, "before", "error") for number in range(MOST_STATEMENTS))
    yield (Fault("statement", number, "after") for number in range(MOST_STATEMENTS))
    if kind == "sqlite":
        sizes = range(LEAST_BYTES, MOST_BYTES, BYTES_APART)
        yield (_full_disk(size) for size in sizes)
        yield (Fault("bytes", size) for size in sizes)


def _full_disk(size: int) -> Fault:
    """No file may grow beyond a size: the write that would is refused."""
    return Fault("bytes", size, action="error")


def run_act(
    url: str, folder: str, one: tuple[Act, str, Signed | None, datetime], fault: Fault, answer: Pipe
) -> None:
    """Decide in a process of its own, which the fault ends or to which it gives an error."""
    enter(folder)
    act, by, signed, at = one
    engine = make_engine(url)
    arm(engine, fault)
    try:
        carry_out(engine, act, by, at, signed, KEY)
        answer.send("done")
    except (DosVotosError, OSError):
        answer.send("refused")
    except Exception as error:
        answer.send(f"{type(error).__name__}: {error}")
    stop()


def _carry_out(desk: Desk, one: Prepared) -> bool:
    """Send the request; tells whether an earlier one was found."""
    return carry_out(desk.engine, one.act, one.by, now(), one.signed, KEY).repeated


def _stopped(desk: Desk, one: Prepared, fault: Fault, before: Any, after: Any) -> tuple[StopCount, bool]:
    """Count what is wrong after a stop and after the same request came again; tell whether it was stopped."""
    desk.engine.dispose()
    request = (one.act, one.by, one.signed, now())
    answered = answer_of(run_act, url_of(desk.engine), str(desk.root), request, fault)
    left = what_is(desk)
    half = left not in (before, after)
    try:
        doubled = _carry_out(desk, one) != (left == after)
    except DosVotosError:
        doubled = True
    half |= what_is(desk) != after
    with reading(desk.engine) as connection:
        half |= bool(verify_audit(connection, full=True))
    lost = answered == "done" and left != after
    unanswered = answered != "done" and left == after
    unclear = answered not in ("done", "refused", None)
    return StopCount(1, half, lost, doubled, unanswered, unclear), answered != "done"


def what_is(desk: Desk) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, without times and what is hashed or signed over them."""
    found = {}
    with reading(desk.engine) as connection:
        for table in metadata.sorted_tables:
            columns = [one for one in table.columns if not one.name.endswith(_DIFFERS)]
            if table is outbox:  # PostgreSQL's sequence has a gap after a transaction that was stopped
                columns.remove(outbox.c.id)
            rows = connection.execute(select(*columns)).all() if columns else []
            found[table.name] = sorted((tuple(row) for row in rows), key=repr)
    return found
