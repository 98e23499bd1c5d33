"""What keeps the app on this machine: checks before the start and on every request.

Streamlit checks neither custom routes nor the Host header, so these checks stand in front of everything.
"""

import asyncio
import os
import re
from collections import deque
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send
from streamlit import config

from dosvotos.errors import DosVotosError
from dosvotos.signing.relying_party import PUBLIC_URL_VARIABLE, RelyingParty, stated_site
from streamlit_app.problems import RefusedError

API_PATH: Final = "/api"
MAX_BODY_BYTES: Final = 64 * 1024
BODY_SECONDS: Final = 20.0
LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
SINGLE_USER_VARIABLE: Final = "DOSVOTOS_SINGLE_USER"
MAX_TARGET: Final = 2_048
"""Characters of a path and its query together."""

_SAFE_SETTINGS: Final[dict[str, Any]] = {
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "server.enableAgentApi": False,
    "server.trustedUserHeaders": {},
    "browser.gatherUsageStats": False,
}
_HOST = r"(?:localhost|127\.0\.0\.1|\[::1\])(?::(?P<port>[0-9]{1,5}))?"
_HOST_HEADER = re.compile(_HOST, re.IGNORECASE)
_ORIGIN_HEADER = re.compile(f"http://{_HOST}", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HTTP_PORT = 80
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host")
"""Headers of a proxy: in front of single-user mode it would let others vote as its user."""

_RESPONSE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class UnsafeStartError(DosVotosError):
    """The app would be open to others than the person who starts it."""


def refuse_unsafe_host(host: str, has_people: bool) -> None:
    """Let the server listen elsewhere than on this machine for a team behind a TLS proxy only.

    Raises
    ------
    UnsafeStartError
        If `host` is no loopback address, and the log has no people or no public address is stated.
    """
    if host in LOOPBACK_HOSTS:
        return
    if not has_people:
        raise UnsafeStartError(
            f"--host {host}: the log has no people, and single-user mode asks nobody who they are, so it "
            f"listens on {', '.join(LOOPBACK_HOSTS)} only; make the first admin (docs/team.md), or use an "
            "SSH tunnel"
        )
    public = public_site()
    if public is None or public.is_local:
        raise UnsafeStartError(
            f"--host {host}: other machines reach the app through a proxy that speaks TLS, under one stated "
            f"name; set {PUBLIC_URL_VARIABLE}=https://HOST (docs/team.md)"
        )


def refuse_unsafe_settings(has_people: bool) -> None:
    """Start single-user mode only where it is asked for, and with Streamlit's protections on.

    Raises
    ------
    UnsafeStartError
        If the log has no people and single-user mode is not asked for, or a protection is off.
    """
    if not has_people and os.environ.get(SINGLE_USER_VARIABLE) != "1":
        raise UnsafeStartError(
            "the log has no people, so whoever opens the app votes as you. If you alone use this machine, "
            f"start it with {SINGLE_USER_VARIABLE}=1 ('make app' does); a team begins with 'dosvotos "
            "reviewer add --first' (docs/team.md)"
        )
    for name, safe in _SAFE_SETTINGS.items():
        if (found := config.get_option(name)) != safe:
            raise UnsafeStartError(
                f"Streamlit's {name} must be {safe!r}, is {found!r}; the app's own .streamlit/config.toml "
                f"sets it, so unset STREAMLIT_{_as_variable(name)}"
            )


def _as_variable(option: str) -> str:
    """Write a name such as server.enableCORS as Streamlit's environment variables do."""
    return re.sub(r"\.|(?<=[a-z])(?=[A-Z])", "_", option).upper()


def check_address(scope: Scope) -> None:
    """Refuse a request from elsewhere, or under another name than the app's.

    A page of another site can reach a local server by name (DNS rebinding) or with a cross-site request; its
    Host or its Origin gives it away. Without a public address the peer must be this machine; Host and Origin
    are loopback's, or both the public address.

    Raises
    ------
    RefusedError
    """
    public = public_site()
    headers = Headers(scope=scope)
    if public is None and not _is_local_peer(scope):
        raise RefusedError(403, "peer")
    if not _is_local_peer(scope) and headers.get("x-forwarded-proto") != "https":
        raise RefusedError(403, "proxy")
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    host = hosts[0].lower() if len(hosts) == 1 else ""
    local = _HOST_HEADER.fullmatch(host)
    if local is None and (public is None or host != public.host):
        raise RefusedError(
            400, "host", hosts=", ".join([*LOOPBACK_HOSTS, *([public.host] if public else [])])
        )
    if public is None and any(name in headers for name in _FORWARDED):
        raise RefusedError(403, "peer")
    if not origins:
        return
    origin = origins[0].lower() if len(origins) == 1 else ""
    if local is None and public is not None and origin == public.origin:
        return
    found = _ORIGIN_HEADER.fullmatch(origin)
    if local is None or found is None or _port(found) != _port(local):
        raise RefusedError(403, "origin")


def public_site() -> RelyingParty | None:
    """Give the site a TLS proxy serves to a team, None in single-user mode; raises as `stated_site`."""
    return None if os.environ.get(SINGLE_USER_VARIABLE) == "1" else stated_site()


def check_target(scope: Scope) -> None:
    """Refuse an address that is too long or has a control character in it; raises RefusedError."""
    query = scope.get("query_string", b"").decode("latin-1")
    if len(scope["path"]) + len(query) > MAX_TARGET:
        raise RefusedError(414, "target", maximum=MAX_TARGET)
    if _CONTROL.search(scope["path"]) or _CONTROL.search(unquote(query)):
        raise RefusedError(400, "control_character")


def check_head(method: str, headers: Headers) -> None:
    """Refuse a body of another type than JSON, or whose declared size is too large; raises RefusedError."""
    if method not in ("GET", "HEAD", "OPTIONS") and not _is_json(headers):
        raise RefusedError(415, "content_type", found=headers.get("content-type", "-")[:80])
    if _declares_too_much(headers):
        raise RefusedError(413, "body_size", maximum=MAX_BODY_BYTES)


async def read_body(receive: Receive) -> deque[Message]:
    """Collect a whole body's messages; raises RefusedError if it grows too large or comes too late."""
    try:
        return await asyncio.wait_for(_collect(receive), BODY_SECONDS)
    except TimeoutError as error:
        raise RefusedError(408, "body_late", seconds=BODY_SECONDS) from error


def replayed(messages: deque[Message], receive: Receive) -> Receive:
    """Hand a body on whose messages were read."""

    async def receive_again() -> Message:
        return messages.popleft() if messages else await receive()

    return receive_again


def with_headers(send: Send) -> Send:
    """Give every answer the headers that keep a browser from misusing it."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _RESPONSE_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


def _is_local_peer(scope: Scope) -> bool:
    return scope.get("client") is not None and ip_address(scope["client"][0]).is_loopback


def _port(match: re.Match[str]) -> int:
    return int(match["port"] or _HTTP_PORT)


def _is_json(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _declares_too_much(headers: Headers) -> bool:
    declared = headers.get("content-length", "")
    return declared.isdecimal() and (len(declared) > 9 or int(declared) > MAX_BODY_BYTES)


async def _collect(receive: Receive) -> deque[Message]:
    messages: deque[Message] = deque()
    size, more = 0, True
    while more:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise RefusedError(413, "body_size", maximum=MAX_BODY_BYTES)
        more = message.get("more_body", False)
    return messages
