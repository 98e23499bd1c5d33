"""``dosvotos live`` as a person runs it."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pandas as pd
import pytest
from sqlalchemy import select

from dosvotos.backtest.simulate import policy_targets
from dosvotos.commands.fills import import_fills
from dosvotos.commands.live import assemble, replay_history
from dosvotos.commands.service import read_service, report_service
from dosvotos.config_loader import load_parameters
from dosvotos.contracts.delivery import DeliveryParams
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.database.connection import reading
from dosvotos.database.history import stored_history
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.tables import inference_features_5m
from dosvotos.errors import DataError, ParameterError
from dosvotos.live.delivered import DeliveredSignal
from dosvotos.live.runner import run
from dosvotos.market.dataset import feature_rows
from dosvotos.market.normalization import fit_norm_stats
from dosvotos.policy.forward import ServedPolicy
from tests.conftest import parameters_of
from tests.live.production_models import INSTRUMENT, approve
from tests.project import Project, stored_project
from tests.proposal_fixtures import tiny_policy
from tests.streamlit_app.serving import free_port

pytestmark = pytest.mark.slow

NOT_NEEDED = (
    "torch",
    "stable_baselines3",
    "gymnasium",
    "mlflow",
    "kedro_viz",
    "kedro_mlflow",
    "plotly",
    "arch",
)


@pytest.fixture
def project(tmp_path) -> Project:
    made = stored_project(tmp_path / "project")
    approve(made.engine, made.root / "data/06_models/demo", tiny_policy(3))
    return made


def signals(project: Project) -> list:
    with reading(project.engine) as connection:
        return list(connection.execute(select(trading_signals).order_by(trading_signals.c.timestamp)))


def wait_for(condition: Callable[[], bool]) -> None:
    patience = time.monotonic() + 300
    while not condition() and time.monotonic() < patience:
        time.sleep(0.2)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.campaign
def test_the_sample_market_goes_on_with_a_signal_a_bar_until_it_is_stopped(project):
    last = StoredMarket(project.engine, INSTRUMENT, load_feed(project)).tables[0].frame().index[-1]
    with (project.root / "out.txt").open("w") as out, (project.root / "err.txt").open("w") as err:
        running = subprocess.Popen(
            [Path(sys.executable).with_name("dosvotos"), "live", "--env", "smoke", "--speed", "120"],
            cwd=project.root, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}, stdout=out, stderr=err,
        )  # fmt: skip
        try:
            wait_for(lambda: len(signals(project)) >= 4 or running.poll() is not None)
            assert running.poll() is None, (project.root / "err.txt").read_text()[-2000:]
            second = project.command("dosvotos", "live", "--env", "smoke")
            assert second.returncode == 1
            assert "smoke: a loop or a tick is at work in another process; stop it first" in second.stderr
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(timeout=120)
    output, errors = ((project.root / name).read_text() for name in ("out.txt", "err.txt"))
    assert running.returncode == 0, errors[-2000:]
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in errors.splitlines()}
    assert imported.isdisjoint(NOT_NEEDED) and "dosvotos" in imported
    assert "live: USD/COP.SIM from" in output
    rows = signals(project)
    assert len(rows) >= 4 and rows[-1].timestamp > last
    assert {row.reason_code for row in rows} <= {
        None,
        "TOO_LATE",
        "NO_BAR",
    }  # a second here is two minutes there
    assert "SIGNAL" in {row.status for row in rows}
    assert all(f"USD/COP.SIM {row.timestamp:%Y-%m-%d %H:%M} UTC: " in output for row in rows[:4])
    assert (project.root / "data/04_feature/smoke/live_state.safetensors").is_file()


def busy_policy(rows: pd.DataFrame) -> ServedPolicy:
    """A policy that takes all three positions on these rows."""
    stats = fit_norm_stats(rows)
    made = (replace(tiny_policy(seed), norm_stats=stats) for seed in range(20))
    return next(policy for policy in made if len(set(policy_targets(policy, rows.iloc[-900:]))) == 3)


def load_feed(project: Project) -> str:
    return load_parameters("smoke", project.root / "conf").feed


def test_it_is_ready_within_two_seconds_of_a_processor(project):
    running = project.start("dosvotos", "live", "--env", "smoke", "--speed", "1", cold=True)
    try:
        for line in running.stdout:
            if "live: USD/COP.SIM" in line:
                break
        spent = cpu_seconds(running.pid)
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
    assert spent < 2.5  # 2 s, and a quarter more where other processes share the caches


def test_without_an_approved_model_it_does_not_start(tmp_path):
    bare = stored_project(tmp_path / "bare")
    done = bare.command("dosvotos", "live", "--env", "smoke")
    assert done.returncode == 1
    assert "USD/COP.SIM has no production model yet; approve a proposal first" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_bundle_halts_a_start_with_the_reason(project):
    (file,) = (project.root / "data/06_models/demo").glob("*/policy.safetensors")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    done = project.command("dosvotos", "live", "--env", "smoke")
    assert done.returncode == 1
    assert "policy.safetensors" in done.stderr and "Traceback" not in done.stderr
    assert signals(project) == []


def test_a_real_market_has_one_speed_and_replay_two_ends(project):
    done = project.command("dosvotos", "live", "--env", "smoke", "--replay", "2023-09-01")
    assert done.returncode == 2
    assert "--replay FROM and --to TO go together" in done.stderr


def test_a_replay_is_the_backtest_bit_for_bit_and_leaves_no_row(project, monkeypatch):
    monkeypatch.chdir(project.root)
    parameters = load_parameters("smoke")
    first, last = pd.Timestamp("2023-09-04").date(), pd.Timestamp("2023-09-22").date()
    tables = StoredMarket(project.engine, INSTRUMENT, parameters.feed).tables
    now = pd.Timestamp("2026-12-31", tz="UTC")
    known = feature_rows(stored_history(parameters, *tables, now, last), parameters)
    policy, rows = busy_policy(known), known[str(first) :]
    approve(project.engine, project.root / "data/06_models/demo", policy, "1.1.0")
    line = replay_history("smoke", first, last, None)
    file = project.root / f"data/07_model_output/smoke/replay_{first}_{last}.parquet"
    assert line.endswith(f"see data/07_model_output/smoke/{file.name}")
    frame = pd.read_parquet(file)
    assert len(frame) == len(rows) == 15 * 60
    pd.testing.assert_frame_equal(
        frame[list(MARKET_FEATURES)], rows[list(MARKET_FEATURES)], check_exact=True, check_names=False,
        check_freq=False,
    )  # fmt: skip
    assert frame["target"].tolist() == policy_targets(policy, rows).tolist()
    assert set(frame["target"]) == {-1.0, 0.0, 1.0}
    assert signals(project) == []
    with reading(project.engine) as connection:
        assert connection.execute(select(inference_features_5m)).all() == []


def test_a_loop_delivers_and_shows_what_it_did_and_the_report_counts_it(project, monkeypatch, capsys):
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", f"sqlite:///{project.root}/data/dosvotos.db")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    stop, file = Event(), project.root / "data/out/signals.jsonl"
    delivery = DeliveryParams(notional_usd=1000.0, jsonl="data/out/signals.jsonl")
    parameters = load_parameters("smoke").model_copy(update={"delivery": delivery})
    port, patience, seen = free_port(), time.monotonic() + 60, b""

    def on_turn() -> None:
        nonlocal seen
        if (file.is_file() and len(file.read_bytes().splitlines()) >= 2) or time.monotonic() > patience:
            seen = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
            stop.set()

    made = assemble(parameters, project.engine, "smoke", 150.0, stop, port)
    try:
        made.loop.housekeep()
        made.warm_up()
        run(made.loop, made.macro, made.clock, stop, on_turn)
    finally:
        made.close()
    got = [DeliveredSignal.model_validate_json(line) for line in file.read_text().splitlines()]
    rows = {row.timestamp: row for row in signals(project) if row.status == "SIGNAL"}
    assert len(got) >= 2 and all(one.simulated for one in got)
    assert [(one.target, one.epoch) for one in got] == [
        (rows[one.bar].signal, rows[one.bar].epoch) for one in got
    ]
    assert {abs(one.notional_usd) for one in got} <= {0.0, 1000.0}
    assert b'dosvotos_deliveries_total{consumer="jsonl",instrument="USD/COP.SIM",outcome="delivered"}' in seen
    report_service(project.engine, "smoke", 2, datetime.now(UTC))
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:1] == ["all"] and int(last[2]) == len(rows)


def test_a_session_that_has_not_begun_is_not_reported(project):
    parameters, newest = parameters_of("smoke"), {}
    for hour in ("03:00", "13:05", "13:06", "23:00"):
        now = datetime.fromisoformat(f"2026-12-01T{hour}Z")
        (newest[hour],) = (str(day.day) for day in read_service(project.engine, parameters, 1, now))
    assert list(newest.values()) == ["2026-11-30", "2026-11-30", "2026-12-01", "2026-12-01"]


def test_fills_are_imported_by_the_command_and_the_same_file_again_is_none(project, monkeypatch):
    monkeypatch.chdir(project.root)
    file = project.root / "fills.csv"
    file.write_text(
        "time,side,quantity,price\n2023-09-22 09:41,buy,60000,3990\n2023-09-22 09:51,sell,20000,4000\n"
    )
    now = datetime(2026, 12, 1, tzinfo=UTC)
    with pytest.raises(DataError, match="carry no zone"):
        import_fills(project.engine, file, "smoke", None, now)
    with pytest.raises(DataError, match="none may lie in the future, the last is of 2023-09-22 14:51:00 UTC"):
        import_fills(
            project.engine, file, "smoke", "America/Bogota", datetime(2023, 9, 22, 14, 40, tzinfo=UTC)
        )
    for n_new in (2, 0):
        lines = import_fills(project.engine, file, "smoke", "America/Bogota", now)
        assert lines[0] == f"USD/COP.SIM: {n_new} fill(s) stored, {2 - n_new} there already"
        assert lines[1] == "held 40,000 USD, the model's book 0 USD, difference 40,000 USD"
    assert signals(project) == []


def test_a_replay_without_a_session_is_refused(project, monkeypatch):
    monkeypatch.chdir(project.root)
    day = pd.Timestamp("2023-09-03").date()  # a Sunday
    with pytest.raises(ParameterError, match="no session is scheduled between them"):
        replay_history("smoke", day, day, None)
