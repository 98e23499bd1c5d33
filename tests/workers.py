"""Runs pytest with workers that are forked from a process in which every test file is imported.

``python -m tests.workers`` takes pytest's arguments. The imports take twelve seconds of a processor, which
each worker in an interpreter of its own would spend again. A worker's command is `_ASK`: it hands its pipes
to the process with the imports, which forks, and lives as long as what was forked.
"""

import gc
import importlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType

import pytest
from _pytest.config import _prepareconfig

from tests.sharing import N_WORKERS, shared_folder, use_memory

_ROOT = Path(__file__).parents[1]
_ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as forking:
    forking.connect(sys.argv[1])
    socket.send_fds(forking, [sys.argv[-1].encode()], [0, 1, 2])
    forking.recv(1)
"""
_MAX_PROGRAM = 2**16


def main(arguments: list[str]) -> int:
    """Compile the kernels, run pytest with forked workers, and return its exit code."""
    use_memory()
    folder = shared_folder()
    with subprocess.Popen([sys.executable, "-m", "tests.warm"], cwd=_ROOT) as compiling:
        _import_tests()
    if compiling.returncode:
        return compiling.returncode
    asking = folder / "ask.py"
    asking.write_text(_ASK)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "workers"))
        listening.listen()
        listening.settimeout(0.2)
        command = shlex.join([sys.executable, "-S", "-E", str(asking), str(folder / "workers")])
        tx = f"--tx={N_WORKERS}*popen//python={command}"
        controller = subprocess.Popen([sys.executable, "-m", "pytest", tx, *arguments], cwd=_ROOT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pytest heeds it
        signal.signal(signal.SIGTERM, lambda *_: controller.terminate())
        while controller.poll() is None:
            _fork_worker(listening)
    return controller.returncode


def _import_tests() -> None:
    """Import every test file as pytest does, its assertions rewritten."""
    gc.disable()
    config = _prepareconfig(["-p", "no:cacheprovider"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in sorted((_ROOT / "tests").rglob("test_*.py")):
            try:
                importlib.import_module(".".join(file.relative_to(_ROOT).with_suffix("").parts))
            except pytest.skip.Exception:
                continue  # pytest says so
    config._ensure_unconfigure()
    gc.freeze()


def _fork_worker(listening: socket.socket) -> None:
    """Wait a moment for one that asks for a worker; in that worker, run the program it was asked with."""
    try:
        asking, _ = listening.accept()
    except TimeoutError:
        return
    with asking:
        program, pipes, _, _ = socket.recv_fds(asking, _MAX_PROGRAM, 3)
        if os.fork() == 0:
            listening.close()
            _become(program.decode(), pipes)
        for pipe in pipes:
            os.close(pipe)


def _become(program: str, pipes: list[int]) -> None:
    """Run a program as ``python -c`` does in a process that has just been forked."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
        os.close(pipe)
    tempfile.tempdir = None
    sys.argv = ["-c"]
    sys.modules["__main__"] = module = ModuleType("__main__")
    exec(program, module.__dict__)
    sys.exit()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
