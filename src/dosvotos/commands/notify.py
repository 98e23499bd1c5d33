"""``dosvotos notify``: try the recipients of notifications, and send what waits."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import click

from dosvotos.commands.errors import EXIT_ERROR
from dosvotos.database.connection import database_url, open_existing
from dosvotos.promotion.notify import URLS_VARIABLE, Notification


@click.group()
def notify() -> None:
    """Notifications to chat, mail and web hooks (DOSVOTOS_NOTIFY_URLS)."""


@notify.command("drain")
def notify_drain() -> None:
    """Send what waits and tell MLflow which models are in production; runs, app and live do so themselves."""
    from dosvotos.commands.outbox import drain_outbox

    for line in drain_outbox(open_existing(database_url()), datetime.now(UTC)):
        click.echo(line)


@notify.command("test")
def notify_test() -> None:
    """Send a test message to every recipient, now, and say what became of it; exit code 1 if one failed."""
    from dosvotos.notifications.recipients import Message, read_recipients
    from dosvotos.notifications.sending import send

    recipients, now = read_recipients(), datetime.now(UTC)
    if not recipients:
        raise click.UsageError(f"{URLS_VARIABLE} states no recipient; docs/notifications.md lists examples")
    message = Message.of(0, Notification(event="TEST"), now)
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda recipient: send(recipient, message, now), recipients))
    for recipient, sent in zip(recipients, outcomes, strict=True):
        click.echo(f"{recipient.name}: {'sent' if sent.problem is None else f'FAILED: {sent.problem}'}")
    if any(sent.problem is not None for sent in outcomes):
        sys.exit(EXIT_ERROR)
