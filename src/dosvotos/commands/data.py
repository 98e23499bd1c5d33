"""``dosvotos data``: the deliveries behind what is stored, and the way back from a wrong one."""

from datetime import datetime
from typing import Any, Final

from rich.markup import escape
from sqlalchemy import Engine, Row

from dosvotos.console import open_console, plain_table
from dosvotos.database.connection import reading, writing
from dosvotos.database.deliveries import BEFORE_DELIVERIES, list_deliveries, retract
from dosvotos.formats import MISSING
from dosvotos.hashing import short
from dosvotos.promotion.retracted import built_on_retracted

_MINUTE: Final = "%Y-%m-%d %H:%M"
_ALL: Final = "*"
_NAMES: Final = {
    "usdcop_m5_ohlcv": "bars",
    "macro_indicators_daily": "daily values",
    "macro_indicators_monthly": "monthly values",
    "macro_indicators_quarterly": "quarterly values",
}
"""What a reader calls a table's rows."""


def print_deliveries(engine: Engine) -> None:
    """Print one row a delivery, with what became of it."""
    with reading(engine) as connection:
        rows = list_deliveries(connection)
    retractions = {row.retracts: row for row in rows if row.retracts is not None}
    table = plain_table("id", "what", "fetched, UTC", "state")
    for column in table.columns:
        column.no_wrap = column.header != "what"
    for row in rows:
        if row.retracts is None:
            table.add_row(*_cells(row, retractions.get(row.id)))
    console = open_console()
    console.print(table)
    for row in retractions.values():
        line = f"{row.id}: {row.fetched_at:{_MINUTE}} UTC retracts {row.retracts}: {row.reason}"
        console.print(line, markup=False, soft_wrap=True)


def retract_delivery(engine: Engine, delivery_id: int, reason: str, now: datetime) -> list[str]:
    """Withdraw a delivery's rows; say how many, and which models and open proposals are built on them."""
    with writing(engine) as connection:
        row = retract(connection, delivery_id, reason, now)
    counted = ", ".join(f"{n:,} {_NAMES.get(name, name)}" for name, n in row.rows.items()) or "no rows"
    lines = [f"delivery {delivery_id} retracted by {row.id}: {counted} are seen no more"]
    built = [found for found in built_on_retracted(engine) if found.retraction.id == row.id]
    lines += [str(found) for found in built]
    if built:
        names = ", ".join(sorted({found.experiment_name for found in built}))
        lines.append(f"store the right data, raise experiment.version of {names} and run all layers again")
    return lines


def _cells(row: Row[Any], retraction: Row[Any] | None) -> tuple[str, ...]:
    state = "stands" if retraction is None else f"retracted by {retraction.id}"
    if row.id == BEFORE_DELIVERIES:
        return str(row.id), "every market: all rows stored before deliveries were kept", MISSING, state
    market = "every market" if row.instrument == _ALL else row.instrument
    feed = f" of {row.feed}" if row.feed not in (row.origin, _ALL) else ""
    content = f", content {short(row.source_hash)}" if row.source_hash else ""
    what = f"{market}{feed} from {row.source}: {row.origin}{content}\n{_counted(row)}"
    return str(row.id), escape(what), f"{row.fetched_at:{_MINUTE}}", state


def _counted(row: Row[Any]) -> str:
    if row.rows is None:
        return "not counted: the run was cut short"
    return ", ".join(f"{n:,} {_NAMES.get(name, name)}" for name, n in row.rows.items()) or "nothing new"
