"""What has been stored of a market since a moment, in two short queries: the live loop asks at every bar."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Engine, Float, bindparam, column, text

from dosvotos.database.columns import UTCDateTime
from dosvotos.database.connection import reading
from dosvotos.database.tables import macro_indicators

_RETRACTED: Final = "(SELECT retracts FROM deliveries WHERE retracts IS NOT NULL AND fetched_at <= :moment)"
_OF_MARKET: Final = (
    "instrument = :instrument AND feed = :feed AND fetched_at > :since AND fetched_at <= :moment "
    f"AND delivery_id NOT IN {_RETRACTED}"
)
_MOMENTS: Final = (bindparam("since", type_=UTCDateTime()), bindparam("moment", type_=UTCDateTime()))
_BARS: Final = (
    text(
        f"SELECT timestamp, close, high, low FROM usdcop_m5_ohlcv WHERE {_OF_MARKET} "
        "ORDER BY timestamp, fetched_at"
    )
    .bindparams(*_MOMENTS)
    .columns(column("timestamp", UTCDateTime()), *(column(n, Float()) for n in ("close", "high", "low")))
)
_COUNTS: Final = text(
    "SELECT "
    + " + ".join(
        f"(SELECT count(*) FROM {table.name} WHERE {_OF_MARKET})" for table in macro_indicators.values()
    )
    + " AS macro, (SELECT count(*) FROM deliveries WHERE retracts IS NOT NULL AND fetched_at <= :moment) "
    "AS retractions"
).bindparams(*_MOMENTS)


class StoredBar(NamedTuple):
    """A stored row of a bar; one that was revised has several, the newest last."""

    opened: datetime
    close: float
    high: float
    low: float


class StoredSince(NamedTuple):
    """What was stored after one moment and by another."""

    bars: list[StoredBar]
    """In time order."""
    macro: int
    """Rows of macro values."""
    retractions: int
    """Deliveries of any market retracted by then."""


def stored_since(
    engine: Engine, instrument: str, feed: str, since: datetime, moment: datetime
) -> StoredSince:
    """Read what was stored of a market after `since` and by `moment`, without what was retracted by then."""
    named = {"instrument": instrument, "feed": feed, "since": since, "moment": moment}
    with reading(engine) as connection:
        bars = [StoredBar(*row) for row in connection.execute(_BARS, named)]
        counts = connection.execute(_COUNTS, named).one()
    return StoredSince(bars, counts.macro, counts.retractions)
