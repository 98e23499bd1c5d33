"""A decision: one transaction of one shape, which changes all that follows from it or nothing.

Lock the head rows; look the idempotency key up; read everything again under the lock; check role, rules and
signature; carry out; append the audit row; commit; write the checkpoint before anybody is told.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol, Self

from sqlalchemy import Connection, Engine, Row, insert, select, update

from dosvotos.audit.checkpoints import append_checkpoint, check_checkpoints, log_state, open_home
from dosvotos.audit.decision_text import DecisionText, check_same, parse_text
from dosvotos.audit.log import append_audit_row
from dosvotos.audit.passkey_use import accept_use
from dosvotos.audit.people import Signatory, Trust, has_people
from dosvotos.audit.signatures import (
    CLOCKS_DIFFER_BY,
    SIGNATURE_COUNTS_FOR,
    check_second,
    read_trust,
    verify_vote_signature,
)
from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import change_one, expire_proposals, lock_instrument, read_epoch
from dosvotos.database.tables import HOUSE, approval_audit_log, idempotency_keys, instruments
from dosvotos.errors import DecisionConflictError, SignatureError
from dosvotos.hashing import digest_bytes, digest_json
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.notify import announce_decision
from dosvotos.promotion.tripwires import Lapses
from dosvotos.promotion.vote_rules import check_reason
from dosvotos.signing.checkpoint import LogState
from dosvotos.signing.home import Home
from dosvotos.signing.sshsig import LOG_NAMESPACE, VOTE_NAMESPACE


class SecondSignature(NamedTuple):
    """Another person's signature over the same text, where one person's is not enough."""

    reviewer: str
    signature: str


class Signed(NamedTuple):
    """A decision's text as somebody signed it."""

    text: str
    signature: str
    """Armored SSHSIG, or a passkey's assertion."""
    second: SecondSignature | None = None


class Subject(NamedTuple):
    """What a decision's text says besides who, why, when and under which epoch and policy."""

    proposal: int | None = None
    dossier: str | None = None
    model: str | None = None
    """Manifest hash, as `replaces`."""
    stage: str | None = None
    replaces: str | None = None
    extra: str | None = None
    lapses: Lapses | None = None
    other: Mapping[str, Any] | None = None
    """What else is decided: the text's ``subject``."""


class Entry(NamedTuple):
    """What a decision did, as its row of the log says it."""

    epoch: int
    """After the decision."""
    model_id: str | None = None
    proposal_id: int | None = None
    previous_production_model: str | None = None
    new_stage: str | None = None
    self_approved: bool = False
    trained_by: str | None = None
    agreement: str | None = None
    """Hash of what the approvals of one quorum have in common."""
    approvals: int | None = None
    quorum: int | None = None


class Act(Protocol):
    """One decision that somebody wants to be carried out."""

    @property
    def action(self) -> str:
        """What is decided, as the log names it."""
        ...

    @property
    def reason(self) -> str:
        """Why."""
        ...

    @property
    def needs_signature(self) -> bool:
        """Whether it changes anything."""
        ...

    def instrument_in(self, connection: Connection) -> str:
        """Name the head row the decision is about: an instrument, or HOUSE."""
        ...

    @property
    def request(self) -> Mapping[str, Any]:
        """What was asked for, by which a repeated request is known."""
        ...

    def signatory(self, trust: Trust, name: str) -> Signatory:
        """Find who decides."""
        ...

    def prepared(self, connection: Connection, now: datetime) -> "Act":
        """Read what takes time, before anything is locked."""
        ...

    def check(self, connection: Connection, who: Signatory, now: datetime) -> None:
        """Refuse what cannot be carried out as the rows stand."""
        ...

    def subject(self, connection: Connection) -> Subject:
        """Say what is decided."""
        ...

    def needs_second(self, connection: Connection, who: Signatory) -> bool:
        """Tell whether another person has to sign too."""
        ...

    def check_log(self, connection: Connection, home: Home) -> None:
        """Refuse a log that nothing may be decided on."""
        ...

    def carry_out(
        self, connection: Connection, who: Signatory, text: DecisionText | None, epoch: int, now: datetime
    ) -> Entry:
        """Change all that follows; `epoch` is the head row's before the decision."""
        ...


class ActOf:
    """What most acts have in common: a signature by one person of the log."""

    @property
    def needs_signature(self) -> bool:
        """Whether it changes anything."""
        return True

    def signatory(self, trust: Trust, name: str) -> Signatory:
        """Find who decides."""
        return trust.signatory(name)

    def prepared(self, connection: Connection, now: datetime) -> Self:
        """Read what takes time: nothing."""
        return self

    def needs_second(self, connection: Connection, who: Signatory) -> bool:
        """Tell whether another person has to sign too."""
        return False

    def check_log(self, connection: Connection, home: Home) -> None:
        """Refuse a log that is not at least what its last checkpoint says."""
        check_checkpoints(connection, home)


class Outcome(NamedTuple):
    """What a decision did, or had done when the same request came before."""

    row: Row[Any]
    """Of the log."""
    repeated: bool = False


def carry_out(
    engine: Engine, act: Act, by: str, now: datetime, signed: Signed | None = None, key: str | None = None
) -> Outcome:
    """Carry out a decision.

    Parameters
    ----------
    engine : Engine
    act : Act
    by : str
        The authenticated person.
    now : datetime, timezone-aware
        The wall clock.
    signed : Signed, optional
        Text and signature; without it single-user mode's key signs, if the log is without people.
    key : str, optional
        The request's idempotency key: the same request again gets the first one's answer.

    Raises
    ------
    DecisionError, DecisionConflictError, NotAllowedError, SignatureError
        Naming the rule that was broken, or what has changed.
    HomeError, LineageError
        If the home is missing, or the log is not the one of its last checkpoint.
    """
    check_reason(act.action, act.reason)
    with writing(engine) as connection:
        expire_proposals(connection, now)
    with reading(engine) as connection:
        home = open_home(connection)
        repeated = _earlier(connection, act, by, key)
        if repeated is None:
            seen = _seen_log(connection, home, act)
            act = act.prepared(connection, now)
            if signed is None and act.needs_signature and not has_people(connection):
                signed = _sign_locally(connection, home, act, by, now)
    if repeated is None:
        with writing(engine) as connection:
            outcome = _transact(connection, home, act, by, now, signed, key, seen)
    else:
        outcome = Outcome(repeated, repeated=True)
    if home.exists:
        append_checkpoint(engine, home, now)
    return outcome


def was_answered(engine: Engine, key: str | None) -> bool:
    """Tell whether a request of this idempotency key has led to a decision."""
    if key is None:
        return False
    with reading(engine) as connection:
        query = select(idempotency_keys.c.key).where(idempotency_keys.c.key == key)
        return connection.execute(query).first() is not None


def decision_text(connection: Connection, act: Act, who: Signatory, at: datetime) -> DecisionText:
    """Write the text to be signed for a decision, as the rows stand."""
    instrument, found = act.instrument_in(connection), act.subject(connection)
    return DecisionText(
        instrument=instrument,
        action=act.action,
        proposal=found.proposal,
        dossier=found.dossier,
        model=found.model,
        stage=found.stage,
        replaces=found.replaces,
        epoch=read_epoch(connection, instrument),
        policy=current_policy(connection).version,
        extra=found.extra,
        lapses=found.lapses.digest if found.lapses else None,
        subject=None if found.other is None else digest_json(found.other),
        reason=digest_bytes(act.reason.encode()),
        reviewer=who.name,
        at=at,
    )


def text_to_sign(engine: Engine, act: Act, by: str, now: datetime, reason: str | None = None) -> DecisionText:
    """Write the text that a person signs, after every check that needs no signature.

    Parameters
    ----------
    engine : Engine
    act : Act
    by : str
    now : datetime, timezone-aware
    reason : str, optional
        SHA-256 of the reason, where only its author knows the reason yet; the act's own is not looked at.

    Raises
    ------
    DecisionError, DecisionConflictError, NotAllowedError
        If the decision could not be carried out.
    """
    if reason is None:
        check_reason(act.action, act.reason)
    with reading(engine) as connection:
        who = act.signatory(read_trust(connection, open_home(connection)), by)
        who.require(act.action)
        act.check(connection, who, now)
        return _unused_text(connection, act, who, now, reason)


def _transact(
    connection: Connection,
    home: Home,
    act: Act,
    by: str,
    now: datetime,
    signed: Signed | None,
    key: str | None,
    seen: LogState,
) -> Outcome:
    lock_instrument(connection, HOUSE)
    head = lock_instrument(connection, act.instrument_in(connection))
    if (row := _earlier(connection, act, by, key)) is not None:
        return Outcome(row, repeated=True)
    _check_seen(connection, seen)
    who = _who(connection, home, act, by)
    act.check(connection, who, now)
    decided = act.subject(connection)
    columns, text = (
        _signed_columns(connection, home, act, who, signed, now) if act.needs_signature else ({}, None)
    )
    entry = act.carry_out(connection, who, text, head.epoch, now)
    if entry.epoch != head.epoch:
        raised = update(instruments).where(instruments.c.instrument == head.instrument)
        change_one(connection, raised.values(epoch=entry.epoch))
    row_id = append_audit_row(connection, _row(act, who, head.instrument, decided, entry) | columns, now)
    _remember(connection, act, by, key, row_id, now)
    row = _row_of(connection, row_id)
    announce_decision(connection, row, now)
    return Outcome(row)


def _who(connection: Connection, home: Home, act: Act, by: str) -> Signatory:
    trust = read_trust(connection, home)
    if trust.single_user and not act.needs_signature:
        return Signatory(by, None)
    who = act.signatory(trust, by)
    who.require(act.action)
    return who


def _row(act: Act, who: Signatory, instrument: str, decided: Subject, entry: Entry) -> dict[str, Any]:
    return {
        **entry._asdict(),
        "action": act.action,
        "reviewer": who.name,
        "notes": act.reason,
        "instrument": None if instrument == HOUSE else instrument,
        "mode": who.mode,
        "subject": None if decided.other is None else dict(decided.other),
        "lapses": decided.lapses.model_dump() if decided.lapses else None,
    }


def _signed_columns(
    connection: Connection, home: Home, act: Act, who: Signatory, signed: Signed | None, now: datetime
) -> tuple[dict[str, Any], DecisionText]:
    """Check that the right person signed exactly what is about to happen, in time and for the first time."""
    if signed is None:
        raise SignatureError.of("unsigned", action=act.action)
    text = parse_text(signed.text)
    check_same(text, decision_text(connection, act, who, text.at))
    if not -CLOCKS_DIFFER_BY <= now - text.at <= SIGNATURE_COUNTS_FOR:
        raise SignatureError.of(
            "signature_late",
            action=act.action,
            signed=f"{text.at:%Y-%m-%d %H:%M:%S}",
            arrived=f"{now:%Y-%m-%d %H:%M:%S}",
            minutes=SIGNATURE_COUNTS_FOR.seconds // 60,
        )
    if _was_used(connection, text):
        raise DecisionConflictError.of("signature_used", action=act.action)
    accept_use(connection, verify_vote_signature(signed.signature, text, who), signed.signature, now)
    columns = {
        "text": signed.text,
        "text_hash": text.digest,
        "signature": signed.signature,
        "countersignature": home.server().sign(text.to_bytes(), LOG_NAMESPACE),
        **_second_columns(connection, home, act, who, signed.second, text, now),
    }
    return columns, text


def _second_columns(
    connection: Connection,
    home: Home,
    act: Act,
    who: Signatory,
    second: SecondSignature | None,
    text: DecisionText,
    now: datetime,
) -> dict[str, str]:
    if second is None:
        if act.needs_second(connection, who):
            raise SignatureError.of("second_needed", action=act.action, person=who.name)
        return {}
    other = read_trust(connection, home).signatory(second.reviewer)
    check_second(other, who)
    key = verify_vote_signature(second.signature, text, other)
    accept_use(connection, key, second.signature, now)
    return {"second_reviewer": other.name, "second_signature": second.signature}


def _sign_locally(connection: Connection, home: Home, act: Act, by: str, now: datetime) -> Signed:
    """Sign with single-user mode's key, made on first use."""
    home.make()
    signer = home.make_local()
    who = act.signatory(read_trust(connection, home), by)
    act.check(connection, who, now)
    text = _unused_text(connection, act, who, now)
    return Signed(str(text), signer.sign(text.to_bytes(), VOTE_NAMESPACE))


def _seen_log(connection: Connection, home: Home, act: Act) -> LogState:
    """Compare the log with its last checkpoint; what was seen here is looked for again under the lock."""
    act.check_log(connection, home)
    return log_state(connection)


def _check_seen(connection: Connection, seen: LogState) -> None:
    t = approval_audit_log
    if seen.rows == 0:
        return
    hashed = connection.execute(select(t.c.row_hash).where(t.c.id == seen.rows)).scalar_one_or_none()
    if hashed != seen.head:
        raise DecisionConflictError.of("log_rewritten")


def _earlier(connection: Connection, act: Act, by: str, key: str | None) -> Row[Any] | None:
    """Find the decision that a repeated request led to."""
    if key is None:
        return None
    t = idempotency_keys
    found = connection.execute(select(t).where(t.c.key == key)).one_or_none()
    if found is None:
        return None
    if found.request_hash != _request_hash(act, by):
        raise DecisionConflictError.of("key_reused", key=repr(key))
    return _row_of(connection, found.audit_id)


def _remember(connection: Connection, act: Act, by: str, key: str | None, row_id: int, now: datetime) -> None:
    if key is not None:
        values = {"key": key, "request_hash": _request_hash(act, by), "audit_id": row_id, "created_at": now}
        connection.execute(insert(idempotency_keys).values(values))


def _request_hash(act: Act, by: str) -> str:
    return digest_json({"action": act.action, "reason": act.reason, "by": by, **act.request})


def _row_of(connection: Connection, row_id: int) -> Row[Any]:
    return connection.execute(select(approval_audit_log).where(approval_audit_log.c.id == row_id)).one()


def _unused_text(
    connection: Connection, act: Act, who: Signatory, now: datetime, reason: str | None = None
) -> DecisionText:
    """Write a text that was not signed before: the same decision within a second gets the next one's time."""
    text = decision_text(connection, act, who, _whole_second(now))
    if reason is not None:
        text = text.model_copy(update={"reason": reason})
    while _was_used(connection, text):
        text = text.model_copy(update={"at": text.at + timedelta(seconds=1)})
    return text


def _was_used(connection: Connection, text: DecisionText) -> bool:
    t = approval_audit_log
    return connection.execute(select(t.c.id).where(t.c.text_hash == text.digest)).first() is not None


def _whole_second(moment: datetime) -> datetime:
    return datetime.fromtimestamp(int(moment.timestamp()), UTC)
