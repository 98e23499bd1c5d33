"""MLflow in a process of its own: its import and its store take seconds that no run has to wait for.

A run hands functions of `mlflow_tracking` over, which work there one after the other. The process is out of
Ctrl-C's reach and ends with the run; whatever becomes of it, the run goes on.
"""

import gc
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NamedTuple

from dosvotos import mlflow_tracking

PATIENCE_SECONDS: Final = 60.0
"""How long a run waits for an answer before it goes on without MLflow."""
_EXIT_SECONDS: Final = 5.0
logger = logging.getLogger(__name__)

_PROGRAM: Final = "from dosvotos.mlflow_process import serve; serve()"
_thread: Final = ThreadPoolExecutor(1, "mlflow")  # Ctrl-C, which meets the main one, cuts no message in two


@dataclass
class _Background:
    """What the run has started."""

    process: subprocess.Popen[bytes] | None = None


class _LogLine(NamedTuple):
    """A line that MLflow's process has for the run's log."""

    logger: str
    level: int
    text: str


_background = _Background()


def start() -> None:
    """Start the process, for the run that begins."""
    folders = [folder or str(Path.cwd()) for folder in sys.path]
    settings = {"PYTHONPATH": os.pathsep.join(folders), "MLFLOW_CONFIGURE_LOGGING": "false"}
    _background.process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **settings},
        start_new_session=True,
    )


def in_background(work: Callable[..., Any], *arguments: Any) -> None:
    """Let a function work in the process, after those before it; without the process nothing happens."""
    if _background.process is not None:
        _thread.submit(_call, _background.process, work, arguments)


def active_run_id() -> str | None:
    """Id of the MLflow run that is open, or None without MLflow or with its server out of reach."""
    process = _background.process
    return None if process is None else _ask(process, mlflow_tracking.active_run_id)


def close_run(status: str) -> None:
    """End the open run, if there is one, as FINISHED, FAILED or KILLED, and then the process."""
    process, _background.process = _background.process, None
    if process is None:
        return
    _ask(process, mlflow_tracking.close_run, status)
    _hang_up(process)
    try:
        process.wait(_EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _call(process: subprocess.Popen[bytes], work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Let a function work in the process, log what it logs, and return its result; None if that fails."""
    requests, replies = _pipe(process.stdin), _pipe(process.stdout)
    if requests.closed:
        return None
    try:
        _send(requests, (work, arguments))
        while isinstance(reply := pickle.load(replies), _LogLine):
            logging.getLogger(reply.logger).log(reply.level, "%s", reply.text)
    except Exception as error:
        why = "its process died" if isinstance(error, EOFError | BrokenPipeError) else error
        logger.warning("MLflow: %s; this run goes on without it", why)
        _hang_up(process)
        return None
    return reply


def _ask(process: subprocess.Popen[bytes], work: Callable[..., Any], *arguments: Any) -> Any:
    """Let a function work there and wait for its result; kill the process if that takes too long."""
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


def _send(pipe: IO[bytes], message: Any) -> None:
    pipe.write(pickle.dumps(message))
    pipe.flush()


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
            _send(self._pipe, message)
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record's text."""
        self.send(_LogLine(record.name, record.levelno, record.getMessage()))


def serve() -> None:
    """Do what the run sends and answer with each result, until the run ends."""
    requests, replies = sys.stdin.buffer, _Replies(os.fdopen(os.dup(sys.stdout.fileno()), "wb"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no reply
    logging.basicConfig(handlers=[replies], force=True)  # Kedro has set up its own
    logging.captureWarnings(True)
    with suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):
        while True:
            work, arguments = pickle.load(requests)
            result = None
            with mlflow_tracking.without_mlflow_on_failure():
                result = work(*arguments)
            replies.send(result)
    gc.freeze()  # or the interpreter walks all that MLflow made
