"""What the workers of one test run share: folders that the first to ask makes and the others copy."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

_VARIABLE = "DOSVOTOS_TESTS_SHARED"


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder of this test run that whoever asks first has filled; it is to be copied, not changed.

    `make` is given a folder to make and must leave no database open in it.
    """
    folder = shared_folder() / name
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            part = folder.with_name(f"{name}.part")
            shutil.rmtree(part, ignore_errors=True)
            make(part)
            part.rename(folder)
    return folder


def shared_folder() -> Path:
    """Return the folder whose name the environment holds; who names the first removes it at its own end."""
    if _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="dosvotos-tests-")
        atexit.register(_remove, os.environ[_VARIABLE], os.getpid())
    return Path(os.environ[_VARIABLE])


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder)
