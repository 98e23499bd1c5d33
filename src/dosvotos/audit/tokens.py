"""Tokens: what a program shows instead of a person's passkey. None ever signs a vote."""

import re
import secrets
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, get_args

from sqlalchemy import Connection, Engine, Row

from dosvotos.audit.current_trust import current_trust
from dosvotos.audit.people import MAY, Person, Role, Trust
from dosvotos.database.connection import reading, writing
from dosvotos.database.tokens import add_token, end_token, find_token
from dosvotos.errors import CredentialError, DecisionError, NotAllowedError
from dosvotos.hashing import digest_bytes, slow_digest
from dosvotos.users import same_person

MAX_DAYS: Final = 365
DEFAULT_DAYS: Final = 30
_TOKEN: Final = re.compile(r"dv_(?P<id>[0-9a-f]{16})_(?P<secret>[A-Za-z0-9_-]{43})")
_verified: dict[str, str] = {}
"""Tokens this process has verified: SHA-256 of the token, and the stored hash it was verified against."""
_MOST_VERIFIED: Final = 1_024


class TokenHolder(NamedTuple):
    """Whom a token stands for, and what it lets them do."""

    name: str
    role: Role


def roles_within(role: Role) -> frozenset[Role]:
    """Give the roles that may do nothing the given one may not."""
    return frozenset(one for one in get_args(Role) if _actions(one) <= _actions(role))


def make_token(engine: Engine, name: str, role: Role | None, days: int, made_by: str, now: datetime) -> str:
    """Make a token of a person; it is told this once and stored as a hash.

    Parameters
    ----------
    engine : Engine
    name : str
        Somebody who may decide on this log.
    role : Role, optional
        At most the person's own, which it is by default.
    days : int
        Until it expires, at most `MAX_DAYS`.
    made_by : str
        The person themselves or an admin.
    now : datetime, timezone-aware

    Raises
    ------
    DecisionError, NotAllowedError
        If there is no such person, the role is beyond theirs, or another person's token is asked for.
    """
    if not 1 <= days <= MAX_DAYS:
        raise DecisionError.of("token_days", maximum=MAX_DAYS, found=days)
    with reading(engine) as connection:
        trust = current_trust(connection)
    person = _person(trust, name)
    _check_maker(trust, person, made_by)
    role = role or person.role
    if role not in roles_within(person.role):
        raise NotAllowedError.of("token_role", person=person.name, own=person.role, role=role)
    token_id, secret, salt = secrets.token_hex(8), secrets.token_urlsafe(32), secrets.token_hex(16)
    row = {
        "id": token_id, "name": person.name, "added_in": person.added_in, "role": role, "salt": salt,
        "secret_hash": slow_digest(secret, bytes.fromhex(salt)), "made_by": made_by, "created_at": now,
        "expires_at": now + timedelta(days=days),
    }  # fmt: skip
    with writing(engine) as connection:
        add_token(connection, row)
    return f"dv_{token_id}_{secret}"


def revoke_token(engine: Engine, token_id: str, by: str, now: datetime) -> None:
    """Let a token count no more from now on; its person or an admin may.

    Raises
    ------
    DecisionError, NotAllowedError
        If there is no such token that counts, or it is another person's.
    """
    with reading(engine) as connection:
        trust, row = current_trust(connection), find_token(connection, token_id)
    if row is None:
        raise DecisionError.of("token_unknown", token=token_id)
    if not same_person(row.name, by) and _active(trust, by, "admin") is None:
        raise NotAllowedError.of("token_maker", maker=by, person=row.name)
    with writing(engine) as connection:
        if not end_token(connection, token_id, by, now):
            raise DecisionError.of("token_unknown", token=token_id)


def holder_of(engine: Engine, token: str, now: datetime) -> TokenHolder:
    """Find whom a token stands for, as the log is now.

    Raises
    ------
    CredentialError
        If it is none, expired, revoked, or its person is.
    """
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise CredentialError.of("token_wrong")
    with reading(engine) as connection:
        row = find_token(connection, found["id"])
        if row is None or not _is_secret(token, found["secret"], row):
            raise CredentialError.of("token_wrong")
        _check_counts(row, now)
        return _holder(connection, row)


def _holder(connection: Connection, row: Row[Any]) -> TokenHolder:
    """Give the token's role, if the person added then still is somebody who may do as much."""
    person = _active(current_trust(connection), row.name)
    if person is None or person.added_in != row.added_in or row.role not in roles_within(person.role):
        raise CredentialError.of("token_person", token=row.id, person=row.name)
    return TokenHolder(person.name, row.role)


def _check_counts(row: Row[Any], now: datetime) -> None:
    """Refuse a token that was revoked or has expired; raises CredentialError."""
    if row.revoked_at is not None:
        raise CredentialError.of("token_revoked", token=row.id, date=f"{row.revoked_at:%Y-%m-%d %H:%M}")
    if now >= row.expires_at:
        raise CredentialError.of("token_expired", token=row.id, date=f"{row.expires_at:%Y-%m-%d %H:%M}")


def _is_secret(token: str, secret: str, row: Row[Any]) -> bool:
    """Compare a secret with its stored hash, slowly the first time."""
    digest = digest_bytes(token.encode())
    if _verified.get(digest) == row.secret_hash:
        return True
    if not secrets.compare_digest(slow_digest(secret, bytes.fromhex(row.salt)), row.secret_hash):
        return False
    if len(_verified) >= _MOST_VERIFIED:
        _verified.clear()
    _verified[digest] = row.secret_hash
    return True


def _person(trust: Trust, name: str) -> Person:
    if trust.single_user:
        raise DecisionError.of("token_single_user")
    if (person := _active(trust, name)) is None:
        raise DecisionError.of("person_unknown", person=name)
    return person


def _check_maker(trust: Trust, person: Person, made_by: str) -> None:
    if not same_person(person.name, made_by) and _active(trust, made_by, "admin") is None:
        raise NotAllowedError.of("token_maker", maker=made_by, person=person.name)


def _active(trust: Trust, name: str, role: Role | None = None) -> Person | None:
    found = (one for one in trust.active if same_person(one.name, name) and role in (None, one.role))
    return next(found, None)


def _actions(role: Role) -> frozenset[str]:
    return frozenset(action for action, roles in MAY.items() if role in roles)
