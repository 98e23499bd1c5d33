"""What limits are judged by and what they did: model accounts, trips, and the rows behind a bar."""

from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import BindParameter, Connection, Row, bindparam, exists, func, insert, select, text

from dosvotos.database.columns import UTCDateTime, json_type
from dosvotos.database.deliveries import not_retracted
from dosvotos.database.live_tables import limit_trips, model_accounts, trading_signals
from dosvotos.database.tables import approval_audit_log, usdcop_m5_ohlcv
from dosvotos.refusals import Phrase, StoredText

SHADOW_LAPSED: Final = "SHADOW_LAPSED"
"""Rule of a trip that ends the approval of a model in shadow; it holds nothing of production's back."""
_STANDING: Final = text(
    "SELECT rule, state, detail, detail_told FROM limit_trips WHERE instrument = :instrument "
    "AND log_row >= (SELECT coalesce(max(id), 0) FROM approval_audit_log "
    "WHERE instrument = :instrument AND action = 'RESUME') "
    f"AND rule <> '{SHADOW_LAPSED}' ORDER BY id"
).columns(detail_told=json_type())
"""Written out, and the others built once: they are asked at every bar, and building takes longer than an
answer."""
_a, _trips, _accounts, _bars = approval_audit_log, limit_trips, model_accounts, usdcop_m5_ohlcv
_rows = trading_signals
_LAST_RESUME: Final = select(func.coalesce(func.max(_a.c.id), 0)).where(
    _a.c.instrument == bindparam("instrument"), _a.c.action == "RESUME"
)
_LAST_TRIP: Final = select(func.max(_trips.c.timestamp)).where(
    _trips.c.instrument == bindparam("instrument"), _trips.c.rule == bindparam("rule")
)
_LAST_ACCOUNT: Final = (
    select(_accounts)
    .where(_accounts.c.approval_id == bindparam("approval"))
    .order_by(_accounts.c.timestamp.desc())
    .limit(1)
)
_AFTER: Final[BindParameter[datetime]] = bindparam("after", type_=UTCDateTime())
_CLOSES: Final = (
    select(_bars.c.timestamp, _bars.c.close)
    .where(
        _bars.c.instrument == bindparam("instrument"),
        _bars.c.feed == bindparam("feed"),
        not_retracted(_bars),
        _bars.c.timestamp > _AFTER,
        _bars.c.timestamp <= bindparam("until"),
        exists().where(_rows.c.instrument == _bars.c.instrument, _rows.c.timestamp == _bars.c.timestamp)
        | (_bars.c.timestamp == bindparam("until")),
    )
    .order_by(_bars.c.timestamp, _bars.c.fetched_at)
)
_TARGETS: Final = (
    select(_rows.c.signal)
    .where(
        _rows.c.instrument == bindparam("instrument"),
        _rows.c.timestamp > _AFTER,
        _rows.c.timestamp < bindparam("before"),
        _rows.c.status == "SIGNAL",
    )
    .order_by(_rows.c.timestamp)
)
_COUNT: Final = (
    select(func.count())
    .select_from(_rows)
    .where(
        _rows.c.instrument == bindparam("instrument"),
        _rows.c.timestamp > _AFTER,
        _rows.c.timestamp <= bindparam("until"),
        _rows.c.reason_code == bindparam("reason"),
    )
)


class Trip(NamedTuple):
    """A limit that was reached."""

    rule: str
    """The limit's reason code."""
    state: Literal["REDUCING", "HALTED"]
    """What follows, until an admin's RESUME."""
    detail: Phrase
    """What was found, beside the limit."""


def add_trip(
    connection: Connection, instrument: str, approval_id: int | None, trip: Trip, bar: datetime, now: datetime
) -> None:
    """Append a trip; the caller holds the instrument's lock."""
    log_row = select(func.coalesce(func.max(approval_audit_log.c.id), 0)).scalar_subquery()
    values = {"instrument": instrument, "approval_id": approval_id, "timestamp": bar, "tripped_at": now}
    told = StoredText.of(trip.detail)
    found = {**trip._asdict(), "detail": str(told), "detail_told": told.by_language}
    connection.execute(insert(limit_trips).values(**values, **found, log_row=log_row))


def standing_trips(connection: Connection, instrument: str) -> list[Row[Any]]:
    """Read rule, state, detail and detail_told of an instrument's trips since its last RESUME, in order."""
    return list(connection.execute(_STANDING, {"instrument": instrument}))


def shadow_lapse(connection: Connection, approval_id: int) -> StoredText | None:
    """Read what ended an approval to shadow; None while it counts."""
    t = limit_trips
    ended = (t.c.approval_id == approval_id) & (t.c.rule == SHADOW_LAPSED)
    query = select(t.c.detail, t.c.detail_told).where(ended).order_by(t.c.id).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else StoredText.read(*row)


def held_instruments(connection: Connection) -> list[str]:
    """Name the instruments whose signals a limit holds back."""
    names = connection.execute(select(limit_trips.c.instrument).distinct()).scalars()
    return sorted(name for name in names if standing_trips(connection, name))


def last_resume(connection: Connection, instrument: str) -> int:
    """Find the log's row of the last RESUME of an instrument; 0 before the first."""
    return int(connection.execute(_LAST_RESUME, {"instrument": instrument}).scalar_one())


def last_trip_bar(connection: Connection, instrument: str, rule: str) -> datetime | None:
    """Find the bar at which a limit was reached last."""
    named = {"instrument": instrument, "rule": rule}
    found: datetime | None = connection.execute(_LAST_TRIP, named).scalar_one()
    return found


def last_account(connection: Connection, approval_id: int) -> Row[Any] | None:
    """Read the newest row of an approval's account."""
    return connection.execute(_LAST_ACCOUNT, {"approval": approval_id}).one_or_none()


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
    connection.execute(insert(model_accounts), values)


def closes_between(
    connection: Connection, instrument: str, feed: str, after: datetime, until: datetime
) -> dict[datetime, float]:
    """Read the closes of stored session bars after one bar and up to another, in time order.

    A bar counts as it stands now, and as the session's if it has its row in trading_signals; `until` has not
    yet.
    """
    named = {"instrument": instrument, "feed": feed, "after": after, "until": until}
    return {row.timestamp: row.close for row in connection.execute(_CLOSES, named)}


def targets_between(
    connection: Connection, instrument: str, after: datetime, before: datetime
) -> list[float]:
    """Read the targets signalled after one bar and before another, in time order."""
    named = {"instrument": instrument, "after": after, "before": before}
    return list(connection.execute(_TARGETS, named).scalars())


def count_rows(connection: Connection, instrument: str, reason: str, after: datetime, until: datetime) -> int:
    """Count an instrument's rows with a reason after one bar and up to another."""
    named = {"instrument": instrument, "after": after, "until": until, "reason": reason}
    return int(connection.execute(_COUNT, named).scalar_one())
