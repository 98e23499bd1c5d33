"""Models and proposals in the database: stages, states, and the instrument's production model."""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    Update,
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    update,
)

from dosvotos.database.connection import upsert
from dosvotos.database.tables import approval_audit_log, instruments, model_registry, promotion_proposals
from dosvotos.errors import AlteredError, DecisionConflictError, LineageError, UnknownProposalError

OPEN_STATES = ("PENDING_APPROVAL", "MORE_TESTS_REQUESTED")
VALID_FOR = timedelta(days=30)
"""How long a proposal waits for its second vote."""
PROMOTING = ("APPROVE", "ROLLBACK")
"""Decisions that can bring a model into production."""
_IDENTITY = (
    "instrument", "experiment_name", "manifest_hash", "model_hash", "norm_stats_hash", "config_hash",
    "feature_order_hash", "dataset_hash",
)  # fmt: skip
"""What a model id stands for."""


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


_INSTRUMENT: Final[BindParameter[str]] = bindparam("instrument", type_=String())
# Built once: the loop asks them at every bar, and building one takes longer than SQLite's answer.
_PRODUCTION: Final = select(model_registry).where(
    model_registry.c.instrument == _INSTRUMENT, model_registry.c.stage == "production"
)
_HEAD: Final = select(instruments).where(instruments.c.instrument == _INSTRUMENT)
_LOCKED_HEAD: Final = _HEAD.with_for_update()
_PROPOSAL: Final = select(promotion_proposals).where(promotion_proposals.c.id == bindparam("proposal"))
_LAST_ROW: Final = (
    select(approval_audit_log.c.id, approval_audit_log.c.row_hash)
    .order_by(approval_audit_log.c.id.desc())
    .limit(1)
)


def production_model(connection: Connection, instrument: str) -> Row[Any] | None:
    """Find the instrument's production model, if it has one."""
    return connection.execute(_PRODUCTION, {"instrument": instrument}).one_or_none()


class ProductionRows(NamedTuple):
    """What the tables say of an instrument's production model, each by itself."""

    model: Row[Any] | None
    """Its row in the registry."""
    head: Row[Any] | None
    """The instrument's own row."""
    vote: Row[Any] | None
    """The newest decision that brought a model of the instrument into production, if no RESTORE followed."""
    approval: Row[Any] | None
    """The approval of the model it brought there: that decision itself, or an older one after a rollback."""
    proposal: Row[Any] | None
    """What the approval was about."""


def production_rows(connection: Connection, instrument: str) -> ProductionRows:
    """Read every row that names the instrument's production model, in one view of the database."""
    vote = connection.execute(_NEWEST_VOTE, {"instrument": instrument}).one_or_none()
    approval = vote
    if vote is not None and vote.action != "APPROVE":
        named = {"instrument": instrument, "model": vote.model_id}
        approval = connection.execute(_NEWEST_APPROVAL, named).one_or_none()
    proposal = connection.execute(_PROPOSAL, {"proposal": approval.proposal_id}) if approval else None
    return ProductionRows(
        production_model(connection, instrument),
        connection.execute(_HEAD, {"instrument": instrument}).one_or_none(),
        vote,
        approval,
        proposal.one_or_none() if proposal else None,
    )


def promoting_votes(connection: Connection, instrument: str) -> list[Row[Any]]:
    """Read the decisions that brought models of an instrument into production, from the last RESTORE on."""
    query = _promoting(PROMOTING).order_by(approval_audit_log.c.id)
    return list(connection.execute(query, {"instrument": instrument}))


def last_log_row(connection: Connection) -> Row[Any, Any] | None:
    """Read id and hash of the log's last row, by which a reader knows whether anything was decided since."""
    return connection.execute(_LAST_ROW).one_or_none()


def last_restore(connection: Connection) -> Row[Any] | None:
    """Find the newest RESTORE: what was promoted before it serves no more, until it is voted on again."""
    a = approval_audit_log
    query = select(a).where(a.c.action == "RESTORE").order_by(a.c.id.desc()).limit(1)
    return connection.execute(query).one_or_none()


def restored_epoch(connection: Connection, instrument: str) -> int:
    """Read the epoch that the newest RESTORE gave an instrument; 0 without one."""
    restore = last_restore(connection)
    return int(restore.subject["epochs"].get(instrument, 0)) if restore else 0


def _promoting(actions: tuple[str, ...]) -> Select[Any]:
    a, p, m, r = approval_audit_log, promotion_proposals, model_registry, approval_audit_log.alias()
    restored = select(func.coalesce(func.max(r.c.id), 0)).where(r.c.action == "RESTORE").scalar_subquery()
    return (
        select(a)
        .outerjoin(p, p.c.id == a.c.proposal_id)
        .outerjoin(m, m.c.model_id == a.c.model_id)
        .where(a.c.action.in_(actions), a.c.new_stage == "production", a.c.id > restored)
        .where(
            or_(a.c.instrument == _INSTRUMENT, p.c.instrument == _INSTRUMENT, m.c.instrument == _INSTRUMENT)
        )
    )


_NEWEST_VOTE: Final = _promoting(PROMOTING).order_by(approval_audit_log.c.id.desc()).limit(1)
_NEWEST_APPROVAL: Final = (
    _promoting(("APPROVE",))
    .where(approval_audit_log.c.model_id == bindparam("model"))
    .order_by(approval_audit_log.c.id.desc())
    .limit(1)
)


def read_epoch(connection: Connection, instrument: str) -> int:
    """Read how often an instrument's production has changed; 0 before its first approval."""
    return read_epochs(connection).get(instrument, 0)


def read_epochs(connection: Connection) -> dict[str, int]:
    """Read the epoch of every head row; raises AlteredError where there is none, as in an edited file."""
    epochs = {}
    for row in connection.execute(select(instruments.c.instrument, instruments.c.epoch)):
        for found, kind in ((row.instrument, str), (row.epoch, int)):
            if not isinstance(found, kind):
                raise AlteredError.of("value_altered", found=f"instruments: {found!r}", kind=kind.__name__)
        epochs[row.instrument] = row.epoch
    return epochs


def lock_instrument(connection: Connection, instrument: str) -> Row[Any]:
    """Lock the instrument's head row until the transaction ends; make it on first use."""
    named = {"instrument": instrument}
    row = connection.execute(_LOCKED_HEAD, named).one_or_none()
    if row is None:
        made = upsert(connection, instruments).values(instrument=instrument, epoch=0)
        connection.execute(made.on_conflict_do_nothing())
        row = connection.execute(_LOCKED_HEAD, named).one()
    return row


def add_model(connection: Connection, model: dict[str, Any]) -> None:
    """Register a model in staging, unless it already is registered.

    Raises
    ------
    LineageError
        If another model has this id.
    """
    present = find_model(connection, model["model_id"])
    if present is None:
        connection.execute(insert(model_registry).values(**model, stage="staging"))
        return
    for name in _IDENTITY:
        stored, new = present._mapping[name], model.get(name)
        if stored != new:
            raise LineageError(
                f"model_id {model['model_id']} exists with other content: its {name} is {stored} in the "
                f"registry, {new} now; nothing was registered. Raise experiment.version"
            )


def change_one(connection: Connection, statement: Update) -> None:
    """Carry out an UPDATE that must change exactly one row.

    Raises
    ------
    DecisionConflictError
        If it changed none or several; the caller's transaction must not be committed.
    """
    if (changed := connection.execute(statement).rowcount) != 1:
        raise DecisionConflictError.of("row_changed", table=statement.table, found=changed)


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
        raise UnknownProposalError.of("proposal_unknown", proposal=proposal_id)
    return row


def state_of(proposal: Row[Any], now: datetime) -> str:
    """Give a proposal's state: an open one that nobody voted on in time has expired, stored so or not."""
    overdue = proposal.status in OPEN_STATES and opened_at(proposal) < now - VALID_FOR
    return "EXPIRED" if overdue else str(proposal.status)


def opened_at(proposal: Row[Any]) -> datetime:
    """Since when a proposal waits for its second vote: it was made, or reopened."""
    since: datetime = proposal.reopened_at or proposal.created_at
    return since


def is_open(proposal: Row[Any], now: datetime) -> bool:
    """Tell whether a proposal can still be voted on."""
    return state_of(proposal, now) in OPEN_STATES


def expire_proposals(connection: Connection, now: datetime) -> None:
    """Store EXPIRED for proposals nobody voted on in time."""
    t = promotion_proposals
    old = t.c.status.in_(OPEN_STATES) & (_opened_at() < now - VALID_FOR)
    connection.execute(update(t).where(old).values(status="EXPIRED"))


def expiring_proposals(connection: Connection, now: datetime, within: timedelta) -> list[Row[Any]]:
    """List the open proposals that expire soon, oldest first."""
    t, last = promotion_proposals, now - VALID_FOR
    soon = t.c.status.in_(OPEN_STATES) & (_opened_at() >= last) & (_opened_at() <= last + within)
    return list(connection.execute(select(t).where(soon).order_by(t.c.id)))


def _opened_at() -> ColumnElement[datetime]:
    t = promotion_proposals
    return func.coalesce(t.c.reopened_at, t.c.created_at, type_=t.c.created_at.type)


def supersede_proposal(connection: Connection, proposal_id: int) -> None:
    """Close an open proposal that another takes the place of."""
    t = promotion_proposals
    still_open = (t.c.id == proposal_id) & t.c.status.in_(OPEN_STATES)
    connection.execute(update(t).where(still_open).values(status="SUPERSEDED"))


def replacing_proposal(connection: Connection, proposal: Row[Any]) -> int | None:
    """Find the newest other proposal of an experiment that is newer than a proposal, or open beside it."""
    t = promotion_proposals
    same = (t.c.experiment_name == proposal.experiment_name) & (t.c.instrument == proposal.instrument)
    other = (t.c.id != proposal.id) & ((t.c.id > proposal.id) | t.c.status.in_(OPEN_STATES))
    return connection.execute(select(t.c.id).where(same, other).order_by(t.c.id.desc()).limit(1)).scalar()


def list_proposals(connection: Connection) -> list[Row[Any]]:
    """List all proposals, newest first."""
    query = select(promotion_proposals).order_by(promotion_proposals.c.id.desc())
    return list(connection.execute(query).all())


def add_proposal(connection: Connection, proposal: dict[str, Any]) -> int:
    """Store a proposal; open ones of the same experiment become SUPERSEDED, or EXPIRED if overdue by then."""
    t = promotion_proposals
    same = and_(
        t.c.experiment_name == proposal["experiment_name"],
        t.c.instrument == proposal["instrument"],
        t.c.status.in_(OPEN_STATES),
    )
    overdue = _opened_at() < proposal["created_at"] - VALID_FOR
    status = case((overdue, "EXPIRED"), else_="SUPERSEDED")
    connection.execute(update(t).where(same).values(status=status))
    return int(connection.execute(insert(t).values(**proposal).returning(t.c.id)).scalar_one())
