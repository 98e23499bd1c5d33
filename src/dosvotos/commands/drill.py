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
from sqlalchemy import Engine, insert, select

from dosvotos.commands.live_drill import LiveAction, LiveDrillRecord, drilled_loop, try_live
from dosvotos.commands.people import Keys, decide_on_terminal, one_instrument
from dosvotos.commands.restore import copy_sqlite, restore
from dosvotos.contracts.records import Record
from dosvotos.database.append_only import renew_guards
from dosvotos.database.columns import metadata
from dosvotos.database.connection import connect, database_file, make_engine, open_existing, reading, writing
from dosvotos.database.tables import HOUSE
from dosvotos.errors import DecisionError, LineageError
from dosvotos.files import write_file
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.checkpoints import check_last_checkpoint, log_state, open_home
from dosvotos.promotion.live_acts import SwitchSignals, read_live_state
from dosvotos.signing.home import HOME_VARIABLE, Home

DRILLS: Final = Path("data/08_reporting/drills")
T = TypeVar("T")
_ROWS_AT_ONCE: Final = 10_000
_LOST: Final = "a drill: this decision is lost with the database"
_BACK: Final = "a drill: the backup made before is put back"


class DrillRecord(Record):
    """What a drill found; seconds are of this machine."""

    drilled_at: AwareDatetime
    database: str
    """Of the log that was copied: its genesis."""
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
        If there is nothing to lose yet, or the database is none that is a file.
    """
    file, home = _what_is_copied(url)
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        record = _drill(file, home, Path(folder), keys, now)
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
    home, file = _home_of(url), database_file(url)
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        if file is None:
            copied = f"sqlite:///{_copied_rows(url, home, Path(folder))}"
        else:
            copied = f"sqlite:///{_copied(file, home, Path(folder))}"
        with _home_in(Path(folder)):
            engine = make_engine(copied)
            try:
                loop = drilled_loop(engine, one_instrument(engine, instrument), Path(folder))
                record = try_live(loop, action, keys, now)
            finally:
                engine.dispose()
    return record, _filed(action.lower(), record)


def _filed(name: str, record: DrillRecord | LiveDrillRecord) -> Path:
    filed = DRILLS / f"{name}_{record.drilled_at:%Y%m%dT%H%M%SZ}.json"
    write_file(filed, record.model_dump_json(indent=2).encode())
    return filed


def _what_is_copied(url: str) -> tuple[Path, Home]:
    """Find the database's file and its home.

    Raises
    ------
    DecisionError
        If nobody has decided anything yet, or the database is none that is a file.
    """
    file = database_file(url)
    if file is None:
        raise DecisionError(
            "drill: PostgreSQL is backed up by its own tools; restore a dump into a second database, point "
            "DOSVOTOS_DATABASE_URL and a copied DOSVOTOS_HOME at it, and run 'dosvotos restore' there"
        )
    return file, _home_of(url)


def _home_of(url: str) -> Home:
    """Find a database's home; raises DecisionError if nobody has decided anything yet."""
    engine = open_existing(url)
    with reading(engine) as connection:
        home = open_home(connection)
        check_last_checkpoint(connection, home)
    engine.dispose()
    if not home.exists:
        raise DecisionError(
            "drill: nobody has decided anything yet, so there is nothing to try; vote on a proposal first"
        )
    return home


def _drill(file: Path, home: Home, folder: Path, keys: Keys, now: Callable[[], datetime]) -> DrillRecord:
    copied, copy_seconds = _timed(lambda: _copied(file, home, folder))
    backup = folder / "backup.db"
    _, backup_seconds = _timed(lambda: copy_sqlite(copied, backup))
    url = f"sqlite:///{copied}"
    with _home_in(folder):
        before = _lose_a_decision(make_engine(url), keys, now)
        copied.unlink()
        copy_sqlite(backup, copied)
        refused = _refusal(make_engine(url))
        done, restore_seconds = _timed(lambda: restore(url, backup, _BACK, keys, now))
        findings, verify_seconds = _timed(lambda: _findings(make_engine(url)))
    log = done.log
    return DrillRecord(
        drilled_at=now(),
        database=home.folder.name,
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


def _copied(file: Path, home: Home, folder: Path) -> Path:
    copied = folder / "data" / file.name
    copied.parent.mkdir()
    copy_sqlite(file, copied)
    copytree(home.folder, folder / "homes" / home.folder.name)
    return copied


def _copied_rows(url: str, home: Home, folder: Path) -> Path:
    """Copy a server's database, as it is at one moment, row by row into a SQLite file, and the home."""
    copied = folder / "data" / "copy.db"
    engine, target = open_existing(url), connect(f"sqlite:///{copied}")
    metadata.create_all(target)
    with reading(engine) as source, writing(target) as into:
        for table in metadata.sorted_tables:
            rows = source.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            for part in rows.partitions(_ROWS_AT_ONCE):
                into.execute(insert(table), [dict(row) for row in part])
        renew_guards(into)
    for one in (engine, target):
        one.dispose()
    copytree(home.folder, folder / "homes" / home.folder.name)
    return copied


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
            check_last_checkpoint(connection, open_home(connection))
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
