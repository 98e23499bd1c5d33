"""Every append-only table against every way to change what it holds, on both databases."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Table, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from dosvotos.database.append_only import APPEND_ONLY, FILLED_ONCE, ORDERED, foreign_hooks, missing_guards
from dosvotos.database.connection import open_database, reading, upgrade, writing
from dosvotos.database.tables import metadata

NOW = datetime(2026, 8, 3, tzinfo=UTC)
CHANGING = {
    "instruments",
    "model_registry",
    "promotion_proposals",
    "backtest_requests",
    "provider_calls",
    "live_state",
    "outbox",
    "passkey_counters",
    "api_tokens",
}
"""Head rows, stages, status columns and claims: what they say is held against the audit log."""
KNOWN = {
    "data_quarantine": {"severity": "reported"},
    "trading_signals": {"status": "NO_SIGNAL", "signal": None},
    "approval_audit_log": {"proposal_id": None},
    "fills": {"side": "BUY"},
    "oos_trials": {"daily_returns": {"2025-07-01": 0.5}},
    "limit_trips": {"state": "HALTED"},
    "shadow_signals": {"reason_code": None, "target": -0.5},
}
VALUES = {
    sa.String: "a", sa.Text: "a", sa.Integer: 1, sa.Float: 1.0, sa.Boolean: True, sa.Date: date(2025, 7, 1),
    sa.JSON: {"a": 1},
}  # fmt: skip


def value_of(column: sa.Column) -> Any:
    return next((value for kind, value in VALUES.items() if isinstance(column.type, kind)), NOW)


def row_of(table: Table) -> dict[str, Any]:
    return {column.name: value_of(column) for column in table.columns} | KNOWN.get(table.name, {})


def other(column: sa.Column, value: Any) -> Any:
    """A different value of the same kind; severities, states and references have few, so these take none."""
    if column.name in ("severity", "status", "state", "side", "proposal_id", "reason_code") or value is None:
        return None
    if isinstance(value, datetime):
        return value.replace(year=2020)
    if isinstance(value, date):
        return date(2020, 1, 1)
    if isinstance(value, str):
        return value[::-1] if len(value) > 1 else "b"
    return {"b": 2} if isinstance(value, dict) else not value if isinstance(value, bool) else value + 1


def store(engine: Engine, name: str) -> tuple[Table, dict[str, Any]]:
    """The table with its one row; the ledger and the deliveries have theirs from the start."""
    table = metadata.tables[name]
    with writing(engine) as connection:
        if name == "idempotency_keys":
            log = metadata.tables["approval_audit_log"]
            connection.execute(insert(log).values(row_of(log)))
        if name == "enrolments":
            invitations = metadata.tables["invitations"]
            connection.execute(insert(invitations).values(row_of(invitations)))
        if name not in ("ledger_genesis", "deliveries"):
            connection.execute(insert(table).values(row_of(table)))
        if name == "deliveries":
            connection.execute(update(table).values(rows={"a": 1}))
    return table, contents(engine, table)[0]


def contents(engine: Engine, table: Table) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        return [dict(row._mapping) for row in connection.execute(select(table)).all()]


def replace(
    connection: Connection, table: Table, row: dict[str, Any], words: str = "INSERT OR REPLACE"
) -> None:
    connection.execute(insert(table).prefix_with(words.removeprefix("INSERT ")).values(row))


def attacks(table: Table, row: dict[str, Any], kind: str) -> dict[str, Any]:
    """By name, what to do on a connection."""
    key = [column.name for column in table.primary_key]
    edited = {n: v for c in table.columns if c.name not in key and (v := other(c, row[n := c.name]))}
    made = {
        f"UPDATE {name}": lambda c, name=name: c.execute(update(table).values({name: edited[name]}))
        for name in edited
    }
    keys = {name: other(table.c[name], row[name]) for name in key}
    made |= {f"UPDATE {n}": lambda c, n=n: c.execute(update(table).values({n: keys[n]})) for n in key}
    made |= {
        "UPDATE without a change": lambda c: c.execute(update(table).values({key[0]: row[key[0]]})),
        "DELETE": lambda c: c.execute(delete(table)),
        "INSERT of the key": lambda c: c.execute(insert(table).values(row | edited)),
    }
    if kind == "postgresql":
        upsert = sa.dialects.postgresql.insert(table).values(row | edited)
        return made | {
            "TRUNCATE": lambda c: c.execute(text(f"TRUNCATE {table.name}")),
            "TRUNCATE CASCADE": lambda c: c.execute(text(f"TRUNCATE {table.name} CASCADE")),
            "ON CONFLICT": lambda c: c.execute(upsert.on_conflict_do_update(index_elements=key, set_=edited)),
        }
    upsert = sa.dialects.sqlite.insert(table).values(row | edited)
    moved = row | keys
    listed, marks = ", ".join(f'"{name}"' for name in moved), ", ".join(f":{name}" for name in moved)
    by_rowid = text(f"REPLACE INTO {table.name} (rowid, {listed}) VALUES (1, {marks})")
    by_rowid = by_rowid.bindparams(*(sa.bindparam(n, moved[n], table.c[n].type) for n in moved))
    if not isinstance(table.columns[key[0]].type, sa.Integer):  # there the id is the rowid
        made["REPLACE by rowid"] = lambda c: c.execute(by_rowid)
    return made | {
        "INSERT OR REPLACE": lambda c: replace(c, table, row | edited),
        "UPDATE OR REPLACE": lambda c: c.execute(update(table).prefix_with("OR REPLACE").values(edited)),
        "DELETE without WHERE, which SQLite shortens": lambda c: c.execute(text(f"DELETE FROM {table.name}")),
        "INSERT OR IGNORE": lambda c: replace(c, table, row | edited, "INSERT OR IGNORE"),
        "ON CONFLICT": lambda c: c.execute(upsert.on_conflict_do_update(index_elements=key, set_=edited)),
    }


@pytest.mark.parametrize("name", APPEND_ONLY)
def test_no_statement_changes_a_row_of_an_append_only_table(engine, name):
    table, row = store(engine, name)
    for attack, act in attacks(table, row, engine.dialect.name).items():
        with pytest.raises(DBAPIError) as refused, engine.begin() as connection:
            act(connection)
        message = str(refused.value)
        if attack == "TRUNCATE" and "referenced in a foreign key" in message:
            continue  # PostgreSQL refuses before a trigger is asked; CASCADE gets that far
        if attack != "INSERT of the key" or engine.dialect.name == "sqlite":
            assert f"{name} is append-only" in message, attack
        assert contents(engine, table) == [row], attack


@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_replace_is_refused_whatever_the_connection_asks_of_its_triggers(tmp_path, recursive):
    engine = open_database(f"sqlite:///{tmp_path}/a.db")
    table, row = store(engine, "approval_audit_log")
    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql(f"PRAGMA recursive_triggers={recursive}")
        with pytest.raises(DBAPIError, match="append-only"):
            replace(connection, table, row | {"id": 7})  # another key, the same unique hash
    assert contents(engine, table) == [row]


def test_every_table_is_either_append_only_or_known_to_change():
    assert set(metadata.tables) == set(APPEND_ONLY) | CHANGING
    assert set(FILLED_ONCE) <= set(APPEND_ONLY)


def test_a_ledger_is_born_once_with_its_database_and_by_its_clock(engine):
    table = metadata.tables["ledger_genesis"]
    (born,) = contents(engine, table)
    age = datetime.now(UTC) - born["created_at"]  # of the template this database is a copy of
    assert timedelta(0) <= age < timedelta(hours=4)
    backdated = {"id": "0" * 36, "created_at": datetime(2020, 1, 1, tzinfo=UTC)}
    with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
        connection.execute(insert(table).values(backdated))
    assert contents(engine, table) == [born]


def test_a_trigger_taken_away_or_weakened_is_missed(engine):
    with engine.begin() as connection:
        assert missing_guards(connection) == []
        on = "" if engine.dialect.name == "sqlite" else " ON oos_trials"
        connection.execute(text(f"DROP TRIGGER oos_trials_no_delete{on}"))
        if engine.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER approval_audit_log_no_update"))
            weak = "BEFORE UPDATE ON approval_audit_log WHEN 0 BEGIN SELECT RAISE(ABORT, 'x'); END"
            connection.execute(text(f"CREATE TRIGGER approval_audit_log_no_update {weak}"))
        else:
            off = "ALTER TABLE approval_audit_log DISABLE TRIGGER approval_audit_log_no_update"
            connection.execute(text(off))
        assert set(missing_guards(connection)) == {"oos_trials_no_delete", "approval_audit_log_no_update"}


WEAKER = {
    "with a condition": "BEFORE DELETE ON oos_trials FOR EACH ROW WHEN (OLD.id > 9) EXECUTE FUNCTION {own}",
    "after the fact": "AFTER DELETE ON oos_trials FOR EACH ROW EXECUTE FUNCTION {own}",
    "by a function of another name": "BEFORE DELETE ON oos_trials FOR EACH ROW EXECUTE FUNCTION harmless()",
    "on another schema's table": "BEFORE DELETE ON elsewhere.oos_trials FOR EACH ROW EXECUTE FUNCTION {own}",
}
"""What may stand under the name of a trigger of ours on PostgreSQL."""


def test_a_trigger_that_only_looks_like_ours_is_missed_on_postgresql(engine):
    if engine.dialect.name == "sqlite":  # there the whole statement is compared
        return
    with engine.connect() as connection:
        for made in (
            "CREATE SCHEMA elsewhere",
            "CREATE TABLE elsewhere.oos_trials (LIKE oos_trials)",
            "CREATE FUNCTION harmless() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        ):
            connection.execute(text(made))
        for name, statement in WEAKER.items():
            before = connection.begin_nested()
            connection.execute(text("DROP TRIGGER oos_trials_no_delete ON oos_trials"))
            made = statement.format(own="append_only()")
            connection.execute(text(f"CREATE TRIGGER oos_trials_no_delete {made}"))
            where = "elsewhere.oos_trials" if "elsewhere" in statement else "oos_trials"
            connection.execute(text(f"ALTER TABLE {where} ENABLE ALWAYS TRIGGER oos_trials_no_delete"))
            assert missing_guards(connection) == ["oos_trials_no_delete"], name
            before.rollback()
        narrow = "BEFORE UPDATE OF feed ON oos_trials FOR EACH ROW EXECUTE FUNCTION "
        narrow += "append_only('daily_returns')"
        connection.execute(text("DROP TRIGGER oos_trials_no_update ON oos_trials"))
        connection.execute(text(f"CREATE TRIGGER oos_trials_no_update {narrow}"))
        connection.execute(text("ALTER TABLE oos_trials ENABLE ALWAYS TRIGGER oos_trials_no_update"))
        assert missing_guards(connection) == ["oos_trials_no_update"]
        connection.execute(text("ALTER FUNCTION last_id() SET search_path = elsewhere"))
        assert {f"{table}_last_id" for table in ORDERED} <= set(missing_guards(connection))
        connection.rollback()


SWALLOWING = {
    "sqlite": {
        "quiet": "CREATE TRIGGER quiet BEFORE INSERT ON oos_trials BEGIN SELECT RAISE(IGNORE); END",
        "later": "CREATE TRIGGER later AFTER UPDATE ON instruments BEGIN SELECT 1; END",
    },
    "postgresql": {
        "quiet": "CREATE RULE quiet AS ON INSERT TO oos_trials DO INSTEAD NOTHING",
        "child": "CREATE TABLE child () INHERITS (oos_trials)",
        "later": "CREATE TRIGGER later AFTER UPDATE ON instruments EXECUTE FUNCTION append_only()",
    },
}
"""By name, what swallows a look, adds one, or changes a head row, while every trigger of ours is in place."""


def test_what_acts_on_a_table_and_is_not_ours_is_named(engine):
    with engine.begin() as connection:
        assert foreign_hooks(connection) == []
        for statement in SWALLOWING[engine.dialect.name].values():
            connection.execute(text(statement))
        assert missing_guards(connection) == []
        assert {name for _, name in foreign_hooks(connection)} == set(SWALLOWING[engine.dialect.name])


@pytest.mark.parametrize("born", [datetime(2026, 1, 31, tzinfo=UTC), None])
def test_an_older_database_gets_the_triggers_and_keeps_its_ledger_s_birth(empty_database, born):
    upgrade(empty_database, "0006")
    table, older = metadata.tables["ledger_genesis"], metadata.tables["approval_audit_log"]
    known = {column["name"] for column in sa.inspect(empty_database).get_columns(older.name)}
    row = {name: value for name, value in row_of(older).items() if name in known}
    with writing(empty_database) as connection:
        connection.execute(sa.table(older.name, *map(sa.column, row)).insert().values(row))
        if born:
            connection.execute(insert(table).values(id="older", created_at=born))
    upgrade(empty_database)
    with reading(empty_database) as connection:
        assert missing_guards(connection) == []
    (kept,) = contents(empty_database, table)
    assert kept["created_at"] == born if born else kept["created_at"] > NOW
    with pytest.raises(DBAPIError, match="append-only"), writing(empty_database) as connection:
        connection.execute(update(older).values(notes="b"))


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("earlier", [6, 0, -3])
def test_no_row_is_put_before_one_that_stands(engine, name, earlier):
    table = metadata.tables[name]
    row = row_of(table)
    unlike = {
        c.name: f"{row[c.name]}b" for c in table.columns if isinstance(c.type, sa.String) and row[c.name]
    }
    with writing(engine) as connection:
        connection.execute(insert(table).values(row | {"id": 7}))
    with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
        connection.execute(insert(table).values(row | unlike | {"id": earlier}))
    with writing(engine) as connection:
        connection.execute(insert(table).values(row | unlike | {"id": 8}))
    assert [one["id"] for one in contents(engine, table)] == [7, 8]
