"""Signing in with a passkey: a cookie whose holder the log is asked about at every request."""

import re
import secrets
from datetime import UTC, datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError
from starlette.datastructures import Headers
from starlette.responses import Response

from dosvotos.audit.current_trust import current_trust
from dosvotos.audit.passkey_use import accept_use
from dosvotos.audit.people import Person
from dosvotos.database.connection import reading, writing
from dosvotos.database.people_tables import sign_ins
from dosvotos.errors import CredentialError
from dosvotos.hashing import digest_bytes
from dosvotos.signing.checkpoint import STAMP
from dosvotos.signing.passkeys import Passkey, parse_assertion
from dosvotos.signing.relying_party import RelyingParty, relying_party
from streamlit_app.identity import Caller

LASTS: Final = timedelta(hours=12)
TEXT_COUNTS_FOR: Final = timedelta(minutes=5)
COOKIE: Final = "dosvotos_session"
_TEXT: Final = re.compile(
    r"dosvotos sign-in v1\norigin: (?P<origin>[!-~]{1,300})\nnonce: [0-9a-f]{32}\n"
    r"at: (?P<at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\n"
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class SignedIn(NamedTuple):
    """Somebody who has just signed in."""

    caller: Caller
    token: str
    """Of the cookie: stored as a hash, told this once."""


def sign_in_text(now: datetime) -> str:
    """Write what a passkey signs to sign in: this site, now; it counts for five minutes, once."""
    stamp = now.astimezone(UTC).strftime(STAMP)
    nonce = secrets.token_hex(16)
    return f"dosvotos sign-in v1\norigin: {relying_party().origin}\nnonce: {nonce}\nat: {stamp}\n"


def sign_in(engine: Engine, text: str, signature: str, now: datetime) -> SignedIn:
    """Begin a session of whoever's passkey signed a sign-in text.

    Raises
    ------
    CredentialError
        If the text is not of this site and time, was used before, or the passkey is nobody's on this log.
    SignatureError
        If it is not what the passkey signed, or its counter fell back.
    """
    _check_text(text, relying_party(), now)
    assertion, token = parse_assertion(signature), secrets.token_urlsafe(32)
    with reading(engine) as connection:
        person, key = _holder(connection, assertion.credential)
    assertion.verify(text.encode(), key)
    try:
        with writing(engine) as connection:
            accept_use(connection, key, signature, now)
            row = {
                "token_hash": digest_bytes(token.encode()), "text_hash": digest_bytes(text.encode()),
                "name": person.name, "fingerprint": key.fingerprint, "created_at": now,
                "expires_at": now + LASTS,
            }  # fmt: skip
            connection.execute(insert(sign_ins).values(row))
    except IntegrityError as error:
        raise CredentialError.of("sign_in_used") from error
    return SignedIn(Caller(person.name, person.role, "passkey"), token)


def caller_of_session(engine: Engine, headers: Headers, now: datetime) -> Caller | None:
    """Find whom the session's cookie stands for, as the log is now; None without one that counts."""
    token = _token_in(headers)
    if token is None:
        return None
    t = sign_ins
    with reading(engine) as connection:
        row = connection.execute(
            select(t).where(t.c.token_hash == digest_bytes(token.encode()))
        ).one_or_none()
        if row is None or row.ended_at is not None or now >= row.expires_at:
            return None
        people = current_trust(connection).active
    for person in people:
        is_key = isinstance(person.key, Passkey) and person.key.fingerprint == row.fingerprint
        if is_key and person.name == row.name and person.since <= row.created_at:
            return Caller(person.name, person.role, "passkey")
    return None


def sign_out(engine: Engine, headers: Headers, now: datetime) -> None:
    """End the session of a request's cookie, for every tab and copy of it."""
    t, token = sign_ins, _token_in(headers)
    if token is not None:
        with writing(engine) as connection:
            own = (t.c.token_hash == digest_bytes(token.encode())) & t.c.ended_at.is_(None)
            connection.execute(update(t).where(own).values(ended_at=now))


def set_cookie(response: Response, token: str) -> None:
    """Hand the session to the browser: to no script or other site; but on this machine over TLS alone."""
    site = relying_party()
    response.set_cookie(
        _cookie_name(site),
        token,
        max_age=int(LASTS.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=not site.is_local,
    )


def drop_cookie(response: Response) -> None:
    """Let the browser forget the session."""
    site = relying_party()
    response.delete_cookie(_cookie_name(site), httponly=True, samesite="strict", secure=not site.is_local)


def _check_text(text: str, site: RelyingParty, now: datetime) -> None:
    found = _TEXT.fullmatch(text)
    if found is None or found["origin"] != site.origin:
        raise CredentialError.of("sign_in_text", origin=site.origin)
    try:
        at = datetime.strptime(found["at"], STAMP).replace(tzinfo=UTC)
    except ValueError as error:
        raise CredentialError.of("sign_in_text", origin=site.origin) from error
    if not -TEXT_COUNTS_FOR <= now - at <= TEXT_COUNTS_FOR:
        raise CredentialError.of("sign_in_late", minutes=TEXT_COUNTS_FOR.seconds // 60)


def _holder(connection: Connection, credential: bytes) -> tuple[Person, Passkey]:
    """Find whose passkey a credential names; raises CredentialError."""
    for person in current_trust(connection).active:
        if isinstance(person.key, Passkey) and person.key.credential == credential:
            return person, person.key
    raise CredentialError.of("passkey_unknown")


def _cookie_name(site: RelyingParty) -> str:
    """Name the cookie; over TLS so that no other host of the domain can set one of the name."""
    return COOKIE if site.is_local else f"__Host-{COOKIE}"


def _token_in(headers: Headers) -> str | None:
    try:
        cookies = SimpleCookie("; ".join(headers.getlist("cookie")))
    except CookieError:
        return None
    found = cookies.get(_cookie_name(relying_party()))
    return found.value if found is not None and _TOKEN.fullmatch(found.value) else None
