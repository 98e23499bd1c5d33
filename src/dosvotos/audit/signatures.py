"""Whether a row of the log is what somebody signed who could sign it then."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row

from dosvotos.audit.decision_text import DecisionText, parse_text
from dosvotos.audit.people import OF_PEOPLE, SECOND_MAY, Signatory, Trust, people_rows, roots_of
from dosvotos.database.tables import HOUSE
from dosvotos.errors import AlteredError, DosVotosError, SignatureError
from dosvotos.hashing import digest_bytes, digest_json
from dosvotos.signing.home import Home
from dosvotos.signing.keys import PublicKey
from dosvotos.signing.passkeys import Passkey, VoterKey, is_assertion, parse_assertion
from dosvotos.signing.sshsig import LOG_NAMESPACE, VOTE_NAMESPACE, verify_signature

SIGNATURE_COUNTS_FOR: Final = timedelta(minutes=10)
CLOCKS_DIFFER_BY: Final = timedelta(seconds=60)
"""How far a signer's clock may be ahead."""
RAISE_THE_HOUSE: Final = (*OF_PEOPLE, "POLICY", "RESTORE")
"""Decisions that raise the house's epoch."""


def read_trust(connection: Connection, home: Home) -> Trust:
    """Derive whose signatures count from the home's pins and the signed decisions about people.

    Raises
    ------
    LineageError
        Naming the row that is not what was signed by somebody who could.
    """
    return trust_of(people_rows(connection), roots_of(home))


def trust_of(rows: Iterable[Row[Any]], roots: Trust) -> Trust:
    """Follow the decisions about people, oldest first, from what the home pins; raises as `read_trust`."""
    trust = roots
    for row in rows:
        verify_decision(row, trust)
        trust = trust.after(row)
    return trust


def verify_decision(row: Row[Any], trust: Trust) -> DecisionText:
    """Read a row's text, signed by somebody who could sign it when it was written.

    Parameters
    ----------
    row : row of approval_audit_log
        With a text.
    trust : Trust
        As of the row; later people are left out.

    Raises
    ------
    LineageError
        Naming the row and what is wrong with it.
    """
    trust = trust.before(row.id)
    try:
        if row.text is None:
            raise SignatureError.of("row_unsigned")
        _require_text(row)
        text = parse_text(row.text)
        _compare(row, text)
        who = first_signatory(row, trust) if is_first(row) else trust.signatory(text.reviewer, row.mode)
        who.require(row.action)
        verify_vote_signature(row.signature, text, who)
        if row.second_signature is not None:
            second = trust.signatory(row.second_reviewer, row.mode)
            check_second(second, who)
            verify_vote_signature(row.second_signature, text, second)
    except DosVotosError as error:
        raise AlteredError.of(
            "row_not_covered", row=row.id, action=row.action, person=row.reviewer, problem=error
        ) from error
    return text


def verify_vote_signature(signature: str, text: DecisionText, who: Signatory) -> VoterKey:
    """Return the key of a person's that signed a decision's text: an SSHSIG, or a passkey's assertion.

    Raises
    ------
    SignatureError
        If none of them did.
    """
    if is_assertion(signature):
        assertion = parse_assertion(signature)
        for key in who.keys:
            if isinstance(key, Passkey) and key.credential == assertion.credential:
                assertion.verify(text.to_bytes(), key)
                return key
        raise SignatureError.of("other_passkey", person=who.name)
    found = verify_signature(signature, text.to_bytes(), VOTE_NAMESPACE)
    if found not in who.keys:
        raise SignatureError.of("other_key", fingerprint=found.fingerprint, person=who.name)
    return found


def verify_countersignature(row: Row[Any], server: PublicKey) -> None:
    """Refuse a row that the server has not countersigned; raises LineageError."""
    try:
        if verify_signature(row.countersignature or "", row.text.encode(), LOG_NAMESPACE) != server:
            raise SignatureError.of("other_server_key")
    except SignatureError as error:
        raise AlteredError.of("row_countersignature", row=row.id, problem=error) from error


def first_signatory(row: Row[Any], trust: Trust) -> Signatory:
    """Who signs the first person's ADD_REVIEWER: single-user mode's key, or on an empty log that person."""
    if row.mode == "single-user":
        return trust.signatory(row.reviewer, row.mode)
    if trust.admin is None or trust.local is not None or not trust.single_user:
        raise SignatureError.of("first_signs")
    return Signatory(row.reviewer, "admin", (trust.admin,))


def check_second(second: Signatory, first: Signatory) -> None:
    """Refuse a second signature of the first one's signer, or of a role that cannot give one."""
    if second.name == first.name or {*second.keys} & {*first.keys}:
        raise SignatureError.of("second_same", person=second.name)
    if second.role is not None and second.role not in SECOND_MAY:
        raise SignatureError.of("second_role", person=second.name, role=second.role, roles=_roles())


def unsigned(rows: Iterable[Row[Any]]) -> list[int]:
    """List the rows that change something and carry no signature: they are of before signatures."""
    return [row.id for row in rows if row.text is None and row.action != "REQUEST_MORE_TESTS"]


def is_first(row: Row[Any]) -> bool:
    """Tell whether a row adds the log's first person."""
    subject = row.subject if isinstance(row.subject, dict) else {}
    return row.action == "ADD_REVIEWER" and subject.get("first") is True


def _roles() -> str:
    return " or ".join(sorted(SECOND_MAY))


def restored_epochs(row: Row[Any]) -> dict[str, int]:
    """Read the epochs that a RESTORE gives the head rows; raises SignatureError if it names none."""
    epochs = row.subject.get("epochs") if isinstance(row.subject, dict) else None
    if not isinstance(epochs, dict) or not isinstance(epochs.get(HOUSE), int):
        raise SignatureError.of("subject_epochs")
    return epochs


def _require_text(row: Row[Any]) -> None:
    """Refuse bytes and numbers where text belongs, as only an edited SQLite file holds."""
    for name in ("text", "notes", "signature", "second_reviewer", "second_signature"):
        if not isinstance(found := getattr(row, name), str | None):
            raise SignatureError.of("column_differs", name=name, found=repr(found), signed="text")
    if row.signature is None:
        raise SignatureError.of("row_unsigned")


def _compare(row: Row[Any], text: DecisionText) -> None:
    """Compare a row's columns with its text."""
    raised = (row.new_stage == "production" and text.stage == "production") or row.action in RAISE_THE_HOUSE
    expected = {
        "text_hash": text.digest,
        "action": text.action,
        "instrument": None if text.instrument == HOUSE else text.instrument,
        "reviewer": text.reviewer,
        "epoch": text.epoch + raised,
    }
    if text.action == "RESTORE":
        expected["epoch"] = restored_epochs(row)[HOUSE]
    if text.action in ("APPROVE", "REJECT", "REOPEN"):
        expected["proposal_id"] = text.proposal
    for name, value in expected.items():
        if (found := getattr(row, name)) != value:
            raise SignatureError.of("column_differs", name=name, found=found, signed=value)
    digests = {
        "reason": digest_bytes((row.notes or "").encode()),
        "subject": None if row.subject is None else digest_json(row.subject),
        "lapses": None if row.lapses is None else digest_json(row.lapses),
    }
    for name, digest in digests.items():
        if (signed := getattr(text, name)) != digest:
            raise SignatureError.of("column_digest", name=name, found=digest, signed=signed)
    if not -CLOCKS_DIFFER_BY <= row.created_at - text.at <= SIGNATURE_COUNTS_FOR:
        raise SignatureError.of("row_late", signed=text.at, decided=row.created_at)
