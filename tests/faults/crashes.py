"""Approvals stopped in mid-work by SIGKILL or a full disk: all or nothing, and a retry completes once."""

from collections.abc import Iterable, Iterator
from contextlib import chdir
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from sqlalchemy import func, select

from dosvotos.database.connection import reading
from dosvotos.database.tables import HOUSE, approval_audit_log, instruments, model_registry
from dosvotos.errors import DecisionConflictError
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import decide
from tests.faults.databases import Databases, answer_of, url_of
from tests.faults.voting import APPROVE, STEPS, Fault, run
from tests.proposal_fixtures import Desk

N_STATEMENTS = 12
"""An approval has eleven that write, its commits included, and the naive one nine."""


class CrashCount(NamedTuple):
    """What crashes left behind."""

    crashes: int = 0
    states_without_one_production: int = 0
    decisions_lost: int = 0
    double_promotions: int = 0
    states_half_done: int = 0
    """Rows that contradict each other, by `audit verify`."""

    @property
    def failures(self) -> int:
        return sum(self[1:])

    def plus(self, other: "CrashCount") -> "CrashCount":
        return CrashCount(*(a + b for a, b in zip(self, other, strict=True)))


class Waiting(NamedTuple):
    """A model in production, and the proposal of another one beside it."""

    desk: Desk
    proposal_id: int


def waiting(databases: Databases) -> Waiting:
    desk, now = databases.empty(), datetime.now(UTC)
    first = desk.propose("one", 1)
    baseline = decide_in(desk, first, now)
    return Waiting(desk, desk.propose("two", 2, baseline_model_id=baseline))


def decide_in(desk: Desk, proposal_id: int, now: datetime) -> str:
    """Approve in the desk's folder."""
    with chdir(desk.root):
        return decide(desk.engine, proposal_id, APPROVE, now).model_id


def faults(kind: str, quick: bool, naive: bool = False) -> Iterator[Fault]:
    """Every point at which an approval is stopped."""
    sides: tuple[Literal["before", "after"], ...] = ("after",) if quick else ("before", "after")
    actions: tuple[Literal["kill", "error"], ...] = ("kill",) if quick else ("kill", "error")
    if not naive:
        yield from (
            Fault("step", s, w, a) for s in list(STEPS)[:: 3 if quick else 1] for w in sides for a in actions
        )
    for number in range(0, N_STATEMENTS, 2 if quick else 1):
        yield from (Fault("statement", number, when) for when in sides)
    if kind == "sqlite" and not naive:
        yield from (Fault("bytes", n, action=a) for n in _offsets(quick) for a in ("kill", "error"))
    yield Fault("none")


def _offsets(quick: bool) -> Iterable[int]:
    """Sizes to which files may grow: the log's shared memory needs 32,768, its pages up to 62,000."""
    return range(32_800, 62_000, 6_100) if quick else range(32_800, 62_000, 399)


def crash(databases: Databases, scene: Waiting, points: Iterable[Fault], naive: bool = False) -> CrashCount:
    """Stop an approval at each point, in a copy of the scene, and look at what is left."""
    total = CrashCount()
    for fault in points:
        with databases.copied(scene.desk) as desk:
            reply = stopped_vote(desk, scene.proposal_id, fault, naive)
            total = total.plus(left_behind(desk, scene.proposal_id, reply, naive))
    return total


def stopped_vote(desk: Desk, proposal_id: int, fault: Fault, naive: bool) -> str | None:
    """Run a vote until the fault ends it; gives what it had answered by then."""
    desk.engine.dispose()
    return answer_of(run, url_of(desk.engine), str(desk.root), proposal_id, fault, naive)


def left_behind(desk: Desk, proposal_id: int, reply: str | None, naive: bool) -> CrashCount:
    """Count what is wrong after a crash and after the vote that is tried again."""
    model_id = desk.proposal(proposal_id).model_id
    alone, done = one_production(desk), desk.stages()[model_id] == "production"
    with reading(desk.engine) as connection:
        half = bool(verify_audit(connection))
    if not naive:
        try:
            decide(desk.engine, proposal_id, APPROVE, datetime.now(UTC))
            half |= done
        except DecisionConflictError:
            half |= not done
        alone &= one_production(desk)
    lost = reply == "done" and not done
    return CrashCount(1, not alone, lost, promotions(desk, model_id) > 1, half)


def one_production(desk: Desk) -> bool:
    """Tell whether there is one production model, and the head row names it."""
    m = model_registry
    with reading(desk.engine) as connection:
        found = list(connection.execute(select(m.c.model_id).where(m.c.stage == "production")).scalars())
        head = select(instruments.c.production_model_id).where(instruments.c.instrument != HOUSE)
        named = list(connection.execute(head).scalars())
    return len(found) == 1 and found == named


def promotions(desk: Desk, model_id: str) -> int:
    """How often the log says that a model was promoted."""
    t = approval_audit_log
    query = select(func.count()).select_from(t).where(t.c.model_id == model_id, t.c.action == "APPROVE")
    with reading(desk.engine) as connection:
        return int(connection.execute(query).scalar_one())


def crash_everywhere(databases: Databases, quick: bool) -> tuple[CrashCount, CrashCount]:
    """Stop approvals at every point; gives the product's and the naive control's count."""
    scene = waiting(databases)
    own = crash(databases, scene, faults(databases.kind, quick))
    control = crash(databases, scene, faults(databases.kind, quick, naive=True), naive=True)
    databases.drop(scene.desk)
    return own, control
