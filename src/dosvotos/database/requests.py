"""The queue of extra backtests: each request is worked on by one worker at a time.

A worker claims a request for a while and renews its claim as it works. When it dies its claim runs out, and
the request is anybody's again.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, func, insert, or_, select, update

from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import backtest_requests, promotion_proposals
from dosvotos.errors import AlteredError, UnknownRequestError
from dosvotos.refusals import Language, Phrase, StoredText

MAX_CLAIMS = 3
"""A request whose workers died this often is not tried again."""


class ExtraBacktestResult(NamedTuple):
    """What a finished request leaves: a file, the hash of its folder's manifest, the metrics for the row."""

    file: str
    digest: str
    metrics: dict[str, Any]


def add_request(connection: Connection, request: Mapping[str, Any]) -> int:
    """Queue a request; the same period of the same proposal is found again, unless it failed.

    Parameters
    ----------
    connection : Connection
    request : Mapping
        proposal_id, start_date, end_date, sample, requested_by and requested_at.
    """
    t = backtest_requests
    _lock_proposal(connection, request["proposal_id"])
    same = and_(*(t.c[name] == request[name] for name in ("proposal_id", "start_date", "end_date")))
    found = select(t.c.id).where(same, t.c.status != "failed")
    if (known := connection.execute(found).scalar()) is not None:
        return int(known)
    return int(connection.execute(insert(t).values(**request).returning(t.c.id)).scalar_one())


def get_request(connection: Connection, request_id: int) -> Row[Any]:
    """Get a request by its id.

    Raises
    ------
    UnknownRequestError
        If there is none.
    """
    query = select(backtest_requests).where(backtest_requests.c.id == request_id)
    if (row := connection.execute(query).one_or_none()) is None:
        raise UnknownRequestError.of("backtest_unknown", backtest=request_id)
    return row


def list_requests(connection: Connection, proposal_id: int) -> list[Row[Any]]:
    """List a proposal's requests, newest first; raises AlteredError if one holds what is no date."""
    t = backtest_requests
    query = select(t).where(t.c.proposal_id == proposal_id).order_by(t.c.id.desc())
    try:
        return list(connection.execute(query).all())
    except (TypeError, ValueError) as error:
        raise AlteredError.of("value_altered", found=f"backtest_requests: {error}", kind="date") from error


def claim_request(engine: Engine, worker: str, now: datetime, lease: timedelta) -> Row[Any] | None:
    """Take the oldest request that waits or whose worker is gone; None if there is none."""
    if not _is_any_free(engine, now):
        return None
    t = backtest_requests
    with writing(engine) as connection:
        _give_up(connection, now)
        query = select(t.c.id).where(_free(now)).order_by(t.c.id).limit(1).with_for_update(skip_locked=True)
        if (request_id := connection.execute(query).scalar()) is None:
            return None
        claim = {"status": "running", "claimed_by": worker, "claimed_until": now + lease}
        taken = update(t).where(t.c.id == request_id).values(**claim, claims=t.c.claims + 1)
        return connection.execute(taken.returning(*t.c)).one()


def renew_claim(engine: Engine, request_id: int, worker: str, now: datetime, lease: timedelta) -> bool:
    """Keep a claim for another while; False if it is another's by now."""
    return _change(engine, request_id, worker, {"claimed_until": now + lease})


def finish_request(
    engine: Engine, request_id: int, worker: str, result: ExtraBacktestResult, now: datetime
) -> bool:
    """Enter the result; False, and nothing is entered, if the claim is another's by now."""
    values = {"result_file": result.file, "result_hash": result.digest, "metrics": result.metrics}
    return _change(engine, request_id, worker, {**values, "status": "done", "finished_at": now})


def fail_request(engine: Engine, request_id: int, worker: str, problem: Phrase, now: datetime) -> bool:
    """Enter why a request cannot be done; False, and nothing is entered, if the claim is another's by now."""
    return _change(engine, request_id, worker, _failed(problem, now))


def problem_in(request: Row[Any], language: Language) -> str | None:
    """Read why a request failed, in a language; None where it did not fail."""
    if request.problem is None:
        return None
    return StoredText.read(request.problem, request.problem_told).told(language)


def _failed(problem: Phrase, now: datetime) -> dict[str, Any]:
    told = StoredText.of(problem)
    return {"status": "failed", "problem": str(told), "problem_told": told.by_language, "finished_at": now}


def _lock_proposal(connection: Connection, proposal_id: int) -> None:
    query = select(promotion_proposals.c.id).where(promotion_proposals.c.id == proposal_id)
    connection.execute(query.with_for_update())


def _is_any_free(engine: Engine, now: datetime) -> bool:
    """Look without the write lock, which an idle worker should not take again and again."""
    with reading(engine) as connection:
        query = select(func.count()).select_from(backtest_requests).where(_free(now))
        return bool(connection.execute(query).scalar_one())


def _free(now: datetime) -> ColumnElement[bool]:
    t = backtest_requests
    return or_(t.c.status == "queued", _abandoned(now))


def _abandoned(now: datetime) -> ColumnElement[bool]:
    t = backtest_requests
    return and_(t.c.status == "running", t.c.claimed_until < now)


def _give_up(connection: Connection, now: datetime) -> None:
    problem = Phrase.of("worker_died", times=MAX_CLAIMS)
    t = backtest_requests
    hopeless = and_(_abandoned(now), t.c.claims >= MAX_CLAIMS)
    connection.execute(update(t).where(hopeless).values(_failed(problem, now)))


def _change(engine: Engine, request_id: int, worker: str, values: dict[str, Any]) -> bool:
    t = backtest_requests
    own = and_(t.c.id == request_id, t.c.status == "running", t.c.claimed_by == worker)
    with writing(engine) as connection:
        return bool(connection.execute(update(t).where(own).values(**values)).rowcount)
