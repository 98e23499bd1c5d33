"""How long `dosvotos audit verify` takes over a long log: signed rows, and as many checkpoints in the home.

The command is run as a person types it, in a process of its own; beside it stands what starting it costs,
by a log without a row. Texts, seals and hashes are each row's own; signatures, which `--full` alone verifies,
are made once and stand in every row, and so is a checkpoint's but for the last one.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

sys.path.insert(0, str(Path(__file__).parents[1]))
from dosvotos.audit.checkpoints import log_state, open_home
from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.log import chained_row
from dosvotos.database.connection import open_database, reading, writing
from dosvotos.database.registry import last_log_row
from dosvotos.database.tables import approval_audit_log
from dosvotos.hashing import digest_bytes, digest_json
from dosvotos.signing.checkpoint import Checkpoint, LogState, sign_checkpoint
from dosvotos.signing.home import CHECKPOINTS, HOME_VARIABLE
from dosvotos.signing.sshsig import LOG_NAMESPACE, VOTE_NAMESPACE
from tests.market_factory import INSTRUMENT
from tests.team import WHY, Team

AT_ONCE = 5_000
URL = "sqlite:///data/dosvotos.db"


class Seconds(NamedTuple):
    """How long a command took."""

    wall: float
    cpu: float


def lengthen(team: Team, n_rows: int) -> None:
    """Append halts and resumptions, each with its checkpoint, as the transaction would."""
    with reading(team.engine) as connection:
        home, state, last = open_home(connection), log_state(connection), last_log_row(connection)
    assert last is not None
    server, previous, begin = home.server(), last.row_hash, datetime.now(UTC)
    signature = team.key("olga").sign(b"any text", VOTE_NAMESPACE)
    countersignature = server.sign(b"any text", LOG_NAMESPACE)
    signed = {"signature": signature, "countersignature": countersignature}
    for first in range(last.id + 1, n_rows + 1, AT_ONCE):
        rows, notes = [], []
        for number in range(first, min(first + AT_ONCE, n_rows + 1)):
            at = begin + timedelta(seconds=number)
            rows.append(chained_row(previous, number, _entry(number, at) | signed, at))
            previous = rows[-1]["row_hash"]
            checkpoint = Checkpoint(
                LogState(state.origin, number, previous, state.epochs), at, countersignature
            )
            notes.append(checkpoint.note)
        with writing(team.engine) as connection:
            connection.execute(insert(approval_audit_log), rows)
        notes[-1] = sign_checkpoint(checkpoint.state, at, server).note
        with (home.folder / CHECKPOINTS).open("a") as file:
            file.write("".join(notes))


def _entry(number: int, at: datetime) -> dict[str, Any]:
    """A decision about signals; the last one resumes, for an even number of rows."""
    action, by, state = ("RESUME", "ada", "ACTIVE") if number % 2 == 0 else ("HALT", "olga", "HALTED")
    subject = {"state": state}
    text = DecisionText(
        instrument=INSTRUMENT, action=action, epoch=0, policy=1, subject=digest_json(subject),
        reason=digest_bytes(WHY.encode()), reviewer=by, at=at.replace(microsecond=0),
    )  # fmt: skip
    return {
        "action": action, "reviewer": by, "notes": WHY, "instrument": INSTRUMENT, "mode": "team",
        "self_approved": False, "epoch": 0, "subject": subject, "text": str(text), "text_hash": text.digest,
    }  # fmt: skip


def timed(folder: Path, *arguments: str) -> Seconds:
    """Run a command as a person would, and take its wall and CPU seconds."""
    program = [str(Path(sys.executable).with_name("dosvotos")), *arguments]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(program, cwd=folder, check=True, capture_output=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Seconds(round(wall, 2), round(cpu, 2))


def best_of(times: int, folder: Path, *arguments: str) -> Seconds:
    """Take the run that was disturbed least."""
    return min((timed(folder, *arguments) for _ in range(times)), key=lambda one: one.cpu)


def make_log(folder: Path, n_rows: int) -> None:
    """Make a project with a log of so many rows; of none for 0."""
    (folder / "pyproject.toml").write_text("[tool.kedro]\n")
    with chdir(folder):
        engine = open_database(URL)
        if n_rows:
            lengthen(Team(engine).begin(), n_rows)
        engine.dispose()


def main() -> None:
    """Measure, print a table, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10,000 rows")
    n_rows = 10_000 if parser.parse_args().quick else 100_000
    with tempfile.TemporaryDirectory() as name:
        os.environ[HOME_VARIABLE] = f"{name}/home"
        found: dict[str, Seconds] = {}
        for what, rows in (("start", 0), ("verify", n_rows)):
            folder = Path(name) / what
            folder.mkdir()
            make_log(folder, rows)
            found[what] = best_of(5, folder, "audit", "verify")
    table = Table("command", "wall s", "CPU s", box=None)
    for what, one in found.items():
        table.add_row(what, str(one.wall), str(one.cpu))
    Console(width=100).print(table)
    figures = {
        f"{what}_{kind}_seconds": value
        for what, one in found.items()
        for kind, value in one._asdict().items()
    }
    print(json.dumps({"rows": n_rows, **figures}))


if __name__ == "__main__":
    main()
