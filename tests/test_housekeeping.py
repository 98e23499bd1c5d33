"""What docs/housekeeping.md tells people to type does what it says."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from click.testing import CliRunner

from dosvotos.commands.main import cli
from dosvotos.database.connection import open_database, reading
from dosvotos.lineage.vote import decide_verified, verify_proposal
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import Vote
from tests.conftest import ROOT
from tests.project import new_project
from tests.proposal_fixtures import Desk
from tests.streamlit_app.serving import free_port

PAGE = (ROOT / "docs/housekeeping.md").read_text()


def block_of(heading: str) -> list[str]:
    """The lines of a section's first block of code."""
    section = PAGE.split(f"## {heading}\n")[1]
    return re.findall(r"^```(?:bash)?\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[0].splitlines()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A project whose only proposal was approved, with a home of its own."""
    root = tmp_path_factory.mktemp("project") / "here"
    with pytest.MonkeyPatch.context() as patch:
        (root / "conf").mkdir(parents=True)
        (root / "pyproject.toml").write_text("[tool.kedro]\n")
        (root / ".venv").symlink_to(sys.prefix)
        patch.chdir(root)
        patch.setenv("DOSVOTOS_HOME", str(root.with_name("homes")))
        patch.delenv("DOSVOTOS_DATABASE_URL", raising=False)
        made = Desk(open_database(f"sqlite:///{root}/data/dosvotos.db"), root)
        vote = Vote("APPROVE", "bob", "the curve was read twice")
        decide_verified(made.engine, made.propose_recomputable(), vote, datetime.now(UTC))
        yield made
        made.engine.dispose()


@pytest.fixture(autouse=True)
def home(desk, monkeypatch):
    monkeypatch.setenv("DOSVOTOS_HOME", str(desk.root.with_name("homes")))
    monkeypatch.delenv("DOSVOTOS_DATABASE_URL", raising=False)
    monkeypatch.chdir(desk.root)


def assert_whole(root: Path, monkeypatch) -> None:
    """Everything that is proven from files and rows of a project still is."""
    monkeypatch.chdir(root)
    engine = open_database(f"sqlite:///{root}/data/dosvotos.db")
    proposal = Desk(engine, root).proposal(1)
    assert verify_proposal(engine, proposal).chain.broken == ()
    with reading(engine) as connection:
        assert verify_audit(connection, full=True) == []
    engine.dispose()


@pytest.mark.slow
def test_a_backup_as_printed_holds_all_that_is_proven(desk, tmp_path, monkeypatch):
    vacuum, archive, export = block_of("Backup")
    for line in (vacuum, archive):
        subprocess.run(line, shell=True, cwd=desk.root, check=True)
    exported = CliRunner().invoke(cli, shlex.split(export)[1:])
    assert exported.exit_code == 0 and (desk.root / "home.backup").stat().st_size > 500, exported.output
    (tmp_path / "data").mkdir()
    subprocess.run(["tar", "xzf", desk.root / "backup.tar.gz"], cwd=tmp_path, check=True)
    (tmp_path / "backup.db").rename(tmp_path / "data/dosvotos.db")
    monkeypatch.setenv("DOSVOTOS_HOME", str(tmp_path.with_name(f"{tmp_path.name}_homes")))
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    imported = CliRunner().invoke(cli, ["home", "import", str(desk.root / "home.backup")])
    assert imported.exit_code == 0, imported.exception
    assert_whole(tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_moved_folder_proves_what_it_proved(desk, monkeypatch):
    there = desk.root.with_name("there")
    desk.root.rename(there)
    try:
        assert_whole(there, monkeypatch)
    finally:
        there.rename(desk.root)


@pytest.mark.slow
@pytest.mark.campaign
def test_mlflow_s_pages_open(desk):
    project = new_project(desk.root.with_name("ui"))
    port = free_port()
    kedro = str(Path(sys.executable).with_name("kedro"))
    process = subprocess.Popen(
        [kedro, "mlflow", "ui", "--port", str(port)],
        cwd=project.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(120):
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/")
                break
            except httpx.HTTPError:
                time.sleep(1)
        assert answer.status_code == 200 and "MLflow" in answer.text
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # its workers too
        process.wait()


def test_the_commit_hooks_find_their_tools_with_a_venv_and_without(tmp_path):
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    copy = tmp_path / repo["hooks"][0]["entry"]
    copy.parent.mkdir()
    shutil.copy(ROOT / repo["hooks"][0]["entry"], copy)
    bare, active = {"PATH": "/usr/bin:/bin"}, {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin"}
    for tool in {hook["args"][0] for hook in repo["hooks"]}:
        assert shutil.which(tool, path=f"{sys.prefix}/bin"), tool
    version = [str(copy), "ruff", "--version"]
    assert subprocess.run(version, env=active, capture_output=True, check=False).returncode == 0
    assert subprocess.run(version, env=bare, capture_output=True, check=False).returncode == 127
    (tmp_path / ".venv").symlink_to(sys.prefix)
    assert subprocess.run(version, env=bare, capture_output=True, check=False).returncode == 0
