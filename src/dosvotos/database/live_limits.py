"""What limits are judged by and what they did: model accounts, trips, and the rows behind a bar."""

from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, Row, exists, func, insert, select, text

from dosvotos.database.deliveries import not_retracted
from dosvotos.database.live_tables import limit_trips, model_accounts, trading_signals
from dosvotos.database.tables import approval_audit_log, usdcop_m5_ohlcv

_STANDING: Final = text(
    "SELECT rule, state, detail FROM limit_trips WHERE instrument = :instrument AND log_row >= (SELECT "
    "coalesce(max(id), 0) FROM approval_audit_log WHERE instrument = :instrument AND action = 'RESUME') "
    "ORDER BY id"
)
"""Written out: it is asked several times a bar, and a built query takes five times as long."""


class Trip(NamedTuple):
    """A limit that was reached."""

    rule: str
    """The limit's reason code."""
    state: Literal["REDUCING", "HALTED"]
    """What follows, until an admin's RESUME."""
    detail: str
    """What was found, beside the limit."""


def add_trip(
    connection: Connection, instrument: str, approval_id: int | None, trip: Trip, bar: datetime, now: datetime
) -> None:
    """Append a trip; the caller holds the instrument's lock."""
    log_row = select(func.coalesce(func.max(approval_audit_log.c.id), 0)).scalar_subquery()
    values = {"instrument": instrument, "approval_id": approval_id, "timestamp": bar, "tripped_at": now}
    connection.execute(insert(limit_trips).values(**values, **trip._asdict(), log_row=log_row))


def standing_trips(connection: Connection, instrument: str) -> list[Row[Any]]:
    """Read rule, state and detail of an instrument's trips since its last signed RESUME, in their order."""
    return list(connection.execute(_STANDING, {"instrument": instrument}))


def held_instruments(connection: Connection) -> list[str]:
    """Name the instruments whose signals a limit holds back."""
    names = connection.execute(select(limit_trips.c.instrument).distinct()).scalars()
    return sorted(name for name in names if standing_trips(connection, name))


def last_resume(connection: Connection, instrument: str) -> int:
    """Find the log's row of the last RESUME of an instrument; 0 before the first."""
    a = approval_audit_log
    own = (a.c.instrument == instrument) & (a.c.action == "RESUME")
    return int(connection.execute(select(func.coalesce(func.max(a.c.id), 0)).where(own)).scalar_one())


def last_trip_bar(connection: Connection, instrument: str, rule: str) -> datetime | None:
    """Find the bar at which a limit was reached last."""
    t = limit_trips
    query = select(func.max(t.c.timestamp)).where(t.c.instrument == instrument, t.c.rule == rule)
    found: datetime | None = connection.execute(query).scalar_one()
    return found


def last_account(connection: Connection, approval_id: int) -> Row[Any] | None:
    """Read the newest row of an approval's account."""
    t = model_accounts
    query = select(t).where(t.c.approval_id == approval_id).order_by(t.c.timestamp.desc()).limit(1)
    return connection.execute(query).one_or_none()


def account_rows(connection: Connection, approval_id: int) -> list[Row[Any]]:
    """Read an approval's account, bar by bar."""
    t = model_accounts
    return list(connection.execute(select(t).where(t.c.approval_id == approval_id).order_by(t.c.timestamp)))


def equity_curve(
    connection: Connection, approval_id: int, after: datetime | None = None
) -> list[tuple[datetime, float]]:
    """Read what an approval's account was worth at each bar, or at those after one."""
    t = model_accounts
    query = select(t.c.timestamp, t.c.equity).where(t.c.approval_id == approval_id).order_by(t.c.timestamp)
    rows = connection.execute(query if after is None else query.where(t.c.timestamp > after))
    return [(row.timestamp, row.equity) for row in rows]


def add_account(connection: Connection, values: dict[str, Any]) -> None:
    """Append a bar's row of an approval's account."""
    connection.execute(insert(model_accounts).values(**values))


def closes_between(
    connection: Connection, instrument: str, feed: str, after: datetime, until: datetime
) -> dict[datetime, float]:
    """Read the closes of stored session bars after one bar and up to another, in time order.

    A bar counts as it stands now, and as the session's if it has its row in trading_signals; `until` has not
    yet.
    """
    t, s = usdcop_m5_ohlcv, trading_signals
    of_market = (t.c.instrument == instrument) & (t.c.feed == feed) & not_retracted(t)
    has_row = exists().where(s.c.instrument == instrument, s.c.timestamp == t.c.timestamp)
    query = select(t.c.timestamp, t.c.close).where(
        of_market, t.c.timestamp > after, t.c.timestamp <= until, has_row | (t.c.timestamp == until)
    )
    rows = connection.execute(query.order_by(t.c.timestamp, t.c.fetched_at))
    return {row.timestamp: row.close for row in rows}


def targets_between(
    connection: Connection, instrument: str, after: datetime, before: datetime
) -> list[float]:
    """Read the targets signalled after one bar and before another, in time order."""
    t = trading_signals
    inside = (t.c.instrument == instrument) & (t.c.timestamp > after) & (t.c.timestamp < before)
    query = select(t.c.signal).where(inside, t.c.status == "SIGNAL").order_by(t.c.timestamp)
    return list(connection.execute(query).scalars())


def count_rows(connection: Connection, instrument: str, reason: str, after: datetime, until: datetime) -> int:
    """Count an instrument's rows with a reason after one bar and up to another."""
    t = trading_signals
    inside = (t.c.instrument == instrument) & (t.c.timestamp > after) & (t.c.timestamp <= until)
    query = select(func.count()).select_from(t).where(inside, t.c.reason_code == reason)
    return int(connection.execute(query).scalar_one())
