"""The door to test: what must hold before a bar of it is opened."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from dosvotos.contracts.experiment import make_contract
from dosvotos.database.connection import connect
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.ledger import TrialLedger
from dosvotos.errors import InSampleError, LineageError
from dosvotos.hashing import combine, digest_frame
from dosvotos.market.calendar import session_bar_times
from dosvotos.pipelines.backtest.nodes import backtest_candidate, open_test
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.gate_policy import GatePolicies
from tests.conftest import parameters_of
from tests.market_factory import INSTRUMENT, PERIODS, layers_behind
from tests.migrated import copy_migrated
from tests.proposal_fixtures import tiny_policy

NOW = datetime(2026, 8, 3, tzinfo=UTC)

CANDIDATE = Bundle(Path("bundle"), "f" * 64, tiny_policy(1))


def rows_of(*days: str) -> pd.DataFrame:
    times = pd.DatetimeIndex([time for day in days for time in session_bar_times(date.fromisoformat(day))])
    return pd.DataFrame({"close": range(4000, 4000 + len(times))}, index=times, dtype=float)


@pytest.fixture
def door(tmp_path):
    """`open_test` over some rows whose record is true of them, and the ledger it writes."""
    engine = connect(f"sqlite:///{copy_migrated(tmp_path / 'books.db')}")
    contract = make_contract(parameters_of(), date(2026, 7, 31), "alice")
    contracts, ledger = ContractRegistry(engine), TrialLedger(engine, INSTRUMENT)
    contracts.store(contract)
    layers = layers_behind(contract, CANDIDATE, "a" * 64, "model", None)

    def opened(rows: pd.DataFrame, **changes: dict[str, str]) -> pd.DataFrame:
        test = layers.dataset.splits["test"].model_copy(update={"digest": digest_frame(rows)})
        splits = {**layers.dataset.splits, "test": test}
        whole = combine(split.digest for split in splits.values())
        dataset = layers.dataset.model_copy(update={"splits": splits, "dataset_hash": whole, **changes})
        training = layers.training.model_copy(update={"dataset_hash": whole})
        norm_stats, parameters = CANDIDATE.policy.norm_stats, parameters_of()
        return open_test(
            contract, dataset, training, CANDIDATE, norm_stats, rows, ledger, contracts, parameters, NOW
        )

    yield opened, ledger.looks
    engine.dispose()


def test_a_window_of_its_own_is_a_look_before_it_is_handed_on(door):
    opened, looks = door
    rows = rows_of("2025-07-01", "2025-07-02")
    assert opened(rows) is rows
    assert [look.model_hash for look in looks()] == [CANDIDATE.policy.model_hash]
    assert looks()[0].daily_returns is None, "the look stands before anything came of it"
    opened(rows)
    assert len(looks()) == 1, "the same model at the same window is the same look"


@pytest.mark.parametrize(
    ("days", "seen"),
    [
        (("2025-06-27", "2025-07-02"), "chosen on val"),
        (("2024-12-30", "2025-07-02"), "trained on train"),
        (("2022-12-30", "2025-07-02"), "trained on train"),
    ],
    ids=["its first day is val's last", "and train's last", "around all of it"],
)
def test_a_window_the_model_has_seen_stays_shut_and_is_no_look(door, days, seen):
    opened, looks = door
    with pytest.raises(InSampleError, match=seen):
        opened(rows_of(*days))
    assert looks() == []


def test_what_the_record_says_of_the_model_s_data_counts(door):
    opened, looks = door
    later = {**PERIODS, "val": "2025-01-01 to 2025-07-02"}
    with pytest.raises(InSampleError, match="2025-01-01 to 2025-07-02"):
        opened(rows_of("2025-07-01", "2025-07-02"), date_ranges=later)
    assert looks() == []


def test_a_broken_link_is_no_look_either(door):
    opened, looks = door
    with pytest.raises(LineageError, match="norm_stats"):
        opened(rows_of("2025-07-01"), norm_stats_hash="0" * 64)
    assert looks() == []


def test_an_opened_window_gives_nothing_to_a_model_without_a_look(door, tmp_path):
    ledger = TrialLedger(connect(f"sqlite:///{tmp_path}/books.db"), INSTRUMENT)
    contract = make_contract(parameters_of(), date(2026, 7, 31), "alice")
    layers = layers_behind(contract, CANDIDATE, "a" * 64, "model", None)
    with pytest.raises(LineageError, match=r"no look of model [0-9a-f]{12} at 2025-07-01 to .*open_test"):
        backtest_candidate(
            contract, layers.dataset, layers.training, CANDIDATE, rows_of("2025-07-01"), ledger,
            GatePolicies(ledger.engine),
        )  # fmt: skip
