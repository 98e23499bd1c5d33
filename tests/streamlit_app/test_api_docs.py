"""docs/api.md is run as it stands, against the API on a socket, by a person with a key of their own."""

import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from dosvotos.commands.main import cli
from dosvotos.refusals import refusal_texts
from streamlit_app.access import Gate
from streamlit_app.api import create_api
from streamlit_app.i18n import texts
from streamlit_app.problems import codes_of_kinds
from streamlit_app.security import API_PATH
from tests.conftest import ROOT
from tests.proposal_fixtures import Desk
from tests.streamlit_app.conftest import with_people

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@contextmanager
def api_on_a_socket() -> Iterator[int]:
    """Serve gate and API in this very process; gives the port."""
    app = Starlette(routes=[Mount(API_PATH, create_api())], middleware=[Middleware(Gate)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def anas(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What ana has: two proposals to vote on, signals, and a key."""
    for seed in (1, 2):
        desk.propose(f"e{seed}", seed)
    desk.signal(30, "demo_1")
    key = with_people(desk, monkeypatch).team.key("ana").private_bytes
    (file := tmp_path / "id_ed25519").touch(0o600)
    file.write_bytes(key)
    monkeypatch.setenv("SSH_KEY", str(file))
    monkeypatch.setenv("DOSVOTOS_USER", "ana")
    with api_on_a_socket() as port:
        monkeypatch.setenv("DOSVOTOS_URL", f"http://127.0.0.1:{port}")
        yield


def run_shell(block: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def take_token(block: str) -> str:
    """Run the page's first command here and not as a process of its own."""
    done = CliRunner().invoke(cli, shlex.split(block)[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def test_a_clients_hour_is_as_it_is_printed(anas: None, desk: Desk, monkeypatch, capsys):
    blocks = BLOCK.findall((ROOT / "docs/api.md").read_text())
    names: dict[str, object] = {}
    said = ""
    for language, block in blocks:
        if block.startswith("dosvotos"):
            monkeypatch.setenv("DOSVOTOS_TOKEN", take_token(block))
        elif language == "bash":
            said += run_shell(block)
        else:
            exec(compile(block, "docs/api.md", "exec"), names)
    names["api"].close()
    said += capsys.readouterr().out
    cast = {row.proposal_id: row for row in desk.votes() if row.proposal_id}
    assert [(row.action, row.reviewer, row.new_stage) for row in cast.values()] == [
        ("APPROVE", "ana", "shadow"), ("REJECT", "ana", "staging"),
    ]  # fmt: skip
    assert "dosvotos decision v1" in said and "la propuesta 999999 no existe" in said
    assert "NO_BAR" in said and "points of the equity curve" in said


def test_every_code_that_the_page_names_is_one():
    page = (ROOT / "docs/api.md").read_text()
    table = page.partition("| status |")[2]
    named = set(re.findall(r"`([a-z_]+)`", "".join(line.split("|")[2] for line in table.splitlines()[2:10])))
    known = set(refusal_texts()) | {key.removeprefix("problem.") for key in texts("en")} | codes_of_kinds()
    assert named and named <= known
