"""A local HTTP server in a provider's place, which can fail in every way a provider can."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dosvotos.contracts.acquisition import LiveParams, WebProvider
from dosvotos.sources.http import ProviderClient
from tests.conftest import ROOT, parameters_of

PAYLOADS = ROOT.parent / "shared" / "payloads"


@dataclass(frozen=True)
class Reply:
    """One canned response."""

    body: bytes | str | Any = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before anything is sent."""
    cut_at: int | None = None
    """Bytes after which the connection breaks, though the whole length was announced."""

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass(frozen=True)
class ReceivedRequest:
    """One request the server received."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Responder = Reply | Callable[[ReceivedRequest], Reply]


class LocalServer:
    """Replies by path, given one after the other; the last one repeats."""

    def __init__(self) -> None:
        self.calls: list[ReceivedRequest] = []
        self._routes: dict[str, list[Responder]] = {}

    def answer(self, path: str, *replies: Responder) -> None:
        """Set the replies of a path, or of all paths with a prefix given as ``prefix*``; others reply 404."""
        self._routes[path] = list(replies)

    def routes(self) -> dict[str, list[Responder]]:
        """Return the replies as they are now, for `restore`."""
        return {path: list(queue) for path, queue in self._routes.items()}

    def restore(self, routes: dict[str, list[Responder]]) -> None:
        """Set the replies to those of an earlier moment."""
        self._routes = routes

    def called(self, path: str = "") -> list[ReceivedRequest]:
        """Requests whose path starts so."""
        return [call for call in self.calls if call.path.startswith(path)]

    def reply_to(self, call: ReceivedRequest) -> Reply:
        self.calls.append(call)
        queue = self._routes.get(call.path) or next(
            (q for p, q in self._routes.items() if p.endswith("*") and call.path.startswith(p[:-1])), None
        )
        if queue is None:
            return Reply("not here", 404, "text/plain")
        answering = queue.pop(0) if len(queue) > 1 else queue[0]
        return answering(call) if callable(answering) else answering


@contextmanager
def serving(fake: LocalServer) -> Iterator[str]:
    """Serve on a free port of this machine; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            split = urlsplit(self.path)
            asked = parse_qs(split.query, keep_blank_values=True)
            query = {name: values[-1] for name, values in asked.items()}
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            reply = fake.reply_to(ReceivedRequest(self.command, split.path, query, dict(self.headers), body))
            time.sleep(reply.delay)
            try:
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(reply.content)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.content[: reply.cut_at])
            except OSError:
                self.close_connection = True  # the client gave up waiting
            if reply.cut_at is not None:
                self.close_connection = True

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def live_params(base_url: str, **changes: Any) -> LiveParams:
    """The project's own live parameters, every provider at `base_url`, quick retries, no rate limit."""
    live = parameters_of().data_acquisition.live
    assert live is not None
    tree = live.model_dump(mode="json")
    for provider in tree["providers"].values():
        provider.update(base_url=base_url, calls_per_minute=100_000, enabled=True)
    quick = {"attempts": 2, "timeout_seconds": 2.0, "max_wait_seconds": 0.01}
    return LiveParams.model_validate({**tree, **quick, **changes})


@contextmanager
def client_of(
    name: WebProvider, fake: LocalServer, key: str | None = None, **changes: Any
) -> Iterator[ProviderClient]:
    """A provider's real client that sends its requests to `fake`."""
    with serving(fake) as base_url, ProviderClient(name, live_params(base_url, **changes), key) as client:
        yield client


def payload(name: str) -> bytes:
    """A sample answer of a provider; skips where they are not at hand."""
    import pytest

    path: Path = PAYLOADS / name
    if not path.is_file():
        pytest.skip("needs the sample answers in ../shared/payloads, which the repository does not hold")
    return path.read_bytes()
