"""Connections: SQLite for one machine, PostgreSQL for teams, the same schema on both."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url

from dosvotos.errors import DatabaseError

URL_VARIABLE = "DOSVOTOS_DATABASE_URL"
DEFAULT_URL = "sqlite:///data/dosvotos.db"
_MIGRATIONS = Path(__file__).parent / "migrations"


def database_url() -> str:
    """The configured database, by default a SQLite file under data/."""
    return os.environ.get(URL_VARIABLE) or DEFAULT_URL


def open_database(url: str) -> Engine:
    """Connect to a database whose schema is today's.

    SQLite is created and upgraded on the way; PostgreSQL only by ``dosvotos db upgrade``.

    Raises
    ------
    DatabaseError
        If the URL is malformed, the server cannot be reached or its schema is not this version's.
    """
    return _open(_absolute(url))


@cache
def _open(url: str) -> Engine:
    engine = connect(url)
    present, wanted = schema_versions(engine)
    if present == wanted:
        return engine
    if engine.dialect.name == "sqlite":
        upgrade(engine)
        return engine
    raise DatabaseError(
        f"database {engine.url.render_as_string()}: schema is {present or 'empty'}, this version needs "
        f"{wanted}; run 'dosvotos db upgrade'"
    )


def _absolute(url: str) -> str:
    """A SQLite file's place in full: the same relative path is another file from another folder."""
    name = url.removeprefix("sqlite:///")
    if name == url or name in ("", ":memory:"):
        return url
    return f"sqlite:///{Path(name).absolute()}"


def connect(url: str) -> Engine:
    """Make an engine without looking at the schema; passwords never reach its messages."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise DatabaseError(
            f"{URL_VARIABLE}: not a database URL; expected sqlite:/// or postgresql://"
        ) from error
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": 30})
        _prepare_sqlite(engine)
        return engine
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    raise DatabaseError(f"{URL_VARIABLE}: {parsed.get_backend_name()!r} is not supported")


def schema_versions(engine: Engine) -> tuple[str | None, str | None]:
    """Schema revision found in the database and the one this code needs."""
    with reading(engine) as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    return present, ScriptDirectory(str(_MIGRATIONS)).get_current_head()


def upgrade(engine: Engine) -> None:
    """Bring the schema to this version in one transaction."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that may write; on SQLite it takes the write lock at its start."""
    try:
        with engine.execution_options(writes=True).begin() as connection:
            yield connection
    except (exc.OperationalError, exc.InterfaceError) as error:
        raise DatabaseError(_unreachable(engine, error)) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view of the database."""
    try:
        with engine.connect() as connection:
            yield connection
    except (exc.DatabaseError, exc.InterfaceError) as error:
        raise DatabaseError(_unreachable(engine, error)) from error


def _unreachable(engine: Engine, error: exc.DBAPIError) -> str:
    return f"database {engine.url.render_as_string()}: {str(error.orig).strip()}"


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
