"""Who may call what: one table of every route, and one gate in front of everything that answers.

Neither Streamlit's routes nor the REST API's check anything of their own. A route that is not in the table is
not there for anybody.
"""

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from re import Pattern
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from dosvotos.audit.people import MAY, Role, has_people
from dosvotos.database.connection import reading
from dosvotos.errors import DosVotosError
from streamlit_app import queries
from streamlit_app.addresses import keeping
from streamlit_app.identity import Caller, local_caller
from streamlit_app.problems import RefusedError, answer_to, spoken_language
from streamlit_app.security import (
    SINGLE_USER_VARIABLE,
    check_address,
    check_head,
    check_target,
    read_body,
    replayed,
    with_headers,
)
from streamlit_app.sessions import caller_of_session
from streamlit_app.tokens import token_caller

Who = Literal["public", "person", "nobody"] | frozenset[Role]
"""Everybody; whoever has signed in; nobody at all; or whoever holds one of these roles."""

Authenticator = Callable[[Engine, Headers, datetime], Caller | None]
"""Finds the caller by one kind of credential; None without one; raises if it does not count."""
AUTHENTICATORS: tuple[Authenticator, ...] = (token_caller, caller_of_session)


class Rule(NamedTuple):
    """Who may call a route."""

    method: str
    """As HTTP has it, HEAD included in GET; WEBSOCKET for a socket."""
    path: str
    """With Starlette's placeholders."""
    who: Who


_VOTERS: Final = MAY["APPROVE"]
PAGES: Final = (
    "/", "/review", "/compare", "/production", "/data", "/models", "/signals", "/audit", "/people",
)  # fmt: skip
"""Addresses of the Streamlit pages, each of which is Streamlit's one index.html."""
POLICY: Final[tuple[Rule, ...]] = (
    Rule("GET", "/api", "public"),
    Rule("GET", "/api/docs", "public"),
    Rule("GET", "/api/openapi.json", "public"),
    Rule("GET", "/api/health", "person"),
    Rule("GET", "/api/experiments", "person"),
    Rule("GET", "/api/experiments/{id}", "person"),
    Rule("GET", "/api/experiments/{id}/decision-text", _VOTERS),
    Rule("POST", "/api/experiments/{id}/approve", _VOTERS),
    Rule("POST", "/api/experiments/{id}/backtest", _VOTERS),
    Rule("GET", "/api/backtests/{id}", "person"),
    Rule("GET", "/api/signals", "person"),
    *(Rule("GET", page, "person") for page in PAGES),
    *(Rule("GET", f"/desk/{file}", "public") for file in ("pages.js", "pages.css")),
    *(
        Rule(method, f"/desk/{page}", "public")
        for page in ("sign-in", "sign-out", "enrol")
        for method in ("GET", "POST")
    ),
    Rule("POST", "/desk/enrol/options", "public"),
    Rule("GET", "/desk/sign", "person"),
    Rule("POST", "/desk/text", "person"),
    Rule("POST", "/desk/decide", "person"),
    Rule("GET", "/experiments", "public"),
    Rule("GET", "/experiments/pending", "public"),
    Rule("GET", "/experiments/compare", "public"),
    Rule("GET", "/experiments/{id:int}", "public"),
    Rule("GET", "/experiments/{id:int}/{part}", "public"),
    Rule("WEBSOCKET", "/_stcore/stream", "person"),
    Rule("GET", "/_stcore/health", "public"),
    Rule("OPTIONS", "/_stcore/health", "public"),
    Rule("GET", "/_stcore/host-config", "public"),
    Rule("GET", "/media/{file_id:path}", "person"),
    Rule("OPTIONS", "/media/{file_id:path}", "person"),
    Rule("GET", "/favicon.png", "public"),
    Rule("GET", "/manifest.json", "public"),
    Rule("GET", "/index.html", "person"),
    Rule("GET", "/static/{path:path}", "public"),
    Rule("GET", "/component/{path:path}", "nobody"),
    Rule("OPTIONS", "/component/{path:path}", "nobody"),
    Rule("GET", "/_stcore/bidi-components/{path:path}", "person"),
    Rule("OPTIONS", "/_stcore/bidi-components/{path:path}", "person"),
    Rule("GET", "/_stcore/metrics", "nobody"),
    Rule("OPTIONS", "/_stcore/metrics", "nobody"),
    Rule("PUT", "/_stcore/upload_file/{session_id}/{file_id}", "nobody"),
    Rule("DELETE", "/_stcore/upload_file/{session_id}/{file_id}", "nobody"),
    Rule("OPTIONS", "/_stcore/upload_file/{session_id}/{file_id}", "nobody"),
    Rule("GET", "/auth/login", "nobody"),
    Rule("GET", "/auth/logout", "nobody"),
    Rule("GET", "/oauth2callback", "nobody"),
    *(
        Rule(method, f"/_stcore/agent/{path}", "nobody")
        for path in ("interact", "openapi.json", "mcp")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    ),
)
"""Every route of the assembled app, Streamlit's own included; the first that matches counts."""


class Gate:
    """Admits a request only if every check lets it through, in this order, and tells the route who calls.

    Address (peer, Host, Origin), path, route, headers of the body, caller, role, body. The caller is in
    ``scope["state"]["caller"]``, None on a public route.
    """

    def __init__(self, app: ASGIApp, rules: Iterable[Rule] = POLICY) -> None:
        self.app = app
        self._rules = [(rule, compile_path(rule.path)[0]) for rule in rules]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        send = with_headers(send)
        try:
            receive = await self._admitted(scope, receive)
        except (RefusedError, DosVotosError) as error:
            await _refuse(error, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _admitted(self, scope: Scope, receive: Receive) -> Receive:
        check_address(scope)
        check_target(scope)
        rule, headers = self._rule(scope), Headers(scope=scope)
        if scope["type"] == "http":
            check_head(scope["method"], headers)
        scope.setdefault("state", {})["caller"] = None
        if rule.who != "public":
            caller = await run_in_threadpool(_caller, headers)
            if isinstance(rule.who, frozenset):
                caller.require(rule.who)
            scope["state"]["caller"] = caller
        return replayed(await read_body(receive), receive) if scope["type"] == "http" else receive

    def _rule(self, scope: Scope) -> Rule:
        method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
        found = _matching(self._rules, scope["path"])
        rules = [rule for rule in found if rule.who != "nobody"]
        for rule in rules:
            if rule.method == ("GET" if method == "HEAD" else method):
                return rule
        raise RefusedError(405 if rules else 404, "method" if rules else "path", method=method)


def _matching(rules: Iterable[tuple[Rule, Pattern[str]]], path: str) -> list[Rule]:
    """Give the rules of the first template that matches, one a method."""
    found: list[Rule] = []
    for rule, pattern in rules:
        if (not found or rule.path == found[0].path) and pattern.match(path):
            found.append(rule)
    return found


def _caller(headers: Headers) -> Caller:
    """Find the caller by the credential alone; raises RefusedError if there is none that counts."""
    caller = find_caller(queries.engine(), headers, datetime.now(UTC))
    if caller is None:
        raise RefusedError(401, "credentials")
    return caller


def find_caller(engine: Engine, headers: Headers, now: datetime) -> Caller | None:
    """Find who calls: in single-user mode whoever runs the process, else whom a credential names."""
    if os.environ.get(SINGLE_USER_VARIABLE) == "1":
        with reading(engine) as connection:
            if not has_people(connection):
                return local_caller()
    return next((found for one in AUTHENTICATORS if (found := one(engine, headers, now))), None)


async def _refuse(error: RefusedError | DosVotosError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that is not let through; a socket is closed with the code as its reason."""
    headers = Headers(scope=scope)
    answer: Response = answer_to(error, spoken_language(headers))
    if (
        answer.status_code == 401
        and scope.get("method") == "GET"
        and "text/html" in headers.get("accept", "")
    ):
        query = scope["query_string"].decode("latin-1")
        wanted = urlencode({"next": scope["path"] + (f"?{query}" if query else "")})
        answer = RedirectResponse(keeping(f"/desk/sign-in?{wanted}", dict(parse_qsl(query))), 303)
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": error.code or "refused"})
    else:
        await answer(scope, receive, send)
