"""``python -m streamlit_app``: serve the approval app on this machine."""

import argparse
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn

from dosvotos.database.connection import database_url, open_database
from dosvotos.errors import DosVotosError
from dosvotos.project import enter_root
from dosvotos.redaction import hide_secrets_in_logs
from streamlit_app.app import create_app
from streamlit_app.security import refuse_unsafe_host


def main() -> int:
    """Start the server, or say in one line why it must not start."""
    options = _parser().parse_args()
    hide_secrets_in_logs()
    try:
        enter_root()
        refuse_unsafe_host(options.host)
        app = create_app()
        open_database(database_url())
        listener = _listen(options.host, options.port)
    except DosVotosError as error:
        print(f"streamlit_app: {error}", file=sys.stderr)
        return 1
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"Dos Votos: http://{host}:{options.port} (Ctrl+C stops it)", flush=True)
    config = uvicorn.Config(app, log_level="warning", proxy_headers=False, server_header=False)
    with _worker(), suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
    return 0


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
    return subprocess.Popen([sys.executable, "-m", "dosvotos.commands.main", "jobs", "--watch"])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise DosVotosError(f"{host}:{port} cannot be used, choose another --port: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m streamlit_app", description="The approval app and its REST API."
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address; default %(default)s")
    parser.add_argument("--port", type=int, default=8501, help="default %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
