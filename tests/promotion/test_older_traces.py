"""Work that is older than its trial ledger shows."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from dosvotos.database.connection import open_database, reading
from dosvotos.errors import LineageError
from dosvotos.promotion.older_traces import older_traces
from dosvotos.promotion.reasons import sentence

OLD = datetime(2026, 1, 31, 12, tzinfo=UTC)
FILES = (
    "data/06_models/demo/ab12/manifest.json",
    "data/06_models/demo/cd34/manifest.json",
    "data/05_model_input/demo/experiment_contract.json",
    "data/08_reporting/demo/model_1/f00/experiment_contract.json",
)


@pytest.fixture
def engine(tmp_path):
    return open_database(f"sqlite:///{tmp_path}/data/dosvotos.db")


def write(root, moment: datetime) -> None:
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (moment.timestamp(), moment.timestamp()))
    with closing(sqlite3.connect(root / "data/mlflow.db")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS runs (run_uuid TEXT, start_time BIGINT)")
        connection.execute("INSERT INTO runs VALUES ('a', ?)", (int(moment.timestamp() * 1000),))
        connection.commit()


def test_a_new_ledger_beside_older_work_names_it(engine, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write(tmp_path, OLD)
    with reading(engine) as connection:
        found = {traces.kind: traces for traces in older_traces(connection, tmp_path)}
    assert {kind: traces.n_found for kind, traces in found.items()} == {
        "bundles": 2, "contracts": 2, "mlflow_runs": 1
    }  # fmt: skip
    assert {traces.oldest for traces in found.values()} == {OLD}
    since = f"{datetime.now(UTC):%Y-%m-%d}"
    assert sentence(found["bundles"].reason) == (
        f"model bundles older than the trial ledger lie in data/06_models: 2, the oldest of 2026-01-31; it "
        f"began on {since} and may not know their looks"
    )


def test_work_of_this_ledger_is_no_trace(engine, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write(tmp_path, datetime.now(UTC) + timedelta(seconds=1))
    with reading(engine) as connection:
        assert older_traces(connection, tmp_path) == ()


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/", "sqlite:///data/none.db", "sqlite:///data/note.db"])
def test_an_mlflow_that_cannot_be_read_is_no_trace_and_no_error(engine, tmp_path, monkeypatch, uri, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (tmp_path / "data/note.db").write_text("this is no database" * 99)
    with reading(engine) as connection:
        assert older_traces(connection, tmp_path) == ()
    assert ("cannot be compared" in caplog.text) == ("note" in uri)


def test_a_database_without_its_genesis_is_told_so(engine, tmp_path):
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER ledger_genesis_no_delete"))
        connection.execute(text("DELETE FROM ledger_genesis"))
    with reading(engine) as connection, pytest.raises(LineageError, match="one row expected, found none"):
        older_traces(connection, tmp_path)
