"""Each pipeline with its nodes on an in-memory catalog: what it gives and what it does outside."""

from datetime import date

import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner, ThreadRunner

from dosvotos.contracts.parameters import Parameters
from dosvotos.database import market_data
from dosvotos.database.bulk import read_frame
from dosvotos.database.connection import reading
from dosvotos.database.ledger import look_of
from dosvotos.database.registry import list_proposals
from dosvotos.errors import DosVotosError, LineageError
from dosvotos.lineage.vote import decide_verified
from dosvotos.market.splits import splits_of
from dosvotos.pipeline_registry import register_pipelines
from dosvotos.promotion.decision import Vote
from tests.conftest import parameters_of
from tests.pipelines.catalogs import memory_catalog

pytestmark = pytest.mark.slow
PIPELINES = register_pipelines()
WAY = ("data_acquisition", "dataset", "training", "backtest", "promotion")


def small() -> Parameters:
    """The smoke experiment with a few traders and a market that ends in 2023."""
    return parameters_of(
        "smoke", data_acquisition={"as_of": "2023-12-18T23:00:00+00:00"}, evidence={"n_random_traders": 20}
    )


@pytest.fixture
def read(monkeypatch) -> list[pd.DataFrame]:
    """The rows of the market that are read from the database."""
    frames: list[pd.DataFrame] = []

    def read_and_kept(*asked) -> pd.DataFrame:
        frames.append(read_frame(*asked))
        return frames[-1]

    monkeypatch.setattr(market_data, "read_frame", read_and_kept)
    return frames


def run(name: str, catalog: DataCatalog) -> None:
    SequentialRunner().run(PIPELINES[name], catalog)


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """The catalog after all pipelines before the one named have run."""
    catalog, done = memory_catalog(small(), tmp_path_factory.mktemp("books")), []

    def reached(name: str) -> DataCatalog:
        for earlier in [*WAY, "inference"]:
            if earlier == name:
                return catalog
            if earlier not in done:
                run(earlier, catalog)
                done.append(earlier)
        raise AssertionError(name)

    return reached


def test_data_acquisition_stores_what_it_fetched_and_records_it(at, capsys):
    catalog = at("data_acquisition")
    run("data_acquisition", catalog)
    record, bars = catalog.load("acquisition_record"), catalog.load("usdcop_m5_ohlcv").frame()
    assert record.bars.bars == len(bars) == len(catalog.load("checked_bars"))
    assert record.bars.last_bar == bars.index[-1] == pd.Timestamp("2023-12-18 17:55", tz="UTC")
    assert len(catalog.load("data_quality_summary")) == 41
    assert "extraction" in capsys.readouterr().out, "print_acquisition alone writes on the terminal"


def test_dataset_drafts_a_contract_and_seals_three_splits(at, read):
    catalog = at("dataset")
    read.clear()
    run("dataset", catalog)
    contract, record = catalog.load("experiment_contract"), catalog.load("dataset_record")
    assert catalog.load("experiment_contracts").registered(contract) is None
    assert contract.test_end == date(2023, 12, 15)
    rows = {name: len(catalog.load(name)) for name in ("train", "val", "test")}
    assert rows == {name: record.splits[name].bars for name in rows}
    assert rows["train"] > rows["test"] > rows["val"] > 0
    assert_only_what_is_needed_was_read(read, contract.parameters)


def assert_only_what_is_needed_was_read(read: list[pd.DataFrame], parameters: Parameters) -> None:
    """Of test's bars when they opened, for its window; then bars and values up to its end, once each."""
    windows, (bars,), macro = (
        [frame for frame in read if kind(frame)]
        for kind in (
            lambda frame: list(frame) == ["timestamp"],
            lambda frame: "close" in frame,
            lambda frame: "published_at" in frame,
        )
    )
    dates = parameters.date_ranges.test
    first, last = (pd.Timestamp(day, tz="America/Bogota") for day in (dates.start, dates.end))
    assert windows and all(frame["timestamp"].min() >= first for frame in windows)
    assert bars["timestamp"].is_unique and bars["timestamp"].max() < last + pd.Timedelta(days=1)
    closed = bars["timestamp"].max() + pd.Timedelta(minutes=5)
    assert len(macro) == 3 and all((frame["published_at"] <= closed).all() for frame in macro)


def test_training_trains_on_verified_data_and_leaves_no_checkpoint(at):
    catalog = at("training")
    run("training", catalog)
    record, candidate = catalog.load("training_record"), catalog.load("candidate_model")
    assert record.model_hash == candidate.policy.model_hash and record.timesteps == 81_920
    assert record.dataset_hash == catalog.load("dataset_record").dataset_hash
    assert not catalog.load("training_checkpoints").exists()
    assert record.model_hash[:12] in catalog.load("training_report")
    contract = catalog.load("experiment_contract")
    assert catalog.load("experiment_contracts").registered(contract) == contract


def test_a_run_from_train_policy_on_takes_what_was_verified_and_nothing_else(at):
    catalog = at("backtest")
    before = catalog.load("training_record").model_hash
    later = PIPELINES["training"].from_nodes("train_policy")
    assert "verified_splits" in later.inputs() and "train" not in later.inputs()
    SequentialRunner().run(later, catalog)
    assert catalog.load("training_record").model_hash == before
    verified = catalog.load("verified_splits")
    catalog.save("verified_splits", verified.assign(close=verified["close"] + 1))
    with pytest.raises(LineageError, match="train"):
        SequentialRunner().run(later, catalog)
    catalog.save("verified_splits", verified)


def test_backtest_writes_the_look_down_and_judges_the_candidate(at, read):
    catalog = at("backtest")
    read.clear()
    look = look_of(catalog.load("experiment_contract"), catalog.load("training_record").model_hash)
    assert catalog.load("trial_ledger").looks() == []
    run("backtest", catalog)
    record, (written,) = catalog.load("backtest_record"), catalog.load("oos_trials").looks()
    assert written == catalog.load("trial_ledger").history(look).own
    test = splits_of(catalog.load("experiment_contract").parameters)["test"]
    assert len(written.daily_returns) == len(test.sessions()) == 72
    assert record.model_hash == catalog.load("training_record").model_hash
    assert record.test_period == "2023-09-01 to 2023-12-15"
    assert read == [], "of the market; a split's rows are the dataset's"
    assert not {"train", "features", "session_bars", "known_macro"} & PIPELINES["backtest"].inputs()


def test_promotion_puts_one_proposal_into_the_books(at):
    catalog = at("promotion")
    run("promotion", catalog)
    proposal, book = catalog.load("promotion_proposal"), catalog.load("promotion_proposals")
    with reading(book.engine) as connection:
        rows = list_proposals(connection)
    assert [row.model_id for row in rows] == [proposal.model_id]
    assert proposal.lineage.dataset_hash == catalog.load("dataset_record").dataset_hash


def test_inference_needs_an_approved_model_and_writes_one_signal(at):
    catalog = at("inference")
    with pytest.raises(DosVotosError, match="no production model yet"):
        run("inference", catalog)
    book = catalog.load("promotion_proposals")
    with reading(book.engine) as connection:
        (proposal,) = list_proposals(connection)
    vote = Vote("APPROVE", "ana", "approved to see a signal in a test")
    decide_verified(book.engine, proposal.id, vote, pd.Timestamp("2023-12-18 23:30", tz="UTC"))
    run("inference", catalog)
    record = catalog.load("inference_record")
    assert record.timestamp == pd.Timestamp("2023-12-18 17:55", tz="UTC")
    assert catalog.load("trading_signals").at(record.timestamp).model_id == proposal.model_id


def test_a_thread_runner_reaches_the_proposal_on_empty_books(tmp_path):
    catalog = memory_catalog(small(), tmp_path)
    ThreadRunner(max_workers=4).run(PIPELINES["__default__"], catalog)
    assert catalog.load("promotion_proposal").recommendation in ("PROMOTE", "REVIEW", "REJECT")
