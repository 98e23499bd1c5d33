"""What a voting process does until a fault stops it: the product's approval, or a naive one as control."""

import os
import resource
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from types import ModuleType
from typing import Any, Literal, NamedTuple

from sqlalchemy import Engine, event, select, update

from dosvotos.audit.log import append_audit_row
from dosvotos.database.connection import make_engine, writing
from dosvotos.database.registry import get_proposal, production_model
from dosvotos.database.tables import instruments, model_registry, promotion_proposals
from dosvotos.errors import DosVotosError
from dosvotos.promotion import decision, transaction
from dosvotos.promotion.decision import Vote, decide
from tests.faults.databases import enter
from tests.proposal_fixtures import NOTES

APPROVE = Vote("APPROVE", "bob", NOTES)
STEPS: dict[str, ModuleType] = {
    "lock_instrument": transaction,
    "check_vote": decision,
    "_check_sealed": decision,
    "_set_stage": decision,
    "_close": decision,
    "append_audit_row": transaction,
    "append_checkpoint": transaction,
}
"""Named points of an approval, and the module that calls them; the last one lies after the commit."""


class Fault(NamedTuple):
    """Where a process is stopped, and how."""

    kind: Literal["step", "statement", "bytes", "none"]
    """At a named step, at a statement that writes, at a byte of a file, or after the answer was given."""
    at: str | int = ""
    when: Literal["before", "after"] = "before"
    action: Literal["kill", "error"] = "kill"
    """SIGKILL (at a byte SIGXFSZ, which ends it as hard), or the error of a full disk."""


def run(url: str, folder: str, proposal_id: int, fault: Fault, naive: bool, answer: Pipe) -> None:
    """Vote in a process of its own, which the fault ends; says "done" when the vote was answered."""
    enter(folder)
    engine = make_engine(url)
    arm(engine, fault)
    try:
        (naive_approve if naive else approve)(engine, proposal_id)
    except (DosVotosError, OSError) as error:
        answer.send(type(error).__name__)
    else:
        answer.send("done")
    stop()


def stop() -> None:
    """End this process as hard as a machine that loses its power."""
    os.kill(os.getpid(), signal.SIGKILL)


def approve(engine: Engine, proposal_id: int) -> None:
    decide(engine, proposal_id, APPROVE, datetime.now(UTC))


def naive_approve(engine: Engine, proposal_id: int) -> None:
    """Approve in four commits, as one would write it first: the control that must fail."""
    m, p, i, now = model_registry, promotion_proposals, instruments, datetime.now(UTC)
    with writing(engine) as connection:
        proposal = get_proposal(connection, proposal_id)
        previous = production_model(connection, proposal.instrument)
        archived = update(m).where(m.c.stage == "production")
        connection.execute(archived.values(stage="archived", archived_at=now))
    with writing(engine) as connection:
        promoted = update(m).where(m.c.model_id == proposal.model_id)
        connection.execute(promoted.values(stage="production", promoted_at=now))
        head = {"production_model_id": proposal.model_id, "epoch": i.c.epoch + 1}
        connection.execute(update(i).where(i.c.instrument == proposal.instrument).values(head))
    with writing(engine) as connection:
        voted = {"status": "APPROVED", "reviewer": "bob", "reviewer_notes": NOTES, "approved_at": now}
        connection.execute(update(p).where(p.c.id == proposal_id).values(voted))
    with writing(engine) as connection:
        epoch = select(i.c.epoch).where(i.c.instrument == proposal.instrument)
        entry = {
            "action": "APPROVE", "model_id": proposal.model_id, "proposal_id": proposal_id,
            "reviewer": "bob", "notes": NOTES, "new_stage": "production", "self_approved": False,
            "previous_production_model": previous.model_id if previous else None,
            "epoch": connection.execute(epoch).scalar_one(),
        }  # fmt: skip
        append_audit_row(connection, entry, now)


def arm(engine: Engine, fault: Fault) -> None:
    """Set the fault that will stop this process."""
    if fault.kind == "step":
        _at_step(str(fault.at), fault)
    elif fault.kind == "statement":
        _at_statement(engine, int(fault.at), fault)
    elif fault.kind == "bytes":
        if fault.action == "error":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        else:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(fault.at), resource.RLIM_INFINITY))


def _strike(fault: Fault) -> None:
    if fault.action == "error":
        raise OSError(28, "No space left on device")
    os.kill(os.getpid(), signal.SIGKILL)


def _at_step(name: str, fault: Fault) -> None:
    original: Callable[..., Any] = getattr(STEPS[name], name)

    def stopping(*arguments: Any) -> Any:
        if fault.when == "before":
            _strike(fault)
        result = original(*arguments)
        if fault.when == "after":
            _strike(fault)
        return result

    setattr(STEPS[name], name, stopping)


def _at_statement(engine: Engine, wanted: int, fault: Fault) -> None:
    """Strike at the n-th statement that writes, every COMMIT counted as one."""
    seen = iter(range(10**6))

    def before(*_: Any) -> None:
        if fault.when == "before" and next(seen) == wanted:
            _strike(fault)

    def after(*_: Any) -> None:
        if fault.when == "after" and next(seen) == wanted:
            _strike(fault)

    def writes(statement: str) -> bool:
        return statement.split(None, 1)[0] in ("INSERT", "UPDATE", "DELETE")

    event.listen(engine, "before_cursor_execute", lambda *a: before() if writes(a[2]) else None)
    event.listen(engine, "after_cursor_execute", lambda *a: after() if writes(a[2]) else None)
    dialect: Any = engine.dialect
    commit = dialect.do_commit

    def do_commit(connection: Any) -> None:
        before()
        commit(connection)
        after()

    dialect.do_commit = do_commit
