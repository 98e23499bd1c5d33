"""Triggers that make a table append-only, on both databases."""

from alembic import op


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
