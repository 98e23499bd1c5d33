"""Models approved to shadow, and the targets they would hold."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from dosvotos.database.live_tables import shadow_signals
from dosvotos.database.tables import approval_audit_log, model_registry


def shadow_models(connection: Connection, instrument: str) -> list[Row[Any]]:
    """List an instrument's models in stage shadow, oldest first."""
    m = model_registry
    query = select(m).where(m.c.instrument == instrument, m.c.stage == "shadow").order_by(m.c.id)
    return list(connection.execute(query))


def shadow_approval(connection: Connection, model_id: str) -> Row[Any] | None:
    """Find the newest approval of a model to shadow."""
    a = approval_audit_log
    approved = (a.c.model_id == model_id) & (a.c.action == "APPROVE") & (a.c.new_stage == "shadow")
    return connection.execute(select(a).where(approved).order_by(a.c.id.desc()).limit(1)).one_or_none()


def shadow_target_before(connection: Connection, approval_id: int, timestamp: datetime) -> float:
    """Read the last target of a shadow before a bar; flat before the first."""
    t = shadow_signals
    own = (t.c.approval_id == approval_id) & (t.c.timestamp < timestamp) & t.c.target.is_not(None)
    query = select(t.c.target).where(own).order_by(t.c.timestamp.desc()).limit(1)
    return float(connection.execute(query).scalar_one_or_none() or 0.0)


def has_shadow_row(connection: Connection, approval_id: int, timestamp: datetime) -> bool:
    """Tell whether a shadow has its row of a bar."""
    t = shadow_signals
    query = select(t.c.timestamp).where(t.c.approval_id == approval_id, t.c.timestamp == timestamp)
    return connection.execute(query).one_or_none() is not None


def add_shadow_row(connection: Connection, values: dict[str, Any]) -> None:
    """Append a bar's row of a shadow."""
    connection.execute(insert(shadow_signals).values(**values))
