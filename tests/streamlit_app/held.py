"""Connections that send half a body and stay."""

import http.client
import socket
import time
from contextlib import ExitStack
from typing import NamedTuple

CONNECTIONS = 200
ASKED = 20


class Held(NamedTuple):
    """How others fared meanwhile."""

    connections: int
    unanswered: int
    slowest_ms: float


def answered_while_held(port: int, token: str | None = None) -> Held:
    """Hold half-sent votes open, with a credential where there is one, and ask for something else."""
    credential = f"Authorization: Bearer {token}\r\n" if token else ""
    half = (
        f"POST /api/experiments/1/approve HTTP/1.1\r\nHost: localhost:{port}\r\n{credential}"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    ).encode()
    taken, unanswered = [], 0
    with ExitStack() as open_:
        for _ in range(CONNECTIONS):
            one = open_.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            one.sendall(half)
        for _ in range(ASKED):
            asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            started = time.perf_counter()
            headers = {"Host": f"localhost:{port}"} | ({"Authorization": f"Bearer {token}"} if token else {})
            asked.request("GET", "/api/experiments?limit=1", headers=headers)
            unanswered += asked.getresponse().status != 200
            taken.append(1_000 * (time.perf_counter() - started))
            asked.close()
    return Held(CONNECTIONS, unanswered, max(taken))
