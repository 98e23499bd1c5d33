"""What people are told: of proposals, decisions and alerts, by the outbox to chat, mail and web hooks."""

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, Row, select

from dosvotos.contracts.parameters import SIMULATED_INSTRUMENT
from dosvotos.contracts.records import Record
from dosvotos.database.connection import reading, writing
from dosvotos.database.outbox import add_message
from dosvotos.database.registry import VALID_FOR, expiring_proposals, get_proposal, lock_instrument, opened_at
from dosvotos.database.tables import HOUSE, outbox
from dosvotos.plain_text import inert
from dosvotos.promotion.champions import CHAMPION
from dosvotos.promotion.vote_rules import is_partial
from dosvotos.redaction import without_secrets

NOTIFICATION: Final = "notification"
"""Kind of message: people are to be told; who first drains it makes a dispatch for each recipient."""
DISPATCH: Final = "notification_to"
"""Kind of message: one notification for one recipient, which is its subject."""
URLS_VARIABLE: Final = "DOSVOTOS_NOTIFY_URLS"
WARNS_BEFORE: Final = timedelta(days=3)
"""How long before a proposal expires people are told."""
_MAX_NAME: Final = 80
_MAX_NOTE: Final = 300

_HEADLINES: Final = {
    "PROPOSED": "New model ready for review: {experiment}",
    "PROPOSED_REJECTED": "New proposal of a model that was rejected: {experiment}",
    "EXPIRES": "Proposal {proposal_id} expires on {about}: {experiment}",
    "ALERT": "Alert {about}: {instrument}",
    "ALERT_OVER": "Alert {about} is over: {instrument}",
    "TEST": "Test message: notifications reach this recipient",
    "APPROVE": "Model promoted to {about} by {person}",
    "APPROVE_OF_SEVERAL": "Model approved by {person}, {about}",
    "REJECT": "Model rejected by {person}",
    "REQUEST_MORE_TESTS": "Extra backtests requested by {person}",
    "REOPEN": "Proposal {proposal_id} reopened by {person}",
    "ROLLBACK": "Rolled back to the production model before by {person}",
    "HALT": "Signals halted by {person}: {instrument}",
    "RESUME": "Signals resumed by {person}: {instrument}",
    "RESTORE": "Backup restored by {person}",
    "ADD_REVIEWER": "{about} added by {person}",
    "REVOKE_REVIEWER": "{about} revoked by {person}",
    "POLICY": "The house's policy changed by {person}",
}
_OTHER: Final = "{event} by {person}"
_PAGES: Final = {
    "ALERT": "production", "ALERT_OVER": "production", "HALT": "production", "RESUME": "production",
    "ROLLBACK": "production",
}  # fmt: skip


class Notification(Record):
    """Something that people are told, as facts; its text is written when it is sent."""

    event: str
    """An action of the audit log, or another key of the headlines."""
    instrument: str | None = None
    experiment: str | None = None
    proposal_id: int | None = None
    model_id: str | None = None
    person: str | None = None
    about: str | None = None
    """What the headline names besides: a stage, an alert's code, a person added."""
    note: str | None = None
    """A reason or an alert's message, in somebody's own words."""

    @property
    def subject(self) -> str:
        """By what the outbox lists it."""
        if self.proposal_id is not None:
            return f"{self.event} proposal {self.proposal_id}"
        return " ".join(one for one in (self.event, self.about, self.instrument) if one)[:255]


class Text(NamedTuple):
    """A notification as it is read: plain text."""

    headline: str
    body: str


def write_text(told: Notification, public_url: str | None = None) -> Text:
    """Write a notification as plain text, in which nobody's words are a link, a mention or an image.

    Parameters
    ----------
    told : Notification
    public_url : str, optional
        Where the app is reached; the text ends with a link to the page that is about it.

    Notes
    -----
    Texts about the sample market begin with ``[SIM]``.
    """
    words = {name: inert(str(value), _MAX_NAME) for name, value in told if value is not None}
    facts = {**words, "event": told.event.replace("_", " ").capitalize()}
    if told.instrument is not None:
        facts["instrument"] = told.instrument
    headline = _HEADLINES.get(told.event, _OTHER).format_map(_Named(facts))
    mark = "[SIM] " if told.instrument == SIMULATED_INSTRUMENT else ""
    named = {"model": told.model_id, "experiment": told.experiment, "proposal": told.proposal_id}
    what = [f"{name} {inert(str(value), _MAX_NAME)}" for name, value in named.items() if value is not None]
    lines = [", ".join([*([told.instrument] if told.instrument else []), *what])]
    if told.note:
        lines.append(inert(told.note, _MAX_NOTE))
    if public_url:
        lines.append(f"{public_url.rstrip('/')}/{_page(told)}")
    return Text(mark + headline, "\n".join(line for line in lines if line))


class _Named(dict[str, str]):
    """Facts for a headline, which shows one that nobody knows as a dash."""

    def __missing__(self, name: str) -> str:
        return "-"


def announce(connection: Connection, told: Notification, now: datetime) -> None:
    """Let people be told, after the caller's transaction is committed; no secret is kept of its note."""
    safe = told.model_copy(update={"note": told.note and without_secrets(told.note)})
    add_message(connection, NOTIFICATION, told.subject, safe.model_dump(exclude_none=True), now)


def announce_proposal(
    connection: Connection, proposal_id: int, proposal: Mapping[str, Any], now: datetime
) -> None:
    """Tell of a proposal that is registered: ready for review, or closed by a person's earlier REJECT."""
    event = "PROPOSED_REJECTED" if proposal["status"] == "REJECTED" else "PROPOSED"
    told = Notification(
        event=event,
        instrument=proposal["instrument"],
        experiment=proposal["experiment_name"],
        proposal_id=proposal_id,
        model_id=proposal["model_id"],
        note=f"L4 recommends {proposal['recommendation']}: {proposal['reason']}",
    )
    announce(connection, told, now)


def announce_decision(connection: Connection, row: Row[Any], now: datetime) -> None:
    """Tell of a decision, by its row of the audit log."""
    proposal = None if row.proposal_id is None else get_proposal(connection, row.proposal_id)
    several = row.action == "APPROVE" and is_partial(row)
    named = row.subject.get("name") if isinstance(row.subject, dict) else None
    told = Notification(
        event="APPROVE_OF_SEVERAL" if several else row.action,
        instrument=row.instrument,
        experiment=proposal.experiment_name if proposal else None,
        proposal_id=row.proposal_id,
        model_id=row.model_id,
        person=row.reviewer,
        about=f"{row.approvals} of {row.quorum} approvals" if several else named or row.new_stage,
        note=f"{_marks(row, proposal)}{row.notes or ''}" or None,
    )
    announce(connection, told, now)


def announce_expiring(engine: Engine, now: datetime) -> None:
    """Tell, once each, of the proposals that expire within `WARNS_BEFORE` without a vote."""
    with reading(engine) as connection:
        soon = [
            row for row in expiring_proposals(connection, now, WARNS_BEFORE) if not _is_told(connection, row)
        ]
    if not soon:
        return
    with writing(engine) as connection:
        lock_instrument(connection, HOUSE)  # of several processes one tells
        for row in soon:
            if not _is_told(connection, row):
                announce(connection, _expiring(row), now)


def _expiring(proposal: Row[Any]) -> Notification:
    return Notification(
        event="EXPIRES",
        instrument=proposal.instrument,
        experiment=proposal.experiment_name,
        proposal_id=proposal.id,
        model_id=proposal.model_id,
        about=f"{opened_at(proposal) + VALID_FOR:%Y-%m-%d}",
    )


def _is_told(connection: Connection, proposal: Row[Any]) -> bool:
    """Whether people know that a proposal expires, since it was made or last reopened."""
    t = outbox
    about = (t.c.kind == NOTIFICATION) & (t.c.subject == _expiring(proposal).subject)
    query = select(t.c.id).where(about, t.c.created_at >= opened_at(proposal)).limit(1)
    return connection.execute(query).first() is not None


def sendable_kinds() -> tuple[str, ...]:
    """List the kinds of messages that this process can send: MLflow is installed, recipients are stated."""
    mlflow = (CHAMPION,) if find_spec("kedro_mlflow") is not None else ()
    return (*mlflow, *((NOTIFICATION, DISPATCH) if os.environ.get(URLS_VARIABLE, "").strip() else ()))


def _marks(row: Row[Any], proposal: Row[Any] | None) -> str:
    """Say what a reader of an approval must know: it overrides L4, or is by who trained the model."""
    marks = []
    if row.action == "APPROVE" and proposal is not None and proposal.recommendation != "PROMOTE":
        marks.append(f"overrides L4's {proposal.recommendation}")
    if row.self_approved:
        marks.append("self-approved")
    return f"({', '.join(marks)}) " if marks else ""


def _page(told: Notification) -> str:
    if told.event in _PAGES:
        return _PAGES[told.event]
    return "audit" if told.proposal_id is None else f"review?id={told.proposal_id}"
