"""The outbox: what other systems are to be told, written in one transaction with what it follows from.

Sending comes after the commit and is repeated until it succeeds; a system that is away delays nothing here.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from dosvotos.contracts.records import Record
from dosvotos.database.connection import URL_VARIABLE, reading, writing
from dosvotos.database.tables import outbox
from dosvotos.errors import DosVotosError
from dosvotos.redaction import without_secrets
from dosvotos.refusals import Language, Phrase, StoredText, Told

FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=1)
MAX_PROBLEM: Final = 500
"""Characters kept of what went wrong."""
LEASE: Final = timedelta(minutes=2)
"""How long a message that a process is sending is nobody else's; it tries again if that process died."""
LATE_AFTER: Final = timedelta(minutes=5)
"""Who waits longer is shown by health and pages."""


class LateMessage(Record):
    """A message that has waited for longer than `LATE_AFTER`."""

    kind: str
    subject: str
    since: datetime
    attempts: int
    problem: str | None
    """What the last try ended with, in the reader's language."""


def add_message(
    connection: Connection, kind: str, subject: str, payload: dict[str, Any], now: datetime
) -> None:
    """Write a message inside the caller's transaction."""
    values = {"kind": kind, "subject": subject, "payload": payload, "created_at": now, "next_try_at": now}
    connection.execute(insert(outbox).values(values))


def waiting_messages(
    connection: Connection, now: datetime | None = None, kinds: Sequence[str] | None = None
) -> list[Row[Any]]:
    """Read the messages not sent yet, oldest first; with `now` those whose next try is due."""
    query = select(outbox).where(outbox.c.done_at.is_(None)).order_by(outbox.c.id)
    if kinds is not None:
        query = query.where(outbox.c.kind.in_(kinds))
    return list(connection.execute(query if now is None else query.where(outbox.c.next_try_at <= now)))


def late_messages(
    connection: Connection, kinds: Sequence[str], now: datetime, language: Language = "en"
) -> list[LateMessage]:
    """Read the messages of some kinds that have waited too long, oldest first, problems in a language."""
    late = [row for row in waiting_messages(connection, kinds=kinds) if row.created_at < now - LATE_AFTER]
    return [
        LateMessage(
            kind=row.kind,
            subject=row.subject,
            since=row.created_at,
            attempts=row.attempts,
            problem=None if row.problem is None else _problem_in(row, language),
        )
        for row in late
    ]


def count_waiting(connection: Connection) -> int:
    """Count the messages not sent yet."""
    query = select(func.count()).select_from(outbox).where(outbox.c.done_at.is_(None))
    return int(connection.execute(query).scalar_one())


def is_due(engine: Engine, now: datetime, kinds: Sequence[str]) -> bool:
    """Tell whether a message of some kinds waits whose next try has come."""
    t = outbox
    due = t.c.done_at.is_(None) & t.c.kind.in_(kinds) & (t.c.next_try_at <= now)
    with reading(engine) as connection:
        return bool(kinds) and connection.execute(select(t.c.id).where(due).limit(1)).first() is not None


def claim_message(engine: Engine, row: Row[Any], now: datetime) -> bool:
    """Take a message to send it, for `LEASE`; False if another process has it or has sent it."""
    t = outbox
    same = (t.c.id == row.id) & t.c.done_at.is_(None) & (t.c.next_try_at == row.next_try_at)
    with writing(engine) as connection:
        taken = update(t).where(same).values(next_try_at=now + LEASE, attempts=row.attempts + 1)
        return connection.execute(taken).rowcount == 1


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
        due = waiting_messages(connection, now, (kind,))
    problems = []
    for subject in dict.fromkeys(row.subject for row in due):
        rows = [row for row in due if row.subject == subject]
        try:
            send(subject)
        except Exception as error:  # whatever the other system's client raises
            problem = StoredText.of(_said(error), lambda text: without_secrets(text)[:MAX_PROBLEM])
            problems.append(f"{subject}: {problem}")
            put_off(engine, rows, problem, now)
        else:
            finish_messages(engine, rows, now)
    return problems


def send_in_background(root: Path, database_url: str) -> None:
    """Let a process of its own send what waits in a database's outbox; nobody waits for it."""
    subprocess.Popen(
        [sys.executable, "-m", "dosvotos.commands.main", "notify", "drain"],
        cwd=root,
        env={**os.environ, URL_VARIABLE: database_url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish_messages(
    engine: Engine, rows: Iterable[Row[Any]], now: datetime, problem: Told | None = None
) -> None:
    """Note that messages are sent; with a problem, that they are given up for it."""
    with writing(engine) as connection:
        done = update(outbox).where(outbox.c.id.in_([row.id for row in rows]))
        connection.execute(done.values(done_at=now, **told_problem(problem)))


def put_off(
    engine: Engine, rows: Iterable[Row[Any]], problem: Told, now: datetime, at_least: timedelta = FIRST_PAUSE
) -> None:
    """Let messages be tried again, later each time: after `at_least`, and within an hour."""
    with writing(engine) as connection:
        for row in rows:
            pause = min(LONGEST_PAUSE, max(at_least, FIRST_PAUSE * 2 ** min(row.attempts, 10)))
            tried = {"attempts": row.attempts + 1, "next_try_at": now + pause, **told_problem(problem)}
            waits = (outbox.c.id == row.id) & outbox.c.done_at.is_(None)
            connection.execute(update(outbox).where(waits).values(tried))


def told_problem(problem: Told | None) -> dict[str, Any]:
    """Write a problem as a row keeps it: in English, and in each language."""
    if problem is None:
        return {"problem": None, "problem_told": None}
    told = StoredText.of(problem, lambda text: text[:MAX_PROBLEM])
    return {"problem": str(told), "problem_told": told.by_language}


def _problem_in(row: Row[Any], language: Language) -> str:
    return StoredText.read(row.problem, row.problem_told).told(language)


def _said(error: Exception) -> Told:
    """Take what an error tells in each language, or what another system's client says."""
    if isinstance(error, DosVotosError) and error.code is not None:
        return error
    return Phrase.of("said", said=f"{type(error).__name__}: {error}")
