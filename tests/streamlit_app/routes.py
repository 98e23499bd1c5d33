"""Every route of the assembled app, and who may call it by rules of the test's own."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from fastapi.routing import APIRoute
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect
from streamlit import file_util

import streamlit_app
from streamlit_app.access import Rule

ROLES = ("viewer", "operator", "reviewer", "admin")
_VALUES = {"id": "1", "id:int": "1", "part": "review", "session_id": "s", "file_id": "f"}
_VALUES |= {"file_id:path": "f.png", "path:path": "index.js"}
_SIGNING = ("/desk/sign", "/desk/text", "/desk/decide")
_VOTING = ("/decision-text", "/approve", "/backtest")
_PUBLIC = (
    "/api", "/api/docs", "/api/openapi.json", "/favicon.png", "/manifest.json", "/_stcore/health",
    "/_stcore/host-config",
)  # fmt: skip
_STREAMLITS = ("/_stcore/agent", "/_stcore/upload_file", "/_stcore/metrics", "/component", "/auth", "/oauth2")


class Answer(NamedTuple):
    status: int
    code: str | None


def routes_of(app: Any) -> set[tuple[str, str]]:
    """Method and template of everything the app answers; of Streamlit's folder of files, what lies in it."""
    app._starlette_app = app._starlette_app or app._build_starlette_app()
    return set(_expanded(app._starlette_app.routes, ""))


def _expanded(routes: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for route in routes:
        if (included := getattr(route, "original_router", None)) is not None:  # FastAPI's, which has no path
            yield from _expanded(included.routes, prefix)
            continue
        path = prefix + route.path
        if isinstance(route, WebSocketRoute):
            yield "WEBSOCKET", path
        elif isinstance(route, Mount) and route.name == "static-assets":
            yield from (("GET", page) for page in _pages())
            yield from (("GET", _in_folder(one)) for one in Path(file_util.get_static_dir()).iterdir())
        elif isinstance(route, Mount):
            yield from _expanded(route.routes, path)
        elif isinstance(route, Route | APIRoute):
            yield from product((route.methods or {"GET"}) - {"HEAD"}, [path])
        else:
            raise AssertionError(f"{type(route).__name__} {path}: nobody says who may call it")


def _pages() -> list[str]:
    """Give the addresses of the pages that Streamlit's script names; the default one is the root."""
    script = (Path(streamlit_app.__file__).parent / "ui.py").read_text(encoding="utf-8")
    names = re.findall(r'"views/(\w+)\.py"', script)
    return ["/", *(f"/{name}" for name in names if name != "proposals")]


def _in_folder(file: Path) -> str:
    return f"/{file.name}/{{path:path}}" if file.is_dir() else f"/{file.name}"


def may_call(rule: Rule, role: str | None) -> bool:
    """Tell by rules written down a second time; a role of None is no valid credential."""
    if rule.path.startswith(_STREAMLITS):
        return False
    if rule.path == "/experiments" or rule.path.startswith("/experiments/"):  # each leads to a page
        return True
    if rule.path.startswith("/desk/") and rule.path not in _SIGNING:  # where people sign in
        return True
    if rule.path.startswith("/static/") or rule.path in _PUBLIC:
        return True
    if rule.path.startswith("/api/") and rule.path.endswith(_VOTING):
        return role == "reviewer"
    return role is not None


def address(rule: Rule) -> str:
    path = rule.path
    for name, value in _VALUES.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, path
    return path


def call(client: Any, rule: Rule, headers: dict[str, str]) -> Answer:
    """Call a route; a socket that opens is a 101."""
    if rule.method == "WEBSOCKET":
        headers = {"Host": str(client.base_url.netloc, "ascii"), **headers}
        try:
            with client.websocket_connect(address(rule), subprotocols=["streamlit"], headers=headers):
                return Answer(101, None)
        except WebSocketDisconnect as closed:
            return Answer(401, closed.reason)
    body = {"json": {}} if rule.method in ("POST", "PUT", "PATCH", "DELETE") else {}
    answer = client.request(rule.method, address(rule), headers=headers, **body)
    problem = answer.headers.get("content-type") == "application/problem+json"
    return Answer(answer.status_code, answer.json()["code"] if problem else None)


def was_refused(answer: Answer) -> bool:
    """Tell whether the gate let nobody through: no credential that counts, another role, or no such route."""
    return answer.status == 401 or answer.code in ("role", "path", "method")
