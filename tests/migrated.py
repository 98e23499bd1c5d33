"""Databases with today's schema, copied: migrating one takes longer than most tests."""

import shutil
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from dosvotos.database.connection import connect, upgrade
from tests.sharing import made_once

TEMPLATE = "migrated_template"


def copy_migrated(file: Path) -> Path:
    """Lay down a SQLite database without rows, as `upgrade` leaves one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(made_once("migrated", _make) / "dosvotos.db", file))


def _make(folder: Path) -> None:
    _migrate(f"sqlite:///{folder}/dosvotos.db")


def create_migrated(server: str, name: str) -> str:
    """Create a PostgreSQL database without rows, as `upgrade` leaves one, and return its URL."""
    copy_database(server, name, TEMPLATE)
    return server.replace("/postgres?", f"/{name}?")


def copy_database(server: str, name: str, template: str) -> None:
    """Create a PostgreSQL database like another, by its files, which takes a quarter of logging them."""
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")


def drop(engine: Engine, server: str) -> None:
    """Remove a test's PostgreSQL database: hundreds of them would fill the memory they are in."""
    execute(server, f"DROP DATABASE {engine.url.database} WITH (FORCE)")


def create_template(server: str) -> None:
    """Create the PostgreSQL database that `create_migrated` copies."""
    execute(server, f"CREATE DATABASE {TEMPLATE}")
    _migrate(server.replace("/postgres?", f"/{TEMPLATE}?"))


def _migrate(url: str) -> None:
    engine = connect(url)
    upgrade(engine)
    engine.dispose()


def execute(server: str, statement: str) -> None:
    """Execute a statement that PostgreSQL allows in no transaction."""
    with _outside_transactions(server).connect() as connection:
        connection.execute(text(statement))


@cache
def _outside_transactions(server: str) -> Engine:
    url = server.replace("postgresql://", "postgresql+psycopg://")
    return create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
