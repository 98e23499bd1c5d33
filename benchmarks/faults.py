"""What faults and forgers achieve against the second vote, on SQLite and PostgreSQL.

Approvals killed and starved at every step, eight processes voting at once, changed bundles and dossiers, an
edited audit log, a random walk beside independent rules, and every forgery of what is voted on. The naive
approval in four commits is the control: if it survives, the faults were none. Both kinds of databases are
tried at once, each in a process of its own.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from dosvotos.signing.home import HOME_VARIABLE
from tests.conftest import ensure_running, own_server
from tests.faults.campaign import FULL, QUICK, Size, campaign
from tests.faults.databases import HOMES, Databases
from tests.migrated import create_template

MUST_BE_ZERO = (
    "states_without_one_production", "decisions_lost", "decisions_doubled", "double_promotions",
    "states_half_done", "unclear_answers", "mutations_accepted", "attacks_missed", "divergences",
    "forgeries_accepted", "votes_forged_by_server", "revoked_votes",
)  # fmt: skip


@contextmanager
def both_databases(root: Path) -> Iterator[list[Databases]]:
    """SQLite, and a PostgreSQL server of this run's own."""
    with own_server() as server:
        ensure_running(server)
        create_template(server.get_uri())
        yield [Databases(root / "sqlite"), Databases(root / "postgresql", server.get_uri())]


class Run(NamedTuple):
    """What came of all parts on databases of one kind."""

    figures: dict[str, int]
    problems: list[str]
    seconds: dict[str, float]


def run_parts(databases: Databases, size: Size, words: list[str]) -> Run:
    """Run the parts whose names hold one of the words, in a process of their own."""
    logging.disable(logging.WARNING)
    run = Run({}, [], {})
    for part, measure in campaign(databases, size):
        if not any(word in part for word in words):
            continue
        started = time.perf_counter()
        found = measure()
        run.seconds[part] = time.perf_counter() - started
        run.problems.extend(found.problems)
        for name, value in found.figures.items():
            run.figures[name] = run.figures.get(name, 0) + value
        print(f"{part}: {run.seconds[part]:.0f} s, {found.figures}", file=sys.stderr)
    return run


def show(figures: dict[str, int], problems: list[str], seconds: dict[str, float]) -> None:
    """Print the table, what went wrong, and how long each part took."""
    console, table = Console(width=120), Table("figure", "found", "must be", box=None)
    for name, value in figures.items():
        wanted = "0" if name in MUST_BE_ZERO else "> 0" if name == "control_failures" else ""
        table.add_row(name, f"{value:,}", wanted, style="red" if wanted == "0" and value else "")
    console.print(table)
    for line in problems:
        console.print(line, markup=False, style="red")
    console.print(", ".join(f"{part} {took:.0f} s" for part, took in seconds.items()), style="dim")


def main() -> None:
    """Measure, print a table, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer points, rounds, steps and forgeries")
    parser.add_argument("--parts", nargs="+", default=[""], help="only parts named with one of these words")
    asked = parser.parse_args()
    os.environ[HOME_VARIABLE] = HOMES
    size, started = QUICK if asked.quick else FULL, time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        both_databases(Path(folder)) as databases,
        ProcessPoolExecutor(len(databases)) as pool,
    ):
        runs = list(pool.map(partial(run_parts, size=size, words=asked.parts), databases))
    figures: Counter[str] = Counter()
    for run in runs:
        figures.update(run.figures)
    problems = [line for run in runs for line in run.problems]
    seconds = {part: took for run in runs for part, took in run.seconds.items()}
    show(figures, problems, seconds)
    result: dict[str, Any] = {**figures, "seconds": round(time.perf_counter() - started, 1)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
