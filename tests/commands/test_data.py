"""``dosvotos data``: deliveries listed and retracted."""

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from dosvotos.commands.main import cli
from dosvotos.database.connection import open_database
from dosvotos.database.deliveries import Delivery
from dosvotos.database.market_data import BarTable
from dosvotos.errors import DatabaseError, DataError
from tests.database.test_market_data import DAY, bars

REASON = "the vendor sent closes of another pair"


@pytest.fixture
def engine(tmp_path, monkeypatch) -> Engine:
    url = f"sqlite:///{tmp_path}/data/dosvotos.db"
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    engine = open_database(url)
    table = BarTable(engine, "USD/COP", "market")
    delivery_id = table.open_delivery(Delivery("files", "/data/in/usd", DAY, "a" * 64))
    table.store(bars([1, 2, 3]), DAY, delivery_id)
    table.close_deliveries(DAY)
    return engine


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["data", *arguments])


def test_a_delivery_is_listed_with_its_rows_and_after_its_retraction_with_the_reason(engine):
    shown = run("list").output
    assert "/data/in/usd" in shown and "3 bars" in shown and "stands" in shown
    assert "before deliveries" in shown
    done = run("retract", "1", "--reason", REASON)
    assert done.exit_code == 0, done.output
    assert done.output == "delivery 1 retracted by 2: 3 bars are seen no more\n"
    shown = run("list").output
    assert "retracted by 2" in shown and f"retracts 1: {REASON}" in shown
    assert BarTable(engine, "USD/COP", "market").frame().empty


def test_a_retraction_without_reason_or_delivery_is_one_message(engine):
    assert run("retract", "1").exit_code == 2
    assert "20 characters" in str(run("retract", "1", "--reason", "wrong").exception)
    missing = run("retract", "9", "--reason", REASON).exception
    assert isinstance(missing, DataError) and "delivery 9: does not exist" in str(missing)


def test_without_a_database_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    assert isinstance(run("list").exception, DatabaseError)
    assert not (tmp_path / "none.db").exists()
