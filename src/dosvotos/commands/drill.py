"""``dosvotos drill restore|halt|rollback``: what is tried before it is needed, in a temporary copy, timed."""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from shutil import copytree
from typing import Final, TypeVar

from pydantic import AwareDatetime
from sqlalchemy import Engine

from dosvotos.audit.checkpoints import check_checkpoints, log_state, open_home
from dosvotos.commands.copies import DatabaseCopy, copied_database
from dosvotos.commands.live_drill import LiveAction, LiveDrillRecord, drilled_loop, try_live
from dosvotos.commands.people import Keys, decide_on_terminal, one_instrument
from dosvotos.commands.restore import restore
from dosvotos.contracts.records import Record
from dosvotos.database.connection import make_engine, open_existing, reading
from dosvotos.database.tables import HOUSE
from dosvotos.errors import DecisionError, LineageError
from dosvotos.files import write_file
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.live_acts import SwitchSignals, read_live_state
from dosvotos.signing.home import HOME_VARIABLE, Home

DRILLS: Final = Path("data/08_reporting/drills")
T = TypeVar("T")
_LOST: Final = "a drill: this decision is lost with the database"
_BACK: Final = "a drill: the backup made before is put back"


class DrillRecord(Record):
    """What a drill found; seconds are of this machine."""

    drilled_at: AwareDatetime
    database: str
    """Of the log that was copied: its genesis."""
    backed_up_by: str
    """SQLite's backup, PostgreSQL's pg_dump with its version, or COPY of every table."""
    rows_before: int
    rows_lost: int
    staged: tuple[str, ...]
    reopened: tuple[int, ...]
    loss_refused: str
    """The error that the shorter database was refused with."""
    findings_after: tuple[str, ...]
    """Of ``audit verify --full`` on the restored copy; none is needed."""
    copy_seconds: float
    backup_seconds: float
    restore_seconds: float
    verify_seconds: float


def drill_restore(url: str, keys: Keys, now: Callable[[], datetime]) -> tuple[DrillRecord, Path]:
    """Back a copy up, lose a decision of it, and restore it; gives the record and where it is filed.

    Raises
    ------
    DecisionError
        If there is nothing to lose yet.
    DatabaseError
        If the database cannot be copied.
    """
    home, began = _what_is_copied(url), time.perf_counter()
    with _copied(url, home) as (copy, folder):
        copy_seconds = round(time.perf_counter() - began, 3)
        record = _drill(copy, home, folder, keys, now, copy_seconds)
    return record, _filed("restore", record)


def drill_live(
    url: str, action: LiveAction, instrument: str | None, keys: Keys, now: Callable[[], datetime]
) -> tuple[LiveDrillRecord, Path]:
    """Halt or roll back a loop on a copy and count the bars until it has done so; gives record and file.

    Raises
    ------
    DecisionError
        If there is nothing to try it on: no decision, no production model, or one that is halted.
    """
    logging.captureWarnings(True)
    with _copied(url, _what_is_copied(url)) as (copy, folder):
        engine = make_engine(copy.url)
        try:
            loop = drilled_loop(engine, one_instrument(engine, instrument), folder)
            record = try_live(loop, action, keys, now)
        finally:
            engine.dispose()
    return record, _filed(action.lower(), record)


def _filed(name: str, record: DrillRecord | LiveDrillRecord) -> Path:
    filed = DRILLS / f"{name}_{record.drilled_at:%Y%m%dT%H%M%SZ}.json"
    write_file(filed, record.model_dump_json(indent=2).encode())
    return filed


def _what_is_copied(url: str) -> Home:
    """Find the database's home; raises DecisionError if nobody has decided anything yet."""
    engine = open_existing(url)
    with reading(engine) as connection:
        home = open_home(connection)
        check_checkpoints(connection, home)
    engine.dispose()
    if not home.exists:
        raise DecisionError(
            "drill: nobody has decided anything yet, so there is nothing to try; vote on a proposal first"
        )
    return home


@contextmanager
def _copied(url: str, home: Home) -> Iterator[tuple[DatabaseCopy, Path]]:
    """Copy database and home into a temporary folder, which holds the home that counts meanwhile."""
    with tempfile.TemporaryDirectory(prefix="drill-") as name:
        folder = Path(name)
        copytree(home.folder, folder / "homes" / home.folder.name)
        with copied_database(url, folder) as copy, _home_in(folder):
            yield copy, folder


def _drill(
    copy: DatabaseCopy, home: Home, folder: Path, keys: Keys, now: Callable[[], datetime], copy_seconds: float
) -> DrillRecord:
    backup = folder / "backup"
    _, backup_seconds = _timed(lambda: copy.back_up(backup))
    before = _lose_a_decision(make_engine(copy.url), keys, now)
    copy.put_back(backup)
    refused = _refusal(make_engine(copy.url))
    done, restore_seconds = _timed(lambda: restore(copy.url, backup, _BACK, keys, now))
    findings, verify_seconds = _timed(lambda: _findings(make_engine(copy.url)))
    log = done.log
    return DrillRecord(
        drilled_at=now(),
        database=home.folder.name,
        backed_up_by=copy.backed_up_by,
        rows_before=before,
        rows_lost=log.checkpoint.rows - log.kept_rows,
        staged=log.staged,
        reopened=log.reopened,
        loss_refused=refused,
        findings_after=tuple(findings),
        copy_seconds=copy_seconds,
        backup_seconds=backup_seconds,
        restore_seconds=restore_seconds,
        verify_seconds=verify_seconds,
    )


@contextmanager
def _home_in(folder: Path) -> Iterator[None]:
    """Let the drill's copy of the home count, and the real one again afterwards."""
    before = os.environ.get(HOME_VARIABLE)
    os.environ[HOME_VARIABLE] = str(folder / "homes")
    try:
        yield
    finally:
        os.environ.pop(HOME_VARIABLE)
        if before is not None:
            os.environ[HOME_VARIABLE] = before


def _lose_a_decision(engine: Engine, keys: Keys, now: Callable[[], datetime]) -> int:
    """Decide something that no backup knows; gives how many rows the log had before."""
    with reading(engine) as connection:
        state = log_state(connection)
        named = sorted({*state.epochs} - {HOUSE})
        if not named:
            raise DecisionError(
                "drill: no instrument has a decision yet, so there is nothing to restore; vote on a "
                "proposal first"
            )
        halted = read_live_state(connection, named[0]) == "HALTED"
    decide_on_terminal(engine, SwitchSignals("RESUME" if halted else "HALT", named[0], _LOST), keys, now)
    engine.dispose()
    return state.rows


def _refusal(engine: Engine) -> str:
    try:
        with reading(engine) as connection:
            check_checkpoints(connection, open_home(connection))
    except LineageError as error:
        return str(error)
    finally:
        engine.dispose()
    raise LineageError(
        "drill: a database that lacks its last decision was taken for whole; do not rely on this log, "
        "and report it as a defect"
    )


def _findings(engine: Engine) -> Sequence[str]:
    with reading(engine) as connection:
        found = verify_audit(connection, full=True)
    engine.dispose()
    return found


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    done = work()
    return done, round(time.perf_counter() - started, 3)
