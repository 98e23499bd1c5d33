"""Signals and the features they were made from: one row an instrument and bar."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from dosvotos.database.tables import inference_features_5m, trading_signals


def find_signal(connection: Connection, instrument: str, timestamp: datetime) -> Row[Any] | None:
    """Find the signal of one bar, or None."""
    t = trading_signals
    query = select(t).where(t.c.instrument == instrument, t.c.timestamp == timestamp)
    return connection.execute(query).one_or_none()


def position_before(connection: Connection, instrument: str, timestamp: datetime) -> float:
    """Find the model's own position at a bar: the last target signalled before it, 0 at the start.

    NO_SIGNAL leaves the target unchanged.
    """
    t = trading_signals
    query = (
        select(t.c.signal)
        .where(t.c.instrument == instrument, t.c.timestamp < timestamp, t.c.status == "SIGNAL")
        .order_by(t.c.timestamp.desc())
        .limit(1)
    )
    return float(connection.execute(query).scalar_one_or_none() or 0.0)


def add_signal(connection: Connection, signal: dict[str, Any], features: dict[str, Any] | None) -> None:
    """Store a bar's signal and, when there were any, the features it was made from."""
    if features is not None:
        connection.execute(insert(inference_features_5m).values(**features))
    connection.execute(insert(trading_signals).values(**signal))


def latest_signals(connection: Connection, limit: int) -> list[Row[Any]]:
    """Read the newest signals of all instruments, newest first."""
    query = select(trading_signals).order_by(trading_signals.c.timestamp.desc()).limit(limit)
    return list(connection.execute(query).all())
