import re
import signal
from datetime import UTC, datetime

import psutil
import pytest
from sqlalchemy import create_engine, insert, select, text

from dosvotos.database.connection import (
    connect,
    open_database,
    open_existing,
    reading,
    schema_versions,
    upgrade,
    writing,
)
from dosvotos.database.outbox import add_message
from dosvotos.database.tables import instruments
from dosvotos.errors import DatabaseError
from tests.conftest import ensure_running

pytestmark = pytest.mark.slow


def test_sqlite_makes_and_upgrades_itself(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/new/folder/dosvotos.db")
    present, wanted = schema_versions(engine)
    assert present == wanted is not None


def test_sqlite_keeps_what_it_acknowledges(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/a.db")
    with reading(engine) as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "cache_size")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "cache_size": -16000}


def test_postgresql_is_upgraded_by_command_only(postgres_url):
    fresh = connect(postgres_url)
    with pytest.raises(DatabaseError, match=r"schema is empty, this version needs .* 'dosvotos db upgrade'"):
        open_database(postgres_url)
    upgrade(fresh)
    assert schema_versions(open_database(postgres_url))[0] is not None


def test_a_transaction_that_fails_leaves_nothing(engine):
    with pytest.raises(RuntimeError, match="boom"), writing(engine) as connection:
        connection.execute(insert(instruments).values(instrument="x", epoch=0))
        raise RuntimeError("boom")
    with reading(engine) as connection:
        assert connection.execute(select(instruments)).all() == []


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:secret@h/d"])
def test_a_database_we_do_not_know_is_refused_without_its_password(url):
    with pytest.raises(DatabaseError) as caught:
        connect(url)
    assert "secret" not in str(caught.value)


def test_an_unreachable_server_is_one_message_without_its_password():
    with pytest.raises(DatabaseError, match=re.escape("u:***@127.0.0.1:1/d")) as caught:
        open_database("postgresql://u:secret@127.0.0.1:1/d")
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_one_message(tmp_path):
    (tmp_path / "not.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(DatabaseError, match="not a database"):
        open_database(f"sqlite:///{tmp_path}/not.db")


def test_a_relative_path_counts_from_the_project_s_root(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    (tmp_path / "src/deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "src/deep")
    assert open_database("sqlite:///data/x.db").url.database == f"{tmp_path}/data/x.db"


def test_a_database_made_anew_is_not_written_by_the_engine_of_the_old_one(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    with writing(open_database(url)) as connection:
        connection.execute(insert(instruments).values(instrument="old", epoch=0))
    for file in tmp_path.iterdir():
        file.unlink()
    with reading(open_database(url)) as connection:
        assert connection.execute(select(instruments.c.instrument)).all() == []


def test_a_proof_s_database_is_neither_made_nor_upgraded(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    with pytest.raises(DatabaseError, match=r"a\.db does not exist, and none was made"):
        open_existing(url)
    assert list(tmp_path.iterdir()) == []
    connect(url).connect().close()
    with pytest.raises(DatabaseError, match="schema is empty"):
        open_existing(url)
    open_database(url)
    assert open_existing(url).url == open_database(url).url


def test_outside_a_project_a_relative_path_is_the_file_of_the_folder_one_works_in(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with writing(open_database("sqlite:///data/x.db")) as connection:
            connection.execute(insert(instruments).values(instrument=name, epoch=0))
    for name in ("a", "b"):
        monkeypatch.chdir(tmp_path / name)
        with reading(open_database("sqlite:///data/x.db")) as connection:
            assert connection.execute(select(instruments.c.instrument)).scalars().all() == [name]


def test_a_test_server_that_died_is_started_again_with_its_databases(postgres_server, postgres_url):
    killed = psutil.Process(postgres_server.get_pid())
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=10)
    ensure_running(postgres_server)
    with create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:")).connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_a_reading_is_one_view_whatever_is_written_beside_it(engine):
    def count(connection):
        return connection.execute(text("SELECT count(*) FROM outbox")).scalar_one()

    with reading(engine) as before:
        assert count(before) == 0
        with writing(engine) as connection:
            add_message(connection, "kind", "subject", {}, datetime.now(UTC))
        assert count(before) == 0
    with reading(engine) as after:
        assert count(after) == 1
