"""MLflow's runs of this project: which of them are needed, and how the others are removed for good."""

import io
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from click import ClickException

from dosvotos.contracts.records import TrainingRecord, parse_record
from dosvotos.database.connection import database_file
from dosvotos.errors import DosVotosError
from dosvotos.lineage.pruning import MODELS, Needs, Piece, Plan, size_of, sort_pieces
from dosvotos.project import mlflow_url
from dosvotos.promotion.dossier import FILE_NAMES

_RUNS: Final = """
    SELECT run_uuid, coalesce(name, ''), status, start_time, artifact_uri,
           (SELECT value FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = 'manifest_hash'),
           (SELECT value FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = 'mlflow.parentRunId'),
           EXISTS (SELECT 1 FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = 'pipelines')
    FROM runs r ORDER BY start_time
"""
_REGISTERED: Final = "SELECT run_id FROM model_versions WHERE run_id IS NOT NULL"


class MlflowRun(NamedTuple):
    """A run as MLflow's SQLite file holds it."""

    run_id: str
    name: str
    status: str
    started: datetime
    artifacts: Path
    manifest_hash: str | None
    """Of the model that was trained in it."""
    parent: str | None
    """The training it is one seed of."""
    ours: bool
    """Whether a run of this project's pipelines opened it."""


def plan_runs(needs: Needs) -> Plan:
    """Sort MLflow's runs into what goes and what stays; none of a server's, which is not the project's."""
    if (file := _store(needs.root)) is None:
        return Plan((), ())
    runs, registered = _read(file)
    named = _named(needs)
    manifests = set(needs.manifests) - {run.manifest_hash for run in runs if run.run_id in named}
    parents = {run.run_id: run for run in runs}
    found = []
    for run in runs:
        top = parents.get(run.parent or "", run)
        why = _why(needs, top, named, registered, manifests)
        piece = Piece("MLflow run", Path(run.run_id), _size(run), why or f"{top.name}: {_gone(top)}")
        found.append((piece, why is not None))
    return sort_pieces(found)


def remove_runs(root: Path, run_ids: Collection[str]) -> None:
    """Remove runs with their artifacts from MLflow's SQLite file, as MLflow's own ``gc`` does.

    Raises
    ------
    DosVotosError
        If MLflow does not do it.
    """
    if not run_ids or (file := _store(root)) is None:
        return
    uri = f"sqlite:///{file}"
    folders = [run.artifacts.parent for run in _read(file)[0] if run.run_id in run_ids]
    from mlflow import MlflowClient
    from mlflow.cli import gc
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri)
    try:
        for run_id in run_ids:
            client.delete_run(run_id)
        with redirect_stdout(io.StringIO()):
            gc.main(["--backend-store-uri", uri, "--run-ids", ",".join(run_ids)], standalone_mode=False)
    except (MlflowException, ClickException) as error:
        raise DosVotosError(
            f"MLflow's runs were not removed, but for those it marks deleted: {error}; run 'dosvotos "
            "prune --remove' again once MLflow answers"
        ) from error
    for folder in folders:  # which gc leaves empty
        if folder.name in run_ids and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _store(root: Path) -> Path | None:
    file = database_file(mlflow_url(), root.resolve())
    return file if file is not None and file.is_file() else None


def _read(file: Path) -> tuple[list[MlflowRun], set[str]]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if not {"runs", "tags", "model_versions"} <= tables:
            return [], set()
        rows = connection.execute(_RUNS).fetchall()
        registered = {run_id for (run_id,) in connection.execute(_REGISTERED)}
    return [_run(*row) for row in rows], registered


def _run(run_id: str, name: str, status: str, start: int | None, uri: str | None, *tags: Any) -> MlflowRun:
    manifest_hash, parent, ours = tags
    started = datetime.fromtimestamp((start or 0) / 1000, UTC)
    artifacts = Path((uri or "").removeprefix("file://"))
    return MlflowRun(run_id, name, status, started, artifacts, manifest_hash, parent, bool(ours))


def _named(needs: Needs) -> set[str]:
    """Give the runs that proposals name, and those of trainings that were not proposed yet."""
    rows: Iterable[Any] = ((row.run or {}).get(FILE_NAMES[TrainingRecord], {}) for row in needs.proposals)
    named = {run.get("mlflow_run_id") for run in rows}
    for file in (needs.root / MODELS).glob("*/training_record.json"):
        named.add(parse_record(TrainingRecord, file.read_bytes(), str(file)).mlflow_run_id)
    return {run_id for run_id in named if run_id}


def _why(
    needs: Needs, run: MlflowRun, named: set[str], registered: set[str], manifests: set[str]
) -> str | None:
    """Why a run is needed; of a seed its training is asked about."""
    if not run.ours:
        return "no run of this project's pipelines"
    if run.run_id in named:
        return "a proposal or a candidate names it"
    if run.run_id in registered:
        return "a registered model of MLflow is its"
    if run.manifest_hash in manifests:
        return needs.manifests[str(run.manifest_hash)]
    if run.status == "RUNNING":
        return "it is running, or nobody has said that it died"
    return needs.age_of(run.started)


def _gone(run: MlflowRun) -> str:
    if run.status != "FINISHED":
        return f"{run.status.lower()}, nothing came of it"
    return "its model has another run, or was never proposed"


def _size(run: MlflowRun) -> int:
    return size_of(run.artifacts) if run.artifacts.is_dir() else 0
