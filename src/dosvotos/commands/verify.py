"""``dosvotos verify``: a signal walked back, on the terminal."""

from rich.markup import escape

from dosvotos.console import open_console, plain_table
from dosvotos.contracts.records import ChainRecord


def print_chain(signal_id: str, chain: ChainRecord) -> None:
    """Print each link: what is recorded, what it was compared with, and whether they are the same."""
    table = plain_table("", "record", "field", "recorded", "compared with")
    for link in chain.links:
        mark = "ok" if link.holds else "NO"
        against = link.source if link.holds else f"{link.source}: {link.recomputed}"
        table.add_row(mark, *(escape(text) for text in (link.record, link.field, link.recorded, against)))
    console = open_console()
    console.print(table)
    verdict = f"{len(chain.broken)} do not hold" if chain.broken else "all hold"
    console.print(f"{escape(signal_id)}: {len(chain.links)} links, {verdict}")
