"""Temporary copies of the database for drills: a SQLite file, or a schema of its own beside PostgreSQL's."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from shutil import which
from typing import Any, Final, Protocol
from zipfile import ZIP_DEFLATED, ZipFile

from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, exc, inspect, make_url, text

from dosvotos.commands.restore import copy_sqlite
from dosvotos.database.append_only import renew_guards
from dosvotos.database.connection import database_file, make_engine, reading, upgrade, writing
from dosvotos.errors import DatabaseError
from dosvotos.redaction import without_secrets

_VERSIONS: Final = "alembic_version"
"""The table that `upgrade` fills."""


class DatabaseCopy(Protocol):
    """A copy that can be backed up, lost and put back."""

    @property
    def url(self) -> str:
        """Its address."""
        ...

    @property
    def backed_up_by(self) -> str:
        """What makes its backups."""
        ...

    def back_up(self, file: Path) -> None:
        """Write a backup."""
        ...

    def put_back(self, file: Path) -> None:
        """Put a backup in the copy's place, by the tool that made it."""
        ...


@contextmanager
def copied_database(url: str, folder: Path) -> Iterator[DatabaseCopy]:
    """Copy a database; on PostgreSQL into a schema that is dropped in the end.

    Raises
    ------
    DatabaseError
        If it cannot be copied, saying which right is missing.
    """
    file = database_file(url)
    if file is not None:
        yield SqliteCopy(file, folder)
        return
    copy = PostgresCopy(url)
    try:
        copy.make(folder / "rows.zip")
        yield copy
    finally:
        copy.drop()


class SqliteCopy:
    """A copied file."""

    backed_up_by = "SQLite's backup"

    def __init__(self, file: Path, folder: Path) -> None:
        self._file = folder / "data" / file.name
        self._file.parent.mkdir()
        copy_sqlite(file, self._file)
        self.url = f"sqlite:///{self._file}"

    def back_up(self, file: Path) -> None:
        """Write a backup."""
        copy_sqlite(self._file, file)

    def put_back(self, file: Path) -> None:
        """Put a backup in the copy's place."""
        self._file.unlink()
        copy_sqlite(file, self._file)


class PostgresCopy:
    """A schema of the same database with the same tables, triggers and rows.

    Its backups are made by pg_dump and put back by pg_restore where both are found and know the server's
    version, else they are the rows as COPY writes them.
    """

    def __init__(self, url: str) -> None:
        self._schema = f"drill_{token_hex(4)}"
        self.url = _in_schema(url, self._schema)
        self._source, self._engine = make_engine(url), make_engine(self.url)
        self._tool: str | None = None

    @property
    def backed_up_by(self) -> str:
        """What makes its backups."""
        return self._tool or "COPY of every table"

    def make(self, rows: Path) -> None:
        """Copy the desk's rows, as one moment has them."""
        with reading(self._source) as connection:
            self._tool = _pg_dump_for(int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()))
            _write_rows(connection, rows)
        self._load(rows)

    def back_up(self, file: Path) -> None:
        """Write a backup."""
        if self._tool is None:
            with reading(self._engine) as connection:
                _write_rows(connection, file)
            return
        self._run("pg_dump", "--format=custom", f"--schema={self._schema}", "--no-owner", f"--file={file}")

    def put_back(self, file: Path) -> None:
        """Drop the schema, and make it again from a backup."""
        if self._tool is None:
            self._load(file)
            return
        self._drop_schema()
        self._run("pg_restore", "--no-owner", "--exit-on-error", str(file))

    def drop(self) -> None:
        """Remove the schema."""
        self._drop_schema()
        self._source.dispose()

    def _load(self, rows: Path) -> None:
        self._drop_schema()
        try:
            with writing(self._source) as connection:
                connection.execute(text(f"CREATE SCHEMA {self._schema}"))
        except exc.ProgrammingError as error:
            raise DatabaseError(
                f"drill: it works in a schema of its own, which it removes, and this user may make none: "
                f"{str(error.orig).strip()}; GRANT CREATE ON DATABASE {self._source.url.database} TO "
                f"{self._source.url.username}, or put a dump into another database, point "
                "DOSVOTOS_DATABASE_URL and a copied DOSVOTOS_HOME at it, and run 'dosvotos restore' there"
            ) from error
        upgrade(self._engine)
        with writing(self._engine) as connection:
            _read_rows(connection, rows)

    def _drop_schema(self) -> None:
        self._engine.dispose()
        with writing(self._source) as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE"))

    def _run(self, *command: str) -> None:
        """Run one of PostgreSQL's tools on the desk's database; the password is in no command line."""
        address = self._source.url
        settings = address.translate_connect_args(database="dbname", username="user") | dict(address.query)
        password = settings.pop("password", None)
        environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
        called = [*command, f"--dbname={make_conninfo(**settings)}"]
        done = subprocess.run(called, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            said = without_secrets(done.stderr.strip())
            raise DatabaseError(
                f"drill: {command[0]}: {said}; try it by hand, or take it off PATH for a drill by COPY"
            )


def _in_schema(url: str, schema: str) -> str:
    """Write an address whose tables are those of a schema."""
    parsed = make_url(url)
    before = parsed.query.get("options", "")
    options = f"{before if isinstance(before, str) else ' '.join(before)} -csearch_path={schema}".strip()
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)


def _pg_dump_for(server: int) -> str | None:
    """Name the pg_dump at hand if it and pg_restore are there and as new as the server, as 160004 is 16.4."""
    if which("pg_restore") is None or which("pg_dump") is None:
        return None
    said = subprocess.run(
        ["pg_dump", "--version"], capture_output=True, text=True, check=False
    ).stdout.split()
    number = said[2] if len(said) > 2 else "0"
    major = int("".join(c for c in number.partition(".")[0] if c.isdigit()) or 0)
    return f"pg_dump {number}" if major >= server // 10_000 else None


def _tables(connection: Connection) -> dict[str, list[str]]:
    """List the columns of each table, after those its foreign keys name, in an order of their own."""
    found = inspect(connection)
    names = [name for name, _ in found.get_sorted_table_and_fkc_names() if name not in (None, _VERSIONS)]
    return {str(name): sorted(one["name"] for one in found.get_columns(str(name))) for name in names}


def _write_rows(connection: Connection, file: Path) -> None:
    """Write all rows of all tables into a zip."""
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for table, columns in _tables(connection).items():
            with (
                archive.open(table, "w", force_zip64=True) as member,
                _cursor(connection).copy(_copy(table, columns, "TO STDOUT")) as rows,
            ):
                for part in rows:
                    member.write(part)


def _read_rows(connection: Connection, file: Path) -> None:
    """Put a zip's rows in the place of those that migrations wrote, and arm the triggers again."""
    tables = _tables(connection)
    for table in tables:
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    for table in reversed(tables):
        connection.execute(text(f"DELETE FROM {table}"))
    with ZipFile(file) as archive:
        for table, columns in tables.items():
            with (
                archive.open(table) as member,
                _cursor(connection).copy(_copy(table, columns, "FROM STDIN")) as rows,
            ):
                while part := member.read(1 << 20):
                    rows.write(part)
    for table, columns in tables.items():
        connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
        if "id" in columns:
            _go_on_after_last_id(connection, table)
    renew_guards(connection)


def _go_on_after_last_id(connection: Connection, table: str) -> None:
    """Let a table's sequence, if its ids come from one, go on after the last id."""
    found = text("SELECT pg_get_serial_sequence(:name, 'id')")
    if (sequence := connection.execute(found, {"name": table}).scalar()) is not None:
        last = text(f"SELECT setval(:sequence, max(id)) FROM {table} HAVING max(id) > 0")
        connection.execute(last, {"sequence": sequence})


def _copy(table: str, columns: list[str], direction: str) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) " + direction).format(sql.Identifier(table), names)


def _cursor(connection: Connection) -> Any:
    """Psycopg's own cursor, in the same transaction: SQLAlchemy has no COPY."""
    return connection.connection.cursor()
