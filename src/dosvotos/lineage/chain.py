"""Checks that each layer works on exactly what the layer before it made."""

import pandas as pd

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.contracts.records import DatasetRecord, TrainingRecord
from dosvotos.errors import LineageError
from dosvotos.hashing import combine, digest_frame
from dosvotos.market.normalization import NormStats
from dosvotos.policy.bundle import Bundle


def check_split(record: DatasetRecord, name: str, rows: pd.DataFrame) -> None:
    """Refuse a split that is not the one its record names."""
    split = record.splits[name]
    _same(split.path, split.digest, digest_frame(rows))


def check_contract(contract: ExperimentContract, registered: ExperimentContract | None) -> None:
    """Refuse a contract file that is not the one the database holds.

    The hash inside the file covers its parameters; the test's end and the data's moment stand beside it.
    """
    if registered is None:
        raise LineageError(
            f"{contract.contract_id} version {contract.contract_version}: not in this database; run "
            "'kedro run --pipelines dataset' first"
        )
    for field in type(contract).model_fields:
        expected, found = getattr(registered, field), getattr(contract, field)
        if expected != found:
            raise LineageError(
                f"{contract.contract_id} version {contract.contract_version}: {field} is {expected} in the "
                f"database, {found} in the run's experiment_contract.json; run the dataset layer again"
            )


def check_dataset(contract: ExperimentContract, record: DatasetRecord, norm_stats: NormStats) -> None:
    """Refuse a dataset of another contract, or statistics that are not its own."""
    _same("dataset record: contract_id", contract.contract_id, record.contract_id)
    _same("dataset record: experiment_name", contract.experiment_name, record.experiment_name)
    _same("dataset record: config_hash", contract.config_hash, record.config_hash)
    _same("dataset record: feature_order_hash", FEATURE_ORDER_HASH, record.feature_order_hash)
    name = record.experiment_name
    _same(f"DS_{name}_norm_stats.json", record.norm_stats_hash, norm_stats.digest)
    splits = combine(split.digest for split in record.splits.values())
    _same(f"DS_{name}_lineage.json: dataset_hash", splits, record.dataset_hash)


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
