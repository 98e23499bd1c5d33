"""``dosvotos jobs``: run the extra backtests that people asked for."""

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, Row

from dosvotos.database.outbox import is_due, send_in_background
from dosvotos.database.requests import claim_request, fail_request, finish_request, renew_claim
from dosvotos.errors import DatabaseError, DosVotosError
from dosvotos.promotion.notify import sendable_kinds
from dosvotos.refusals import Phrase

LEASE: Final = timedelta(minutes=2)
"""How long a claim holds without being renewed; a worker renews it four times as often."""
POLL_SECONDS: Final = 1.0
OUTBOX_INTERVAL: Final = timedelta(seconds=10)
"""The outbox is drained no more often than this."""
ALIAS_INTERVAL: Final = timedelta(minutes=10)
"""How often an alias is put right that somebody moved in MLflow, and proposals that expire are looked for."""
HEARTBEAT: Final = Path("data/.locks/jobs.heartbeat")
BEAT_SECONDS: Final = 2.0
SILENCE: Final = timedelta(seconds=15)
"""Without a beat for so long a worker counts as down."""
logger = logging.getLogger(__name__)

Echo = Callable[[str], None]
"""Tells what happens, as ``click.echo`` does."""


def run_queued(engine: Engine, echo: Echo, lease: timedelta = LEASE) -> int:
    """Run extra backtests until none waits, and count those done or failed."""
    worker, worked = f"{os.getpid()}-{uuid.uuid4().hex[:12]}", 0
    while (request := claim_request(engine, worker, _now(), lease)) is not None:
        echo(f"backtest {request.id}: {request.start_date} to {request.end_date}, {request.sample}")
        echo(f"backtest {request.id}: {_work(engine, request, worker, lease)}")
        worked += 1
    return worked


def watch(engine: Engine, echo: Echo, parent: int) -> None:
    """Run extra backtests as they are asked for, until the process that started this one, `parent`, is gone.

    A database that is locked or away is asked again, and a request that raises what nobody expected fails
    alone: its traceback goes to the log, the queue goes on.
    """
    drained_at = _now()
    with _beating():
        while os.getppid() == parent:
            try:
                run_queued(engine, echo)
                drained_at = _drain_outbox(engine, drained_at)
            except DatabaseError as error:
                echo(f"jobs: {error}; asked again")
            except Exception:
                logger.exception("jobs: an extra backtest failed unexpectedly; the next one is taken")
            time.sleep(POLL_SECONDS)


def _drain_outbox(engine: Engine, drained_at: datetime) -> datetime:
    """Let a process of its own drain the outbox when something is due, and look after the aliases at times.

    Gives when that was last done.
    """
    now = _now()
    since = now - drained_at
    if since < ALIAS_INTERVAL and not (since > OUTBOX_INTERVAL and is_due(engine, now, sendable_kinds())):
        return drained_at
    send_in_background(Path.cwd(), str(engine.url.render_as_string(hide_password=False)))
    return now


def is_worker_up(now: datetime) -> bool:
    """Tell whether a watching worker of this project has shown a sign of life within `SILENCE`."""
    try:
        last = HEARTBEAT.stat().st_mtime
    except FileNotFoundError:
        return False
    return now - datetime.fromtimestamp(last, UTC) < SILENCE


@contextmanager
def _beating() -> Iterator[None]:
    """Touch the heartbeat for as long as this process watches, working or waiting; remove it at the end."""
    HEARTBEAT.parent.mkdir(parents=True, exist_ok=True)
    with _repeated(HEARTBEAT.touch, BEAT_SECONDS):
        yield
    HEARTBEAT.unlink(missing_ok=True)


def _work(engine: Engine, request: Row[Any], worker: str, lease: timedelta) -> str:
    from dosvotos.promotion.extra_backtests import run_request

    with _claim_kept(engine, request.id, worker, lease):
        try:
            result = run_request(engine, request, _now())
        except DatabaseError:
            raise
        except DosVotosError as error:
            fail_request(engine, request.id, worker, error.phrase, _now())
            return f"failed: {error}"
        except Exception as error:
            fail_request(
                engine, request.id, worker, Phrase.of("unexpected", kind=type(error).__name__), _now()
            )
            raise
    if not finish_request(engine, request.id, worker, result, _now()):
        return "another worker has it by now"
    return f"done, see {result.file}"


@contextmanager
def _claim_kept(engine: Engine, request_id: int, worker: str, lease: timedelta) -> Iterator[None]:
    """Renew a claim in the background for as long as the work goes on; if the database is away, once more."""

    def renew() -> None:
        try:
            renew_claim(engine, request_id, worker, _now(), lease)
        except DatabaseError as error:
            logger.warning("jobs: the claim on backtest %d was not renewed: %s", request_id, error)

    with _repeated(renew, lease.total_seconds() / 4, at_once=False):
        yield


@contextmanager
def _repeated(act: Callable[[], object], seconds: float, at_once: bool = True) -> Iterator[None]:
    """Repeat something in the background until the block ends."""
    over = threading.Event()

    def repeat() -> None:
        if at_once:
            act()
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _now() -> datetime:
    return datetime.now(UTC)
