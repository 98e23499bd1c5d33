"""Receivers on this machine, each of which fails in a way of its own and can be mended."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.sources.local_server import LocalServer, Reply

SECRET = "0123456789abcdefghijklmn"
ACCEPTS = Reply({"ok": True})
FAILURES = {
    "server_error": Reply("down", 500, "text/plain"),
    "limited": Reply("slow down", 429, "text/plain", {"Retry-After": "600"}),
    "refused": Reply("who are you", 403, "text/plain"),
    "moved": Reply("", 307, "text/plain", {"Location": "/accepts"}),
    "slow": Reply({"ok": True}, delay=30),
}
"""What a receiver answers before it is mended, by its path."""


def webhook(base_url: str, path: str) -> str:
    return f"{base_url.replace('http://', 'webhook://')}/{path}?secret={SECRET}"


def fail_in_every_way(server: LocalServer) -> None:
    server.answer("/accepts", ACCEPTS)
    for path, reply in FAILURES.items():
        server.answer(f"/{path}", reply)


def mend(server: LocalServer) -> None:
    for path in FAILURES:
        server.answer(f"/{path}", ACCEPTS)


@contextmanager
def answering_with(*pieces: bytes, for_ever: bool = False) -> Iterator[int]:
    """Listen, and send pieces to whoever connects, then nothing, or the last one again and again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over, opened = threading.Event(), list[socket.socket]()

        def send(client: socket.socket) -> None:
            with suppress(OSError):
                for piece in pieces:
                    client.sendall(piece)
                while for_ever and not over.is_set():
                    client.sendall(pieces[-1])

        def accept() -> None:
            with suppress(OSError):
                while not over.is_set():
                    client, _ = listener.accept()
                    opened.append(client)
                    threading.Thread(target=send, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            for client in opened:
                client.close()
