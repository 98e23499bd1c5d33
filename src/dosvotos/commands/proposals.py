"""``dosvotos proposals``: what waits for the second vote."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.markup import escape
from sqlalchemy import Row

from dosvotos.console import open_console, plain_table
from dosvotos.database.connection import database_url, open_existing, reading
from dosvotos.database.registry import VALID_FOR, is_open, list_proposals, opened_at, state_of


@click.command()
@click.option("--all", "with_decided", is_flag=True, help="Those too that were decided, or are over.")
def proposals(with_decided: bool) -> None:
    """List the proposals that wait for the second vote, and until when."""
    now = datetime.now(UTC)
    with reading(open_existing(database_url())) as connection:
        found = list_proposals(connection)
    waiting = [row for row in found if is_open(row, now)]
    shown = waiting + [row for row in found if with_decided and not is_open(row, now)]
    if shown:
        _print(shown, now)
    if waiting:
        click.echo(
            "'dosvotos vote ID approve|reject|more-tests' gives the second vote; 'make app' shows what each "
            "rests on"
        )
        return
    others = len(found) - len(shown)
    decided = f" ({others} decided or over: 'dosvotos proposals --all')" if others else ""
    click.echo(f"nothing waits for a vote{decided}; 'kedro run' makes a proposal")


def _print(rows: Sequence[Row[Any]], now: datetime) -> None:
    table = plain_table("id", "experiment", "instrument", "first vote", "state", "UTC", "until", "model")
    for row in rows:
        until = f"{opened_at(row) + VALID_FOR:%Y-%m-%d}" if is_open(row, now) else "-"
        cells = (row.experiment_name, row.instrument, row.recommendation, state_of(row, now))
        made = f"{row.created_at:%Y-%m-%d %H:%M}"
        table.add_row(str(row.id), *map(escape, cells), made, until, escape(row.model_id))
    open_console().print(table)
