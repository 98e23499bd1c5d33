"""MLflow in a process of its own: its import and its store take seconds that no run has to wait for.

A run hands functions of `mlflow_tracking` over, which work there one after the other. The process is out of
Ctrl-C's reach, serves later runs of the same Python process too, and ends with it; whatever becomes of it, a
run goes on.
"""

import gc
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NamedTuple

from dosvotos import mlflow_tracking, own_process

PATIENCE_SECONDS: Final = 60.0
"""How long a run waits for an answer before it goes on without MLflow."""
logger = logging.getLogger(__name__)

_PROGRAM: Final = """
import logging, os
logging.disable()  # while Kedro tells how it logs
pipe = os.dup(1)
os.dup2(2, 1)  # what a library prints is no reply
from dosvotos import process_settings
from dosvotos.mlflow_process import serve
serve(pipe)
"""
_thread: Final = ThreadPoolExecutor(1, "mlflow")  # Ctrl-C, which meets the main one, cuts no message in two


@dataclass
class _Background:
    """What this process has started."""

    process: subprocess.Popen[bytes] | None = None
    is_at_work: bool = False
    """Whether a run uses it."""


class _LogLine(NamedTuple):
    """A line that MLflow's process has for the run's log."""

    logger: str
    level: int
    text: str


_background = _Background()


def start() -> None:
    """Start the process for a run that begins, unless there is one that answers."""
    _background.is_at_work, process = True, _background.process
    if process is not None and not _pipe(process.stdin).closed and process.poll() is None:
        return
    folders = [folder or str(Path.cwd()) for folder in sys.path]
    settings = {"PYTHONPATH": os.pathsep.join(folders), "MLFLOW_CONFIGURE_LOGGING": "false"}
    _background.process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **settings},
        start_new_session=True,
        cwd=tempfile.gettempdir(),  # a project's folder may go away
    )


def in_background(work: Callable[..., Any], *arguments: Any) -> None:
    """Let a function work in the process, after those before it; nothing, if the run did not start it."""
    if _background.is_at_work:
        _thread.submit(_call, _background.process, work, arguments)


def active_run_id() -> str | None:
    """Id of the MLflow run that is open, or None without MLflow or with its server out of reach."""
    return _ask(mlflow_tracking.active_run_id) if _background.is_at_work else None


def close_run(status: str) -> None:
    """End the open MLflow run, if there is one, as FINISHED, FAILED or KILLED."""
    was_at_work, _background.is_at_work = _background.is_at_work, False
    if was_at_work:
        _ask(mlflow_tracking.close_run, status)


def _call(
    process: subprocess.Popen[bytes] | None, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    """Let a function work in the process, log what it logs, and return its result; None if that fails."""
    assert process is not None
    requests, replies = _pipe(process.stdin), _pipe(process.stdout)
    if requests.closed:
        return None
    try:
        own_process.send(requests, (work, arguments))
        while isinstance(reply := own_process.receive(replies), _LogLine):
            logging.getLogger(reply.logger).log(reply.level, "%s", reply.text)
    except Exception as error:
        why = "its process died" if isinstance(error, EOFError | BrokenPipeError) else error
        logger.warning("MLflow: %s; this run goes on without it", why)
        _hang_up(process)
        return None
    return reply


def _ask(work: Callable[..., Any], *arguments: Any) -> Any:
    """Let a function work in the process and wait for its result; kill the process if that takes too long."""
    process = _background.process
    assert process is not None
    try:
        return _thread.submit(_call, process, work, arguments).result(PATIENCE_SECONDS)
    except TimeoutError:
        logger.warning("MLflow: no answer within %.0f s", PATIENCE_SECONDS)
        process.kill()
        return None


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    with suppress(BrokenPipeError):
        _pipe(process.stdin).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


# ---- in MLflow's process


class _Replies(logging.Handler):
    """Sends results, and what is logged, to the run."""

    def __init__(self, pipe: BinaryIO) -> None:
        super().__init__(logging.WARNING)
        self._pipe = pipe

    def send(self, message: Any) -> None:
        """Send one message, whole."""
        self.acquire()
        try:
            own_process.send(self._pipe, message)
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record's text."""
        self.send(_LogLine(record.name, record.levelno, record.getMessage()))


def serve(pipe: int) -> None:
    """Do what the run sends and answer with each result through a pipe, until the run ends."""
    requests, replies = sys.stdin.buffer, _Replies(os.fdopen(pipe, "wb"))
    logging.basicConfig(handlers=[replies], force=True)  # in the place of Kedro's own
    logging.disable(logging.NOTSET)
    logging.captureWarnings(True)
    with suppress(BrokenPipeError, *own_process.UNREADABLE):
        while True:
            work, arguments = own_process.receive(requests)
            result = None
            with mlflow_tracking.without_mlflow_on_failure():
                result = work(*arguments)
            replies.send(result)
    gc.freeze()  # or the interpreter walks all that MLflow made
