"""The whole mission: an experiment's YAML, L0 to L4, the message, a signed vote, a signal and its proof."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dosvotos.audit.enrolment import invite, read_enrolment
from dosvotos.database.connection import reading
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.registry import list_proposals
from dosvotos.notifications.recipients import URLS_VARIABLE
from dosvotos.promotion.house_acts import AddReviewer
from tests.browser.person import BROWSER, Person, expect
from tests.notifications.receivers import ACCEPTS, webhook
from tests.project import Project, inside, new_project
from tests.sources.local_server import LocalServer
from tests.sources.local_server import serving as receiving
from tests.streamlit_app.serving import serving
from tests.team import WHY, Team, now

pytestmark = BROWSER
NAME = "first_idea"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A desk's project with an experiment of its own: a copied folder under another name."""
    made = new_project(tmp_path / "desk")
    monkeypatch.setenv("DOSVOTOS_HOME", f"{made.root}-home")
    monkeypatch.setenv("DOSVOTOS_USER", "tom")
    folder = made.root / "conf" / NAME
    shutil.copytree(made.root / "conf/smoke", folder)
    for file in folder.iterdir():
        file.write_text(file.read_text().replace("experiment: smoke", f"experiment: {NAME}"))
    return made


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """Where the desk has its messages sent."""
    server = LocalServer()
    server.answer("/desk", ACCEPTS)
    with receiving(server) as address:
        monkeypatch.setenv(URLS_VARIABLE, webhook(address, "desk"))
        yield server


def is_told(receiver: LocalServer, headline: str) -> bool:
    """Wait for a message by its first line: they leave in processes that nobody waits for."""
    patience = time.monotonic() + 60
    while time.monotonic() < patience:
        texts = [json.loads(call.body)["data"]["text"] for call in receiver.called()]
        if headline in [text.splitlines()[0] for text in texts]:
            return True
        time.sleep(0.1)
    return False


def test_from_a_yaml_file_to_a_signal_that_is_proven(project: Project, receiver: LocalServer, browser):
    with inside(project.root):
        team = Team(project.engine)
        team.begin([("tom", "viewer")])
    ran = project.command("kedro", "run", "--env", NAME)
    assert ran.returncode == 0, ran.stderr
    with reading(project.engine) as connection:
        (proposal,) = list_proposals(connection)
    assert (proposal.experiment_name, proposal.recommendation) == (NAME, "REVIEW"), proposal.reason
    assert is_told(receiver, f"[SIM] New model ready for review: {NAME}")
    with serving(project.root, str(project.engine.url)) as port:
        _approve(team, project, Person(browser, f"http://localhost:{port}"), proposal.id)
    tick = project.command("kedro", "run", "--pipelines", "inference", "--env", NAME)
    assert tick.returncode == 0, tick.stderr
    with reading(project.engine) as connection:
        (signal,) = connection.execute(select(trading_signals)).all()
    assert (signal.status, signal.model_id) == ("SIGNAL", proposal.model_id), signal.detail
    proven = project.command("dosvotos", "verify", signal.inference_id)
    assert proven.returncode == 0, proven.stdout + proven.stderr
    assert is_told(receiver, "[SIM] Model promoted to production by ana")


def _approve(team: Team, project: Project, ana: Person, proposal_id: int) -> None:
    """Enrol, sign in, read the page and sign, in the browser."""
    with inside(project.root):
        ana.enrol(invite(team.engine, "ana", "reviewer", "ada", now()))
        team.do(AddReviewer(WHY, read_enrolment(team.engine, "ana").added), "ada")
    ana.sign_in(f"/review?id={proposal_id}")
    link = ana.page.get_by_role("link", name="APPROVE", exact=True)
    expect(link).to_be_visible(timeout=60_000)
    assert f"action=APPROVE&about={proposal_id}" in str(link.get_attribute("href"))
    ana.show_text(proposal_id, "APPROVE")
    assert "Done" in ana.sign()
    assert ana.left == []
