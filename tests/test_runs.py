"""What surrounds a run, in real processes: its folder, its end by force, MLflow out of reach, its output."""

import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

import pytest
from filelock import FileLock
from kedro.runner import SequentialRunner, ThreadRunner
from mlflow import MlflowClient

from dosvotos.pipelines.training import nodes
from dosvotos.project import LOCKS
from tests.conftest import AS_OF
from tests.forked import Forked
from tests.project import Project, built_project, copied_project

pytestmark = pytest.mark.slow

CLOSED_PORT = "http://127.0.0.1:1"


def words(pipeline: str) -> list[str]:
    params = f"data_acquisition.as_of={AS_OF}"
    return ["kedro", "run", "--env", "smoke", "--pipelines", pipeline, "--params", params]


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Project:
    """Market and dataset of smoke, which no training has used."""
    return built_project(tmp_path_factory.mktemp("ready"))


@pytest.fixture
def project(ready, tmp_path) -> Project:
    return copied_project(ready, tmp_path / "project")


def runs(project: Project) -> dict[str, str]:
    """Artifact folder of each of smoke's MLflow runs, with the run's status."""
    client = MlflowClient(f"sqlite:///{project.root}/data/mlflow.db")
    experiment = client.get_experiment_by_name("smoke")
    if experiment is None:
        return {}
    return {run.info.artifact_uri: run.info.status for run in client.search_runs([experiment.experiment_id])}


def lock_is_free(project: Project) -> bool:
    with FileLock(project.root / LOCKS / "smoke.lock", timeout=0):
        return True


def training_under_way(project: Project) -> Popen[str] | Forked:
    """A process that has opened its MLflow run and is about to train."""
    process = project.start(*words("training"))
    deadline = time.monotonic() + 120
    while not (project.root / LOCKS / "smoke.mlflow").is_file():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_a_run_from_a_subfolder_is_the_project_s_own(project):
    deep = project.root / "src/deep"
    deep.mkdir()
    done = project.command(*words("dataset"), folder="src/deep")
    assert done.returncode == 0, done.stderr
    assert list((project.root / "src").rglob("*")) == [deep]
    verified = project.command("dosvotos", "audit", "verify", folder="src/deep")
    assert "audit log is whole" in verified.stdout


def test_pipelines_without_a_training_open_no_mlflow_run(project):
    assert runs(project) == {}


def interrupted(process: Popen[str] | Forked) -> int:
    """Press Ctrl-C, as often as it takes: a compiler's callback may swallow one."""
    for _ in range(12):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(5)
    return process.wait(0)


def test_a_training_stopped_by_ctrl_c_releases_its_lock_and_is_killed_in_mlflow(project):
    process = training_under_way(project)
    assert interrupted(process) != 0
    assert list(runs(project).values()) == ["KILLED"]
    assert not (project.root / LOCKS / "smoke.mlflow").exists()


def test_a_stop_inside_a_process_that_lives_on_does_so_too(project, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    before = Path.cwd()
    monkeypatch.setattr(nodes, "train_seeds", stop)
    with pytest.raises(KeyboardInterrupt):
        project.run("smoke", "training")
    assert list(runs(project).values()) == ["KILLED"]
    assert lock_is_free(project)
    assert Path.cwd() == before


def test_a_training_that_fails_is_failed_in_mlflow(project, monkeypatch):
    monkeypatch.setattr(nodes, "train_seeds", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        project.run("smoke", "training")
    assert list(runs(project).values()) == ["FAILED"]
    assert lock_is_free(project)


def test_a_run_that_died_is_marked_when_its_name_starts_again(project):
    process = training_under_way(project)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert list(runs(project).values()) == ["RUNNING"]
    project.run("smoke", "dataset")
    assert list(runs(project).values()) == ["KILLED"]


def test_a_copy_writes_nothing_into_the_place_it_comes_from(project, tmp_path):
    project.run("smoke", "training")
    files = {path: path.stat().st_mtime_ns for path in project.root.rglob("*")}
    copy = copied_project(project, tmp_path / "copy")
    copy.run("smoke", "training")
    assert {path: path.stat().st_mtime_ns for path in project.root.rglob("*")} == files
    folders = [Path(uri.removeprefix("file://")) for uri in runs(copy)]
    assert len(folders) == 2
    assert all(folder.is_relative_to(copy.root) and any(folder.iterdir()) for folder in folders)


@pytest.fixture
def black_hole():
    """The address of a server that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_training_goes_on_where_mlflow_does_not_answer(project, black_hole, monkeypatch, caplog):
    done = project.command(*words("training"), MLFLOW_TRACKING_URI=black_hole)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if black_hole in line)
    stamp, _, message = line.partition(" WARNING ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", stamp)
    assert message == f"MLflow does not answer at {black_hole}; this run goes on without it"
    record = project.root / "data/06_models/smoke/training_record.json"
    assert '"mlflow_run_id": null' in record.read_text()
    record.unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", CLOSED_PORT)
    project.run("smoke", "training")
    assert f"MLflow does not answer at {CLOSED_PORT}; this run goes on without it" in caplog.messages
    assert '"mlflow_run_id": null' in record.read_text()


def test_a_silent_server_is_waited_for_shortly_and_under_no_lock_of_the_store(
    project, black_hole, monkeypatch
):
    (project.root / LOCKS / "tracking.lock").unlink(missing_ok=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", black_hole)
    monkeypatch.setattr(nodes, "train_seeds", lambda *_, **__: 1 / 0)
    start = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        project.run("smoke", "training")
    assert time.monotonic() - start < 10
    assert not (project.root / LOCKS / "tracking.lock").exists()


def test_a_tick_imports_neither_mlflow_nor_kedro_viz_nor_what_only_training_needs(project):
    settings = {"PYTHONPROFILEIMPORTTIME": "1", "MLFLOW_TRACKING_URI": CLOSED_PORT}
    done = project.command(*words("inference"), cold=True, **settings)
    assert "no production model yet" in done.stderr
    imported = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert "dosvotos.live.state" in imported
    assert imported.index("dosvotos.process_settings") < imported.index("numpy")
    packages = {name.partition(".")[0] for name in imported}
    assert not packages & {"mlflow", "kedro_mlflow", "kedro_viz", "torch", "plotly", "arch", "alembic"}


def test_a_pipe_at_80_columns_gets_whole_names_dates_and_numbers(project):
    done = project.command(*words("data_acquisition"), COLUMNS="80")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    table = [row for row in rows if row[1:2] == ["sample"]]
    assert len(table) == 41
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", row[2]) for row in table)
    assert "\N{HORIZONTAL ELLIPSIS}" not in done.stdout


def test_threads_and_async_make_what_a_sequential_run_makes(project):
    made = []
    for runner in (SequentialRunner(), ThreadRunner(), SequentialRunner(is_async=True)):
        shutil.rmtree(project.root / "data/06_models", ignore_errors=True)
        project.run("smoke", "training", runner=runner)
        record = (project.root / "data/06_models/smoke/training_record.json").read_text()
        made.append(re.findall(r'"(?:model|manifest)_hash": "(\w+)"', record))
    assert made[0] == made[1] == made[2]
    assert list(runs(project).values()) == ["FINISHED"] * 3
