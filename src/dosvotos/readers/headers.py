"""Column names as people and programs write them, and the one column each means."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from dosvotos.errors import DataError

_UNIT: Final = re.compile(r"\s*[(\[][^)\]]*[)\]]$")


class Layout(NamedTuple):
    """The columns of a kind of table."""

    names: Mapping[str, tuple[str, ...]]
    """By column, the names it may have, normalized."""
    optional: frozenset[str] = frozenset()
    time_of_day: tuple[str, ...] = ()
    """Names of a column that continues a date's; alone it is the timestamp."""
    dates: tuple[str, ...] = ()
    """Names of a timestamp that a time of day may follow."""
    numeric: frozenset[str] = frozenset()
    """Columns of numbers."""
    rest: str = ""
    """What the one column is called that is none of `names`."""
    vendor_names: Mapping[str, tuple[str, ...]] = {}
    """By column, names that mean it where none of `names` stands, normalized."""

    def names_of(self, column: str) -> tuple[str, ...]:
        """Every name that a column may have."""
        return (*self.names.get(column, (column,)), *self.vendor_names.get(column, ()))

    @property
    def known(self) -> frozenset[str]:
        """Every name that a column of the table may have."""
        own = (name for column in self.names for name in self.names_of(column))
        return frozenset((*own, *self.dates, *self.time_of_day))

    @property
    def required(self) -> tuple[str, ...]:
        """The columns no table may lack."""
        return tuple(name for name in (*self.names, *filter(None, [self.rest])) if name not in self.optional)


_DATES: Final = ("date", "fecha")
_TIMES: Final = ("time", "hora")
UTC_NAMES: Final = ("gmt time",)
"""Names of a timestamp that say its zone."""
BAR_LAYOUT: Final = Layout(
    {
        "timestamp": (
            "timestamp", "datetime", "date time", "fecha hora", "fecha y hora", "local time", *UTC_NAMES,
        ),
        "open": ("open", "apertura"),
        "high": ("high", "maximo"),
        "low": ("low", "minimo"),
        "close": ("close", "cierre"),
        "volume": ("volume", "volumen", "tickvol"),
    },
    optional=frozenset({"volume"}),
    numeric=frozenset({"open", "high", "low", "close", "volume"}),
    time_of_day=_TIMES,
    dates=_DATES,
    vendor_names={
        "timestamp": ("date-time", "date/time", "dates"),
        "open": ("px open", "open price"),
        "high": ("px high", "high price", "max"),
        "low": ("px low", "low price", "min"),
        "close": ("px last", "last", "price", "close price", "ultimo"),
    },
)  # fmt: skip
DATE_NAMES: Final = ("observation date", *_DATES)
MACRO_LAYOUT: Final = Layout(
    {"variable": ("variable", "serie"), "observation_date": DATE_NAMES, "value": ("value", "valor")},
    numeric=frozenset({"value"}),
)

FILL_LAYOUT: Final = Layout(
    {
        "timestamp": ("timestamp", "datetime", "date time", "execution time", "fecha hora", "fecha y hora"),
        "side": ("side", "direction", "buy sell", "buy/sell", "lado", "operacion"),
        "quantity": ("quantity", "qty", "amount", "cantidad", "monto"),
        "price": ("price", "rate", "precio", "tasa"),
    },
    numeric=frozenset({"quantity", "price"}),
    time_of_day=_TIMES,
    dates=_DATES,
)


def normalize_name(text: object) -> str:
    """Return a name without accents, case, underscores, ``<>``, repeated blanks and a unit in brackets."""
    plain = unicodedata.normalize("NFKD", str(text))
    plain = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    plain = " ".join(plain.replace("_", " ").strip("<> \t\ufeff").split())
    return _UNIT.sub("", plain)


def match_columns(header: Sequence[object], layout: Layout) -> dict[str, list[int]]:
    """Return by column where the header names it; a timestamp in two columns has two indices.

    Columns without a name in the layout are left out; missing ones are absent.

    Raises
    ------
    DataError
        If two columns would be the same one.
    """
    names = [normalize_name(cell) for cell in header]
    found = {
        column: [i for i, name in enumerate(names) if name in known] for column, known in layout.names.items()
    }
    for column, known in layout.vendor_names.items():
        if not found[column]:
            found[column] = [i for i, name in enumerate(names) if name in known]
    if layout.dates:
        found["timestamp"] = _stamp_columns(names, found["timestamp"], layout)
    if layout.rest:
        taken = {index for indices in found.values() for index in indices}
        found[layout.rest] = [i for i, name in enumerate(names) if name and i not in taken]
    for column, indices in found.items():
        is_split = column == "timestamp" and len(indices) == 2 and names[indices[1]] in layout.time_of_day
        if len(indices) > 1 and not (is_split and names[indices[0]] in layout.dates):
            both = " and ".join(repr(str(header[i])) for i in indices)
            raise DataError(f"expected one {column} column, found {both}; keep one of them")
    return {column: indices for column, indices in found.items() if indices}


def find_header(
    rows: Sequence[Sequence[object]], layout: Layout
) -> tuple[int, list[str], dict[str, list[int]]] | None:
    """Return the last line of the header, its names and its columns; None if no row names all of them."""
    for index, row in enumerate(rows):
        depth, names = (3, _yahoo_names(rows[index : index + 3])) if index + 2 < len(rows) else (1, None)
        if names is None:
            depth, names = 1, [str(cell).strip() for cell in row]
        matched = _match_if_header(names, layout)
        if matched is not None:
            return index + depth - 1, names, matched
    return None


def describe_missing(rows: Sequence[Sequence[object]], layout: Layout) -> str:
    """Say which columns the row most like a header lacks."""
    best = max(rows, key=lambda row: sum(normalize_name(c) in layout.known for c in row), default=[])
    names = [str(cell).strip() for cell in best if str(cell).strip()]
    found = match_columns(best, layout._replace(rest="")) if best else {}
    if not found:
        return (
            f"no header: expected columns {list(layout.required)} on the first line, found "
            f"{names[:8]}; write them there"
        )
    missing = [_asked(layout, name) for name in layout.required if name not in found]
    return f"column(s) {missing} are missing, found {names}; correct the header"


def _asked(layout: Layout, column: str) -> str:
    """Return a column's name as it was asked for, which is its own or the only one it may have."""
    known = layout.names.get(column, (column,))
    return column if normalize_name(column) in known else known[0]


def _match_if_header(names: Sequence[str], layout: Layout) -> dict[str, list[int]] | None:
    if sum(normalize_name(name) in layout.known for name in names) < max(
        1, len(layout.names) - len(layout.optional) - 1
    ):
        return None
    matched = match_columns(names, layout)
    return matched if all(column in matched for column in layout.required) else None


def _stamp_columns(names: Sequence[str], stamps: list[int], layout: Layout) -> list[int]:
    dates = [i for i, name in enumerate(names) if name in layout.dates]
    times = [i for i, name in enumerate(names) if name in layout.time_of_day]
    return [*stamps, *dates, *times]


def _yahoo_names(rows: Sequence[Sequence[object]]) -> list[str] | None:
    """Return the names of yfinance's three header rows (Price, Ticker, Datetime), None for other rows.

    Raises
    ------
    DataError
        If they hold several tickers.
    """
    texts = [[str(cell).strip() for cell in row] for row in rows]
    if any(not row for row in texts):
        return None
    by_first = {normalize_name(row[0]): row for row in texts[:2]}
    stamp, *others = texts[2]
    if (
        set(by_first) != {"price", "ticker"}
        or normalize_name(stamp) not in {"datetime", "date"}
        or any(others)
    ):
        return None
    if len(tickers := sorted(set(filter(None, by_first["ticker"][1:])))) > 1:
        raise DataError(
            f"holds {len(tickers)} tickers, {', '.join(tickers)}; write one file for USD/COP alone"
        )
    return [stamp, *by_first["price"][1:]]
