"""A project folder of a test's own: the real configuration, its own data, real runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.runner import AbstractRunner
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Engine

from dosvotos.database.connection import open_database
from tests.conftest import AS_OF, ROOT
from tests.forked import Forked
from tests.sharing import made_once


@dataclass(frozen=True)
class Project:
    """A folder with pyproject.toml and conf/; everything a run makes stays inside."""

    root: Path

    @property
    def engine(self) -> Engine:
        return open_database(f"sqlite:///{self.root}/data/dosvotos.db")

    def run(
        self, env: str, *pipelines: str, runner: AbstractRunner | None = None, **params: dict[str, Any]
    ) -> None:
        """Run pipelines (all up to the proposal without a name) in this process, as of a fixed moment."""
        params["data_acquisition"] = {"as_of": AS_OF, **params.get("data_acquisition", {})}
        with inside(self.root), KedroSession.create(self.root, env=env, runtime_params=params) as session:
            session.run(pipeline_names=list(pipelines) or None, runner=runner)

    def command(self, *words: str, cold: bool = False, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run ``kedro`` or ``dosvotos`` as a person would, to its end; takes what `start` takes."""
        process = self.start(*words, cold=cold, **settings)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def start(
        self, *words: str, folder: str = ".", cold: bool = False, **environment: str
    ) -> subprocess.Popen[str] | Forked:
        """Start such a program in a folder of the project, its output piped.

        It is forked from a process with the imports done, unless `cold` asks for an interpreter of its own.
        """
        program = str(Path(sys.executable).with_name(words[0]))
        settings = {**os.environ, "DO_NOT_TRACK": "true", **environment}
        if not cold:
            return Forked((program, *words[1:]), self.root / folder, settings)
        return subprocess.Popen(
            [program, *words[1:]],
            cwd=self.root / folder,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def new_project(root: Path, tracked: bool = True) -> Project:
    """Lay out a project folder, with MLflow's empty store unless its first run is to make it."""
    shutil.copytree(ROOT / "conf", root / "conf")
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copy(ROOT / ".telemetry", root)
    (root / "src").mkdir()
    if tracked:
        (root / "data").mkdir()
        shutil.copy(made_once("mlflow", empty_store) / "mlflow.db", root / "data")
    bootstrap_project(root)
    return Project(root)


def stored_project(root: Path) -> Project:
    """Lay out a project folder in whose database smoke's market is stored."""
    return copied_project(Project(made_once("stored", _store)), root)


def built_project(root: Path) -> Project:
    """Lay out a project folder with smoke's market and the dataset built on it."""
    return copied_project(Project(made_once("built", _build)), root)


def copied_project(project: Project, root: Path) -> Project:
    """Lay out a project folder like another, with all it holds."""
    shutil.copytree(project.root, root, dirs_exist_ok=True)
    bootstrap_project(root)
    return Project(root)


def _store(folder: Path) -> None:
    project = new_project(folder)
    project.run("smoke", "data_acquisition")
    project.engine.dispose()


def _build(folder: Path) -> None:
    project = stored_project(folder)
    project.run("smoke", "dataset")
    project.engine.dispose()


def empty_store(folder: Path) -> None:
    """Make what MLflow makes at a project's first run; its some fifty migrations take seconds."""
    folder.mkdir()
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", str(folder)).engine.dispose()


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
