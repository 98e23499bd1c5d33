"""Checks that each layer works on exactly what the layer before it made."""

import pandas as pd

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.contracts.records import DatasetRecord, TrainingRecord
from dosvotos.errors import LineageError
from dosvotos.hashing import digest_frame
from dosvotos.market.normalization import NormStats
from dosvotos.policy.bundle import Bundle


def check_split(record: DatasetRecord, name: str, rows: pd.DataFrame) -> None:
    """Refuse a split that is not the one its record names."""
    split = record.splits[name]
    _same(split.path, split.digest, digest_frame(rows))


def check_dataset(contract: ExperimentContract, record: DatasetRecord, norm_stats: NormStats) -> None:
    """Refuse a dataset of another contract, or statistics that are not its own."""
    _same("dataset record: experiment_name", contract.experiment_name, record.experiment_name)
    _same("dataset record: config_hash", contract.config_hash, record.config_hash)
    _same("dataset record: feature_order_hash", FEATURE_ORDER_HASH, record.feature_order_hash)
    _same(f"{record.experiment_name}: norm_stats", record.norm_stats_hash, norm_stats.digest)


def check_candidate(
    dataset: DatasetRecord, training: TrainingRecord, candidate: Bundle, contract: ExperimentContract
) -> None:
    """Refuse a model that was not trained under this contract on this dataset."""
    _same("training record: config_hash", contract.config_hash, training.config_hash)
    _same("training record: dataset_hash", dataset.dataset_hash, training.dataset_hash)
    _same(f"{candidate.folder}: manifest", training.manifest_hash, candidate.manifest_hash)
    _same(f"{candidate.folder}: policy", training.model_hash, candidate.policy.digest)
    _same(f"{candidate.folder}: norm_stats", dataset.norm_stats_hash, candidate.policy.norm_stats.digest)


def _same(what: str, expected: str, found: str) -> None:
    if expected != found:
        raise LineageError(f"{what}: expected {expected}, found {found}; run the layer before this one again")
