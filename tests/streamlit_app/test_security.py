"""Who may reach the app at all: hosts, origins, bodies, and starts that are refused."""

import asyncio
import socket
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from dosvotos.errors import DosVotosError
from dosvotos.users import current_user
from streamlit_app import __main__, security
from streamlit_app.access import Gate, Rule
from streamlit_app.api import create_api
from tests.proposal_fixtures import Desk
from tests.streamlit_app.conftest import TestClient

GOOD_HOSTS = ["localhost", "localhost:8501", "LOCALHOST:8501", "127.0.0.1:8501", "[::1]:8501", "127.0.0.1"]
BAD_HOSTS = [
    "evil.test",
    "evil.test:8501",
    "localhost.evil.test:8501",
    "evil.localhost",
    "localhost.",
    "127.0.0.1.evil.test",
    "127.0.0.2",
    "10.0.0.5:8501",
    "0.0.0.0:8501",
    "[::]:8501",
    "[::ffff:127.0.0.1]:8501",
    "2130706433:8501",
    "localhost@evil.test",
    "localhost:8501@evil.test",
    "localhost:",
    "localhost:port",
    "localhost:123456",
    "localhost, evil.test",
    "localhost/x",
    " ",
    "",
]
GOOD_ORIGINS = [
    "http://localhost:8501",
    "http://127.0.0.1:8501",
    "http://[::1]:8501",
    "HTTP://LOCALHOST:8501",
]
BAD_ORIGINS = [
    "null",
    "http://evil.test",
    "http://evil.test:8501",
    "http://localhost",
    "http://localhost:8502",
    "https://localhost:8501",
    "http://localhost:8501.evil.test",
    "http://localhost:8501/",
    "http://localhost.evil.test:8501",
    "http://user@localhost:8501",
    "chrome-extension://localhost:8501",
    "file://",
    "localhost:8501",
    "http://localhost:8501, http://evil.test",
    "",
]
HTTP_PATHS = ["/", "/review", "/api/health", "/api/docs", "/_stcore/health", "/experiments/1/review"]
VOTE = "/api/experiments/1/approve"
SOCKET = "/_stcore/stream"


@pytest.mark.parametrize("path", HTTP_PATHS)
def test_only_loopback_hosts_are_answered(client: TestClient, desk: Desk, path: str):
    for host in GOOD_HOSTS:
        assert client.get(path, headers={"Host": host}).status_code in (200, 307), host
    for host in BAD_HOSTS:
        assert client.get(path, headers={"Host": host}).status_code == 400, host


@pytest.mark.parametrize("path", HTTP_PATHS)
def test_only_the_apps_own_origin_is_answered(client: TestClient, desk: Desk, path: str):
    for origin in GOOD_ORIGINS:
        assert client.get(path, headers={"Origin": origin}).status_code in (200, 307), origin
    for origin in BAD_ORIGINS:
        assert client.get(path, headers={"Origin": origin}).status_code == 403, origin


def test_a_host_without_port_takes_origins_without_port(client: TestClient, desk: Desk):
    headers = {"Host": "localhost", "Origin": "http://localhost"}
    assert client.get("/api/health", headers=headers).status_code == 200
    assert client.get("/api/health", headers={**headers, "Origin": "http://localhost:80"}).status_code == 200


@pytest.mark.parametrize("name", ["Host", "Origin"])
def test_a_header_sent_twice_is_refused(client: TestClient, desk: Desk, name: str):
    value = {"Host": "localhost:8501", "Origin": "http://localhost:8501"}
    headers = [("Host", value["Host"]), (name, value[name]), (name, value[name])]
    assert client.get("/api/health", headers=headers).status_code in (400, 403)


def test_a_foreign_page_cannot_vote(client: TestClient, desk: Desk):
    proposal_id = desk.propose()
    for headers in ({"Origin": "http://evil.test"}, {"Origin": "null"}, {"Host": "evil.test"}):
        answer = client.post(
            f"/api/experiments/{proposal_id}/approve", json={"decision": "APPROVE"}, headers=headers
        )
        assert answer.status_code in (400, 403)
        assert answer.headers["content-type"] == "application/problem+json"
    assert desk.votes() == []


@pytest.mark.parametrize("headers", [{"Origin": o} for o in BAD_ORIGINS] + [{"Host": h} for h in BAD_HOSTS])
def test_the_websocket_is_closed_to_others(client: TestClient, headers: dict[str, str]):
    connection = client.websocket_connect(SOCKET, subprotocols=["streamlit"], headers=headers)
    with pytest.raises(WebSocketDisconnect) as refusal, connection:
        pass
    assert refusal.value.code == 1008


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:8501"},
        {"Host": "localhost:8501", "Origin": "http://localhost:8501"},
        {"Host": "localhost:8501", "Origin": "http://127.0.0.1:8501"},
        {"Host": "[::1]:8501", "Origin": "http://[::1]:8501"},
    ],
)
def test_the_websocket_is_open_to_the_app(client: TestClient, desk: Desk, headers: dict[str, str]):
    with client.websocket_connect(SOCKET, subprotocols=["streamlit"], headers=headers) as socket:
        assert socket.accepted_subprotocol == "streamlit"


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.168.1.2", "8.8.8.8", "fe80::1"])
def test_another_machine_is_refused_even_with_the_right_headers(app: Any, client: TestClient, peer: str):
    stranger = TestClient(app, base_url="http://localhost:8501", client=(peer, 50_000))
    assert stranger.get("/api/health").status_code == 403
    assert stranger.get("/").status_code == 403


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "text/plain; application/json",
        "application/json, text/plain",
    ],
)
def test_a_body_that_is_not_declared_json_is_refused(
    client: TestClient, desk: Desk, content_type: str | None
):
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = client.post(VOTE, content=b'{"decision": "APPROVE"}', headers=headers)
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "content_type", ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8"]
)
def test_json_is_accepted_however_it_is_written(client: TestClient, desk: Desk, content_type: str):
    body = b'{"decision": "REQUEST_MORE_TESTS"}'
    answer = client.post(VOTE, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 404


def _body(size: int) -> bytes:
    start, end = b'{"decision": "APPROVE", "notes": "', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


def test_a_body_that_declares_too_much_is_refused(client: TestClient, desk: Desk):
    headers = {"Content-Type": "application/json"}
    limit = security.MAX_BODY_BYTES
    assert client.post(VOTE, content=_body(limit), headers=headers).status_code == 422
    assert client.post(VOTE, content=_body(limit + 1), headers=headers).status_code == 413
    lying = {**headers, "Content-Length": "99999999999999999999999"}
    assert client.post(VOTE, content=b"{}", headers=lying).status_code == 413


def _gate(app: Any) -> Gate:
    return Gate(app, [Rule("POST", VOTE, "public")])


def _posting(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    sent = [(b"host", b"localhost"), (b"content-type", b"application/json"), *headers]
    return {"type": "http", "method": "POST", "path": VOTE, "headers": sent, "client": ("127.0.0.1", 50_000)}


def _post_in_pieces(n_pieces: int, piece: bytes) -> tuple[int, int, int]:
    """Status, bytes the app read and pieces taken from a client that declares no length."""
    taken, seen, statuses = 0, 0, []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": piece, "more_body": taken < n_pieces}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def reader(_: Any, receive: Any, send: Any) -> None:
        nonlocal seen
        more = True
        while more:
            message = await receive()
            seen += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    asyncio.run(_gate(reader)(_posting((b"transfer-encoding", b"chunked")), receive, send))
    return statuses[0], seen, taken


def test_a_body_in_pieces_is_handed_on_whole_or_refused_at_the_limit():
    piece = b"x" * 1_024
    assert _post_in_pieces(64, piece) == (200, security.MAX_BODY_BYTES, 64)
    assert _post_in_pieces(65, piece) == (413, 0, 65)
    assert _post_in_pieces(1_000_000, piece) == (413, 0, 65)
    assert _post_in_pieces(1, b"x" * 10_000_000) == (413, 0, 1)


def test_every_route_of_the_api_is_known():
    """A new route comes with its tests, or this fails."""
    schema = create_api().openapi()
    assert {(method, path) for path, methods in schema["paths"].items() for method in methods} == {
        ("get", "/health"),
        ("get", "/experiments"),
        ("get", "/experiments/{id}"),
        ("get", "/experiments/{id}/decision-text"),
        ("post", "/experiments/{id}/approve"),
        ("post", "/experiments/{id}/backtest"),
        ("get", "/backtests/{id}"),
        ("get", "/signals"),
    }


def test_pages_forbid_anything_from_elsewhere(client: TestClient, desk: Desk):
    for path in ("/", "/api/docs", "/api/health"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert "frame-ancestors 'none'" in policy


def _start(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command; it would block if it did not refuse."""
    monkeypatch.setattr(sys, "argv", ["streamlit_app", *arguments])
    monkeypatch.setattr(__main__, "enter_root", Path.cwd)  # the desk's folder is in no project
    monkeypatch.setattr(__main__.uvicorn.Server, "run", lambda *_, **__: pytest.fail("the server started"))
    return __main__.main()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "", "127.0.0.1.evil.test"])
def test_a_start_for_other_machines_is_refused(desk: Desk, monkeypatch, capsys, host: str):
    assert _start(monkeypatch, "--host", host) == 1
    message = capsys.readouterr().err
    assert "single-user mode" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("value", [None, "", "0", "true"])
def test_a_start_that_does_not_ask_for_single_user_mode_is_refused(desk: Desk, monkeypatch, capsys, value):
    monkeypatch.delenv("DOSVOTOS_SINGLE_USER")
    if value is not None:
        monkeypatch.setenv("DOSVOTOS_SINGLE_USER", value)
    assert _start(monkeypatch) == 1
    assert "DOSVOTOS_SINGLE_USER=1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server.enableCORS", False),
        ("server.enableXsrfProtection", False),
        ("server.enableAgentApi", True),
        ("server.trustedUserHeaders", {"X-User": "user"}),
        ("browser.gatherUsageStats", True),
    ],
)
def test_a_start_without_streamlits_protections_is_refused(
    desk: Desk, monkeypatch, capsys, name: str, value: Any
):
    options = security.config.get_option
    monkeypatch.setattr(security.config, "get_option", lambda key: value if key == name else options(key))
    assert _start(monkeypatch) == 1
    assert name in capsys.readouterr().err


def test_a_start_without_a_database_is_refused(desk: Desk, monkeypatch, capsys):
    monkeypatch.setattr(__main__, "create_app", lambda: None)
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", "postgresql://u:hush@127.0.0.1:1/none")
    assert _start(monkeypatch) == 1
    message = capsys.readouterr().err
    assert "127.0.0.1" in message
    assert "hush" not in message


@pytest.mark.parametrize("port", [None, 70_000])
def test_a_port_that_cannot_be_used_is_told(desk: Desk, monkeypatch, capsys, port: int | None):
    monkeypatch.setattr(__main__, "create_app", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = port or taken.getsockname()[1]
        assert _start(monkeypatch, "--port", str(port)) == 1
    assert f"127.0.0.1:{port} cannot be used" in capsys.readouterr().err


def test_a_person_without_a_name_is_refused(monkeypatch):
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setenv("DOSVOTOS_USER", "  ")
    monkeypatch.setattr("getpass.getuser", nobody)
    with pytest.raises(DosVotosError, match="set DOSVOTOS_USER"):
        current_user()


def test_the_login_stands_in_for_an_unset_name(monkeypatch):
    monkeypatch.delenv("DOSVOTOS_USER", raising=False)
    monkeypatch.setattr("getpass.getuser", lambda: "carla")
    assert current_user() == "carla"


def test_the_projects_own_settings_are_the_safe_ones():
    settings = tomllib.loads((Path(__main__.__file__).parents[1] / ".streamlit/config.toml").read_text())
    assert settings["browser"]["gatherUsageStats"] is False
    assert settings["client"] == {"showErrorDetails": "none", "toolbarMode": "minimal"}
    assert settings["runner"] == {"magicEnabled": False}
    assert settings["server"]["enableCORS"]
    assert settings["server"]["enableXsrfProtection"]


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(security, "BODY_SECONDS", 0.05)
    statuses = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asyncio.run(_gate(receive)(_posting(), receive, send))
    assert statuses == [408]
