"""Fills: what a desk traded, appended from its files, each fill once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Connection, Row, insert, select

from dosvotos.database.live_tables import fills, trading_signals
from dosvotos.hashing import digest_json

_CHUNK = 500


class FillSource(NamedTuple):
    """Where fills come from and what they are compared with."""

    instrument: str
    feed: str
    notional_usd: float
    """USD that a target of 1 stands for."""
    file: str
    file_hash: str


def add_fills(connection: Connection, found: pd.DataFrame, source: FillSource, now: datetime) -> int:
    """Append the fills that are not stored yet; tell how many.

    Parameters
    ----------
    connection : Connection
    found : DataFrame
        time, side, quantity, price, as `readers.fills` gives them. Fills alike in one file are several; in
        two files they are the same ones.
    source : FillSource
    now : datetime, timezone-aware
    """
    rows = {row["fill_hash"]: row for row in _rows(found, source, now)}
    hashes = list(rows)
    for start in range(0, len(hashes), _CHUNK):
        part = hashes[start : start + _CHUNK]
        for known in connection.execute(
            select(fills.c.fill_hash).where(fills.c.fill_hash.in_(part))
        ).scalars():
            del rows[known]
    if rows:
        connection.execute(insert(fills), list(rows.values()))
    return len(rows)


def read_fill_rows(connection: Connection, instrument: str) -> list[Row[Any]]:
    """Read an instrument's fills in time order."""
    query = select(fills).where(fills.c.instrument == instrument).order_by(fills.c.time, fills.c.id)
    return list(connection.execute(query).all())


def read_orders(connection: Connection, instrument: str) -> Sequence[Row[Any, Any, Any]]:
    """Read the rows by which the model's own position changed, in time order; spooled ones were no orders."""
    t = trading_signals
    query = select(t.c.timestamp, t.c.signal, t.c.created_at).where(
        t.c.instrument == instrument, t.c.status == "SIGNAL", t.c.signal != t.c.position, ~t.c.spooled
    )
    return connection.execute(query.order_by(t.c.timestamp)).all()


def _rows(found: pd.DataFrame, source: FillSource, now: datetime) -> list[dict[str, Any]]:
    alike = found.groupby(["time", "side", "quantity", "price"]).cumcount()
    rows = []
    for fill, number in zip(found.to_dict("records"), alike, strict=True):
        time = fill["time"].to_pydatetime()
        content = {
            "instrument": source.instrument,
            "time": time.isoformat(),
            "side": fill["side"],
            "quantity": fill["quantity"],
            "price": fill["price"],
        }
        rows.append(
            content
            | {
                "time": time,
                "feed": source.feed,
                "notional_usd": source.notional_usd,
                "fill_hash": digest_json(content | {"number": int(number)}),
                "source": source.file,
                "source_hash": source.file_hash,
                "imported_at": now,
            }
        )
    return rows
