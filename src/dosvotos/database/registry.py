"""Models and proposals in the database: stages, states, and the instrument's production model."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from dosvotos.database.tables import instruments, model_registry, promotion_proposals
from dosvotos.errors import UnknownProposalError

OPEN_STATES = ("PENDING_APPROVAL", "MORE_TESTS_REQUESTED")
VALID_FOR = timedelta(days=30)
"""How long a proposal waits for its second vote."""


def find_model(connection: Connection, model_id: str) -> Row[Any] | None:
    """Find a registered model by its id."""
    query = select(model_registry).where(model_registry.c.model_id == model_id)
    return connection.execute(query).one_or_none()


def get_model(connection: Connection, model_id: str) -> Row[Any]:
    """Get a registered model that must exist."""
    return connection.execute(select(model_registry).where(model_registry.c.model_id == model_id)).one()


def list_models(connection: Connection) -> list[Row[Any]]:
    """List all registered models, newest first."""
    return list(connection.execute(select(model_registry).order_by(model_registry.c.id.desc())).all())


def production_model(connection: Connection, instrument: str) -> Row[Any] | None:
    """Find the instrument's production model, if it has one."""
    t = model_registry
    query = select(t).where(t.c.instrument == instrument, t.c.stage == "production")
    return connection.execute(query).one_or_none()


def epoch_of(connection: Connection, instrument: str) -> int:
    """Count how often the instrument's production model has changed."""
    query = select(instruments.c.epoch).where(instruments.c.instrument == instrument)
    return connection.execute(query).scalar_one_or_none() or 0


def lock_instrument(connection: Connection, instrument: str) -> Row[Any]:
    """Lock the instrument's head row until the transaction ends; make it on first use."""
    t = instruments
    query = select(t).where(t.c.instrument == instrument).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        made = dialect.insert(t).values(instrument=instrument, epoch=0)
        connection.execute(made.on_conflict_do_nothing())
        row = connection.execute(query).one()
    return row


def add_model(connection: Connection, model: dict[str, Any]) -> None:
    """Register a model in staging, unless it already is registered."""
    if find_model(connection, model["model_id"]) is None:
        connection.execute(insert(model_registry).values(**model, stage="staging"))


def latest_proposal(connection: Connection, model_id: str) -> Row[Any] | None:
    """Find the newest proposal of a model."""
    t = promotion_proposals
    query = select(t).where(t.c.model_id == model_id).order_by(t.c.id.desc()).limit(1)
    return connection.execute(query).one_or_none()


def get_proposal(connection: Connection, proposal_id: int) -> Row[Any]:
    """Get a proposal by its id.

    Raises
    ------
    UnknownProposalError
        If there is none.
    """
    query = select(promotion_proposals).where(promotion_proposals.c.id == proposal_id)
    if (row := connection.execute(query).one_or_none()) is None:
        raise UnknownProposalError(f"proposal {proposal_id} does not exist")
    return row


def state_of(proposal: Row[Any], now: datetime) -> str:
    """Give a proposal's state: an open one that nobody voted on in time has expired, stored so or not."""
    overdue = proposal.status in OPEN_STATES and proposal.created_at < now - VALID_FOR
    return "EXPIRED" if overdue else str(proposal.status)


def is_open(proposal: Row[Any], now: datetime) -> bool:
    """Tell whether a proposal can still be voted on."""
    return state_of(proposal, now) in OPEN_STATES


def expire_proposals(connection: Connection, now: datetime) -> None:
    """Store EXPIRED for proposals nobody voted on in time."""
    t = promotion_proposals
    old = t.c.status.in_(OPEN_STATES) & (t.c.created_at < now - VALID_FOR)
    connection.execute(update(t).where(old).values(status="EXPIRED"))


def supersede_proposal(connection: Connection, proposal_id: int) -> None:
    """Close an open proposal that another takes the place of."""
    t = promotion_proposals
    still_open = (t.c.id == proposal_id) & t.c.status.in_(OPEN_STATES)
    connection.execute(update(t).where(still_open).values(status="SUPERSEDED"))


def list_proposals(connection: Connection) -> list[Row[Any]]:
    """List all proposals, newest first."""
    query = select(promotion_proposals).order_by(promotion_proposals.c.id.desc())
    return list(connection.execute(query).all())


def add_proposal(connection: Connection, proposal: dict[str, Any]) -> int:
    """Store a proposal; open ones of the same experiment become SUPERSEDED."""
    t = promotion_proposals
    same = and_(
        t.c.experiment_name == proposal["experiment_name"],
        t.c.instrument == proposal["instrument"],
        t.c.status.in_(OPEN_STATES),
    )
    connection.execute(update(t).where(same).values(status="SUPERSEDED"))
    return int(connection.execute(insert(t).values(**proposal).returning(t.c.id)).scalar_one())
