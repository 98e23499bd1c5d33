"""``dosvotos restore``: a backup put in place and signed for, in one step."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Engine

from dosvotos.audit.checkpoints import check_checkpoints, open_home
from dosvotos.audit.restored_log import RestoredLog, restored_log
from dosvotos.commands.people import Keys, decide_on_terminal
from dosvotos.database.connection import (
    database_file,
    make_engine,
    open_existing,
    reading,
    schema_versions,
    upgrade,
)
from dosvotos.errors import DatabaseError, DecisionConflictError, DosVotosError
from dosvotos.files import flush_folder
from dosvotos.hashing import digest_file
from dosvotos.promotion.restoring import Restore, describe

_BESIDE: Final = ("-wal", "-shm")
"""What SQLite keeps beside a database."""


class Restored(NamedTuple):
    """What a restore did."""

    log: RestoredLog
    kept_as: Path | None
    """Where the database that was in the backup's place is now."""

    @property
    def lines(self) -> list[str]:
        """The lines that people read."""
        moved = [f"the database that was there is {self.kept_as}"] if self.kept_as else []
        return [*describe(self.log), *moved]


def restore(url: str, backup: Path, reason: str, keys: Keys, now: Callable[[], datetime]) -> Restored:
    """Sign for a backup and, on SQLite, put it in the database's place.

    On PostgreSQL it has been put back before, by PostgreSQL's own tools; the file is named by its hash in
    what is signed.

    Raises
    ------
    DatabaseError
        If the backup is no database of this project.
    DecisionConflictError
        If nothing is missing.
    LineageError
        If the backup is no former state of this log.
    """
    act = Restore(reason, digest_file(backup))
    file = database_file(url)
    if file is None:
        engine = open_existing(url)
        try:
            return _sign(engine, act, keys, now, None)
        finally:
            engine.dispose()
    _refuse_if_whole(url)
    draft = file.with_name(f".{file.name}.restoring")
    _remove(draft)
    try:
        copy_sqlite(backup, draft)
        engine = _opened(draft)
        moved = file.with_name(f"{file.name}.replaced-{now():%Y%m%dT%H%M%SZ}")
        done = _sign(engine, act, keys, now, moved if file.exists() else None)
        engine.dispose()
        _put_in_place(draft, file, moved)
    finally:
        _remove(draft)
    return done


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database, with what its log still holds, into a new file.

    Raises
    ------
    DatabaseError
        If the source is none.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
    except sqlite3.Error as error:
        raise DatabaseError(
            f"{source}: cannot be copied as a SQLite database: {error}; name the copy of data/dosvotos.db"
        ) from error


def _sign(
    engine: Engine, act: Restore, keys: Keys, now: Callable[[], datetime], moved: Path | None
) -> Restored:
    return Restored(restored_log(decide_on_terminal(engine, act, keys, now).row), moved)


def _refuse_if_whole(url: str) -> None:
    """Keep a database that lacks nothing: a backup in its place would lose decisions."""
    with suppress(DatabaseError):  # gone or damaged: that is what a restore is for
        engine = open_existing(url)
        try:
            with reading(engine) as connection:
                found = check_checkpoints(connection, open_home(connection))
        except DosVotosError:  # shorter than its last checkpoint: likewise
            return
        finally:
            engine.dispose()
        raise DecisionConflictError(
            f"RESTORE: the database holds all of its {found.state.rows if found else 0} decisions; nothing "
            "is missing, so nothing is restored; go on as before"
        )


def _opened(draft: Path) -> Engine:
    engine = make_engine(f"sqlite:///{draft}")
    present, wanted = schema_versions(engine)
    if present is None:
        raise DatabaseError(
            f"{draft}: the backup holds no database of Dos Votos; name the copy of data/dosvotos.db"
        )
    if present != wanted:
        upgrade(engine)
    return engine


def _put_in_place(draft: Path, file: Path, moved: Path) -> None:
    """Exchange the database's file, the old one kept beside it with its log, which no other may read."""
    with closing(sqlite3.connect(draft)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for ending in ("", *_BESIDE):
        old = file.with_name(file.name + ending)
        if old.exists():
            old.rename(moved.with_name(moved.name + ending))
    draft.replace(file)
    flush_folder(file.parent)


def _remove(draft: Path) -> None:
    for ending in ("", *_BESIDE):
        draft.with_name(draft.name + ending).unlink(missing_ok=True)
