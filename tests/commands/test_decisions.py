"""The commands that decide, as people type them: keys in files, names in DOSVOTOS_USER."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dosvotos.audit.tokens import holder_of
from dosvotos.commands.main import cli
from dosvotos.database.connection import open_database
from dosvotos.database.registry import VALID_FOR
from dosvotos.errors import CredentialError
from dosvotos.promotion.live_acts import HALT_FILE
from dosvotos.signing.signers import new_signer
from tests.proposal_fixtures import Desk
from tests.team import WHY


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Desk:
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOSVOTOS_DATABASE_URL", raising=False)
    return Desk(open_database("sqlite:///data/dosvotos.db"), tmp_path)


@pytest.fixture
def keys(tmp_path_factory) -> Path:
    """Private and public key files of ada and ana."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ada", "ana"):
        signer = new_signer()
        (folder / name).write_bytes(signer.private_bytes)
        (folder / f"{name}.pub").write_text(f"{signer.public_key.line} {name}\n")
    return folder


def run(*words: object, user: str = "ada") -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], env={"DOSVOTOS_USER": user})


def test_what_waits_is_listed_first_and_what_is_over_when_asked_for(desk):
    assert "nothing waits for a vote; 'kedro run' makes a proposal" in run("proposals").output
    old = desk.propose("old", 1)
    run("vote", old, "reject", "--reason", WHY)
    nothing = run("proposals").output
    assert "old" not in nothing and "(1 decided or over: 'dosvotos proposals --all')" in nothing
    waiting = desk.propose("waits", 2)
    until = desk.proposal(waiting).created_at + VALID_FOR
    lines = [line.split() for line in run("proposals", "--all").output.splitlines()]
    assert [line[:2] for line in lines[1:3]] == [[str(waiting), "waits"], [str(old), "old"]]
    assert f"{until:%Y-%m-%d}" in lines[1] and "REJECTED" in lines[2] and "vote" in lines[3]


def test_a_short_reason_and_a_policy_are_told_in_the_words_of_the_terminal(desk):
    refused = run("vote", desk.propose("one", 1), "reject", "--reason", "no")
    assert "reason: REJECT needs at least 20 characters, had 2" in str(refused.exception)
    shown = run("policy", "show").output
    assert "False" not in shown and "refit_to_shadow" in shown


def test_a_desk_begins_and_votes_on_the_terminal(desk, keys):
    add = ("reviewer", "add")
    first = run(*add, "ada", "--first", "--key", keys / "ada.pub", "--role", "admin")
    assert first.exit_code == 0 and "ada is admin" in first.output, first.output
    second = run(*add, "ana", "--key", keys / "ana.pub", "--role", "reviewer", "--sign-key", keys / "ada")
    assert second.exit_code == 0, second.exception
    listed = run("reviewer", "list").output
    assert "ana" in listed and "reviewer" in listed
    proposal_id = desk.propose("one", 1)
    refused = run("vote", proposal_id, "reject", "--reason", WHY, "--sign-key", keys / "ada")
    assert "ada is admin; REJECT is for reviewer" in str(refused.exception)
    wrong = run("vote", proposal_id, "reject", "--reason", WHY, "--sign-key", keys / "ada", user="ana")
    assert "which is not the key of ana" in str(wrong.exception)
    done = run("vote", proposal_id, "reject", "--reason", WHY, "--sign-key", keys / "ana", user="ana")
    assert f"proposal {proposal_id}: REJECTED" in done.output
    assert "own key" in run("audit", "list").output
    assert run("audit", "list", "--csv").output.count("BEGIN SSH SIGNATURE") >= 6
    assert run("audit", "verify", "--full").exit_code == 0


def test_a_token_is_shown_once_listed_without_its_secret_and_revoked(desk, keys):
    run("reviewer", "add", "ada", "--first", "--key", keys / "ada.pub", "--role", "admin")
    run("reviewer", "add", "ana", "--key", keys / "ana.pub", "--role", "reviewer", "--sign-key", keys / "ada")
    made = run("reviewer", "token", "ana", "--role", "operator", "--days", "7", user="ana")
    token, engine, now = made.stdout.strip(), open_database("sqlite:///data/dosvotos.db"), datetime.now(UTC)
    assert holder_of(engine, token, now) == ("ana", "operator")
    token_id, secret = token.split("_", 2)[1:]
    listed = run("reviewer", "tokens").output
    assert token_id in listed and secret not in listed
    assert "made and revoked by" in str(run("reviewer", "token", "ana", user="ben").exception)
    assert "opens nothing from now on" in run("reviewer", "token-revoke", token_id, user="ana").output
    with pytest.raises(CredentialError):
        holder_of(engine, token, now)
    assert "ana" in run("reviewer", "tokens").output and token_id in run("reviewer", "tokens").output


def test_policy_set_takes_the_file_that_show_wrote(desk, keys, tmp_path):
    file = tmp_path / "policy.yml"
    file.write_text(run("policy", "show", "--yaml").output.replace("min_trades: 50", "min_trades: 80"))
    done = run("policy", "set", file, "--reason", WHY)
    assert "policy version 2 counts from now on" in done.output, done.exception
    assert "min_trades: 80" in run("policy", "show", "--yaml").output
    file.write_text("quorum: 9\n")
    assert "policy.yml: " in str(run("policy", "set", file, "--reason", WHY).exception)


def test_halt_leaves_a_file_where_the_database_is_down(desk, tmp_path, monkeypatch):
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", "sqlite:///data/gone.db")
    done = run("halt", "it lost three days in a row")
    assert done.exit_code == 0 and "it is in no log" in done.output
    assert "it lost three days in a row" in HALT_FILE.read_text()


def test_the_home_moves_by_a_file(desk, tmp_path, monkeypatch):
    run("policy", "set", changed_policy(tmp_path), "--reason", WHY)
    file = tmp_path / "home.json"
    assert run("home", "export", file).exit_code == 0 and file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("DOSVOTOS_HOME", str(tmp_path.parent / f"{tmp_path.name}-elsewhere"))
    assert run("audit", "verify").exit_code == 1
    assert run("home", "import", file).exit_code == 0 and run("audit", "verify", "--full").exit_code == 0


def changed_policy(folder: Path) -> Path:
    file = folder / "policy.yml"
    file.write_text(run("policy", "show", "--yaml").output.replace("min_trades: 50", "min_trades: 60"))
    return file
