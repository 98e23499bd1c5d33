"""`audit verify --against`: a log truncated, rewritten, in two views or rolled back, whoever has its keys."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, delete, update

from dosvotos.audit.checkpoints import check_checkpoints, log_state, open_home
from dosvotos.audit.copies import compare_copy, csv_of_log, read_copy
from dosvotos.audit.log import read_audit_log
from dosvotos.commands.main import cli
from dosvotos.database.append_only import renew_guards
from dosvotos.database.connection import URL_VARIABLE, open_database, reading
from dosvotos.database.tables import approval_audit_log
from dosvotos.errors import FileError, HomeError, LineageError
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import Vote, decide
from dosvotos.promotion.live_acts import SwitchSignals
from dosvotos.promotion.restoring import Restore
from dosvotos.signing.checkpoint import sign_checkpoint, split_notes
from dosvotos.signing.home import CHECKPOINTS, HOME_VARIABLE
from tests.promotion.test_audit_check import chain_again, without_guards
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY, Team, now

LOG = approval_audit_log.c


class Kept(NamedTuple):
    """What a stranger keeps of a log: its checkpoints, the whole log, one signal's checkpoint."""

    checkpoints: str
    log: str
    signal: str


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    desk = Desk(engine, tmp_path)
    decide_much(desk)
    return desk


def decide_much(desk: Desk) -> Team:
    """Seven rows: four people, a vote, a halt, a resume."""
    team = Team(desk.engine).begin()
    team.vote(desk.propose("one", 1), "ana")
    team.do(SwitchSignals("HALT", INSTRUMENT, WHY), "olga")
    team.do(SwitchSignals("RESUME", INSTRUMENT, WHY), "ada")
    return team


def keep(desk: Desk) -> Kept:
    with reading(desk.engine) as connection:
        home, rows = open_home(connection), read_audit_log(connection)
        last = home.last_checkpoint()
    assert last is not None
    return Kept((home.folder / CHECKPOINTS).read_text(), csv_of_log(rows), last.note)


def ask_once_more(desk: Desk) -> None:
    """Append a row, and write its checkpoint."""
    decide(desk.engine, desk.propose("two", 2), Vote("REQUEST_MORE_TESTS", "ana", WHY), now())


def truncate(connection: Connection) -> None:
    connection.execute(delete(approval_audit_log).where(LOG.id > 5))


def rewrite(connection: Connection) -> None:
    changed = update(approval_audit_log).where(LOG.id == 6)
    connection.execute(changed.values(notes="it was for quite another reason"))
    chain_again(connection)


ATTACKS: dict[str, tuple[Callable[[Connection], None], bool, str]] = {
    "truncated": (truncate, False, "shortened or rolled back"),
    "rolled back with its home": (truncate, True, "shortened or rolled back"),
    "rewritten": (rewrite, False, "another in the log|notes is"),
    "rewritten, and signed again with the stolen server key": (rewrite, True, "another in the log|notes is"),
}
"""What is done, whether the home is made to fit, and the problem that is named."""


def found_after(
    desk: Desk, kept: Kept, attack: Callable[[Connection], None], home_too: bool
) -> dict[str, list[str]]:
    """The problems that each copy names after an attack, which is then undone."""
    with reading(desk.engine) as connection:
        home = open_home(connection)
    file = home.folder / CHECKPOINTS
    before = file.read_bytes()
    with desk.engine.connect() as connection:
        transaction = connection.begin()
        without_guards(connection)
        attack(connection)
        renew_guards(connection)
        if home_too:
            file.write_bytes(b"")
            home.append_checkpoint(sign_checkpoint(log_state(connection), now(), home.server()))
            assert not any("checkpoint" in problem for problem in verify_audit(connection))
        problems = {name: compare_copy(connection, copy) for name, copy in kept._asdict().items()}
        transaction.rollback()
    file.write_bytes(before)
    return problems


def test_every_kind_of_copy_finds_every_attack(desk):
    kept = keep(desk)
    for name, (attack, home_too, expected) in ATTACKS.items():
        for copy, problems in found_after(desk, kept, attack, home_too).items():
            assert any(re.search(expected, one) for one in problems), (name, copy, problems)
    with reading(desk.engine) as connection:
        assert all(compare_copy(connection, copy) == [] for copy in kept)


def test_an_older_copy_is_held_by_a_longer_log(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    desk = Desk(engine, tmp_path)
    team = decide_much(desk)
    kept = keep(desk)
    team.do(SwitchSignals("HALT", INSTRUMENT, WHY), "olga", at=now() + timedelta(seconds=2))
    with reading(desk.engine) as connection:
        assert log_state(connection).rows == 8
        assert [compare_copy(connection, copy) for copy in kept] == [[], [], []]


def test_two_views_signed_by_the_server_are_told_apart(desk):
    """The server shows a stranger another last row than the desk: both checkpoints carry its signature."""
    with reading(desk.engine) as connection:
        home, state = open_home(connection), log_state(connection)
    other = sign_checkpoint(replace(state, head="0" * 64), now(), home.server())
    with reading(desk.engine) as connection:
        problems = compare_copy(connection, other.note)
    assert any("the server has signed two views of a log of 7 rows" in one for one in problems)


def test_a_copy_that_the_server_did_not_sign_is_named(desk):
    kept = keep(desk)
    moved = kept.signal.replace("rows: 7", "rows: 6")
    with reading(desk.engine) as connection:
        assert any("signature" in one for one in compare_copy(connection, moved))


@pytest.mark.parametrize(
    "content", ["", "id;action\n", "dosvotos log v1\norigin: a\n", "id,action\n1,HALT\n"]
)
def test_what_is_no_copy_proves_nothing(desk, content):
    with reading(desk.engine) as connection, pytest.raises(LineageError, match="copy: "):
        compare_copy(connection, content)


def test_every_cell_of_a_copied_log_counts(desk):
    """One cell after the other is another one: each is named with its row and column."""
    header, *rows = csv.reader(io.StringIO(keep(desk).log))
    missed = []
    with reading(desk.engine) as connection:
        for number, cells in enumerate(rows, start=1):
            for column, name in enumerate(header):
                changed = [*cells[:column], cells[column] + "x", *cells[column + 1 :]]
                written = io.StringIO()
                csv.writer(written).writerows([header, *rows[: number - 1], changed, *rows[number:]])
                problems = compare_copy(connection, written.getvalue())
                if not (len(problems) == 1 and problems[0].startswith(f"row {number}: {name} is ")):
                    missed.append((number, name, problems))
    assert missed == []


def test_a_signed_restore_explains_the_copies_of_what_was_lost(tmp_path, monkeypatch):
    from tests.faults.databases import HOMES, Databases

    monkeypatch.setenv(HOME_VARIABLE, HOMES)
    databases = Databases(tmp_path)
    desk = databases.empty()
    monkeypatch.chdir(desk.root)
    team = decide_much(desk)
    backup = databases.copy(desk)
    team.clock = lambda: now() + timedelta(seconds=2)
    team.do(SwitchSignals("HALT", INSTRUMENT, WHY), "olga")
    kept = keep(desk)
    team.engine = backup.engine
    with reading(backup.engine) as connection:
        assert all(compare_copy(connection, copy) for copy in kept)
    team.clock = lambda: now() + timedelta(seconds=4)
    team.do(Restore(WHY, "b" * 64), "ada")
    with reading(backup.engine) as connection:
        assert [compare_copy(connection, copy) for copy in kept] == [[], [], []]
        assert verify_audit(connection, full=True) == []
        home, state = open_home(connection), log_state(connection)
    other = sign_checkpoint(replace(state, rows=8, head="0" * 64), now(), home.server())
    notes, _ = split_notes((home.folder / CHECKPOINTS).read_text())
    (home.folder / CHECKPOINTS).write_text("".join([*notes[:-2], other.note, *notes[-2:]]))
    with reading(backup.engine) as connection:  # the RESTORE was not signed over this one, whoever signed it
        assert compare_copy(connection, other.note) and verify_audit(connection)


def test_the_command_compares_with_a_file(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    desk = Desk(open_database("sqlite:///data/dosvotos.db"), tmp_path)
    decide_much(desk)
    listed = CliRunner().invoke(cli, ["audit", "list", "--csv"])
    (tmp_path / "copy.csv").write_text(listed.output)
    result = CliRunner().invoke(cli, ["audit", "verify", "--against", "copy.csv"])
    assert result.exit_code == 0 and "of the copy it was compared with" in result.output
    (tmp_path / "copy.csv").write_text(listed.output.replace(",olga,", ",omar,"))
    result = CliRunner().invoke(cli, ["audit", "verify", "--against", "copy.csv"])
    assert result.exit_code == 1
    assert "row 6: reviewer is 'olga' in the log and 'omar' in the copy" in result.output


def test_an_older_checkpoint_put_last_lets_no_shorter_log_pass(desk):
    """The last one alone, of five rows, would be held: it is the others that tell."""
    with reading(desk.engine) as connection:
        home = open_home(connection)
    file = home.folder / CHECKPOINTS
    notes, _ = split_notes(file.read_text())
    older = next(note for note in notes if "\nrows: 5\n" in note)
    file.write_text("".join(notes) + older)
    with desk.engine.connect() as connection:
        assert check_checkpoints(connection, home).state.rows == 5
        without_guards(connection)
        truncate(connection)
        with pytest.raises(LineageError, match="6 rows"):
            check_checkpoints(connection, home)
        connection.rollback()


@pytest.mark.parametrize("left", [None, ""])
def test_a_home_that_lost_its_checkpoints_decides_nothing(desk, left):
    with reading(desk.engine) as connection:
        file = open_home(connection).folder / CHECKPOINTS
    file.unlink() if left is None else file.write_text(left)
    with reading(desk.engine) as connection:
        with pytest.raises(HomeError, match="has no checkpoint, though decisions were signed"):
            check_checkpoints(connection, open_home(connection))
        assert any("has no checkpoint" in problem for problem in verify_audit(connection))


def test_a_copy_larger_than_any_log_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "audit.csv"
    with path.open("wb") as file:
        file.truncate(3 << 30)  # of no block on the disk
    with pytest.raises(FileError, match=r"audit\.csv: larger than .* bytes; name the right file"):
        read_copy(path)


def test_a_view_that_began_before_a_decision_is_not_called_rolled_back(desk):
    """The decision's checkpoint is in the home before the older view is compared with it."""
    with reading(desk.engine) as connection:
        home, before = open_home(connection), log_state(connection)
        ask_once_more(desk)
        assert home.last_checkpoint().state.rows == before.rows + 1
        assert check_checkpoints(connection, home).state == before
        assert verify_audit(connection, full=True) == []


def test_an_older_view_hides_no_row_that_is_gone(desk):
    with reading(desk.engine) as connection:
        home = open_home(connection)
        log_state(connection)
        ask_once_more(desk)
        with desk.engine.begin() as other:
            without_guards(other)
            truncate(other)
        with pytest.raises(LineageError, match="the last 3 are gone"):
            check_checkpoints(connection, home)
        assert any("shortened" in problem for problem in verify_audit(connection))
