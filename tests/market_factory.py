"""A small stored market and the records of every layer behind a proposal on it."""

from datetime import date, datetime
from functools import cache

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from dosvotos.contracts.experiment import ExperimentContract, make_contract
from dosvotos.contracts.features import FEATURE_ORDER_HASH, MACRO_SOURCES
from dosvotos.contracts.records import (
    BacktestRecord,
    DatasetRecord,
    FeatureDrift,
    LayerRecords,
    SplitRecord,
    TrainingRecord,
)
from dosvotos.contracts.window import JudgedWindow, WindowFacts
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import history_hash, stored_history
from dosvotos.database.market_data import StoredMarket
from dosvotos.hashing import digest_json
from dosvotos.lineage.chain import chain_records, compare_links
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.policy.bundle import Bundle
from tests.conftest import parameters_of
from tests.report_factory import LINEAR_FIT, report_of

INSTRUMENT = "USD/COP.SIM"
SESSIONS = scheduled_sessions(date(2025, 6, 24), date(2025, 7, 8))
"""Of them the first three lie in val."""
STORED_AT = datetime.fromisoformat("2025-07-09T00:00:00+00:00")
PERIODS = {
    "train": "2023-01-01 to 2024-12-30",
    "val": "2025-01-01 to 2025-06-27",
    "test": "2025-07-01 to 2026-07-31",
}


CALENDAR = JudgedWindow(
    "calendar",
    WindowFacts(
        first_session="2025-07-01", last_session="2026-07-31", calendar_first="2025-07-01",
        calendar_last="2026-07-31", stored_last="2026-07-31", clock="2026-07-31", sessions_behind=0,
    ),
)  # fmt: skip

DRIFT = (
    FeatureDrift(
        feature="rsi_9", rule="cusum", statistic=3.21, limit=12.0, first_alarm=None, sessions_beyond=0
    ),
    FeatureDrift(
        feature="dxy_z",
        rule="support",
        statistic=4.56,
        limit=4.0,
        first_alarm="2025-05-06",
        sessions_beyond=9,
    ),
)


def store_contract(engine: Engine, experiment: str, trained_by: str = "alice") -> ExperimentContract:
    """Make an experiment's contract and store it, unless it stands."""
    parameters = parameters_of(experiment={"name": experiment})
    contract = make_contract(parameters, date(2026, 7, 31), trained_by, window=CALENDAR)
    if (found := ContractRegistry(engine).registered(contract)) is not None:
        return found
    ContractRegistry(engine).store(contract)
    return contract


def store_market(engine: Engine, contract: ExperimentContract) -> str:
    """Store ten sessions of bars and a year of each variable behind features; gives the history's hash."""
    market = StoredMarket(engine, INSTRUMENT, contract.parameters.feed)
    known_by = contract.config_hash, contract.data_as_of, contract.test_end, contract.schema_version
    if fresh := market.tables[0].state(contract.data_as_of) is None:
        market.tables[0].store(_bars(), STORED_AT)
        market.tables[1].store(macro_observations("2025-07-07"), STORED_AT)
        if known_by in _HASHES:
            return _HASHES[known_by]
    history = stored_history(contract.parameters, *market.tables, contract.data_as_of, contract.test_end)
    found = history_hash(history, contract.schema_version)
    if fresh:
        _HASHES[known_by] = found
    return found


_HASHES: dict[tuple[object, ...], str] = {}
"""Of the market as it is when it was stored just now, which no test has changed, by the contract."""


def layers_behind(
    contract: ExperimentContract, bundle: Bundle, acquisition_hash: str, model_id: str, baseline: str | None
) -> LayerRecords:
    """What the layers would have recorded, so that every link holds."""
    name, policy = contract.experiment_name, bundle.policy
    split = SplitRecord(
        path="x", digest=digest_json("test"), first_session="2025-07-01", last_session="2026-07-31",
        sessions=265, uncovered_sessions=0, bars=15900, complete_rows=15900, missing_by_feature={},
        missing_by_reason={},
    )  # fmt: skip
    dataset = DatasetRecord(
        experiment_name=name, contract_id=contract.contract_id, dataset_hash=digest_json("dataset"),
        config_hash=contract.config_hash, feature_order_hash=FEATURE_ORDER_HASH,
        norm_stats_hash=policy.norm_stats.digest, acquisition_hash=acquisition_hash, date_ranges=PERIODS,
        ohlcv_rows=60, macro_sources={"fxrt_index_dxy_usa_d_dxy": "simulator"}, point_in_time="simulated",
        dataset_path="x", row_count=60, dropped_rows=0, dropped_by_reason={},
        splits={"train": split, "val": split, "test": split}, drift=DRIFT,
    )  # fmt: skip
    training = TrainingRecord(
        experiment_name=name, model_id=model_id, model_hash=policy.model_hash, model_path=str(bundle.folder),
        manifest_hash=bundle.manifest_hash, dataset_hash=dataset.dataset_hash,
        config_hash=contract.config_hash, reward_config_hash=contract.reward_config_hash,
        curriculum_final_phase="phase_3", training_duration_seconds=12.5, timesteps=400000,
        best_val_reward=0.11, best_reward=1.2, engine="fast", seed=42, seeds=(), torch_threads=1,
        linear_rival=LINEAR_FIT,
        blas_threads=1, trained_by=contract.trained_by,
        mlflow_run_id=None,
    )  # fmt: skip
    backtest = BacktestRecord(
        experiment_name=name, model_id=model_id, model_hash=policy.model_hash,
        dataset_hash=dataset.dataset_hash, test_dataset_hash=split.digest,
        backtest_hash=digest_json("backtest"), test_period=PERIODS["test"],
        baseline_model_id=baseline, promotion_decision="PENDING_APPROVAL",
    )  # fmt: skip
    report = report_of(model_hash=policy.model_hash, backtest_hash=backtest.backtest_hash)
    chain = compare_links(chain_records(contract, dataset, training, backtest, report), {})
    return LayerRecords(contract=contract, dataset=dataset, training=training, backtest=backtest, chain=chain)


@cache
def _bars() -> pd.DataFrame:
    times = pd.DatetimeIndex([time for day in SESSIONS for time in session_bar_times(day)])
    close = 4000 * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 8e-4, len(times))))
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    return pd.DataFrame({"timestamp": times, **prices, "volume": 0.0, "source": "simulator"})


@cache
def macro_observations(last: str) -> pd.DataFrame:
    """A year and more of each variable behind features, published the evening of their day."""
    days = pd.bdate_range("2024-04-01", last)
    rng = np.random.default_rng(6)
    parts = [
        pd.DataFrame(
            {
                "variable": name,
                "frequency": "daily",
                "observation_date": days.date,
                "value": 100 + rng.normal(0, 1, len(days)).cumsum(),
                "published_at": (days + pd.Timedelta(hours=23)).tz_localize("UTC"),
                "vintage": "simulated",
                "source": "simulator",
            }
        )
        for name in MACRO_SOURCES.values()
    ]
    return pd.concat(parts, ignore_index=True)
