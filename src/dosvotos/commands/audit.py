"""``dosvotos audit list``: who decided what, when and why."""

from typing import Any, Final

import click
from rich.markup import escape
from sqlalchemy import Row

from dosvotos.audit.copies import csv_of_log
from dosvotos.console import open_console, plain_table
from dosvotos.signing.passkeys import is_assertion

_MINUTE: Final = "%Y-%m-%d %H:%M"


def print_decisions(rows: list[Row[Any]], as_csv: bool) -> None:
    """Print the log as a table, or all its columns as CSV."""
    if as_csv:
        click.echo(csv_of_log(rows), nl=False)
        return
    if not rows:
        click.echo("no decision yet; 'make app' or 'dosvotos vote' makes the first")
        return
    table = plain_table("row", "UTC", "who", "decided", "signed", "reason")
    for row in rows:
        table.add_row(
            str(row.id), f"{row.created_at:{_MINUTE}}", escape(row.reviewer), _what(row), _signed(row),
            escape(row.notes or ""),
        )  # fmt: skip
    open_console().print(table)


def _what(row: Row[Any]) -> str:
    about = {
        "instrument": row.instrument,
        "proposal": row.proposal_id,
        "model": row.model_id,
        "stage": row.new_stage,
    }
    named = row.subject.get("name") if isinstance(row.subject, dict) else None
    parts = [f"{name} {value}" for name, value in {**about, "person": named}.items() if value is not None]
    return escape(f"{row.action}: {', '.join(parts)}")


def _signed(row: Row[Any]) -> str:
    if row.text is None:
        return "needs none" if row.action == "REQUEST_MORE_TESTS" else "no"
    if row.mode == "single-user":
        return "local key"
    return "passkey" if is_assertion(row.signature) else "own key"
