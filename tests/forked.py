"""Scripts forked from a process that has their imports done: real processes, without the cold start."""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from unittest.mock import patch

_ROOT = Path(__file__).parents[1]
_ENVIRONMENT = dict(os.environ)
"""As no test has changed it."""


@cache
def _own_path() -> tuple[str, ...]:
    """Where Python finds modules without a PYTHONPATH, an editable install's folder among them."""
    env = {name: value for name, value in _ENVIRONMENT.items() if name != "PYTHONPATH"}
    asked = [sys.executable, "-c", "import sys; print(*sys.path[1:], sep='\\n')"]
    return tuple(subprocess.check_output(asked, env=env, text=True).splitlines())


@cache
def processes() -> ForkServerContext:
    """Processes that are forked from one with every import done and no connection open."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.forked_imports"])
    path = os.pathsep.join([str(_ROOT / "src"), str(_ROOT), _ENVIRONMENT.get("PYTHONPATH", "")])
    with patch.dict(os.environ, {**_ENVIRONMENT, "PYTHONPATH": path.strip(os.pathsep)}, clear=True):
        forkserver.ensure_running()
    return context


class Forked:
    """A Python script in a process of its own, as `subprocess.Popen` shows one whose output is piped.

    The script finds the modules of `tests.forked_imports` loaded; all else is its own: arguments, folder,
    environment, search path, exit handlers, exit code and signals.
    """

    def __init__(self, words: tuple[str, ...], cwd: Path, env: Mapping[str, str]) -> None:
        context, self.args = processes(), words
        pipes = [context.Pipe(duplex=False) for _ in range(2)]
        ends = [end for _, end in pipes]
        path = _search_path(Path(words[0]).parent, env)
        self._process = context.Process(target=_run, args=(words, str(cwd), dict(env), path, *ends))
        self._process.start()
        for end in ends:
            end.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(pipe.fileno()), encoding="utf-8") for pipe, _ in pipes)
        self.pid = int(self._process.pid or 0)
        atexit.register(self.kill)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        with ThreadPoolExecutor(2) as readers:
            read = [readers.submit(pipe.read) for pipe in (self.stdout, self.stderr)]
            try:
                stdout, stderr = (output.result(timeout) for output in read)
            except TimeoutError:
                self.kill()
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
        self.wait(timeout)
        return stdout, stderr

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(
    words: tuple[str, ...], cwd: str, env: dict[str, str], path: list[str], *outputs: Connection
) -> None:
    """Become a script, from its first line to its exit handlers."""
    for number, pipe in enumerate(outputs, 1):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.argv, sys.path[:] = list(words), path
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    interrupted = False
    try:
        runpy.run_path(words[0], run_name="__main__")
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        interrupted = True
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
    if interrupted:  # as Python ends then
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def _search_path(folder: Path, env: Mapping[str, str]) -> list[str]:
    """Where a script that is started in an environment finds its modules."""
    asked = [part for part in env.get("PYTHONPATH", "").split(os.pathsep) if part]
    return [str(folder), *asked, *(part for part in _own_path() if part not in asked)]
