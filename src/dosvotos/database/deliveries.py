"""Deliveries: what came when and from where; a retraction is a further row, and the past stays as it was."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Table, exists, func, insert, select, update

from dosvotos.database.tables import data_quarantine, deliveries, macro_indicators, usdcop_m5_ohlcv
from dosvotos.errors import DataError

BEFORE_DELIVERIES: Final = 0
"""The id that rows stored before deliveries were told apart have, of every market."""
MIN_REASON: Final = 20
_BAR: Final = timedelta(minutes=5)
DELIVERED_TABLES: Final = (usdcop_m5_ohlcv, *macro_indicators.values(), data_quarantine)
END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


class Delivery(NamedTuple):
    """What a source handed over at one moment."""

    source: str
    """``files``, ``live``, ``sample`` or ``folder``."""
    origin: str
    """The folder, the file, the providers or the sample market that it came from."""
    fetched_at: datetime
    source_hash: str


def open_delivery(connection: Connection, instrument: str, feed: str, delivery: Delivery) -> int:
    """Append a delivery, whose rows are to be stored under the id returned."""
    row = {"instrument": instrument, "feed": feed, **delivery._asdict()}
    return int(connection.execute(insert(deliveries).values(row).returning(deliveries.c.id)).scalar_one())


def open_deliveries(connection: Connection, instrument: str, feed: str, fetched_at: datetime) -> list[int]:
    """List the deliveries of a market at a moment whose rows are not counted yet."""
    t = deliveries
    wanted = _concerns(instrument, feed) & (t.c.fetched_at == fetched_at) & t.c.rows.is_(None)
    return list(connection.execute(select(t.c.id).where(wanted, t.c.retracts.is_(None))).scalars())


def close_delivery(connection: Connection, delivery_id: int) -> dict[str, int]:
    """Count a delivery's rows by table and write the counts into its row, once."""
    rows = count_rows(connection, delivery_id)
    still_open = (deliveries.c.id == delivery_id) & deliveries.c.rows.is_(None)
    connection.execute(update(deliveries).where(still_open).values(rows=rows))
    return rows


def count_rows(connection: Connection, delivery_id: int) -> dict[str, int]:
    """Count the rows of a delivery, by table; tables without any are left out."""
    found = {}
    for table in DELIVERED_TABLES:
        query = select(func.count()).select_from(table).where(table.c.delivery_id == delivery_id)
        found[table.name] = int(connection.execute(query).scalar_one())
    return {name: n for name, n in found.items() if n}


def list_deliveries(connection: Connection) -> list[Row[Any]]:
    """List all deliveries and retractions, oldest first."""
    return list(connection.execute(select(deliveries).order_by(deliveries.c.id)).all())


def retract(connection: Connection, delivery_id: int, reason: str, now: datetime) -> Row[Any]:
    """Withdraw a delivery's rows from `now` on, and return the row appended.

    Raises
    ------
    DataError
        If there is no such delivery, it is retracted already or is itself a retraction, or the reason is
        shorter than 20 characters.
    """
    reason = reason.strip()
    if len(reason) < MIN_REASON or "\x00" in reason:
        raise DataError(
            f"reason: plain text of at least {MIN_REASON} characters, was {len(reason)}; say what is wrong "
            "with the delivery"
        )
    delivery = _find(connection, deliveries.c.id == delivery_id)
    if delivery is None:
        raise DataError(f"delivery {delivery_id}: does not exist; 'dosvotos data list' shows those there are")
    if delivery.retracts is not None:
        raise DataError(
            f"delivery {delivery_id}: is the retraction of {delivery.retracts}, which cannot be withdrawn; "
            "deliver the data again"
        )
    if (before := _find(connection, deliveries.c.retracts == delivery_id)) is not None:
        raise DataError(
            f"delivery {delivery_id}: was retracted {before.fetched_at:%Y-%m-%d %H:%M} UTC: "
            f"{before.reason}; deliver the right data as a new delivery"
        )
    row = {name: getattr(delivery, name) for name in ("instrument", "feed", "source", "origin")}
    row |= {"fetched_at": now, "rows": count_rows(connection, delivery_id), "reason": reason}
    query = insert(deliveries).values(row | {"retracts": delivery_id}).returning(deliveries)
    return connection.execute(query).one()


def not_retracted(table: FromClause, moment: datetime = END_OF_TIME) -> ColumnElement[bool]:
    """Select the rows of a table whose delivery was not retracted by `moment`."""
    t = deliveries.alias("retractions")
    ids = select(t.c.retracts).where(t.c.retracts.is_not(None), t.c.fetched_at <= moment)
    return table.c.delivery_id.not_in(ids)


def count_retractions(connection: Connection, instrument: str, feed: str, moment: datetime) -> int:
    """Count the retractions by `moment` that concern a market."""
    query = select(func.count()).select_from(deliveries)
    query = query.where(_concerns(instrument, feed), deliveries.c.fetched_at <= moment)
    return int(connection.execute(query.where(deliveries.c.retracts.is_not(None))).scalar_one())


def retracted_at(connection: Connection, instrument: str, feed: str, moment: datetime) -> Row[Any] | None:
    """Find a retracted delivery of a market that was fetched at just `moment`."""
    gone = select(deliveries.c.retracts).where(deliveries.c.retracts.is_not(None))
    same = (deliveries.c.fetched_at == moment) & deliveries.c.id.in_(gone)
    return _find(connection, _concerns(instrument, feed) & same)


def retracted_after(connection: Connection, instrument: str, feed: str, moment: datetime) -> list[Row[Any]]:
    """List the retractions after `moment` of deliveries of a market that were fetched by then."""
    made = deliveries.alias("made")
    query = (
        select(deliveries)
        .join(made, made.c.id == deliveries.c.retracts)
        .where(_concerns(instrument, feed), deliveries.c.fetched_at > moment, made.c.fetched_at <= moment)
        .order_by(deliveries.c.id)
    )
    return list(connection.execute(query).all())


def any_retraction(connection: Connection) -> bool:
    """Tell whether anything was ever retracted."""
    return _find(connection, deliveries.c.retracts.is_not(None)) is not None


def sees_delivery(
    connection: Connection, instrument: str, feed: str, delivery_id: int, moment: datetime, until: datetime
) -> bool:
    """Tell whether a history as known at `moment`, of bars opened by `until`, holds rows of a delivery.

    A bar's row counts unless a later one had replaced it by then; of macro values every revision counts.
    """
    t = usdcop_m5_ohlcv
    newer = t.alias("newer")
    replaced = exists().where(
        newer.c.instrument == t.c.instrument,
        newer.c.feed == t.c.feed,
        newer.c.timestamp == t.c.timestamp,
        newer.c.fetched_at > t.c.fetched_at,
        newer.c.fetched_at <= moment,
        not_retracted(newer, moment),
    )
    seen: list[tuple[Table, ColumnElement[bool]]] = [(t, (t.c.timestamp <= until) & ~replaced)]
    seen += [(table, table.c.published_at <= until + _BAR) for table in macro_indicators.values()]
    for table, condition in seen:
        own = (table.c.instrument == instrument) & (table.c.feed == feed)
        known = own & (table.c.delivery_id == delivery_id) & (table.c.fetched_at <= moment)
        query = select(table.c.delivery_id).where(known, not_retracted(table, moment), condition).limit(1)
        if connection.execute(query).first() is not None:
            return True
    return False


def taken_hashes(connection: Connection, instrument: str, feed: str) -> set[str]:
    """List the hashes of all that was ever delivered to a market, retracted or not."""
    query = select(deliveries.c.source_hash).where(_concerns(instrument, feed))
    return {found for found in connection.execute(query).scalars() if found is not None}


def _concerns(instrument: str, feed: str) -> ColumnElement[bool]:
    t = deliveries
    return ((t.c.instrument == instrument) & (t.c.feed == feed)) | (t.c.instrument == "*")


def _find(connection: Connection, condition: ColumnElement[bool]) -> Row[Any] | None:
    return connection.execute(select(deliveries).where(condition).limit(1)).one_or_none()
