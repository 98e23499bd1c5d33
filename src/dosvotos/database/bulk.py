"""Write and read whole frames of a table, by each database's fastest way, in the caller's transaction."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Date, Float, Select, String, Table, exc, type_coerce

from dosvotos.database.columns import UTCDateTime

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})
_SPACE: Final = ord(" ")
_BEFORE_TIME: Final = len("2025-07-01")


def insert_frame(
    connection: Connection, table: Table, frame: pd.DataFrame, constants: Mapping[str, Any] = _NONE
) -> None:
    """Append a frame's rows to a table.

    Frame and constants, which are values that all rows share, have all of the table's columns. Times are
    timezone-aware, dates ``datetime.date``. PostgreSQL takes them by COPY, SQLite by one statement.
    """
    names = table.columns.keys()
    written = _as_text if connection.dialect.name == "postgresql" else _as_stored
    columns = [
        written(pd.Series([constants[name]])) * len(frame) if name in constants else written(frame[name])
        for name in names
    ]
    if connection.dialect.name == "postgresql":
        _copy(connection, table, columns)
        return
    marks = ", ".join("?" * len(names))
    statement = f"INSERT INTO {table.name} ({', '.join(map(_quoted, names))}) VALUES ({marks})"
    with _driver(connection, statement) as driver:
        driver.executemany(statement, zip(*columns, strict=True))


def read_frame(connection: Connection, query: Select[Any]) -> pd.DataFrame:
    """Read a query over one table's columns; times as ``datetime64[us, UTC]``, dates as ``datetime.date``.

    Columns are of the same kinds where no row is found.
    """
    columns, is_sqlite = list(query.selected_columns), connection.dialect.name == "sqlite"
    if is_sqlite:  # text becomes times column by column, not value by value
        text = [type_coerce(c, String).label(c.name) if _is_time(c) else c for c in columns]
        query = query.with_only_columns(*text)
    with connection.execute(query) as result:  # the driver's rows: SQLAlchemy's take as long again to make
        frame = pd.DataFrame(result.cursor.fetchall(), columns=[column.name for column in columns])
    for column in columns:
        if isinstance(column.type, UTCDateTime):
            written = "%Y-%m-%d %H:%M:%S.%f" if is_sqlite else None
            times = pd.to_datetime(frame[column.name], utc=True, format=written)
            frame[column.name] = times.astype("datetime64[us, UTC]")
        elif isinstance(column.type, Float):
            frame[column.name] = frame[column.name].astype(float)
        elif isinstance(column.type, String) and frame.empty:  # of values pandas infers it
            frame[column.name] = frame[column.name].astype("str")
        elif _is_time(column) and is_sqlite:
            frame[column.name] = pd.to_datetime(frame[column.name], format="%Y-%m-%d").dt.date
    return frame


def _is_time(column: Any) -> bool:
    return isinstance(column.type, UTCDateTime | Date)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _copy(connection: Connection, table: Table, columns: list[list[Any]]) -> None:
    statement = f"COPY {table.name} ({', '.join(map(_quoted, table.columns.keys()))}) FROM STDIN"
    with _driver(connection, statement) as driver, driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in zip(*columns, strict=True):
            copy.write_row(row)


@contextmanager
def _driver(connection: Connection, statement: str) -> Iterator[Any]:
    """Give the driver's own connection, which needs no list of rows; its errors become SQLAlchemy's."""
    raised = connection.dialect.loaded_dbapi.Error
    try:
        yield connection.connection.driver_connection
    except raised as error:
        raise exc.DBAPIError.instance(statement, None, error, raised, dialect=connection.dialect) from error


def _as_text(column: pd.Series) -> list[Any]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return [f"{moment}+00" for moment in _as_stored(column)]
    return _plain(column)


def _as_stored(column: pd.Series) -> list[Any]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        instants = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]")
        text = np.datetime_as_string(instants, unit="us")
        text.view(np.uint32).reshape(len(text), -1)[:, _BEFORE_TIME] = _SPACE  # where ISO 8601 has a T
        return list(text.tolist())
    values = _plain(column)
    return [str(v) for v in values] if _holds_dates(column) else values


def _holds_dates(column: pd.Series) -> bool:
    return column.dtype == object and len(column) > 0 and hasattr(column.iloc[0], "isoformat")


def _plain(column: pd.Series) -> list[Any]:
    """Python values, None where there is none."""
    values: list[Any] = column.tolist()
    if not column.hasnans:
        return values
    return [None if gone else value for value, gone in zip(values, column.isna(), strict=True)]
