"""What attackers achieve against the REST API, and how many requests a second it answers with a token.

Every route with every credential, forged names, wrong addresses, hostile paths, injected text, generated
requests (schemathesis), bodies that never end; then the load, against the app in a process of its own.
"""

import argparse
import http.client
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from streamlit_app.app import create_app
from tests.conftest import ROOT, ensure_running, own_server
from tests.migrated import create_migrated, create_template
from tests.proposal_fixtures import Desk, open_desk
from tests.streamlit_app import attacks
from tests.streamlit_app.conftest import ORIGIN, People, TestClient, with_people
from tests.streamlit_app.held import answered_while_held
from tests.streamlit_app.serving import serving

THREADS = 4
FUZZED, FUZZED_QUICK = 300, 10
REQUESTS, REQUESTS_QUICK = 4_000, 400
LOADED = ("/api/health", "/api/experiments?limit=50", "/api/signals?limit=50")
MUST_BE_ZERO = (
    "unauthorised_successes", "forged_attributed", "wrong_addresses_answered", "failed_addresses", "escapes",
    "injected", "fuzzed_5xx", "held_unanswered",
)  # fmt: skip


class Office(NamedTuple):
    """A desk with people, and the app in front of it."""

    desk: Desk
    people: People
    client: TestClient
    proxy: TestClient
    """From another machine."""


@contextmanager
def database(kind: str, root: Path) -> Iterator[str]:
    """Make a database; PostgreSQL on a server of this run's own."""
    if kind == "sqlite":
        yield f"sqlite:///{root}/data/dosvotos.db"
        return
    with own_server() as server:
        ensure_running(server)
        create_template(server.get_uri())
        yield create_migrated(server.get_uri(), "rest")


@contextmanager
def office(root: Path, url: str) -> Iterator[Office]:
    """Open a desk whose people call the app in this very process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOSVOTOS_HOME", f"{root}-home")
        patch.setenv("DOSVOTOS_DATABASE_URL", url)
        patch.setenv("DOSVOTOS_SINGLE_USER", "1")
        patch.chdir(ROOT)
        app = create_app()
        (root / "pyproject.toml").write_text("[tool.kedro]\n")
        patch.chdir(root)
        with open_desk(url, root) as desk:
            people = with_people(desk, patch)
            near, far = (("127.0.0.1", 50_000), ("10.0.0.7", 50_000))
            with TestClient(
                app, base_url=ORIGIN, client=near, raise_server_exceptions=False, follow_redirects=False
            ) as client:
                yield Office(desk, people, client, TestClient(app, base_url=ORIGIN, client=far))


def attack(office: Office, examples: int) -> dict[str, attacks.Tried]:
    """Try everything in process; routes come last, since a person is revoked for them."""
    desk, people, client = office.desk, office.people, office.client
    proposal_id = desk.propose()
    desk.signal(200, "demo_1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOSVOTOS_PUBLIC_URL", attacks.PUBLIC)
        addresses = attacks.wrong_headers(office.proxy, people)
    return {
        "forged": attacks.forged_names(client, people, desk, proposal_id),
        "addresses": addresses,
        "hostile": attacks.hostile_addresses(client, people),
        "traversals": attacks.traversals(client, people),
        "injections": attacks.injections(client, people, desk, proposal_id),
        "fuzzed": attacks.fuzzed(client, people, examples),
        "routes": attacks.routes_by_credentials(client, people),
    }


def load(port: int, token: str, requests: int) -> dict[str, float]:
    """Ask from several threads at once, each over one connection; milliseconds and requests a second."""
    taken: list[float] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for number in range(requests // THREADS):
            started = time.perf_counter()
            path = LOADED[number % len(LOADED)]
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            taken.append(1_000 * (time.perf_counter() - started))

    once = http.client.HTTPConnection("127.0.0.1", port)
    once.request("GET", "/_stcore/health")  # until the server has started
    once.getresponse().read()
    first = time.perf_counter()
    once.request("GET", "/api/experiments?limit=1", headers={"Authorization": f"Bearer {token}"})
    once.getresponse().read()
    first_ms = 1_000 * (time.perf_counter() - first)
    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    p50, p99 = np.percentile(taken, (50, 99))
    return {
        "first_request_ms": round(first_ms, 1),
        "requests_per_s": round(len(taken) / seconds, 1),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
    }


def figures_of(tried: dict[str, attacks.Tried]) -> dict[str, float]:
    """Name what was tried and what got through."""
    wrong = {name: len(one.wrong) for name, one in tried.items()}
    return {
        "route_calls": tried["routes"].count,
        "unauthorised_successes": wrong["routes"],
        "forgeries": tried["forged"].count,
        "forged_attributed": wrong["forged"],
        "addresses": tried["addresses"].count,
        "wrong_addresses_answered": wrong["addresses"],
        "hostile_addresses": tried["hostile"].count,
        "failed_addresses": wrong["hostile"],
        "traversals": tried["traversals"].count,
        "escapes": wrong["traversals"],
        "injections": tried["injections"].count,
        "injected": wrong["injections"],
        "fuzzed_requests": tried["fuzzed"].count,
        "fuzzed_5xx": wrong["fuzzed"],
    }


def main() -> None:
    """Measure, print a table, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer generated and timed requests")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    quick = options.quick
    logging.disable(logging.WARNING)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        url = stack.enter_context(database(options.database, root))
        opened = stack.enter_context(office(root, url))
        tried = attack(opened, FUZZED_QUICK if quick else FUZZED)
        figures = figures_of(tried)
        token = opened.people.token("vic")
        with serving(opened.desk.root, url) as port:
            figures |= load(port, token, REQUESTS_QUICK if quick else REQUESTS)
            held = answered_while_held(port, token)
    figures |= {"held_connections": held.connections, "held_unanswered": held.unanswered}
    figures |= {"held_slowest_ms": round(held.slowest_ms, 1)}
    console, table = Console(width=120), Table("figure", "found", "must be", box=None)
    for name, value in figures.items():
        must = "0" if name in MUST_BE_ZERO else ""
        table.add_row(name, f"{value:,}", must, style="red" if must and value else "")
    console.print(table)
    for name, one in tried.items():
        for what in one.wrong[:5]:
            console.print(f"{name}: {what}", markup=False, style="red")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
