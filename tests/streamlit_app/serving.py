"""The app as its user starts it: a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[2]


@contextmanager
def serving(root: Path, url: str) -> Iterator[int]:
    """Start ``python -m streamlit_app`` in a project folder; gives its port."""
    (root / ".streamlit").symlink_to(PROJECT / ".streamlit")
    if not (root / "pyproject.toml").exists():
        (root / "pyproject.toml").write_text("[tool.kedro]\n")
    port = free_port()
    path = os.pathsep.join([str(PROJECT / "src"), str(PROJECT)])
    settings = {"DOSVOTOS_SINGLE_USER": "1", "DOSVOTOS_USER": "alice", "DOSVOTOS_DATABASE_URL": url}
    settings["DOSVOTOS_HOME"] = f"{root}-home"  # databases of one template have one ledger's name
    with (root / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit_app", "--port", str(port)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": path, **settings},
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_it_listens(process, port, root / "server.log")
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    """Find a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_it_listens(process: subprocess.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the app did not listen in time: {log.read_text()}")
