"""How a person comes to a passkey: an admin's invitation, their authenticator, an admin's signature.

An invitation and an enrolment change nothing about who may decide. The server can write both, and still adds
nobody: only ADD_REVIEWER, signed by an admin over the very key, does.
"""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, Row, func, insert, select

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.people import AddedPerson, Role, Trust
from dosvotos.audit.signatures import read_trust
from dosvotos.database.connection import reading, writing
from dosvotos.database.people_tables import enrolments, invitations
from dosvotos.errors import DecisionConflictError, DecisionError, SignatureError
from dosvotos.hashing import digest_bytes, raw_digest
from dosvotos.signing.passkeys import Passkey, parse_passkey, read_registration
from dosvotos.signing.relying_party import RelyingParty, relying_party
from dosvotos.users import same_person

VALID_FOR: Final = timedelta(hours=24)
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class Invitation(NamedTuple):
    """Who may make a passkey, in which role it would count."""

    id: int
    name: str
    role: Role
    invited_by: str
    expires_at: datetime


class Enrolment(NamedTuple):
    """A passkey that waits for an admin's signature."""

    name: str
    role: Role
    key: Passkey
    invited_by: str
    made_at: datetime

    @property
    def added(self) -> AddedPerson:
        """What an admin signs to let it count."""
        return AddedPerson(name=self.name, role=self.role, key=self.key.line)


def invite(engine: Engine, name: str, role: Role, by: str, now: datetime) -> str:
    """Invite a person to make a passkey; an older invitation of theirs counts no more.

    Parameters
    ----------
    engine : Engine
    name : str
    role : Role
    by : str
        The authenticated admin.
    now : datetime, timezone-aware

    Returns
    -------
    str
        The link. It is told this once: the database keeps the hash of its code.

    Raises
    ------
    DecisionError, NotAllowedError
        If `by` is no admin, the name is none, or nobody could be added by it.
    """
    code, site = secrets.token_urlsafe(32), relying_party()
    with writing(engine) as connection:
        trust = read_trust(connection, open_home(connection))
        trust.signatory(by, "team").require("ADD_REVIEWER")
        _check_wanted(trust, name, role)
        values = {"name": name, "role": role, "code_hash": digest_bytes(code.encode()), "invited_by": by}
        times = {"created_at": now, "expires_at": now + VALID_FOR}
        connection.execute(insert(invitations).values(**values, **times))
    return f"{site.origin}/desk/enrol#{code}"


def find_invitation(connection: Connection, code: str, now: datetime) -> Invitation:
    """Find the invitation of a link's code.

    Raises
    ------
    DecisionError
        If there is none, it has expired or was used, or a newer one has taken its place.
    """
    t = invitations
    query = select(t).where(t.c.code_hash == digest_bytes(code.encode()))
    row = connection.execute(query).one_or_none() if _CODE.fullmatch(code) else None
    if row is None or now >= row.expires_at:
        raise DecisionError.of("invitation_none")
    used = select(enrolments).where(enrolments.c.invitation_id == row.id)
    newest = select(func.max(t.c.id)).where(t.c.name == row.name)
    if connection.execute(used).first() is not None:
        raise DecisionConflictError.of("invitation_used")
    if connection.execute(newest).scalar_one() != row.id:
        raise DecisionConflictError.of("invitation_replaced")
    return Invitation(row.id, row.name, row.role, row.invited_by, row.expires_at)


def challenge_of(code: str) -> bytes:
    """Give the challenge that a passkey is made with: nobody without the link knows it before."""
    return raw_digest(f"dosvotos enrolment v1\n{code}\n".encode(), "sha256")


def enrol(
    engine: Engine, code: str, response: Mapping[str, Any], origin: str, now: datetime, site: RelyingParty
) -> Passkey:
    """Store the passkey that a person has made by their invitation, once.

    Raises
    ------
    DecisionError
        If the invitation does not count.
    SignatureError
        If the passkey is not for this site, or was not made for this invitation.
    """
    with reading(engine) as connection:
        find_invitation(connection, code, now)
    key = read_registration(response, challenge_of(code), origin, site)
    with writing(engine) as connection:
        found = find_invitation(connection, code, now)
        trust = read_trust(connection, open_home(connection))
        trust.check_addition(AddedPerson(name=found.name, role=found.role, key=key.line))
        connection.execute(insert(enrolments).values(invitation_id=found.id, key=key.line, created_at=now))
    return key


def waiting_enrolments(connection: Connection, trust: Trust) -> list[Enrolment]:
    """List the passkeys that wait for an admin's signature, by name: each name's newest invitation alone."""
    i, e = invitations, enrolments
    newest = select(func.max(i.c.id)).group_by(i.c.name)
    query = select(i.c.name, i.c.role, e.c.key, i.c.invited_by, e.c.created_at)
    query = query.join(e, e.c.invitation_id == i.c.id).where(i.c.id.in_(newest)).order_by(i.c.name)
    found = (
        Enrolment(name, role, parse_passkey(key), invited_by, made_at)
        for name, role, key, invited_by, made_at in connection.execute(query)
    )
    return [one for one in found if _can_be_added(trust, one)]


def open_invitations(connection: Connection, now: datetime) -> list[Row[Any]]:
    """List the invitations nobody has followed yet, by name."""
    i, e = invitations, enrolments
    newest, used = select(func.max(i.c.id)).group_by(i.c.name), select(e.c.invitation_id)
    unused = i.c.id.in_(newest) & i.c.id.not_in(used) & (i.c.expires_at > now)
    return list(connection.execute(select(i).where(unused).order_by(i.c.name)))


def waiting_enrolment(connection: Connection, trust: Trust, name: str) -> Enrolment:
    """Find the passkey that somebody has made and that waits; raises DecisionError if there is none."""
    for found in waiting_enrolments(connection, trust):
        if found.name == name:
            return found
    raise DecisionError.of("nothing_enrolled", person=name)


def read_enrolment(engine: Engine, name: str) -> Enrolment:
    """Read the passkey of a name that waits; raises as `waiting_enrolment`."""
    with reading(engine) as connection:
        return waiting_enrolment(connection, read_trust(connection, open_home(connection)), name)


def _can_be_added(trust: Trust, enrolment: Enrolment) -> bool:
    """Tell whether an enrolment still waits; one whose key was added, or revoked since, does not."""
    if any(person.key.fingerprint == enrolment.key.fingerprint for person in trust.people):
        return False
    try:
        trust.check_addition(enrolment.added)
    except (DecisionError, SignatureError):
        return False
    return True


def _check_wanted(trust: Trust, name: str, role: Role) -> None:
    """Refuse an invitation by which nobody could be added."""
    try:
        AddedPerson(name=name, role=role, key="")
    except ValidationError as error:
        raise DecisionError.of("name_invalid", found=repr(name[:80])) from error
    for person in trust.active:
        if same_person(person.name, name) and (
            isinstance(person.key, Passkey) or (person.name, person.role) != (name, role)
        ):
            raise DecisionError.of("invited_already", person=name, present=person.name, role=person.role)
