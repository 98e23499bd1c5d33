"""MLflow, where it is installed and answers; what a training shows there, `mlflow_figures` gathers.

MLflow's process imports this module: no record of ours, nor what makes one, is imported here.
"""

import logging
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from filelock import FileLock
from kedro.framework.context import KedroContext
from pluggy import PluginManager

from dosvotos.database.connection import absolute_url
from dosvotos.project import LOCKS
from dosvotos.redaction import without_secrets

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 1.0
_SHORT_WAITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
WEB: Final = ("http://", "https://")
"""How the address of a server begins."""
_MAX_PARAM = 500
_MAX_BATCH = 1000


@dataclass
class Tracking:
    """What this process has open at MLflow."""

    root: Path = Path()
    """The project's."""
    client: Any = None
    """``MlflowClient``, or None while nothing is tracked."""
    experiment_id: str = ""
    run_id: str | None = None
    """The run that is open; a backtest alone writes into its training's and opens none."""
    marker: Path = Path()
    """The file that tells the next start of the run, should this process die."""


_tracking = Tracking()


class Point(NamedTuple):
    """A figure at a step."""

    name: str
    value: float
    step: int


class RunFigures(NamedTuple):
    """What is logged to a run at once."""

    points: tuple[Point, ...]
    tags: dict[str, str]


class TrainingLog(NamedTuple):
    """What is logged of a training."""

    figures: RunFigures
    files: Mapping[str, str]
    """Texts by file name."""
    bundle: Path
    """Folder of the candidate's."""
    seeds: Mapping[str, RunFigures]
    """Of several seeds each one's, by its run's name."""


class MlflowSettings(NamedTuple):
    """What MLflow's process has to know of the project."""

    root: Path
    config: Mapping[str, Any]
    """mlflow.yml."""
    credentials: Mapping[str, Any]

    @classmethod
    def of(cls, context: KedroContext) -> Self:
        """Take them from a run's context."""
        loader = context.config_loader
        return cls(context.project_path, loader["mlflow"], loader["credentials"])

    @property
    def tracking_uri(self) -> str:
        """Address of MLflow's server, or of its file counted from the project's root."""
        return absolute_url(self.config["server"]["mlflow_tracking_uri"], self.root)

    def context(self) -> KedroContext:
        """Make a context of the project that knows these settings alone."""
        loader: Any = {"mlflow": self.config, "credentials": self.credentials}
        return KedroContext(
            project_path=self.root,
            config_loader=loader,
            env=None,
            package_name="dosvotos",
            hook_manager=PluginManager("kedro"),
        )


def is_installed() -> bool:
    """Whether kedro-mlflow is there; nothing is imported."""
    return find_spec("kedro_mlflow") is not None


def active_run_id() -> str | None:
    """Id of the run that is open."""
    return _tracking.run_id


def connect(settings: MlflowSettings) -> None:
    """Set up MLflow as mlflow.yml says; when it does not answer, nothing is tracked.

    A server is asked whether it is there before anything waits for it, and no lock is held meanwhile.
    """
    _tracking.root, _tracking.client, _tracking.run_id = settings.root, None, None
    if not answers(settings.tracking_uri):
        shown = without_secrets(settings.tracking_uri)
        logger.warning("MLflow does not answer at %s; this run goes on without it", shown)
        return
    with without_mlflow_on_failure():
        config = set_up_mlflow(settings)
        _tracking.experiment_id = config.tracking.experiment._experiment.experiment_id
        _tracking.client = config.server._mlflow_client


def set_up_mlflow(settings: MlflowSettings) -> Any:
    """kedro-mlflow's configuration, paths counted from the project's root, store and experiment made."""
    from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig

    logging.getLogger("kedro_mlflow").setLevel(logging.ERROR)  # it sets its own level
    config = KedroMlflowConfig.model_validate(settings.config)
    uri = config.server.mlflow_tracking_uri = settings.tracking_uri
    if uri.startswith(WEB):
        for name, value in _SHORT_WAITS.items():
            os.environ.setdefault(name, value)
        _set_up(config, settings)
        return config
    locks = settings.root / LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / "tracking.lock"):  # two first runs would both make the tables
        artifacts = config.tracking.experiment.create_experiment_kwargs.artifact_location
        _adopt_artifacts(Path(uri.removeprefix("sqlite:///")), settings.root, artifacts)
        _set_up(config, settings)
    return config


def _set_up(config: Any, settings: MlflowSettings) -> None:
    """Make client and experiment, but leave MLflow's address as it was: the next project would follow it."""
    name = "MLFLOW_TRACKING_URI"
    given = {name: os.environ[name]} if name in os.environ else {}
    config.setup(settings.context())
    os.environ.pop(name, None)
    os.environ.update(given)


def open_run(name: str, root: Path, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Open a run and log its parameters, if MLflow is there."""
    if _tracking.client is None:
        return
    from mlflow.entities import Param

    cut = [Param(key, str(value)[:_MAX_PARAM]) for key, value in params.items()]
    with without_mlflow_on_failure() as client:
        run_id = client.create_run(_tracking.experiment_id, run_name=name, tags=dict(tags)).info.run_id
        _tracking.run_id, _tracking.marker = run_id, _marker(name, root)
        _tracking.marker.write_text(f"{run_id}\n{root}")
        client.log_batch(run_id, params=cut)


def close_run(status: str) -> None:
    """End the open run, if there is one, as FINISHED, FAILED or KILLED."""
    if _tracking.client is not None and _tracking.run_id is not None:
        with without_mlflow_on_failure() as client:
            client.set_terminated(_tracking.run_id, status)
            _tracking.marker.unlink(missing_ok=True)
    _tracking.client, _tracking.run_id = None, None


def has_dead_run(name: str, root: Path) -> bool:
    """Whether the process of the last tracked run of this name died before the run ended."""
    return _marker(name, root).is_file()


def end_dead_run(name: str, root: Path) -> None:
    """End a dead run as KILLED, unless it is on a server and another copy of the project opened it.

    Without MLflow it waits for a later start.
    """
    if _tracking.client is None:
        return
    marker = _marker(name, root)
    run_id, _, home = marker.read_text().partition("\n")
    with without_mlflow_on_failure() as client:
        if home == str(root) or not client.tracking_uri.startswith(WEB):
            client.set_terminated(run_id, "KILLED")
        marker.unlink(missing_ok=True)


def _marker(name: str, root: Path) -> Path:
    return root / LOCKS / f"{name}.mlflow"


def answers(uri: str) -> bool:
    """Whether anything at a server's address replies within a second; a file needs no asking."""
    if not uri.startswith(WEB):
        return True
    import httpx

    try:
        httpx.get(uri, timeout=_ANSWER_SECONDS, verify=False)  # asks for a sign of life and sends nothing
    except httpx.HTTPError:
        return False
    return True


@contextmanager
def without_mlflow_on_failure() -> Iterator[Any]:
    """Give the client; whatever goes wrong with it ends the tracking, never the run."""
    try:
        yield _tracking.client
    except Exception as error:
        logger.warning("MLflow: %s; this run goes on without it", str(error).partition("\n")[0])
        _tracking.client = None


def _adopt_artifacts(database: Path, root: Path, artifacts: str | None) -> None:
    """Let a copied or moved project's store name its own artifact folder: MLflow keeps whole paths."""
    if not artifacts or Path(artifacts).is_absolute() or "://" in artifacts:
        return
    if not database.is_relative_to(root) or not database.is_file():
        return
    here = (root / artifacts).as_uri()
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        execute = connection.execute
        if not execute("SELECT name FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return
        elsewhere = execute(
            "SELECT DISTINCT artifact_location FROM experiments "
            "WHERE artifact_location LIKE ? AND artifact_location <> ?",
            (f"file://%/{artifacts}", here),
        )
        for (old,) in elsewhere.fetchall():
            execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (here, old))
            execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE artifact_uri LIKE ?",
                (here, len(old) + 1, f"{old}/%"),
            )


def log_training(training: TrainingLog) -> None:
    """Log a training to the open run, and its seeds in runs of their own below it.

    There MLflow draws the seeds' curves of one figure together.
    """
    if _tracking.client is None or _tracking.run_id is None:
        return
    run_id = _tracking.run_id
    with without_mlflow_on_failure() as client:
        commit = _git_commit(_tracking.root)
        tags = training.figures.tags | ({"git_commit": commit} if commit else {})
        _log_figures(client, run_id, training.figures._replace(tags=tags))
        for name, text in training.files.items():
            client.log_text(run_id, text, name)
        client.log_artifacts(run_id, str(training.bundle), "bundle")
        for name, figures in training.seeds.items():
            child = client.create_run(_tracking.experiment_id, run_name=name).info.run_id
            tags = {"mlflow.parentRunId": run_id, **figures.tags}
            _log_figures(client, child, figures._replace(tags=tags))
            client.set_terminated(child)


def log_backtest(run_id: str | None, figures: RunFigures) -> None:
    """Log the out-of-sample figures to the training's run."""
    if _tracking.client is None or run_id is None:
        return
    with without_mlflow_on_failure() as client:
        _log_figures(client, run_id, figures)


def _git_commit(folder: Path) -> str | None:
    """The commit of a folder, marked where files differ from it; None outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _log_figures(client: Any, run_id: str, figures: RunFigures) -> None:
    """All in few calls: each costs the store a transaction."""
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    points = [Metric(point.name, point.value, now, point.step) for point in figures.points]
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in figures.tags.items()])
    for first in range(0, len(points), _MAX_BATCH):
        client.log_batch(run_id, metrics=points[first : first + _MAX_BATCH])
