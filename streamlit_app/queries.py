"""What the pages and the API read from the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row

from dosvotos.database.connection import database_url, open_database, reading
from dosvotos.database.registry import (
    get_model,
    get_proposal,
    list_models,
    list_proposals,
    production_model,
    state_of,
)
from dosvotos.database.requests import get_request, list_requests
from dosvotos.database.signals import latest_signals
from dosvotos.database.tables import STAGES
from dosvotos.promotion.audit import read_audit_log

Record = Row[Any]


def engine() -> Engine:
    """Open the configured database."""
    return open_database(database_url())


def proposals() -> list[Record]:
    """List all proposals, newest first."""
    with reading(engine()) as connection:
        return list_proposals(connection)


def proposal(proposal_id: int) -> Record:
    """Find a proposal by its id; raises UnknownProposalError."""
    with reading(engine()) as connection:
        return get_proposal(connection, proposal_id)


def extra_backtests(proposal_id: int) -> list[Record]:
    """List the extra backtests of a proposal, newest first."""
    with reading(engine()) as connection:
        return list_requests(connection, proposal_id)


def extra_backtest(request_id: int) -> Record:
    """Find an extra backtest by its id; raises UnknownRequestError."""
    with reading(engine()) as connection:
        return get_request(connection, request_id)


def model(model_id: str) -> Record:
    """Find a registered model."""
    with reading(engine()) as connection:
        return get_model(connection, model_id)


def models() -> list[Record]:
    """List all models, those in production first, then shadow, staging and archived; each newest first."""
    order = ("production", "shadow", *(stage for stage in STAGES if stage not in ("production", "shadow")))
    with reading(engine()) as connection:
        rows = list_models(connection)
    return sorted(rows, key=lambda row: order.index(row.stage))


def production_id(instrument: str) -> str | None:
    """Name the instrument's production model."""
    with reading(engine()) as connection:
        current = production_model(connection, instrument)
    return current.model_id if current else None


def signals(limit: int) -> list[Record]:
    """List the newest signals, newest first."""
    with reading(engine()) as connection:
        return latest_signals(connection, limit)


def audit_log() -> list[Record]:
    """List all votes, oldest first."""
    with reading(engine()) as connection:
        return read_audit_log(connection)


def count_pending(rows: Sequence[Record], now: datetime) -> int:
    """Count the proposals that wait for their second vote."""
    return sum(state_of(row, now) == "PENDING_APPROVAL" for row in rows)
