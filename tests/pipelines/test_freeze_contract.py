"""The test window is judged once, by the wall clock, when the contract is made."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.connection import connect, writing
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.deliveries import BEFORE_DELIVERIES, Delivery, retract
from dosvotos.database.ledger import Look, TrialLedger
from dosvotos.database.market_data import BarTable
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.pipelines.dataset.nodes import freeze_contract
from tests.conftest import parameters_of
from tests.migrated import copy_migrated

FRIDAY = date(2026, 1, 30)
SATURDAY = datetime(2026, 1, 31, 12, tzinfo=UTC)


def asked(as_of: datetime, **experiment: str) -> Parameters:
    base = parameters_of("exp2_interbank_costs_v1")
    acquisition = base.data_acquisition.model_copy(update={"as_of": as_of})
    named = base.experiment.model_copy(update=experiment)
    return base.model_copy(update={"data_acquisition": acquisition, "experiment": named})


@pytest.fixture
def books(tmp_path):
    engine = connect(f"sqlite:///{copy_migrated(tmp_path / 'books.db')}")
    yield ContractRegistry(engine), BarTable(engine, "USD/COP", "market"), TrialLedger(engine, "USD/COP")
    engine.dispose()


def store(
    table: BarTable, first: date, last: date, fetched_at: datetime, delivery_id: int = BEFORE_DELIVERIES
) -> None:
    times = [time for day in scheduled_sessions(first, last) for time in session_bar_times(day)]
    prices = dict.fromkeys(("open", "high", "low", "close"), 4000.0)
    table.store(
        pd.DataFrame({"timestamp": times, **prices, "volume": 0.0, "source": "file"}), fetched_at, delivery_id
    )


def test_the_window_is_judged_by_the_clock_and_never_again(books):
    contracts, bars, ledger = books
    store(bars, date(2026, 1, 19), FRIDAY, SATURDAY)
    made = freeze_contract(asked(SATURDAY), contracts, bars, ledger, SATURDAY)
    assert (made.window_status, made.test_end) == ("calendar", FRIDAY)
    contracts.store(made)
    much_later = SATURDAY + timedelta(days=90)
    again = freeze_contract(asked(much_later), contracts, bars, ledger, much_later)
    assert again == made
    stale = freeze_contract(asked(SATURDAY, version="1.0.1"), contracts, bars, ledger, much_later)
    assert stale.window_status == "stale_window" and stale.window_facts.sessions_behind > 10
    assert stale.config_hash != made.config_hash, "of the version alone; how a window was judged is no part"


def test_no_bar_from_before_test_is_read_unless_no_session_of_test_is_complete(books, monkeypatch):
    contracts, bars, ledger = books
    store(bars, date(2025, 6, 16), date(2025, 6, 27), SATURDAY)
    before = freeze_contract(asked(SATURDAY), contracts, bars, ledger, SATURDAY)
    assert (before.test_end, before.window_facts.stored_last) == (date(2025, 6, 27), "2025-06-27")
    store(bars, date(2026, 1, 19), FRIDAY, SATURDAY + timedelta(hours=1))
    read, times = [], BarTable._times

    def recorded(*args):
        read.append(times(*args))
        return read[-1]

    monkeypatch.setattr(BarTable, "_times", recorded)
    now = SATURDAY + timedelta(hours=2)
    made = freeze_contract(asked(now), contracts, bars, ledger, now)
    assert made.test_end == FRIDAY and len(read) == 2
    assert {opens.min() for opens in read} == {session_bar_times(np.datetime64("2026-01-19"))[0]}


def test_an_earlier_as_of_does_not_hide_bars_that_are_stored(books):
    contracts, bars, ledger = books
    store(bars, date(2026, 1, 19), date(2026, 1, 23), SATURDAY - timedelta(days=7))
    store(bars, date(2026, 1, 26), FRIDAY, SATURDAY)
    made = freeze_contract(asked(SATURDAY - timedelta(days=6)), contracts, bars, ledger, SATURDAY)
    assert (made.test_end, made.window_status) == (date(2026, 1, 23), "chosen_window")
    assert made.window_facts.calendar_last == "2026-01-30"


def test_bars_withheld_that_a_look_has_seen_make_it_a_chosen_window(books):
    contracts, bars, ledger = books
    store(bars, date(2026, 1, 19), FRIDAY, SATURDAY)
    ledger.record(Look("market", "m", date(2025, 7, 1), date(2026, 2, 13), "d"), "other", SATURDAY)
    made = freeze_contract(asked(SATURDAY), contracts, bars, ledger, SATURDAY)
    assert made.window_status == "chosen_window" and made.window_facts.calendar_last == "2026-02-13"


def test_a_further_fold_takes_over_how_its_line_was_judged(books):
    contracts, bars, ledger = books
    store(bars, date(2025, 7, 1), FRIDAY, SATURDAY)
    base = asked(SATURDAY)

    def fold(number: int) -> Parameters:
        splits = {"mode": "walk_forward", "folds": 3, "fold": number, "train_window": "rolling"}
        changed = base.splits.model_copy(update=splits)
        return base.model_copy(update={"splits": changed, "run_name": f"fold{number}"})

    first = freeze_contract(fold(1), contracts, bars, ledger, SATURDAY)
    contracts.store(first)
    second = freeze_contract(fold(2), contracts, bars, ledger, SATURDAY + timedelta(days=90))
    assert first.window_status == second.window_status == "calendar"
    assert first.window_facts == second.window_facts


def test_a_delivery_retracted_from_within_test_makes_the_window_a_persons_until_it_comes_again(books):
    contracts, bars, ledger = books
    times = [SATURDAY + timedelta(hours=hours) for hours in range(5)]
    store(bars, date(2026, 1, 19), date(2026, 1, 21), times[0])
    delivery = Delivery("files", "losers", times[1], "h")
    number = bars.open_delivery(delivery)
    store(bars, date(2026, 1, 22), date(2026, 1, 22), times[1], number)
    store(bars, date(2026, 1, 23), FRIDAY, times[2])
    with writing(bars.engine) as connection:
        assert retract(connection, number, "these bars are of another vendor", times[3]).rows
    made = freeze_contract(asked(times[3]), contracts, bars, ledger, times[3])
    assert (made.window_status, made.window_facts.edited_sessions) == ("chosen_window", ("2026-01-22",))
    assert ExperimentContract(**made.model_dump()) == made
    store(bars, date(2026, 1, 22), date(2026, 1, 22), times[4])
    again = freeze_contract(asked(times[4], version="1.0.1"), contracts, bars, ledger, times[4])
    assert again.window_status == "calendar"
