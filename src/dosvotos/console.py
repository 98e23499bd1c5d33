"""Where the console's tables are made: no name, date or number is cut in them."""

import sys
from typing import Final

from rich.console import Console
from rich.table import Table

_UNBOUNDED: Final = 10_000


def open_console(stderr: bool = False) -> Console:
    """Open a stream: a terminal at its width; a pipe or a file as wide as the text, whatever COLUMNS says."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNBOUNDED
    return Console(stderr=stderr, width=width, highlight=False)


def plain_table(*headers: str, title: str | None = None) -> Table:
    """Give a table without lines, whose cells go on in the next line where the terminal is too narrow."""
    table = Table(*headers, title=title, title_justify="left", box=None)
    for column in table.columns:
        column.overflow = "fold"
    return table
