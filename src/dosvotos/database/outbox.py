"""The outbox: what other systems are to be told, written in one transaction with what it follows from.

Sending comes after the commit and is repeated until it succeeds; a system that is away delays nothing here.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, insert, select, update

from dosvotos.database.connection import URL_VARIABLE, reading, writing
from dosvotos.database.tables import outbox

FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=1)
MAX_PROBLEM: Final = 500
"""Characters kept of what went wrong."""


def add_message(
    connection: Connection, kind: str, subject: str, payload: dict[str, Any], now: datetime
) -> None:
    """Write a message inside the caller's transaction."""
    values = {"kind": kind, "subject": subject, "payload": payload, "created_at": now, "next_try_at": now}
    connection.execute(insert(outbox).values(values))


def waiting_messages(connection: Connection, now: datetime | None = None) -> list[Row[Any]]:
    """Read the messages not sent yet, oldest first; with `now` those whose next try is due."""
    query = select(outbox).where(outbox.c.done_at.is_(None)).order_by(outbox.c.id)
    return list(connection.execute(query if now is None else query.where(outbox.c.next_try_at <= now)))


def is_due(engine: Engine, now: datetime) -> bool:
    """Tell whether a message waits whose next try has come."""
    with reading(engine) as connection:
        return bool(waiting_messages(connection, now))


def send_messages(engine: Engine, kind: str, send: Callable[[str], None], now: datetime) -> list[str]:
    """Send every message of a kind that is due, one a subject, and keep what failed for later.

    Parameters
    ----------
    engine : Engine
    kind : str
    send : callable
        Tells the other system the present state of a subject; older messages about it are done with it.
    now : datetime, timezone-aware

    Returns
    -------
    list of str
        What went wrong, by subject.
    """
    with reading(engine) as connection:
        due = [row for row in waiting_messages(connection, now) if row.kind == kind]
    problems = []
    for subject in dict.fromkeys(row.subject for row in due):
        rows = [row for row in due if row.subject == subject]
        try:
            send(subject)
        except Exception as error:  # whatever the other system's client raises
            problem = f"{type(error).__name__}: {error}"[:MAX_PROBLEM]
            problems.append(f"{subject}: {problem}")
            _put_off(engine, rows, problem, now)
        else:
            _finish(engine, rows, now)
    return problems


def send_in_background(root: Path, database_url: str) -> None:
    """Let a process of its own send what waits in a database's outbox; nobody waits for it."""
    subprocess.Popen(
        [sys.executable, "-m", "dosvotos.commands.main", "outbox"],
        cwd=root,
        env={**os.environ, URL_VARIABLE: database_url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _finish(engine: Engine, rows: list[Row[Any]], now: datetime) -> None:
    with writing(engine) as connection:
        done = update(outbox).where(outbox.c.id.in_([row.id for row in rows]))
        connection.execute(done.values(done_at=now, problem=None))


def _put_off(engine: Engine, rows: list[Row[Any]], problem: str, now: datetime) -> None:
    with writing(engine) as connection:
        for row in rows:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(row.attempts, 10))
            tried = {"attempts": row.attempts + 1, "next_try_at": now + pause, "problem": problem}
            connection.execute(update(outbox).where(outbox.c.id == row.id).values(tried))
