"""Connections: SQLite for one machine, PostgreSQL for teams, the same schema on both."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, exc, inspect, make_url, text
from sqlalchemy.dialects import postgresql, sqlite

from dosvotos.database.columns import parse_json
from dosvotos.errors import DatabaseError
from dosvotos.project import find_root
from dosvotos.redaction import without_secrets
from dosvotos.refusals import Phrase

URL_VARIABLE = "DOSVOTOS_DATABASE_URL"
DEFAULT_URL = "sqlite:///data/dosvotos.db"
_MIGRATIONS = Path(__file__).parent / "migrations"
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=30000",
    "cache_size=-16000",  # KiB, where 2,000 of a transaction's pages would go to the log again and again
)


def database_url() -> str:
    """Read the configured database's URL, by default of a SQLite file under data/."""
    return os.environ.get(URL_VARIABLE) or DEFAULT_URL


def open_database(url: str) -> Engine:
    """Connect to a database whose schema is today's.

    SQLite is created and upgraded on the way; PostgreSQL only by ``dosvotos db upgrade``.

    Raises
    ------
    DatabaseError
        If the URL is malformed, the server cannot be reached or its schema is not this version's.
    """
    url = absolute_url(url)
    if (file := _file_of(url)) and not file.exists():
        _open.cache_clear()  # an engine of a file that is gone would go on writing into it
    return _open(url)


def has_database(url: str) -> bool:
    """Tell whether there is a database to open: a SQLite file, or any server."""
    file = _file_of(absolute_url(url))
    return file is None or file.exists()


def open_existing(url: str) -> Engine:
    """Connect to a database that must exist as it is: it is neither made nor upgraded.

    Raises
    ------
    DatabaseError
        If there is no such database or its schema is not this version's.
    """
    engine = make_engine(absolute_url(url))
    file = _file_of(str(engine.url))
    if file and not file.exists():
        raise DatabaseError.of("database_none", file=file)
    return _of_today(engine)


@cache
def _open(url: str) -> Engine:
    engine = connect(url)
    if engine.dialect.name == "sqlite" and (versions := schema_versions(engine))[0] != versions[1]:
        upgrade(engine)
    return _of_today(engine)


def _of_today(engine: Engine) -> Engine:
    present, wanted = schema_versions(engine)
    if present == wanted:
        return engine
    raise DatabaseError.of(
        "database_schema", database=shown(engine), present=present or Phrase.of("schema_empty"), wanted=wanted
    )


def absolute_url(url: str, root: Path | None = None) -> str:
    """Write a SQLite file's path in full, counted from the project's root or, outside any, from here."""
    file = _file_of(url)
    return f"sqlite:///{(root or find_root() or Path.cwd()) / file}" if file else url


def database_file(url: str, root: Path | None = None) -> Path | None:
    """The file of a SQLite database, in full as `absolute_url` writes it; None for a server."""
    return _file_of(absolute_url(url, root))


def _file_of(url: str) -> Path | None:
    name = url.removeprefix("sqlite:///")
    return None if name == url or name in ("", ":memory:") else Path(name)


def connect(url: str) -> Engine:
    """Make an engine, and a SQLite file's folder, without looking at the schema."""
    if file := _file_of(url):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError.of(
                "database_folder", variable=URL_VARIABLE, file=file, problem=error
            ) from error
    return make_engine(url)


def make_engine(url: str) -> Engine:
    """Make an engine that has not connected yet; passwords never reach its messages."""
    try:
        return _engine_of(make_url(url))
    except (exc.ArgumentError, TypeError, ValueError) as error:
        raise DatabaseError.of("database_url", variable=URL_VARIABLE) from error


def _engine_of(parsed: URL) -> Engine:
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": 30}, json_deserializer=parse_json)
        _prepare_sqlite(engine)
        return engine
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    raise DatabaseError.of("database_kind", variable=URL_VARIABLE, found=parsed.get_backend_name())


def schema_versions(engine: Engine) -> tuple[str | None, str | None]:
    """Read the schema revision of the database, and name the one this code needs."""
    with reading(engine) as connection:
        present = None
        if inspect(connection).has_table("alembic_version"):
            present = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return present, max(file.name for file in _MIGRATIONS.glob("versions/0*.py")).partition("_")[0]


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to this version, or to an older one, in one transaction."""
    from alembic import command  # not needed by the many runs that find the schema as it must be
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that may write; on SQLite it takes the write lock at its start."""
    try:
        with engine.execution_options(writes=True).begin() as connection:
            yield connection
    except (exc.OperationalError, exc.InterfaceError) as error:
        raise _unreachable(engine, error) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open one consistent view of the database, in which all statements see what the first one saw."""
    try:
        connected = engine.connect().execution_options(reads=True)
        if engine.dialect.name == "postgresql":  # whose default is a view a statement
            connected.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    except (exc.DatabaseError, exc.InterfaceError, TypeError, ValueError) as error:
        raise _unreachable(engine, error) from error
    try:
        with connected as connection:
            yield connection
    except (exc.DatabaseError, exc.InterfaceError) as error:
        raise _unreachable(engine, error) from error


def may_be_old(connection: Connection) -> bool:
    """Tell whether a connection sees what was committed when its view began, and nothing since."""
    return bool(connection.get_execution_options().get("reads", False))


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Begin an INSERT that can state what happens on conflict, in the database's own dialect."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def _unreachable(engine: Engine, error: Exception) -> DatabaseError:
    """Tell what the driver says, without secrets."""
    problem = getattr(error, "orig", None) or error
    said = type(problem)(without_secrets(str(problem).strip()))
    kind = "server" if engine.dialect.name == "postgresql" else "file"
    return DatabaseError.of(
        "database_unreachable",
        database=shown(engine),
        problem=said,
        variable=URL_VARIABLE,
        holds=Phrase.of(f"database_{kind}_holds"),
    )


def shown(engine: Engine) -> str:
    """Write a database's URL without its secrets, for messages."""
    return without_secrets(engine.url.render_as_string())


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
