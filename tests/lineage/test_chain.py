from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from dosvotos.contracts.experiment import make_contract
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.contracts.records import DatasetRecord, SplitRecord, TrainingRecord
from dosvotos.errors import LineageError
from dosvotos.hashing import combine, digest_frame
from dosvotos.lineage.chain import check_candidate, check_contract, check_dataset, check_split
from dosvotos.policy.bundle import Bundle
from tests.proposal_fixtures import tiny_policy

POLICY = tiny_policy(1)
ROWS = pd.DataFrame({"close": [1.0, 2.0]}, index=pd.date_range("2025-07-01", periods=2, tz="UTC"))


@pytest.fixture(scope="module")
def contract(parameters):
    return make_contract(parameters, date(2026, 7, 31), "ana")


@pytest.fixture
def dataset(contract) -> DatasetRecord:
    split = SplitRecord(
        path="DS_demo_train.parquet", digest=digest_frame(ROWS), first_session="2025-07-01",
        last_session="2025-07-02", sessions=2, uncovered_sessions=0, bars=2, complete_rows=2,
        missing_by_feature={}, missing_by_reason={},
    )  # fmt: skip
    return DatasetRecord(
        experiment_name="demo", contract_id="CTR-EXP-demo", dataset_hash=combine([split.digest]),
        config_hash=contract.config_hash,
        feature_order_hash=FEATURE_ORDER_HASH, norm_stats_hash=POLICY.norm_stats.digest,
        acquisition_hash="a" * 64, date_ranges={}, ohlcv_rows=2, macro_sources={},
        point_in_time="simulated", dataset_path="x", row_count=2, dropped_rows=0, dropped_by_reason={},
        splits={"train": split},
    )  # fmt: skip


@pytest.fixture
def training(contract) -> TrainingRecord:
    return TrainingRecord(
        experiment_name="demo", model_id="m", model_hash=POLICY.model_hash, model_path="x",
        manifest_hash="f" * 64, dataset_hash=combine([digest_frame(ROWS)]), config_hash=contract.config_hash,
        reward_config_hash="r", curriculum_final_phase="p", training_duration_seconds=1.0, timesteps=1,
        best_val_reward=0.0, best_reward=0.0, engine="fast", seed=1, seeds=(), torch_threads=1,
        blas_threads=1, trained_by="ana", mlflow_run_id=None,
    )  # fmt: skip


CANDIDATE = Bundle(Path("bundle"), "f" * 64, POLICY)


def test_what_belongs_together_passes(contract, dataset, training):
    check_split(dataset, "train", ROWS)
    check_dataset(contract, dataset, POLICY.norm_stats)
    check_candidate(dataset, training, CANDIDATE, contract)


def test_a_changed_value_names_file_expected_and_found(dataset):
    edited = ROWS.assign(close=[1.0, 2.0000001])
    with pytest.raises(LineageError) as caught:
        check_split(dataset, "train", edited)
    for part in ("DS_demo_train.parquet", digest_frame(ROWS), digest_frame(edited)):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "field",
    [
        "experiment_name",
        "contract_id",
        "config_hash",
        "feature_order_hash",
        "norm_stats_hash",
        "dataset_hash",
    ],
)
def test_a_dataset_of_something_else_is_refused(contract, dataset, field):
    with pytest.raises(LineageError, match=r"expected .*, found"):
        check_dataset(contract, dataset.model_copy(update={field: "other"}), POLICY.norm_stats)


@pytest.mark.parametrize("field", ["config_hash", "dataset_hash", "manifest_hash", "model_hash"])
def test_a_model_from_something_else_is_refused(contract, dataset, training, field):
    with pytest.raises(LineageError, match=r"expected .*, found"):
        check_candidate(dataset, training.model_copy(update={field: "other"}), CANDIDATE, contract)


def test_a_contract_file_must_be_the_database_s_in_every_field(contract):
    check_contract(contract, contract)
    with pytest.raises(LineageError, match=r"not in this database, .* run 'kedro run --pipelines training'"):
        check_contract(contract, None)
    for field, value in {"test_end": date(2026, 7, 30), "trained_by": "eva", "components": {}}.items():
        with pytest.raises(LineageError, match=rf"{field} is .* in the database"):
            check_contract(contract.model_copy(update={field: value}), contract)
