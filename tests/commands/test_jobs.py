"""``dosvotos jobs`` as processes: killed, at once, and under the app."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from dosvotos.commands import jobs
from dosvotos.commands.main import cli
from dosvotos.database.connection import reading
from dosvotos.database.requests import get_request, list_requests
from dosvotos.errors import DatabaseError, DataError
from dosvotos.promotion import extra_backtests
from dosvotos.promotion.extra_backtests import request_backtest
from tests.conftest import ROOT
from tests.forked import Forked
from tests.proposal_fixtures import Desk, open_desk

NOW = datetime.now(UTC)
# a worker whose work never ends, and whose claim lasts two seconds
STUCK = """
import time
from datetime import timedelta
from dosvotos.commands import jobs
from dosvotos.database.connection import database_url, open_database
from dosvotos.promotion import extra_backtests
extra_backtests.run_request = lambda *_: print("working", flush=True) or time.sleep(600)
jobs.run_queued(open_database(database_url()), print, timedelta(seconds=2))
"""


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Desk:
    url = f"sqlite:///{tmp_path}/data/dosvotos.db"
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    with open_desk(url, tmp_path) as desk:
        yield desk


def ask(desk: Desk, proposal_id: int, first: int = 1) -> int:
    return request_backtest(
        desk.engine, proposal_id, date(2025, 7, first), date(2025, 7, 8), "ana", datetime.now(UTC)
    )


def row(desk: Desk, request_id: int):
    with reading(desk.engine) as connection:
        return get_request(connection, request_id)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def start(*words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_everything_that_waits_is_worked_off_and_stands_beside_the_proposal(desk):
    proposal_id = desk.propose()
    made = [ask(desk, proposal_id, first) for first in (1, 2)]
    done = CliRunner().invoke(cli, ["jobs"])
    assert done.exit_code == 0 and "2 extra backtest(s) run" in done.output
    for request_id in made:
        found = row(desk, request_id)
        assert found.status == "done" and Path(found.result_file).is_file()
        folder = Path(desk.proposal(proposal_id).report_folder).parent / "extra" / str(request_id)
        assert Path(found.result_file).parent == folder
    assert "0 extra" in CliRunner().invoke(cli, ["jobs"]).output


def test_a_test_that_cannot_be_made_says_why_and_the_next_one_is_made(desk, monkeypatch):
    proposal_id = desk.propose()
    first, second = ask(desk, proposal_id, 1), ask(desk, proposal_id, 2)
    real = extra_backtests.run_request

    def refuse_first(engine, request, now):
        if request.id == first:
            raise DataError("macro: no observation of dxy")
        return real(engine, request, now)

    monkeypatch.setattr(extra_backtests, "run_request", refuse_first)
    jobs.run_queued(desk.engine, lambda _: None)
    assert (row(desk, first).status, row(desk, first).problem) == ("failed", "macro: no observation of dxy")
    assert row(desk, second).status == "done"


def test_a_defect_of_ours_fails_the_request_and_is_not_hidden(desk, monkeypatch):
    request_id = ask(desk, desk.propose())
    monkeypatch.setattr(extra_backtests, "run_request", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        jobs.run_queued(desk.engine, lambda _: None)
    assert row(desk, request_id).problem == "an unexpected ZeroDivisionError"


def test_a_claim_is_renewed_for_as_long_as_the_work_goes_on(desk, monkeypatch):
    request_id = ask(desk, desk.propose())
    real, stolen = extra_backtests.run_request, []

    def slow(engine, request, now):
        time.sleep(0.6)
        stolen.append(jobs.run_queued(engine, lambda _: None))
        return real(engine, request, now)

    monkeypatch.setattr(extra_backtests, "run_request", slow)
    jobs.run_queued(desk.engine, lambda _: None, timedelta(seconds=0.4))
    assert stolen == [0] and row(desk, request_id).claims == 1 and row(desk, request_id).status == "done"


@pytest.mark.slow
def test_after_kill_9_the_request_waits_out_its_claim_and_is_made_by_another(desk):
    request_id = ask(desk, desk.propose())
    worker = start("-c", STUCK)
    assert "backtest 1" in worker.stdout.readline() and "working" in worker.stdout.readline()
    assert jobs.run_queued(desk.engine, lambda _: None) == 0
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert row(desk, request_id).status == "running"
    deadline = time.monotonic() + 20
    while jobs.run_queued(desk.engine, lambda _: None) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    found = row(desk, request_id)
    assert (found.status, found.claims) == ("done", 2)


@pytest.mark.slow
def test_two_processes_share_the_work_and_do_nothing_twice(desk):
    proposal_id = desk.propose()
    for first in (1, 2, 3, 4, 7):
        ask(desk, proposal_id, first)
    words = str(Path(sys.executable).with_name("dosvotos")), "jobs"
    workers = [Forked(words, desk.root, environment()) for _ in range(2)]
    outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    with reading(desk.engine) as connection:
        rows = list_requests(connection, proposal_id)
    assert [(found.status, found.claims) for found in rows] == [("done", 1)] * 5
    assert sum(output.count(": done, see") for output in outputs) == 5


@pytest.mark.slow
def test_a_watching_worker_ends_with_the_process_that_started_it(desk):
    script = (
        "import subprocess, sys\n"
        "words = [sys.executable, '-m', 'dosvotos.commands.main', 'jobs', '--watch']\n"
        "print(subprocess.Popen(words).pid, flush=True)\n"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    request_id = ask(desk, desk.propose())
    deadline = time.monotonic() + 60
    while row(desk, request_id).status != "done":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    parent.kill()
    parent.wait()
    while Path(f"/proc/{child}").exists() and "zombie" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_worker_whose_app_ended_before_it_was_ready_ends_at_once(desk):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    command = [sys.executable, "-m", "dosvotos.commands.main", "jobs", "--watch", "--parent", str(ended.pid)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not jobs.HEARTBEAT.exists()


def watched(monkeypatch, rounds: int) -> list[str]:
    """Let `watch` take so many turns, then find its parent gone; gives what it told."""
    told, turns = [], []
    monkeypatch.setattr(jobs.os, "getppid", lambda: turns.append(1) or (0 if len(turns) > rounds + 1 else 1))
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)
    return told


def test_a_poison_request_fails_alone_and_the_queue_goes_on(desk, monkeypatch, caplog):
    proposal_id = desk.propose()
    poison, sound = ask(desk, proposal_id, 1), ask(desk, proposal_id, 2)
    real = extra_backtests.run_request
    monkeypatch.setattr(
        extra_backtests, "run_request", lambda e, r, now: 1 / 0 if r.id == poison else real(e, r, now)
    )
    told = watched(monkeypatch, rounds=2)
    jobs.watch(desk.engine, told.append, parent=1)
    assert row(desk, poison).problem == "an unexpected ZeroDivisionError"
    assert row(desk, sound).status == "done" and "ZeroDivisionError" in caplog.text
    assert not jobs.HEARTBEAT.exists()


def test_a_locked_database_is_asked_again(desk, monkeypatch):
    request_id = ask(desk, desk.propose())
    real, refused = jobs.claim_request, []

    def locked_once(*arguments):
        if not refused:
            refused.append(1)
            raise DatabaseError("database sqlite:///data/dosvotos.db: database is locked")
        return real(*arguments)

    monkeypatch.setattr(jobs, "claim_request", locked_once)
    told = watched(monkeypatch, rounds=2)
    jobs.watch(desk.engine, told.append, parent=1)
    assert told[0] == "jobs: database sqlite:///data/dosvotos.db: database is locked; asked again"
    assert row(desk, request_id).status == "done"


def test_a_claim_that_cannot_be_renewed_once_does_not_end_the_work(desk, monkeypatch, caplog):
    request_id = ask(desk, desk.propose())
    real = extra_backtests.run_request

    def locked(*_):
        raise DatabaseError("database is locked")

    def slow(engine, request, now):
        time.sleep(0.3)
        return real(engine, request, now)

    monkeypatch.setattr(jobs, "renew_claim", locked)
    monkeypatch.setattr(extra_backtests, "run_request", slow)
    jobs.run_queued(desk.engine, lambda _: None, timedelta(seconds=0.4))
    assert "was not renewed: database is locked" in caplog.text
    assert row(desk, request_id).status == "done"
