"""A RESTORE stopped in mid-work: the loss stands as it was, or all of the act is there; a retry ends it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from shutil import copytree, rmtree
from typing import NamedTuple

from dosvotos.database.connection import make_engine, reading
from dosvotos.errors import DecisionConflictError
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.restoring import Restore
from dosvotos.promotion.transaction import carry_out
from tests.faults.crashes import decide_in
from tests.faults.databases import HOMES, Databases, answer_of, enter, url_of
from tests.faults.voting import Fault, arm, stop
from tests.proposal_fixtures import Desk
from tests.team import WHY

STEPS = ("lock_instrument", "append_audit_row", "append_checkpoint")
N_STATEMENTS = 14
ACT = Restore(WHY, "b" * 64)


class RestoreCount(NamedTuple):
    """What stopped restores left behind."""

    crashes: int = 0
    states_half_done: int = 0
    """Restored in part, refused for good, or answered otherwise than it was."""

    def plus(self, other: "RestoreCount") -> "RestoreCount":
        return RestoreCount(*(a + b for a, b in zip(self, other, strict=True)))


def lost(databases: Databases) -> Desk:
    """A desk with yesterday's database and today's home: one approval is gone."""
    desk = databases.empty()
    baseline = decide_in(desk, desk.propose("one", 1), datetime.now(UTC))
    second = desk.propose("two", 2, baseline_model_id=baseline)
    backup = databases.copy(desk)
    decide_in(desk, second, datetime.now(UTC))
    rmtree(backup.root / HOMES)
    copytree(desk.root / HOMES, backup.root / HOMES)
    databases.drop(desk)
    return backup


def faults(quick: bool) -> Iterator[Fault]:
    """Every point at which a restore is stopped."""
    for step in STEPS:
        for when in ("after",) if quick else ("before", "after"):
            yield Fault("step", step, when)  # type: ignore[arg-type]
    for number in range(0, N_STATEMENTS, 3 if quick else 1):
        yield Fault("statement", number, "after")
    yield Fault("none")


def run_restore(url: str, folder: str, fault: Fault, answer: Pipe) -> None:
    """Restore in a process of its own, which the fault ends."""
    enter(folder)
    engine = make_engine(url)
    arm(engine, fault)
    carry_out(engine, ACT, "bob", datetime.now(UTC))
    answer.send("done")
    stop()


def stop_everywhere(databases: Databases, quick: bool) -> RestoreCount:
    """Stop a restore at each point, in a copy of the loss, and look at what is left."""
    total, scene = RestoreCount(), lost(databases)
    for fault in faults(quick):
        with databases.copied(scene) as desk:
            total = total.plus(_stopped(desk, fault))
    databases.drop(scene)
    return total


def _stopped(desk: Desk, fault: Fault) -> RestoreCount:
    desk.engine.dispose()
    answered = answer_of(run_restore, url_of(desk.engine), str(desk.root), fault)
    before = _what_is(desk)
    try:
        carry_out(desk.engine, ACT, "bob", datetime.now(UTC))
        done_before = False
    except DecisionConflictError:
        done_before = True
    half = before not in ("lost", "restored") or done_before != (before == "restored")
    half |= (answered == "done" and before != "restored") or _what_is(desk) != "restored"
    return RestoreCount(1, int(half))


def _what_is(desk: Desk) -> str:
    """Tell the loss from what a restore makes of it, by everything that follows from either."""
    restores = [row for row in desk.votes() if row.action == "RESTORE"]
    stages = sorted(desk.stages().values())
    with reading(desk.engine) as connection:
        problems = verify_audit(connection)
    if not restores and stages == ["production", "staging"] and desk.epoch() == 1:
        return "lost" if any("shortened" in problem for problem in problems) else "unclear"
    whole = len(restores) == 1 and stages == ["staging", "staging"] and desk.epoch() == 3
    return "restored" if whole and not problems else f"half: {stages}, {problems}"
