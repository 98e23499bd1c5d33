"""Drain the outbox of notifications: a dispatch a recipient, each sent once and tried again by itself."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, Row, insert, update

from dosvotos.database.connection import reading, writing
from dosvotos.database.outbox import (
    FIRST_PAUSE,
    claim_message,
    finish_messages,
    put_off,
    told_problem,
    waiting_messages,
)
from dosvotos.database.tables import outbox
from dosvotos.errors import stored_otherwise
from dosvotos.notifications.recipients import Message, Recipient
from dosvotos.notifications.sending import Send, Sent, send
from dosvotos.promotion.notify import DISPATCH, NOTIFICATION, Notification, announce_expiring
from dosvotos.refusals import Phrase, StoredText

GIVE_UP_AFTER: Final = timedelta(days=7)
"""A message is worth little when it is so old."""
AT_ONCE: Final = 8
"""Recipients that are sent to at the same time."""


def send_notifications(
    engine: Engine, recipients: Sequence[Recipient], now: datetime, sends: Send = send
) -> list[str]:
    """Send what is due to every recipient; gives what was done and what failed, a line each.

    A message that fails holds up the later ones of its recipient, so that they keep their order, and nobody
    else's.

    Parameters
    ----------
    engine : Engine
    recipients : sequence of Recipient
        With none nothing is done: another process may know some.
    now : datetime, timezone-aware
    sends : callable
        Sends one message to one recipient.
    """
    if not recipients:
        return []
    announce_expiring(engine, now)
    _fan_out(engine, recipients, now)
    with reading(engine) as connection:
        due = waiting_messages(connection, now, (DISPATCH,))
    known = {recipient.id for recipient in recipients}
    stranger = Sent(StoredText.of(Phrase.of("not_sent_stranger")))
    _fail(engine, [row for row in due if row.subject not in known], stranger, now)
    epoch = now - timedelta(seconds=time.monotonic())

    def send_to(recipient: Recipient) -> list[str]:
        return _send_all(engine, recipient, [row for row in due if row.subject == recipient.id], epoch, sends)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [line for lines in pool.map(send_to, recipients) for line in lines]


def _send_all(
    engine: Engine, recipient: Recipient, rows: Sequence[Row[Any]], epoch: datetime, sends: Send
) -> list[str]:
    """Send a recipient's messages, oldest first; `epoch` is when the monotonic clock was 0."""
    n_sent = 0
    for index, row in enumerate(rows):
        now = epoch + timedelta(seconds=time.monotonic())
        if not claim_message(engine, row, now):
            break  # another process sends to this recipient
        try:
            message = Message.model_validate(row.payload)
        except ValidationError as error:
            finish_messages(engine, [row], now, stored_otherwise(error))
            continue
        sent = sends(recipient, message, now)
        if sent.problem is not None:
            _fail(engine, rows[index:], sent, now)
            failed = f"{recipient.name}: {sent.problem}; {len(rows) - index} tried again later"
            return [*_told(n_sent, recipient), failed]
        finish_messages(engine, [row], now)
        n_sent += 1
    return _told(n_sent, recipient)


def _told(n_sent: int, recipient: Recipient) -> list[str]:
    return [f"{recipient.name}: {n_sent} sent"] if n_sent else []


def _fail(engine: Engine, rows: Sequence[Row[Any]], sent: Sent, now: datetime) -> None:
    """Put messages off; those that are too old are given up."""
    if not rows or sent.problem is None:
        return
    old = [row for row in rows if row.created_at < now - GIVE_UP_AFTER]
    given_up = Phrase.of("not_sent_given_up", days=GIVE_UP_AFTER.days, problem=sent.problem)
    finish_messages(engine, old, now, given_up)
    put_off(engine, [row for row in rows if row not in old], sent.problem, now, max(FIRST_PAUSE, sent.wait))


def _fan_out(engine: Engine, recipients: Sequence[Recipient], now: datetime) -> None:
    """Make of every notification a dispatch a recipient, in one transaction: once, whoever else drains."""
    with reading(engine) as connection:
        waiting = waiting_messages(connection, now, (NOTIFICATION,))
    for row in waiting:
        with writing(engine) as connection:
            _fan_out_one(connection, row, recipients, now)


def _fan_out_one(
    connection: Connection, row: Row[Any], recipients: Sequence[Recipient], now: datetime
) -> None:
    t = outbox
    too_old = row.created_at < now - GIVE_UP_AFTER
    problem = Phrase.of("not_sent_too_old", days=GIVE_UP_AFTER.days) if too_old else None
    waits = (t.c.id == row.id) & t.c.done_at.is_(None)
    done = update(t).where(waits).values(done_at=now, **told_problem(problem))
    taken = connection.execute(done).rowcount == 1
    if too_old or not taken:
        return
    try:
        message = Message.of(row.id, Notification.model_validate(row.payload), row.created_at)
    except ValidationError as error:
        connection.execute(update(t).where(t.c.id == row.id).values(told_problem(stored_otherwise(error))))
        return
    payload = message.model_dump(mode="json", exclude_none=True)
    times = {"created_at": row.created_at, "next_try_at": now}
    for recipient in recipients:
        values = {"kind": DISPATCH, "subject": recipient.id, "payload": payload, **times}
        connection.execute(insert(outbox).values(values))
