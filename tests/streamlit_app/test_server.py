"""The real server over real sockets: what uvicorn lets through to the checks."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.proposal_fixtures import Desk, open_desk
from tests.streamlit_app.held import answered_while_held
from tests.streamlit_app.serving import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Desk, Path]]:
    root = tmp_path_factory.mktemp("served")
    url = f"sqlite:///{root}/data/dosvotos.db"
    with open_desk(url, root) as desk:
        desk.propose()
        with serving(root, url) as port:
            yield port, desk, root / "server.log"


def ask(port: int, request: str, body: bytes = b"") -> tuple[int, str]:
    """Send raw bytes; give the status and the whole answer."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(10)
        answer = b""
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before the body ended
            connection.sendall(request.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65_536):
                answer += chunk
    return int(answer.split(b" ", 2)[1]), answer.decode("latin-1")


def test_only_this_machine_can_connect(served):
    port, _, _ = served
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1", "127.0.1.1"}:
        with pytest.raises(OSError):
            socket.create_connection((address, port), 1)


@pytest.mark.parametrize("path", ["/", "/api/health", "/_stcore/host-config"])
def test_raw_hosts(served, path: str):
    port, _, _ = served
    close = "\nConnection: close"
    assert ask(port, f"GET {path} HTTP/1.1\nHost: localhost:{port}{close}")[0] == 200
    assert ask(port, f"GET {path} HTTP/1.1\nHost: evil.test:{port}{close}")[0] == 400
    assert ask(port, f"GET {path} HTTP/1.0")[0] == 400
    assert ask(port, f"GET {path} HTTP/1.1\nHost: localhost\nHost: evil.test{close}")[0] == 400
    assert ask(port, f"GET http://evil.test{path} HTTP/1.1\nHost: evil.test{close}")[0] == 400
    foreign = f"\nX-Forwarded-Host: localhost\nX-Forwarded-For: 127.0.0.1\nForwarded: host=localhost{close}"
    assert ask(port, f"GET {path} HTTP/1.1\nHost: evil.test{foreign}")[0] == 400


def test_a_foreign_websocket_gets_no_handshake(served):
    port, _, _ = served
    upgrade = (
        f"GET /_stcore/stream HTTP/1.1\nHost: localhost:{port}\nConnection: Upgrade\nUpgrade: websocket\n"
        "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nOrigin: "
    )
    assert ask(port, f"{upgrade}http://evil.test")[0] == 403
    assert ask(port, f"{upgrade}null")[0] == 403


def test_a_chunked_vote_is_counted_while_it_comes(served):
    port, desk, _ = served
    head = (
        f"POST /api/experiments/1/approve HTTP/1.1\nHost: localhost:{port}\nContent-Type: application/json\n"
        "Transfer-Encoding: chunked\nConnection: close"
    )
    piece = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    vote = b'{"decision": "REQUEST_MORE_TESTS"}'
    last = f"{len(vote):x}\r\n".encode() + vote + b"\r\n0\r\n\r\n"
    assert ask(port, head, piece * 17 + last)[0] == 413
    assert ask(port, head, piece * 2_000 + last)[0] == 413
    assert desk.votes() == []
    status, answer = ask(port, head, piece * 15 + last)
    assert status == 200, answer
    assert [vote.action for vote in desk.votes()] == ["REQUEST_MORE_TESTS"]


def test_two_hundred_half_sent_bodies_hold_no_worker(served):
    port, desk, log = served
    votes = len(desk.votes())
    held = answered_while_held(port)
    assert (held.connections, held.unanswered) == (200, 0)
    assert held.slowest_ms < 5_000
    assert len(desk.votes()) == votes and "Traceback" not in log.read_text()


def test_answers_carry_no_server_name_and_the_log_no_error(served):
    port, _, log = served
    status, answer = ask(port, f"GET /api/health HTTP/1.1\nHost: localhost:{port}\nConnection: close")
    assert status == 200
    assert "\r\nserver:" not in answer.lower()
    assert json.loads(answer.rpartition("\r\n\r\n")[2])["status"] in ("ok", "degraded")
    assert "Traceback" not in log.read_text()


def workers() -> set[int]:
    """Ids of the jobs workers below this very process."""
    found = set()
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a zombie too
            if "--watch" in one.cmdline():
                found.add(one.pid)
    return found


def wait_for(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_worker_that_is_killed_is_started_again_and_health_says_up(served):
    port, _, log = served
    request = f"GET /api/health HTTP/1.1\nHost: localhost:{port}\nConnection: close"
    wait_for(lambda: '"worker":"up"' in ask(port, request)[1])
    (killed,) = workers()
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(workers() - {killed}) == 1)
    wait_for(lambda: "the jobs worker ended with -9; another one is started" in log.read_text())
    wait_for(lambda: '"worker":"up"' in ask(port, request)[1])
