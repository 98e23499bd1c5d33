"""Triggers that make a table append-only, on both databases."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

_OF_TABLE = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"


def refuse(table: str, action: str, when: str = "") -> None:
    """Let UPDATE or DELETE of a table fail, always or under a condition on OLD and NEW."""
    message = f"{table} is append-only"
    name = f"{table}_no_{action.lower()}"
    if op.get_bind().dialect.name == "sqlite":
        condition = f"WHEN {when} " if when else ""
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {action} ON {table} {condition}"
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    condition = f"WHEN ({when}) " if when else ""
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH ROW {condition}EXECUTE FUNCTION {name}()"
    )


def drop(table: str, action: str) -> None:
    """Take back what `refuse` made."""
    name = f"{table}_no_{action.lower()}"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"DROP TRIGGER {name}")
        return
    op.execute(f"DROP TRIGGER {name} ON {table}")
    op.execute(f"DROP FUNCTION {name}()")


@contextmanager
def kept(table: str) -> Iterator[None]:
    """Make a table's triggers again after SQLite has built it anew; PostgreSQL alters it in place."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        yield
        return
    before = connection.execute(sa.text(_OF_TABLE), {"table": table}).all()
    yield
    left = {row.name for row in connection.execute(sa.text(_OF_TABLE), {"table": table})}
    for trigger in before:
        if trigger.name not in left:
            op.execute(trigger.sql)
