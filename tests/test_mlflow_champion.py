"""MLflow's alias follows the production model after the commit, whatever becomes of MLflow meanwhile."""

import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import stamina
from sqlalchemy import select

from dosvotos import hooks
from dosvotos.commands import jobs
from dosvotos.commands import outbox as sending
from dosvotos.commands.outbox import champion_of, drain_champions
from dosvotos.database.connection import open_database, reading
from dosvotos.database.outbox import LONGEST_PAUSE, is_due, send_in_background, waiting_messages
from dosvotos.database.tables import outbox
from dosvotos.mlflow_champion import ALIAS, Champion, MlflowAwayError, MlflowRegistry, registered_name
from dosvotos.project import exclusive_lock
from dosvotos.promotion.champions import CHAMPION
from dosvotos.promotion.decision import Vote, decide
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY

NAME = registered_name(INSTRUMENT)
MLFLOW = (CHAMPION,)


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def approve(desk: Desk, proposal_id: int) -> str:
    return decide(desk.engine, proposal_id, Vote("APPROVE", "bob", WHY), datetime.now(UTC)).model_id


class Remembered:
    """A registry that only remembers, and fails when told to."""

    def __init__(self) -> None:
        self.aliases: dict[str, Champion | None] = {}
        self.fails = False

    def point(self, instrument: str, champion: Champion | None) -> bool:
        if self.fails:
            raise ConnectionError("no route to MLflow")
        moved = self.aliases.get(instrument) != champion
        self.aliases[instrument] = champion
        return moved


def test_a_vote_and_its_message_are_one_transaction_and_the_alias_follows(desk):
    registry, at = Remembered(), datetime.now(UTC) + timedelta(minutes=1)
    first = approve(desk, desk.propose("one", 1))
    second = approve(desk, desk.propose("two", 2, baseline_model_id=first))
    with reading(desk.engine) as connection:
        waiting = waiting_messages(connection, kinds=MLFLOW)
    assert [row.payload["model_id"] for row in waiting] == [first, second]
    assert drain_champions(desk.engine, at, lambda: registry) == [f"{INSTRUMENT}: champion is {second}"]
    assert registry.aliases == {INSTRUMENT: champion_of(desk.engine, INSTRUMENT)}
    assert not is_due(desk.engine, at, MLFLOW) and drain_champions(desk.engine, at, lambda: registry) == []


def test_what_fails_is_tried_again_later_each_time(desk):
    registry, at = Remembered(), datetime.now(UTC) + timedelta(minutes=1)
    model_id = approve(desk, desk.propose("one", 1))
    registry.fails = True
    pauses = []
    for _ in range(10):
        told = drain_champions(desk.engine, at, lambda: registry)
        assert told == [f"{INSTRUMENT}: ConnectionError: no route to MLflow"]
        with reading(desk.engine) as connection:
            (row,) = waiting_messages(connection, kinds=MLFLOW)
        assert not is_due(desk.engine, row.next_try_at - timedelta(seconds=1), MLFLOW)
        pauses.append(row.next_try_at - at)
        at = row.next_try_at
    assert pauses == sorted(pauses) and pauses[0] == timedelta(seconds=30) and pauses[-1] == LONGEST_PAUSE
    registry.fails = False
    assert drain_champions(desk.engine, at, lambda: registry) == [f"{INSTRUMENT}: champion is {model_id}"]
    with reading(desk.engine) as connection:
        (row,) = connection.execute(select(outbox).where(outbox.c.kind == CHAMPION))
    assert row.done_at is not None and row.problem is None and row.attempts == 10


def test_an_alias_that_somebody_moved_is_put_right(desk):
    registry, at = Remembered(), datetime.now(UTC) + timedelta(minutes=1)
    model_id = approve(desk, desk.propose("one", 1))
    drain_champions(desk.engine, at, lambda: registry)
    registry.aliases[INSTRUMENT] = None
    assert drain_champions(desk.engine, at, lambda: registry) == [f"{INSTRUMENT}: champion is {model_id}"]


def test_a_refused_vote_leaves_no_message(desk):
    proposal_id = desk.propose("one", 1, recommendation="REJECT", confidence=0.9)
    with pytest.raises(Exception, match="veto"):
        approve(desk, proposal_id)
    with reading(desk.engine) as connection:
        assert waiting_messages(connection) == []


def test_a_server_that_is_away_delays_nobody(desk, monkeypatch):
    """A port that accepts and never answers: the message waits, a vote and a drain take no longer for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        approve(desk, desk.propose("one", 1))
        started = time.perf_counter()
        (told,) = drain_champions(desk.engine, datetime.now(UTC) + timedelta(minutes=1))
        assert "does not answer" in told and time.perf_counter() - started < 10
    with reading(desk.engine) as connection:
        assert len(waiting_messages(connection, kinds=MLFLOW)) == 1


def test_a_run_lets_a_process_of_its_own_send_what_is_due(desk, monkeypatch):
    """Only when something is due: a run does not load MLflow for nothing."""
    sent = []
    monkeypatch.setattr(hooks, "send_in_background", lambda root, url: sent.append((root, url)))
    url = desk.engine.url.render_as_string(hide_password=False)
    run = hooks.OutboxHooks()
    run.after_context_created(
        SimpleNamespace(project_path=desk.root, config_loader={"credentials": {"database": {"url": url}}})
    )
    run.after_pipeline_run()
    assert sent == []
    approve(desk, desk.propose("one", 1))
    run.after_pipeline_run()
    assert sent == [(desk.root, url)]
    drain_champions(desk.engine, datetime.now(UTC) + timedelta(minutes=1), Remembered)
    run.after_pipeline_run()
    assert len(sent) == 1


def test_the_app_s_worker_has_due_messages_sent_and_looks_after_aliases(desk, monkeypatch):
    sent = []
    monkeypatch.setattr(jobs, "send_in_background", lambda *where: sent.append(where))
    now = datetime.now(UTC)
    assert jobs._drain_outbox(desk.engine, now) == now and sent == []
    jobs._drain_outbox(desk.engine, now - jobs.ALIAS_INTERVAL)
    assert len(sent) == 1
    approve(desk, desk.propose("one", 1))
    jobs._drain_outbox(desk.engine, datetime.now(UTC))
    assert len(sent) == 1, "not more often than every ten seconds"
    jobs._drain_outbox(desk.engine, datetime.now(UTC) - 2 * jobs.OUTBOX_INTERVAL)
    assert len(sent) == 2


@pytest.mark.campaign
def test_a_process_of_its_own_tells_mlflow(tmp_path, monkeypatch):
    """As after a run: started in the project, nobody waits, and MLflow shows the production model."""
    from mlflow import MlflowClient

    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    url = f"sqlite:///{tmp_path}/data/dosvotos.db"
    desk = Desk(open_database(url), tmp_path)
    model_id = approve(desk, desk.propose("one", 1))
    send_in_background(tmp_path, url)
    for attempt in stamina.retry_context(on=AssertionError, attempts=None, timeout=120, wait_max=1):
        with attempt, reading(desk.engine) as connection:
            assert waiting_messages(connection, kinds=MLFLOW) == []
    version = MlflowClient(uri, uri).get_model_version_by_alias(NAME, ALIAS)
    assert version.tags["model_id"] == model_id


def test_without_mlflow_a_message_waits_for_longer_each_time(desk, monkeypatch):
    monkeypatch.setattr(sending, "is_installed", lambda: False)
    approve(desk, desk.propose("one", 1))
    at = datetime.now(UTC) + timedelta(minutes=1)
    (told,) = drain_champions(desk.engine, at)
    assert "not installed" in told and not is_due(desk.engine, at, MLFLOW)
    assert is_due(desk.engine, at + timedelta(seconds=30), MLFLOW)


def test_addresses_that_nobody_understands_do_not_keep_mlflow_waiting(desk, monkeypatch):
    monkeypatch.setenv("DOSVOTOS_NOTIFY_URLS", "no-address")
    monkeypatch.setattr(sending, "_mlflow", Remembered)
    model_id = approve(desk, desk.propose("one", 1))
    wrong, done = sending.drain_outbox(desk.engine, datetime.now(UTC) + timedelta(minutes=1))
    assert "address 1 of 1 has no" in wrong and done == f"{INSTRUMENT}: champion is {model_id}"


def test_two_processes_do_not_send_at_once(desk):
    approve(desk, desk.propose("one", 1))
    with exclusive_lock("outbox"):
        assert drain_champions(desk.engine, datetime.now(UTC), Remembered) == ["another process is at it"]


@pytest.mark.slow
def test_mlflow_itself_shows_the_champion(tmp_path, monkeypatch):
    """In a real registry: a version of the bundle, the alias on it, moved, put right and taken away."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/manifest.json").write_text("{}")
    registry = MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    one, two = (Champion(f"demo_{n}", str(n) * 64, "demo", Path("bundle")) for n in (1, 2))
    assert registry.point(INSTRUMENT, None) is False
    assert registry.point(INSTRUMENT, one) and not registry.point(INSTRUMENT, one)
    assert registry.point(INSTRUMENT, two) and registry.point(INSTRUMENT, one)
    client = registry._client
    version = client.get_model_version_by_alias(NAME, ALIAS)
    assert version.tags["model_id"] == "demo_1" and len(client.search_model_versions(f"name='{NAME}'")) == 2
    assert client.list_artifacts(version.run_id, "bundle")[0].path == "bundle/manifest.json"
    client.set_registered_model_alias(NAME, ALIAS, "2")  # somebody moves it
    assert registry.point(INSTRUMENT, one)
    assert registry.point(INSTRUMENT, None) and ALIAS not in client.get_registered_model(NAME).aliases


def test_an_address_without_an_answer_is_named_without_its_secrets():
    with pytest.raises(MlflowAwayError, match="does not answer at http://") as refused:
        MlflowRegistry("http://ana:s3cret@127.0.0.1:9", Path())
    assert "s3cret" not in str(refused.value)
