"""The project's root, from which every relative path counts: database, bundles, reports, locks, MLflow."""

import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock

from dosvotos.errors import ProjectError

LOCKS: Final = Path("data/.locks")
"""Where runs hold their locks, from the root."""
_MARK = "[tool.kedro]"
_CONF: Final = Path("conf/base/globals.yml")
"""Marks a folder beside an installed wheel, which holds conf/ alone."""


def exclusive_lock(name: str, root: Path = Path()) -> FileLock:
    """Give a lock that one process holds at a time; taking it raises `Timeout` at once if another has it."""
    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    return FileLock(root / LOCKS / f"{name}.lock", timeout=0)


def mlflow_url() -> str:
    """Read where MLflow's runs are kept, by default in a SQLite file under data/."""
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///data/mlflow.db"


def find_root() -> Path | None:
    """The project around the working folder, found upward by its pyproject.toml or its conf/, or None."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if _is_root(folder)), None)


def _is_root(folder: Path) -> bool:
    file = folder / "pyproject.toml"
    if file.is_file() and _MARK in file.read_text(encoding="utf-8"):
        return True
    return (folder / _CONF).is_file()


def enter_root() -> Path:
    """Make the project's root the working folder and return it.

    Raises
    ------
    ProjectError
        If the working folder is in no project.
    """
    root = find_root()
    if root is None:
        raise ProjectError(
            f"{Path.cwd()} is in no Dos Votos project: neither it nor a folder above it holds a "
            f"pyproject.toml with {_MARK}, or {_CONF}; change into the project's folder"
        )
    os.chdir(root)
    return root


@contextmanager
def at_root() -> Iterator[None]:
    """Work in the project's root for a while, such as for a notebook in a subfolder; outside one stay."""
    with chdir(find_root() or Path()):
        yield
