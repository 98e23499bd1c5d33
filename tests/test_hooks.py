"""What surrounds a run never outlives it, and never decides it."""

import os
import signal
import time
from types import SimpleNamespace

import pytest

from dosvotos import hooks, mlflow_process
from dosvotos.errors import StaleDataError


def fail() -> None:
    raise RuntimeError("the store is broken")


def test_a_failure_of_mlflow_beside_the_run_is_a_warning(caplog):
    mlflow_process.start()
    mlflow_process.in_background(fail)
    assert mlflow_process.active_run_id() is None
    mlflow_process.close_run("FINISHED")
    assert "MLflow: the store is broken; this run goes on without it" in caplog.text


def test_the_death_of_mlflow_s_process_is_one_warning(caplog):
    mlflow_process.start()
    mlflow_process.in_background(os._exit, 1)
    assert mlflow_process.active_run_id() is None
    mlflow_process.close_run("FINISHED")
    assert [record.getMessage() for record in caplog.records] == [
        "MLflow: its process died; this run goes on without it"
    ]


def test_mlflow_s_process_is_killed_when_it_never_answers(monkeypatch):
    monkeypatch.setattr(mlflow_process, "PATIENCE_SECONDS", 0.5)
    mlflow_process.start()
    process = mlflow_process._background.process
    mlflow_process.in_background(time.sleep, 3600)
    assert mlflow_process.active_run_id() is None
    mlflow_process.close_run("FINISHED")
    assert process.wait(60) == -signal.SIGKILL


def test_nothing_is_started_for_what_a_run_without_mlflow_would_log(monkeypatch):
    monkeypatch.setattr(mlflow_process, "_background", mlflow_process._Background())
    mlflow_process.in_background(time.sleep, 3600)
    assert mlflow_process._background.process is None
    assert mlflow_process.active_run_id() is None


def test_runs_of_one_process_share_mlflow_s_until_it_dies():
    processes = []
    for work, argument in ((os.getenv, "HOME"), (os._exit, 1), (os.getenv, "HOME")):
        mlflow_process.start()
        processes.append(mlflow_process._background.process)
        mlflow_process.in_background(work, argument)
        mlflow_process.close_run("FINISHED")
    assert processes[0] is processes[1] is not processes[2]


def test_a_second_interruption_while_mlflow_is_waited_for_still_releases_the_lock(monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    released = []
    run_hooks = hooks.RunHooks()
    monkeypatch.setattr(run_hooks, "after_pipeline_run", lambda: released.append(True))
    monkeypatch.setattr(mlflow_process, "close_run", interrupted)
    monkeypatch.setattr(hooks, "_check_selection", lambda asked: None)
    with pytest.raises(KeyboardInterrupt):
        hooks._guarded(interrupted, run_hooks)()
    assert released == [True]


@pytest.mark.parametrize(("source", "stops"), [("live", True), ("files", True), ("sample", False)])
def test_what_is_overdue_ends_a_run_on_real_data_whether_live_or_from_files(source, stops):
    bars = SimpleNamespace(missing_session="2025-11-25", notes=())
    record = SimpleNamespace(source=source, overdue=("bars",), series=(), bars=bars)
    pipeline = SimpleNamespace(all_outputs=lambda: {"acquisition_record"})
    catalog = SimpleNamespace(load=lambda name: record)
    if not stops:
        hooks.FreshnessHooks().after_pipeline_run(pipeline, catalog)
        return
    with pytest.raises(StaleDataError, match="session 2025-11-25 is missing"):
        hooks.FreshnessHooks().after_pipeline_run(pipeline, catalog)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, False),
        ({"tags": ("L2",)}, True),
        ({"to_outputs": ["features"]}, True),
        ({"node_names": ("seal",), "only_missing_outputs": True}, False),
    ],
)
def test_a_part_of_a_pipeline_ends_with_what_ran(asked, says, caplog):
    caplog.set_level("INFO", logger="dosvotos")
    pipeline = SimpleNamespace(nodes=[SimpleNamespace(name="freeze"), SimpleNamespace(name="seal")])
    hooks.PartHooks().after_pipeline_run(asked, pipeline)
    assert ("ran freeze, seal" in caplog.text) == says
