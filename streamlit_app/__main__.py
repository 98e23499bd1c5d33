"""``dosvotos app``, or ``python -m streamlit_app``: serve the approval app on this machine."""

import argparse
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import uvicorn

from dosvotos.database.connection import database_url, open_database
from dosvotos.errors import DosVotosError
from dosvotos.project import enter_root
from dosvotos.redaction import hide_secrets_in_logs
from dosvotos.signing.relying_party import relying_party
from streamlit_app import queries
from streamlit_app.app import create_app
from streamlit_app.security import SINGLE_USER_VARIABLE, refuse_unsafe_host


def main(words: Sequence[str] | None = None) -> int:
    """Start the server, or say in one line why it must not start; `words` instead of the command line's."""
    options = _parser().parse_args(words)
    hide_secrets_in_logs()
    try:
        enter_root()
        open_database(database_url())
        is_team = queries.has_people()
        if is_team:
            os.environ.pop(SINGLE_USER_VARIABLE, None)
        refuse_unsafe_host(options.host, is_team)
        app = create_app()
        listener = _listen(options.host, options.port)
    except DosVotosError as error:
        print(f"streamlit_app: {error}", file=sys.stderr)
        return 1
    print(f"Dos Votos: {_address(options.port, is_team)} (Ctrl+C stops it)", flush=True)
    config = uvicorn.Config(app, log_level="warning", proxy_headers=False, server_header=False)
    with _worker(), suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _address(port: int, is_team: bool) -> str:
    """Say what to open: a passkey belongs to a host's name, so this machine's is told as localhost."""
    if is_team and not (site := relying_party()).is_local:
        return f"{site.origin}, where people sign in"
    return f"http://localhost:{port}" + (", where people sign in" if is_team else "")


@contextmanager
def _worker() -> Iterator[None]:
    """Let a child process run the extra backtests people ask for; it ends with this one.

    One that dies is started again, later each time, up to every half minute.
    """
    over, children = threading.Event(), [_start_worker()]

    def keep_up() -> None:
        pause = 1.0
        while not over.is_set():
            code = children[-1].wait()
            if not over.wait(pause):
                print(f"streamlit_app: the jobs worker ended with {code}; another one is started", flush=True)
                children.append(_start_worker())
                pause = min(2 * pause, 30.0)

    keeper = threading.Thread(target=keep_up, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        children[-1].terminate()
        keeper.join()


def _start_worker() -> subprocess.Popen[bytes]:
    worker = ["dosvotos.commands.main", "jobs", "--watch", "--parent", str(os.getpid())]
    return subprocess.Popen([sys.executable, "-m", *worker])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise DosVotosError(f"{host}:{port} cannot be used, choose another --port: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dosvotos app", description="The approval app and its REST API.")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="a loopback address, or behind a TLS proxy another one; default %(default)s",
    )
    parser.add_argument("--port", type=int, default=8501, help="default %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
