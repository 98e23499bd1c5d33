"""Verify that each layer works on exactly what the layer before it made.

Before test is opened a broken link is an error: nothing may be judged. From then on the vote names it, as a
failed criterion.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.differences import record_links
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.contracts.records import (
    BacktestRecord,
    ChainRecord,
    DatasetRecord,
    LinkRecord,
    Recomputed,
    TrainingRecord,
)
from dosvotos.errors import LineageError
from dosvotos.hashing import combine, digest_frame
from dosvotos.lineage.recompute import PipelineRecords, TrainedRecords, check_kind
from dosvotos.market.normalization import NormStats
from dosvotos.market.splits import splits_of
from dosvotos.policy.candidate import Candidate, Line
from dosvotos.policy.strategy import Strategy

_LINKED = (
    "config_hash", "feature_order_hash", "reward_config_hash", "acquisition_hash", "norm_stats_hash",
    "dataset_hash", "test_dataset_hash", "model_hash", "manifest_hash", "backtest_hash",
    "promotion_decision", "recommendation",
)  # fmt: skip

RECORD_NAMES = {
    "dataset": "dataset record",
    "training": "training record",
    "report": "backtest results",
    "comparison": "comparison report",
    "backtest": "backtest record",
}
"""What people call the records of the pipelines, by field."""


def check_split(record: DatasetRecord, name: str, rows: pd.DataFrame) -> None:
    """Refuse a split that is not the one its record names."""
    split = record.splits[name]
    _same(split.path, split.digest, digest_frame(rows))


def check_contract(contract: ExperimentContract, registered: ExperimentContract | None) -> None:
    """Refuse a contract file that is not the one the database holds.

    The hash inside the file covers its parameters; the test's end and the data's moment stand beside it.
    """
    present = require_registered(contract, registered)
    for field in type(contract).model_fields:
        expected, found = getattr(present, field), getattr(contract, field)
        if expected != found:
            raise LineageError(
                f"{contract.contract_id} version {contract.contract_version}: {field} is {expected} in the "
                f"database, {found} in the run's experiment_contract.json; run the dataset layer again"
            )


def require_registered(
    contract: ExperimentContract, registered: ExperimentContract | None
) -> ExperimentContract:
    """Take the contract as the database holds it; refuse one that it does not hold."""
    if registered is None:
        raise LineageError(
            f"{contract.contract_id} version {contract.contract_version}: not in this database, where it "
            "is written when its training starts; run 'kedro run --pipelines training' first"
        )
    return registered


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


def check_sessions(contract: ExperimentContract, record: DatasetRecord) -> None:
    """Refuse a dataset that ends elsewhere than its contract, as one of an earlier draft may."""
    for name, split in splits_of(contract.parameters).items():
        days = split.sessions()
        _same(f"dataset record: sessions of {name}", f"{days[0]} to {days[-1]}", record.date_ranges[name])


def check_candidate(
    dataset: DatasetRecord, training: TrainingRecord, candidate: Candidate, contract: ExperimentContract
) -> None:
    """Refuse a candidate that is not this contract's, on this dataset."""
    check_kind(contract, candidate)
    _same("training record: config_hash", contract.config_hash, training.config_hash)
    _same("training record: dataset_hash", dataset.dataset_hash, training.dataset_hash)
    _same(f"{candidate.folder}: manifest", training.manifest_hash, candidate.manifest_hash)
    _same(f"{candidate.folder}: policy", training.model_hash, candidate.model_hash)
    if isinstance(candidate, Line):
        _same("training record: folds", str(len(candidate.bundles)), str(len(training.folds)))
        for fold, bundle in zip(training.folds, candidate.bundles, strict=True):
            _same(f"{bundle.folder}: manifest", fold.manifest_hash, bundle.manifest_hash)
            _same(f"{bundle.folder}: norm_stats", fold.norm_stats_hash, bundle.policy.norm_stats.digest)
    elif not isinstance(candidate, Strategy):
        found = candidate.policy.norm_stats.digest
        _same(f"{candidate.folder}: norm_stats", dataset.norm_stats_hash, found)


def chain_records(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    backtest: BacktestRecord | None = None,
    report: BacktestReport | None = None,
) -> dict[str, dict[str, Any]]:
    """Gather the fields of the layers' records, in the layers' order, by the record's name.

    A refit has neither `backtest` nor `report`.
    """
    records = {
        "contract": contract.model_dump(),
        "dataset record": {**dataset.model_dump(), "test_dataset_hash": dataset.splits["test"].digest},
        "training record": training.model_dump(),
    }
    if backtest is not None:
        records["backtest record"] = backtest.model_dump()
    if report is not None:
        hashes = {"model_hash": report.model_hash, "backtest_hash": report.backtest_hash}
        records["backtest results"] = hashes
    return records


def compare_links(
    records: Mapping[str, Mapping[str, Any]], recomputed: Mapping[str, Recomputed]
) -> ChainRecord:
    """Compare every linked field of every record, from the data to the vote.

    Parameters
    ----------
    records : mapping of mappings
        Each record's fields by the record's name, in the order of the layers.
    recomputed : mapping of Recomputed
        By field. Where a field was not computed again, the first record that has it stands for it.
    """
    known, links = dict(recomputed), []
    for name, record in records.items():
        for field in (field for field in _LINKED if field in record):
            if field in known:
                value, source = known[field].value, known[field].source
                link = {"record": name, "field": field, "recorded": record[field]}
                links.append(LinkRecord(**link, recomputed=value, source=source))
            else:
                known[field] = Recomputed(value=record[field], source=f"the {name}")
    return ChainRecord(links=tuple(links))


def verify_records(
    contract: ExperimentContract,
    recorded: TrainedRecords,
    recomputed: TrainedRecords,
    candidate: Candidate,
    split_files: Mapping[str, Mapping[str, str]],
) -> ChainRecord:
    """Compare what L2 to L4 recorded with the same made again, hash by hash and record by record.

    Of a refit, L2 and L3.

    Parameters
    ----------
    contract : ExperimentContract
        As the database has it.
    recorded, recomputed : TrainedRecords or PipelineRecords
        Both of one kind.
    candidate : Bundle, Line or Strategy
    split_files : mapping
        Hashes of the splits' files, as `split_file_hashes` gives them.
    """
    tested = (recorded.backtest, recorded.report) if isinstance(recorded, PipelineRecords) else ()
    records = chain_records(contract, recorded.dataset, recorded.training, *tested)
    records["statistics of train"] = {"norm_stats_hash": recomputed.dataset.norm_stats_hash}
    records.update({name: dict(hashes) for name, hashes in split_files.items()})
    hashes = contract_hashes(contract) | recomputed_hashes(recomputed) | candidate_hashes(candidate)
    links = compare_links(records, hashes).links
    names = {field: RECORD_NAMES[field] for field in RECORD_NAMES if field in type(recorded).model_fields}
    named = [{name: getattr(one, f) for f, name in names.items()} for one in (recorded, recomputed)]
    return ChainRecord(links=(*links, *record_links(*named)))


def unbroken_chain(
    contract: ExperimentContract, recomputed: TrainedRecords, candidate: Candidate
) -> ChainRecord:
    """Give the chain of records that are what they would be if made again."""
    digests = {name: split.digest for name, split in recomputed.dataset.splits.items()}
    return verify_records(contract, recomputed, recomputed, candidate, _of_files(digests))


def contract_hashes(registered: ExperimentContract) -> dict[str, Recomputed]:
    """Take the hashes of the contract in the database, by field."""
    fields = ("config_hash", "feature_order_hash", "reward_config_hash")
    return _recomputed("the contract in the database", {name: getattr(registered, name) for name in fields})


def recomputed_hashes(made: TrainedRecords) -> dict[str, Recomputed]:
    """Take the hashes of data and account made again, by field."""
    dataset = {"dataset_hash": made.dataset.dataset_hash}
    account = {"backtest_hash": made.report.backtest_hash} if isinstance(made, PipelineRecords) else {}
    return {
        **_recomputed(
            "the stored bars and observations", {"acquisition_hash": made.dataset.acquisition_hash}
        ),
        **_recomputed("the dataset made again", dataset),
        **_recomputed("test made again", {"test_dataset_hash": made.dataset.splits["test"].digest}),
        **_recomputed("the account run again", account),
        **_recomputed("before any vote", {"promotion_decision": "PENDING_APPROVAL"}),
    }


def split_file_hashes(splits: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
    """Hash the files of train, val and test, given in this order."""
    return _of_files({name: digest_frame(rows) for name, rows in splits.items()})


def _of_files(digests: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {
        "split files": {"dataset_hash": combine(digests.values())},
        "test file": {"test_dataset_hash": digests["test"]},
    }


def candidate_hashes(candidate: Candidate) -> dict[str, Recomputed]:
    """Take the hashes of the candidate's files, by field.

    The statistics of the dataset's train are those of one bundle; a line has others in each fold, which its
    record names, and an own strategy has none.
    """
    hashes = {"manifest_hash": candidate.manifest_hash, "model_hash": candidate.model_hash}
    if isinstance(candidate, Strategy):
        return _recomputed("the strategy's sealed copy", hashes)
    if not isinstance(candidate, Line):
        hashes["norm_stats_hash"] = candidate.policy.norm_stats.digest
    return _recomputed("the model bundle's", hashes)


def _recomputed(source: str, hashes: Mapping[str, str]) -> dict[str, Recomputed]:
    return {field: Recomputed(value=value, source=source) for field, value in hashes.items()}


def _same(what: str, expected: str, found: str) -> None:
    if expected != found:
        raise LineageError.of("layer_differs", what=what, expected=expected, found=found)
