"""What the workers of one test run share: folders that the first to ask makes and the others copy."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
from filelock import FileLock

_VARIABLE = "DOSVOTOS_TESTS_SHARED"
N_WORKERS = (os.cpu_count() or 1) + 1
"""One more than there are cores: some of the tests wait for servers, browsers and other processes."""
_MEMORY, _ROOM_BYTES = Path("/dev/shm"), 6 * 2**30


def use_memory() -> None:
    """Put temporary folders into memory if it has the room: a commit in them then waits for no disk.

    A TMPDIR that the caller states stays.
    """
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK):
        return
    volume, free_bytes = os.statvfs(_MEMORY), psutil.virtual_memory().available
    if min(free_bytes, volume.f_bavail * volume.f_frsize) < _ROOM_BYTES or volume.f_flag & os.ST_NOEXEC:
        return
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


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
