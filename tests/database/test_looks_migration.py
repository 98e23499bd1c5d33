"""A database written before accounts were told apart."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dosvotos.contracts.experiment import make_contract
from dosvotos.database.connection import reading, upgrade, writing
from dosvotos.database.ledger import TrialLedger, look_of
from dosvotos.database.tables import UNKNOWN_ACCOUNT
from tests.conftest import parameters_of

NOW = datetime(2026, 8, 3, tzinfo=UTC)
OLD_ROW = text(
    "INSERT INTO oos_trials "
    "(instrument, feed, experiment_name, model_hash, window_start, window_end, opened_at) "
    "VALUES ('USD/COP.SIM', :feed, 'demo', 'm', :first, :last, '2026-08-01 00:00:00')"
)


def test_old_looks_stay_the_looks_they_were_and_cannot_be_changed(empty_database):
    upgrade(empty_database, "0006")
    look = look_of(make_contract(parameters_of(), date(2026, 7, 31), "ana"), "m")
    window = {"feed": look.feed, "first": look.window_start, "last": look.window_end}
    with writing(empty_database) as connection:
        connection.execute(OLD_ROW, window)
    upgrade(empty_database)
    ledger = TrialLedger(empty_database, "USD/COP.SIM")
    ledger.record(look, "demo", NOW)
    (old,) = ledger.looks()
    assert old.account_digest == UNKNOWN_ACCOUNT and ledger.history(look).own == old
    ledger.store(look, {"2025-07-01": 0.5})
    for change in (
        "UPDATE oos_trials SET account_digest = 'x'",
        "UPDATE oos_trials SET daily_returns = NULL",
        "DELETE FROM oos_trials",
    ):
        with pytest.raises(DBAPIError, match="append-only"), writing(empty_database) as connection:
            connection.execute(text(change))
    with reading(empty_database) as connection:
        assert connection.execute(text("SELECT count(*) FROM oos_trials")).scalar_one() == 1
