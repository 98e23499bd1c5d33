"""Whose signatures count now, for whoever asks at every request."""

from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.people import Trust, people_rows, roots_of
from dosvotos.audit.signatures import trust_of


def current_trust(connection: Connection) -> Trust:
    """Derive whose signatures count from the log as it is; signatures of unchanged rows are verified once.

    Raises
    ------
    HomeError
        If the home of a log with signed rows is missing.
    LineageError
        Naming the row that is not what was signed by somebody who could.
    """
    roots = roots_of(open_home(connection))
    return _derived(_Rows(people_rows(connection)), roots)


class _Rows:
    """Rows of the log as a key: equal if every column is."""

    def __init__(self, rows: list[Row[Any]]) -> None:
        self.rows = rows
        self._written = repr([tuple(row) for row in rows])

    def __hash__(self) -> int:
        return hash(self._written)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rows) and self._written == other._written


@lru_cache(maxsize=8)
def _derived(rows: _Rows, roots: Trust) -> Trust:
    return trust_of(rows.rows, roots)
