"""The tables whose rows never change, and the triggers that refuse to change them, on both databases.

SQLite's REPLACE deletes without firing DELETE triggers, unless a connection asks for it. So there an INSERT
of a key that exists, rowid included, is refused before it replaces anything. PostgreSQL's triggers fire
``ALWAYS``, for TRUNCATE and replicas too.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, inspect, text

from dosvotos.database.tables import metadata

APPEND_ONLY: Final = (
    "experiment_contracts",
    "usdcop_m5_ohlcv",
    "macro_indicators_daily",
    "macro_indicators_monthly",
    "macro_indicators_quarterly",
    "data_quarantine",
    "deliveries",
    "approval_audit_log",
    "idempotency_keys",
    "invitations",
    "enrolments",
    "sign_ins",
    "ledger_genesis",
    "oos_trials",
    "gate_policies",
    "inference_features_5m",
    "trading_signals",
    "fills",
    "limit_trips",
    "model_accounts",
    "shadow_signals",
)
FILLED_ONCE: Final = {"oos_trials": "daily_returns", "deliveries": "rows", "sign_ins": "ended_at"}
"""The one column of a table that may go from NULL to a value, once."""
SINGLE_ROW: Final = ("ledger_genesis",)
"""Tables that take no row after their first."""
ORDERED: Final = ("experiment_contracts", "approval_audit_log", "oos_trials")
"""Tables whose ids say what came before what: a row is appended after the last id or not at all."""

_FUNCTIONS: Final = {
    "append_only": """
BEGIN
    IF TG_OP = 'UPDATE' AND TG_NARGS = 1 THEN
        IF to_jsonb(OLD) ->> TG_ARGV[0] IS NULL
           AND to_jsonb(OLD) - TG_ARGV[0] = to_jsonb(NEW) - TG_ARGV[0] THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP;
END """,
    "single_row": """
DECLARE taken boolean;
BEGIN
    EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', TG_TABLE_NAME);
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', TG_TABLE_NAME) INTO taken;
    IF taken THEN
        RAISE EXCEPTION '% is append-only: it has its one row', TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END """,
    "last_id": """
DECLARE later boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE id >= $1)', TG_TABLE_NAME) INTO later USING NEW.id;
    IF later THEN
        RAISE EXCEPTION '% is append-only: id % is not after the last', TG_TABLE_NAME, NEW.id;
    END IF;
    RETURN NEW;
END """,
}


def renew_guards(connection: Connection, tables: Sequence[str] = APPEND_ONLY) -> None:
    """Make the triggers of append-only tables as their columns and keys are now, whatever was there.

    A migration that changes such a table calls this at its end: on SQLite a rebuilt table has lost its
    triggers.
    """
    if connection.dialect.name == "sqlite":
        for name, statement in _sqlite_triggers(connection, tables).items():
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
            connection.execute(text(statement))
        return
    for function, body in _FUNCTIONS.items():
        head = f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql"
        connection.execute(text(f"{head} AS $${body}$$"))
    for table in tables:
        for name, statement in _postgresql_triggers(table).items():
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name} ON {table}"))
            connection.execute(text(f"DROP FUNCTION IF EXISTS {name}()"))
            connection.execute(text(f"CREATE TRIGGER {name} {statement}"))
            connection.execute(text(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"))


def missing_guards(connection: Connection, tables: Sequence[str] = APPEND_ONLY) -> list[str]:
    """Name the triggers that are gone, switched off or not what `renew_guards` makes."""
    if connection.dialect.name == "sqlite":
        stored = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        present = {row.name: row.sql for row in connection.execute(text(stored))}
        wanted = _sqlite_triggers(connection, tables)
        return [name for name, statement in wanted.items() if present.get(name) != statement]
    armed = (
        "SELECT t.tgname, c.relname, p.proname, p.prosrc, t.tgtype, t.tgargs FROM pg_trigger t "
        "JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgenabled = 'A' "
        "AND c.oid = to_regclass(quote_ident(c.relname)) AND t.tgqual IS NULL "  # no WHEN, no OF columns, and
        "AND cardinality(t.tgattr::int2[]) = 0 AND p.proconfig IS NULL"  # no search_path of its own
    )
    found = {
        (row.relname, row.tgname)
        for row in connection.execute(text(armed))
        if row.prosrc == _FUNCTIONS.get(row.proname)
        and _is_as_made(row.tgname, row.tgtype, bytes(row.tgargs))
    }
    wanted_pairs = [(table, name) for table in tables for name in _postgresql_triggers(table)]
    return [name for table, name in wanted_pairs if (table, name) not in found]


def foreign_hooks(connection: Connection) -> list[tuple[str, str]]:
    """Name what acts on our tables and is none of ours: triggers, on PostgreSQL rules and inheriting tables.

    They can swallow or change a row while every trigger of ours is in place.

    Returns
    -------
    list of (str, str)
        Table and name, sorted.
    """
    if connection.dialect.name == "sqlite":
        query = "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'"
        own = {*_sqlite_triggers(connection, APPEND_ONLY)}
    else:
        query = _POSTGRESQL_HOOKS
        own = {name for table in APPEND_ONLY for name in _postgresql_triggers(table)}
    found = (tuple(row) for row in connection.execute(text(query)))
    return sorted((table, name) for table, name in found if table in metadata.tables and name not in own)


_POSTGRESQL_HOOKS: Final = """
SELECT c.relname, hook.name FROM pg_class c JOIN (
    SELECT tgrelid AS owner, tgname::text AS name FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT ev_class, rulename::text FROM pg_rewrite
    UNION ALL SELECT inhparent, inhrelid::regclass::text FROM pg_inherits
) AS hook ON hook.owner = c.oid WHERE c.oid = to_regclass(quote_ident(c.relname))
"""


def _sqlite_triggers(connection: Connection, tables: Sequence[str]) -> dict[str, str]:
    triggers = {}
    for table in tables:
        for action, condition in (
            ("UPDATE", _changes_more_than_once_filled(connection, table)),
            ("DELETE", ""),
            ("INSERT", _key_exists(connection, table)),
        ):
            name = f"{table}_no_{'replace' if action == 'INSERT' else action.lower()}"
            triggers[name] = (
                f"CREATE TRIGGER {name} BEFORE {action} ON {table} {condition}"
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: {action} refused'); END"
            )
        if table in ORDERED:
            triggers[f"{table}_last_id"] = (
                f"CREATE TRIGGER {table}_last_id AFTER INSERT ON {table} "
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE id > NEW.id) "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: its id is not after the last'); END"
            )
    return triggers


def _changes_more_than_once_filled(connection: Connection, table: str) -> str:
    if (once := FILLED_ONCE.get(table)) is None:
        return ""
    columns = [column["name"] for column in inspect(connection).get_columns(table)]
    changed = [f"OLD.{name} IS NOT NEW.{name}" for name in columns if name != once]
    return f"WHEN OLD.{once} IS NOT NULL OR {' OR '.join(changed)} "


def _key_exists(connection: Connection, table: str) -> str:
    if table in SINGLE_ROW:
        return f"WHEN EXISTS (SELECT 1 FROM {table}) "
    equal = " OR ".join(
        " AND ".join(f"{column} = NEW.{column}" for column in key) for key in _keys(connection, table)
    )
    return f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {equal}) "


def _keys(connection: Connection, table: str) -> Iterator[Sequence[str]]:
    found = inspect(connection)
    yield ["rowid"]
    yield found.get_pk_constraint(table)["constrained_columns"]
    for constraint in sorted(found.get_unique_constraints(table), key=lambda one: one["column_names"]):
        yield constraint["column_names"]


def _postgresql_triggers(table: str) -> dict[str, str]:
    once = f"'{FILLED_ONCE[table]}'" if table in FILLED_ONCE else ""
    triggers = {
        f"{table}_no_update": f"BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION append_only({once})",
        f"{table}_no_delete": f"BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION append_only()",
        f"{table}_no_truncate": f"BEFORE TRUNCATE ON {table} EXECUTE FUNCTION append_only()",
    }
    if table in SINGLE_ROW:
        triggers[f"{table}_one_row"] = f"BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION single_row()"
    if table in ORDERED:
        triggers[f"{table}_last_id"] = f"BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION last_id()"
    return triggers


def _is_as_made(name: str, kind: int, arguments: bytes) -> bool:
    """Compare timing, event and arguments with the trigger's name (bits as in PostgreSQL's pg_trigger.h)."""
    row, before, insert, delete, update, truncate = 1, 2, 4, 8, 16, 32
    events = {"_no_update": row | update, "_no_delete": row | delete, "_no_truncate": truncate,
              "_one_row": row | insert, "_last_id": row | insert}  # fmt: skip
    _, wanted = next((pair for pair in events.items() if name.endswith(pair[0])), ("", 0))
    once = FILLED_ONCE.get(name.removesuffix("_no_update"))
    return kind == wanted | before and arguments == (once.encode() + b"\0" if once else b"")
