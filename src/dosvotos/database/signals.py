"""Signals and the features they were made from: one row an instrument and bar."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select

from dosvotos.database.live_tables import trading_signals
from dosvotos.database.tables import inference_features_5m

_t = trading_signals
_OWN: Final = _t.c.instrument == bindparam("instrument")
_BEFORE: Final = _t.c.timestamp < bindparam("timestamp")
# Built once: the loop asks them at every bar, and building one takes longer than SQLite's answer.
_FIND: Final = select(_t).where(_OWN, _t.c.timestamp == bindparam("timestamp"))
_LAST_SIGNAL: Final = (
    select(_t.c.signal, _t.c.reason_code)
    .where(_OWN, _BEFORE, _t.c.status == "SIGNAL")
    .order_by(_t.c.timestamp.desc())
    .limit(1)
)
_STATUSES: Final = (
    select(_t.c.status).where(_OWN, _BEFORE).order_by(_t.c.timestamp.desc()).limit(bindparam("n_rows"))
)
_NEWEST: Final = select(func.max(_t.c.timestamp)).where(_OWN)


def find_signal(connection: Connection, instrument: str, timestamp: datetime) -> Row[Any] | None:
    """Find the signal of one bar, or None."""
    return connection.execute(_FIND, {"instrument": instrument, "timestamp": timestamp}).one_or_none()


def last_signal_before(connection: Connection, instrument: str, timestamp: datetime) -> Row[Any, Any] | None:
    """Find the last target signalled before a bar, with its reason; None at the start."""
    return connection.execute(_LAST_SIGNAL, {"instrument": instrument, "timestamp": timestamp}).one_or_none()


def statuses_before(
    connection: Connection, instrument: str, timestamp: datetime, limit: int
) -> Sequence[str]:
    """List the status of the rows just before a bar, newest first."""
    named = {"instrument": instrument, "timestamp": timestamp, "n_rows": limit}
    return connection.execute(_STATUSES, named).scalars().all()


def last_timestamp(connection: Connection, instrument: str) -> datetime | None:
    """Find the newest bar that has its row."""
    found: datetime | None = connection.execute(_NEWEST, {"instrument": instrument}).scalar_one()
    return found


def first_timestamp(connection: Connection, instrument: str) -> datetime | None:
    """Find the oldest bar that has its row."""
    t = trading_signals
    query = select(func.min(t.c.timestamp)).where(t.c.instrument == instrument)
    found: datetime | None = connection.execute(query).scalar_one()
    return found


def add_signal(connection: Connection, signal: dict[str, Any], features: dict[str, Any] | None) -> None:
    """Store a bar's signal and, when there were any, the features it was made from."""
    if features is not None:
        connection.execute(insert(inference_features_5m), features)
    connection.execute(insert(trading_signals), signal)


def latest_signals(connection: Connection, limit: int, instrument: str | None = None) -> list[Row[Any]]:
    """Read the newest signals of all instruments or of one, newest first."""
    t = trading_signals
    query = _of(instrument).order_by(t.c.timestamp.desc(), t.c.instrument).limit(limit)
    return list(connection.execute(query).all())


def signals_after(
    connection: Connection, bar: datetime, limit: int, instrument: str | None = None
) -> list[Row[Any]]:
    """Read the signals of the bars after one, oldest first.

    A page ends between two bars, so that whoever goes on from its last one misses no instrument: it has some
    rows more than `limit` if its last bar does.
    """
    t = trading_signals
    later = _of(instrument).where(t.c.timestamp > bar).order_by(t.c.timestamp, t.c.instrument)
    rows = list(connection.execute(later.limit(limit)).all())
    if len(rows) < limit:
        return rows
    rest = _of(instrument).where(t.c.timestamp == rows[-1].timestamp, t.c.instrument > rows[-1].instrument)
    return [*rows, *connection.execute(rest.order_by(t.c.instrument)).all()]


def _of(instrument: str | None) -> Select[Any]:
    query = select(trading_signals)
    return query if instrument is None else query.where(trading_signals.c.instrument == instrument)


def signals_between(
    connection: Connection, instrument: str, since: datetime, until: datetime
) -> Sequence[Row[Any]]:
    """Read an instrument's rows of bars opened between two moments, both included, oldest first."""
    t = trading_signals
    query = select(t).where(t.c.instrument == instrument, t.c.timestamp.between(since, until))
    return connection.execute(query.order_by(t.c.timestamp)).all()


def signals_of_model(connection: Connection, model_id: str) -> tuple[int, datetime | None]:
    """Count a model's rows, and find the open of the last bar among them."""
    t = trading_signals
    query = select(func.count(), func.max(t.c.timestamp)).where(t.c.model_id == model_id)
    count, last = connection.execute(query).one()
    return int(count), last
