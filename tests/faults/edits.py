"""Edits of JSON trees, value by value, and of rows, column by column."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

STATES = {
    "stage": ["staging", "shadow", "production", "archived"],
    "status": ["PENDING_APPROVAL", "MORE_TESTS_REQUESTED", "APPROVED", "REJECTED", "SUPERSEDED", "EXPIRED"],
    "recommendation": ["PROMOTE", "REVIEW", "REJECT"],
    "instrument": ["USD/COP"],
    "requires_human_approval": [],
}
"""Columns that constraints leave few values."""


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value of a JSON tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = [leaf for key, below in items for leaf in leaves(below, (*path, key))]
    return found or [path]


def edited_at(tree: Any, path: tuple[Any, ...]) -> Any:
    """The same tree with another value of the same kind at a path."""
    key, *rest = path
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[key] = edited_at(copy[key], tuple(rest)) if rest else other_leaf(copy[key])
    return copy


def other_leaf(old: Any) -> Any:
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return old + 1
    if isinstance(old, float):
        return old * (1 + 1e-7) + 1e-9
    return f"{old}x" if isinstance(old, str) else "x"


def other_values(column: sa.Column[Any], value: Any) -> Iterator[Any]:
    """Other values of a column that its type and its constraints allow."""
    if column.name in STATES:
        yield from (state for state in STATES[column.name] if state != value)
        return
    if value is not None and column.nullable:
        yield None
    if isinstance(column.type, sa.JSON):
        yield from _other_trees(value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, datetime):
        yield from (value - timedelta(days=1), value + timedelta(days=1))
    elif isinstance(value, date):
        yield value - timedelta(days=1)
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, str):
        yield from ("0" * len(value), f"{value[:-1]}{'a' if value[-1:] != 'a' else 'b'}")
    else:
        yield datetime(2026, 8, 3, tzinfo=UTC) if _is_time(column) else "mallory"


def _other_trees(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from ([*value, {}], value[:-1], [])
    elif isinstance(value, dict):
        yield from ({**value, "forged": 1}, {}, [])
        yield from (edited_at(value, path) for path in leaves(value) if path)
    else:
        yield {"forged": 1}


def _is_time(column: sa.Column[Any]) -> bool:
    return "DateTime" in type(column.type).__name__
