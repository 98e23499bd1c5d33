"""``dosvotos models``: the model inventory."""

import click
from rich.markup import escape

from dosvotos.console import open_console, plain_table
from dosvotos.database.connection import database_url, open_existing
from dosvotos.promotion.inventory import NOT_STATED, InventoryEntry, csv_of_inventory, model_inventory


@click.command()
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, all fields.")
def models(as_csv: bool) -> None:
    """List every model: who answers for it, what for, who approved it over what, until when."""
    entries = model_inventory(open_existing(database_url()))
    if as_csv:
        click.echo(csv_of_inventory(entries), nl=False)
        return
    table = plain_table(
        "stage", "model", "owner", "tier", "permitted use", "approved by", "over", "next review"
    )
    for entry in entries:
        table.add_row(*map(escape, _cells(entry)))
    open_console().print(table)


def _cells(entry: InventoryEntry) -> tuple[str, ...]:
    tier = NOT_STATED if entry.tier is None else str(entry.tier)
    return (
        entry.stage,
        entry.model_id,
        entry.owner or NOT_STATED,
        tier,
        entry.permitted_use or NOT_STATED,
        entry.approved_by or "-",
        entry.overrides or "-",
        str(entry.next_review or "-"),
    )
