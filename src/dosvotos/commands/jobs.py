"""``dosvotos jobs``: run the extra backtests that people asked for."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine, Row

from dosvotos.database.requests import claim_request, fail_request, finish_request, renew_claim
from dosvotos.errors import DosVotosError

LEASE: Final = timedelta(minutes=2)
"""How long a claim holds without being renewed; a worker renews it four times as often."""
POLL_SECONDS: Final = 1.0

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


def watch(engine: Engine, echo: Echo) -> None:
    """Run extra backtests as they are asked for, until the process that started this one is gone."""
    parent = os.getppid()
    while os.getppid() == parent:
        run_queued(engine, echo)
        time.sleep(POLL_SECONDS)


def _work(engine: Engine, request: Row[Any], worker: str, lease: timedelta) -> str:
    from dosvotos.promotion.extra_backtests import run_request

    with _claim_kept(engine, request.id, worker, lease):
        try:
            result = run_request(engine, request, _now())
        except DosVotosError as error:
            fail_request(engine, request.id, worker, str(error), _now())
            return f"failed: {error}"
        except Exception as error:
            fail_request(engine, request.id, worker, f"an unexpected {type(error).__name__}", _now())
            raise
    if not finish_request(engine, request.id, worker, result, _now()):
        return "another worker has it by now"
    return f"done, see {result.file}"


@contextmanager
def _claim_kept(engine: Engine, request_id: int, worker: str, lease: timedelta) -> Iterator[None]:
    """Renew a claim in the background for as long as the work goes on."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(lease.total_seconds() / 4):
            renew_claim(engine, request_id, worker, _now(), lease)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _now() -> datetime:
    return datetime.now(UTC)
