"""What `audit verify` finds: one forgery after the other, with database rights and triggers taken away."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, String, delete, insert, text, update

from dosvotos.audit.checkpoints import log_state
from dosvotos.audit.log import _content, append_audit_row, read_audit_log
from dosvotos.commands.main import cli
from dosvotos.database.append_only import APPEND_ONLY, renew_guards
from dosvotos.database.connection import open_database, reading
from dosvotos.database.tables import (
    approval_audit_log,
    instruments,
    ledger_genesis,
    model_registry,
    oos_trials,
    promotion_proposals,
)
from dosvotos.errors import LineageError
from dosvotos.hashing import chain_digest
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import Vote, decide
from tests.proposal_fixtures import INSTRUMENT, NOTES, Desk

LOG, PROPOSALS, MODELS = approval_audit_log.c, promotion_proposals.c, model_registry.c


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return voted_on(Desk(engine, tmp_path))


def voted_on(desk: Desk) -> Desk:
    """Proposals 1 (expired at later votes), 2 (in production), 3 (rejected), 4 (superseded by 5, open)."""
    engine, now = desk.engine, datetime.now(UTC)
    desk.propose("old", 3, created_at=now - timedelta(days=31))
    first, second = desk.propose("one", 1), desk.propose("two", 2)
    desk.propose("again", 4)
    desk.propose("again", 5)
    decide(engine, second, Vote("REQUEST_MORE_TESTS", "bob", ""), now)
    decide(engine, first, Vote("APPROVE", "bob", NOTES), now)
    decide(engine, second, Vote("REJECT", "bob", NOTES), now)
    return desk


def change(table: Any, where: Any = True, **values: Any) -> Callable[[Connection], None]:
    return lambda connection: connection.execute(update(table).where(where).values(**values))


def remove(table: Any, where: Any) -> Callable[[Connection], None]:
    return lambda connection: connection.execute(delete(table).where(where))


def chain_again(connection: Connection) -> None:
    """Hash every row anew, as someone who knows the code would."""
    previous = None
    for row in read_audit_log(connection):
        digest = chain_digest(previous, row.id, _content(row._mapping, row.created_at))
        hashes = {"previous_hash": previous, "row_hash": digest}
        connection.execute(update(approval_audit_log).where(LOG.id == row.id).values(hashes))
        previous = digest


def edit_and_chain_again(connection: Connection) -> None:
    change(approval_audit_log, LOG.id == 3, notes="I never said this about it.")(connection)
    chain_again(connection)


def date_back(connection: Connection) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    change(approval_audit_log, LOG.id == 3, created_at=long_ago)(connection)
    chain_again(connection)


def drop_approval_and_chain_again(connection: Connection) -> None:
    remove(approval_audit_log, LOG.id == 2)(connection)
    change(approval_audit_log, LOG.id == 3, id=2)(connection)
    chain_again(connection)


def reorder(connection: Connection) -> None:
    for old, new in ((1, 9), (2, 1), (9, 2)):
        change(approval_audit_log, LOG.id == old, id=new)(connection)


def reorder_and_chain_again(connection: Connection) -> None:
    for old, new in ((2, 9), (3, 2), (9, 3)):
        change(approval_audit_log, LOG.id == old, id=new)(connection)
    chain_again(connection)


def promote_without_a_vote(connection: Connection) -> None:
    other = MODELS.experiment_name == "two"
    change(model_registry, MODELS.stage == "production", stage="archived")(connection)
    change(model_registry, other, stage="production")(connection)
    model_id = connection.execute(
        text("SELECT model_id FROM model_registry WHERE stage='production'")
    ).scalar()
    change(instruments, production_model_id=model_id, epoch=2)(connection)


def vote_on_nothing(connection: Connection) -> None:
    entry = {
        "action": "APPROVE", "model_id": "ghost_1", "proposal_id": None, "reviewer": "bob", "notes": NOTES,
        "previous_production_model": None, "new_stage": "production", "self_approved": False, "epoch": 2,
    }  # fmt: skip
    append_audit_row(connection, entry, datetime.now(UTC))


def new_genesis(connection: Connection) -> None:
    remove(ledger_genesis, True)(connection)
    born = datetime(2020, 1, 1, tzinfo=UTC)
    connection.execute(insert(ledger_genesis).values(id="0" * 36, created_at=born))


def hide_looks(connection: Connection) -> None:
    """Delete the looks at models that were never proposed under their own name again."""
    remove(oos_trials, oos_trials.c.experiment_name == "two")(connection)


def status_of(proposal_id: int, status: str) -> Callable[[Connection], None]:
    return change(promotion_proposals, PROPOSALS.id == proposal_id, status=status)


def of_one(**values: Any) -> Callable[[Connection], None]:
    return change(promotion_proposals, PROPOSALS.experiment_name == "one", **values)


ATTACKS: dict[str, tuple[Callable[[Connection], None], str]] = {
    "row edited": (change(approval_audit_log, LOG.id == 2, reviewer="eve"), "row 2: its content was changed"),
    "row deleted": (remove(approval_audit_log, LOG.id == 2), "row 2 is missing"),
    "rows reordered": (reorder, "row 1: "),
    "last row cut off": (remove(approval_audit_log, LOG.id == 3), "proposal 3: is REJECTED, the log"),
    "all rows cut off": (remove(approval_audit_log, LOG.id > 0), "the log leads to 0 and None"),
    "edited and chained again": (edit_and_chain_again, "reviewer_notes is"),
    "approval dropped and chained again": (drop_approval_and_chain_again, "the log leads to 0 and None"),
    "dated back and chained again": (date_back, "a clock was set back"),
    "reordered and chained again": (reorder_and_chain_again, "previous_production_model is"),
    "epoch of the head row": (change(instruments, epoch=7), "head row has epoch 7"),
    "model of the head row": (change(instruments, production_model_id=None), "model None"),
    "stage": (change(model_registry, MODELS.stage == "staging", stage="shadow"), "stage is shadow"),
    "production set back": (
        change(model_registry, MODELS.stage == "production", stage="staging"),
        "stage is",
    ),
    "time of the promotion": (change(model_registry, promoted_at=datetime.now(UTC)), "promoted_at is"),
    "production without a vote": (promote_without_a_vote, "stage is production, the log leads to"),
    "vote on nothing": (vote_on_nothing, "on proposal None, which does not exist"),
    "rejected, now open": (
        status_of(3, "PENDING_APPROVAL"),
        "is PENDING_APPROVAL, the log leads to REJECTED",
    ),
    "rejected, now approved": (status_of(3, "APPROVED"), "is APPROVED, the log leads to REJECTED"),
    "expired, now open": (status_of(1, "PENDING_APPROVAL"), "is PENDING_APPROVAL, the log leads to EXPIRED"),
    "superseded, now open": (status_of(4, "PENDING_APPROVAL"), "the log leads to SUPERSEDED or EXPIRED"),
    "open, now approved": (status_of(5, "APPROVED"), "the log leads to PENDING_APPROVAL or EXPIRED"),
    "open, now rejected": (status_of(5, "REJECTED"), "the log leads to PENDING_APPROVAL or EXPIRED"),
    "reviewer": (of_one(reviewer="eve"), "reviewer is 'eve', the log leads to 'bob'"),
    "notes": (of_one(reviewer_notes="x"), "reviewer_notes is 'x'"),
    "approval time": (of_one(approved_at=datetime(2026, 1, 1, tzinfo=UTC)), "approved_at is"),
    "genesis edited": (
        change(ledger_genesis, created_at=datetime(2020, 1, 1, tzinfo=UTC)),
        "proposal 5: names ledger",
    ),
    "genesis replaced": (new_genesis, "proposal 5: names ledger"),
    "genesis deleted": (remove(ledger_genesis, True), "one row expected, found 0"),
    "looks deleted": (hide_looks, "the ledger has no look of its model"),
}


def test_a_log_of_every_kind_of_vote_is_whole(desk: Desk):
    assert [desk.proposal(n).status for n in range(1, 6)] == [
        "EXPIRED", "APPROVED", "REJECTED", "SUPERSEDED", "PENDING_APPROVAL"
    ]  # fmt: skip
    with reading(desk.engine) as connection:
        assert verify_audit(connection) == []


def test_every_forgery_is_found_and_named(desk: Desk):
    for name, (attack, found) in ATTACKS.items():
        problems = problems_after(desk, attack)
        assert any(found in problem for problem in problems), (name, problems)
    with reading(desk.engine) as connection:
        assert verify_audit(connection) == []


def problems_after(desk: Desk, attack: Callable[[Connection], None]) -> list[str]:
    """What `audit verify` says of an attack that is then undone."""
    with desk.engine.connect() as connection:
        transaction = connection.begin()
        without_guards(connection)
        attack(connection)
        renew_guards(connection)
        problems = verify_audit(connection)
        transaction.rollback()
    return problems


def without_guards(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        for table in APPEND_ONLY:
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        return
    connection.execute(text("PRAGMA defer_foreign_keys=ON"))
    names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
    for name in names:
        connection.execute(text(f"DROP TRIGGER {name}"))


def test_a_value_of_any_kind_in_the_log_is_named_and_no_traceback(tmp_path, monkeypatch):
    """SQLite's file takes any value in any column, and constraints can be taken away."""
    monkeypatch.chdir(tmp_path)
    desk = voted_on(Desk(open_database(f"sqlite:///{tmp_path}/votes.db"), tmp_path))
    columns = {c.name: b"\xff" if isinstance(c.type, String) else "x" for c in approval_audit_log.columns}
    del columns["id"]  # for which SQLite itself asks a number
    unnamed = []
    with desk.engine.connect() as connection:
        without_guards(connection)
        connection.exec_driver_sql("PRAGMA ignore_check_constraints=ON")
        for name, value in (*columns.items(), ("action", "approve"), ("signature", None)):
            before = connection.begin_nested()
            connection.exec_driver_sql(f"UPDATE approval_audit_log SET {name}=? WHERE id=3", (value,))
            try:
                if all(problem.startswith("trigger ") for problem in verify_audit(connection, full=True)):
                    unnamed.append((name, value))
            except LineageError as error:
                assert re.search("it was altered|no time", str(error)), name
            before.rollback()
        assert all(problem.startswith("trigger ") for problem in verify_audit(connection, full=True))
        connection.rollback()
    assert unnamed == []
    for column, value in (("epoch", "x"), ("instrument", b"\xff")):
        with desk.engine.connect() as connection:
            connection.exec_driver_sql(f"UPDATE instruments SET {column}=? WHERE epoch > 0", (value,))
            with pytest.raises(LineageError, match="instruments: "):
                log_state(connection)
            connection.rollback()


def test_triggers_that_stay_away_are_found(desk: Desk):
    with desk.engine.connect() as connection:
        without_guards(connection)
        assert "trigger approval_audit_log_no_update: missing or changed" in verify_audit(connection)
        connection.rollback()


def test_what_the_command_says_is_what_it_proves(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOSVOTOS_DATABASE_URL", raising=False)
    desk = Desk(open_database("sqlite:///data/dosvotos.db"), tmp_path)
    decide(desk.engine, desk.propose(), Vote("APPROVE", "bob", NOTES), datetime.now(UTC))
    said = CliRunner().invoke(cli, ["audit", "verify"])
    assert said.exit_code == 0 and said.output.startswith("audit log is whole: 1 row(s).")
    assert "It does not prove:" in said.output and "an older copy of database and home" in said.output
    assert "every decision is signed" not in said.output
    assert "every decision is signed" in CliRunner().invoke(cli, ["audit", "verify", "--full"]).output
    with desk.engine.begin() as connection:
        connection.execute(update(instruments).where(instruments.c.instrument == INSTRUMENT).values(epoch=9))
    said = CliRunner().invoke(cli, ["audit", "verify"])
    assert said.exit_code == 1 and "head row has epoch 9" in said.output
