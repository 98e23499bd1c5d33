"""Databases with today's schema, copied: migrating one takes longer than most tests."""

import shutil
from pathlib import Path

from sqlalchemy import create_engine, text

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
    execute(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    return server.replace("/postgres?", f"/{name}?")


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
    url = server.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
