"""What keeps the app on this machine: checks before the start and on every request.

Streamlit checks neither custom routes nor the Host header, so these checks stand in front of everything.
"""

import asyncio
import os
import re
from collections import deque
from ipaddress import ip_address
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from dosvotos.errors import DosVotosError
from streamlit_app.problems import problem

API_PATH: Final = "/api"
MAX_BODY_BYTES: Final = 64 * 1024
BODY_SECONDS: Final = 20.0
LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
SINGLE_USER_VARIABLE: Final = "DOSVOTOS_SINGLE_USER"

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
_HTTP_PORT = 80

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


def refuse_unsafe_host(host: str) -> None:
    """Let the server listen on this machine only.

    Raises
    ------
    UnsafeStartError
        If `host` is no loopback address.
    """
    if host not in LOOPBACK_HOSTS:
        raise UnsafeStartError(
            f"--host {host}: this version knows single-user mode only, without a login, so it listens on "
            f"{', '.join(LOOPBACK_HOSTS)} only; from elsewhere, use an SSH tunnel"
        )


def refuse_unsafe_settings() -> None:
    """Start in single-user mode only, said explicitly, and with Streamlit's protections on.

    Raises
    ------
    UnsafeStartError
        If single-user mode is not asked for, or a protection is off.
    """
    if os.environ.get(SINGLE_USER_VARIABLE) != "1":
        raise UnsafeStartError(
            f"this version has no login: whoever opens the app votes as you. If you alone use this machine, "
            f"start it with {SINGLE_USER_VARIABLE}=1 ('make app' does)"
        )
    for name, safe in _SAFE_SETTINGS.items():
        if (found := config.get_option(name)) != safe:
            raise UnsafeStartError(
                f"Streamlit's {name} must be {safe!r}, is {found!r}; start from the project's folder, whose "
                ".streamlit/config.toml sets it, and without an environment variable that changes it"
            )


class LocalOnly:
    """Answers only this machine's own browser and programs: peer, Host and Origin must be loopback.

    A page of another site can reach a local server by name (DNS rebinding) or with a cross-site request; its
    Host or its Origin gives it away.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        refusal = _refusal(scope)
        if refusal is None:
            return await self.app(scope, receive, _with_headers(send))
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        return await problem(*refusal)(scope, receive, send)


class ApiBodies:
    """Lets bodies reach the REST API only as JSON, and only small ones, declared or chunked."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body up to the limit, then hand it on whole."""
        if scope["type"] != "http" or not _is_api(scope["path"]):
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not _is_json(headers):
            found = headers.get("content-type", "none")
            answer = problem(415, f"Content-Type must be application/json, was {found}")
            return await answer(scope, receive, send)
        too_large = problem(413, f"a request body has at most {MAX_BODY_BYTES} bytes")
        if _declares_too_much(headers):
            return await too_large(scope, receive, send)
        try:
            messages = await asyncio.wait_for(_read_body(receive), BODY_SECONDS)
        except TimeoutError:
            late = problem(408, f"a request body has to arrive within {BODY_SECONDS:g} seconds")
            return await late(scope, receive, send)
        if messages is None:
            return await too_large(scope, receive, send)
        return await self.app(scope, _replay(messages, receive), send)


def _refusal(scope: Scope) -> tuple[int, str] | None:
    if not _is_local_peer(scope):
        return 403, "this app answers its own machine only"
    headers = Headers(scope=scope)
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    host = _HOST_HEADER.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if host is None:
        return 400, "Host must be localhost, 127.0.0.1 or [::1]"
    if not origins:
        return None
    origin = _ORIGIN_HEADER.fullmatch(origins[0]) if len(origins) == 1 else None
    if origin is None or _port(origin) != _port(host):
        return 403, "Origin must be this app's own"
    return None


def _is_local_peer(scope: Scope) -> bool:
    return scope.get("client") is not None and ip_address(scope["client"][0]).is_loopback


def _port(match: re.Match[str]) -> int:
    return int(match["port"] or _HTTP_PORT)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_RESPONSE_HEADERS)
        await send(message)

    return send_with_headers


def _is_api(path: str) -> bool:
    return path == API_PATH or path.startswith(f"{API_PATH}/")


def _is_json(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _declares_too_much(headers: Headers) -> bool:
    declared = headers.get("content-length", "")
    return declared.isdecimal() and (len(declared) > 9 or int(declared) > MAX_BODY_BYTES)


async def _read_body(receive: Receive) -> deque[Message] | None:
    """Collect the messages of a whole body, or None as soon as it is larger than the limit."""
    messages: deque[Message] = deque()
    size, more = 0, True
    while more:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            return None
        more = message.get("more_body", False)
    return messages


def _replay(messages: deque[Message], receive: Receive) -> Receive:
    async def receive_again() -> Message:
        return messages.popleft() if messages else await receive()

    return receive_again
