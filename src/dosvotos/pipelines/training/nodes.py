"""Nodes of L3."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

from dosvotos.contracts.experiment import ExperimentContract, check_draft, check_unchanged
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import DatasetRecord, FoldRecord, SeedRecord, TrainingRecord
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.ledger import TrialLedger, line_look
from dosvotos.database.market_data import BarTable
from dosvotos.datasets.models import TrainedModel
from dosvotos.hashing import short
from dosvotos.lineage.chain import check_contract, check_dataset, check_sessions, check_split
from dosvotos.lineage.recompute import fold_records, fold_rows
from dosvotos.market.normalization import NormStats, fit_norm_stats
from dosvotos.market.splits import fold_parameters, splits_of
from dosvotos.mlflow_process import active_run_id
from dosvotos.pipelines.training.progress import training_progress
from dosvotos.policy.bundle import LINEAR_RIVAL, Bundle, contract_files, tensor_bytes
from dosvotos.policy.candidate import Line
from dosvotos.training.linear import FittedRival, fit_linear_rival, train_linear
from dosvotos.training.results import TrainingMetrics, TrainingResult, summarize_returns, training_metrics
from dosvotos.training.seeds import available_cores, select_candidate, train_seeds
from dosvotos.users import current_user

logger = logging.getLogger(__name__)
_OF_METRICS = {
    "engine", "seed", "best_val_reward", "best_reward", "timesteps", "torch_threads", "blas_threads"
}  # fmt: skip
"""Fields that the record repeats."""


def verify_dataset(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    train: pd.DataFrame,
    val: pd.DataFrame,
    norm_stats: NormStats,
    features: pd.DataFrame,
) -> pd.DataFrame:
    """Let only the contract's own, unaltered dataset through: train and val, by ``split`` in the index.

    Of a line these are each fold's, as ``2/train``; from the second fold on they hold sessions of its test.
    """
    check_sessions(contract, dataset)
    check_dataset(contract, dataset, norm_stats)
    check_split(dataset, "train", train)
    check_split(dataset, "val", val)
    parts = {"train": train, "val": val}
    if contract.parameters.splits.is_line:
        for name, split in splits_of(contract.parameters).items():
            check_split(dataset, name, split.select(features))
        folds = enumerate(fold_rows(contract, features), 1)
        parts = {f"{fold}/{name}": part for fold, rows in folds for name, part in rows.items()}
    return pd.concat(parts, names=["split"])


def register_contract(
    contract: ExperimentContract,
    splits: pd.DataFrame,
    contracts: ContractRegistry,
    bar_table: BarTable,
    ledger: TrialLedger,
    parameters: Parameters,
    clock: datetime,
) -> tuple[ExperimentContract]:
    """Hand an unchanged draft to the registry, where it is immutable; a contract that stands there stays.

    `splits` is here so that this comes after its dataset was verified.
    """
    registered = contracts.registered(contract)
    if registered is None:
        check_draft(contract, contracts.draft(parameters, bar_table, ledger, current_user(), clock))
    else:
        check_contract(contract, registered)
        check_unchanged(contract, parameters)
    return (contract,)


def train_policy(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    splits: pd.DataFrame,
    norm_stats: NormStats,
    checkpoints: Path,
    contracts: ContractRegistry,
    ledger: TrialLedger,
    clock: datetime,
) -> tuple[TrainedModel, TrainingMetrics]:
    """Train every seed of the contract; the best policy on val is the candidate. Beside it the linear rival.

    The splits are checked against the record again: a run may begin here, on what an earlier one verified. A
    line is trained fold by fold, after its one look is written: later folds train on earlier ones' test.
    """
    check_contract(contract, contracts.registered(contract))
    check_dataset(contract, dataset, norm_stats)
    parameters = contract.parameters
    if parameters.splits.is_line:
        ledger.record(line_look(contract), contract.experiment_name, clock)
        return train_line(contract, _rows_of_folds(splits, parameters.splits.folds), checkpoints)
    train, val = (pd.DataFrame(splits.loc[name]) for name in ("train", "val"))
    check_split(dataset, "train", train)
    check_split(dataset, "val", val)
    return train_candidate(contract, parameters, train, val, norm_stats, checkpoints)


def train_line(
    contract: ExperimentContract, folds: Sequence[Mapping[str, pd.DataFrame]], checkpoints: Path
) -> tuple[TrainedModel, TrainingMetrics]:
    """Train each fold on its rows; the last one's model, with the others behind it, and its metrics."""
    trained: list[TrainedModel] = []
    of_folds = fold_parameters(contract.parameters)
    for fold, (parameters, rows) in enumerate(zip(of_folds, folds, strict=True), 1):
        logger.info("L3 fold %s of %s", fold, parameters.splits.folds)
        train, val, folder = rows["train"], rows["val"], checkpoints / f"fold-{fold}"
        model, metrics = train_candidate(contract, parameters, train, val, fit_norm_stats(train), folder)
        trained.append(model)
    return trained[-1]._replace(earlier=tuple(trained[:-1])), metrics


def _rows_of_folds(splits: pd.DataFrame, n_folds: int | None) -> list[dict[str, pd.DataFrame]]:
    """Take train and val of each fold from what `verify_dataset` let through."""
    folds = range(1, (n_folds or 0) + 1)
    return [{n: pd.DataFrame(splits.loc[f"{fold}/{n}"]) for n in ("train", "val")} for fold in folds]


def train_candidate(
    contract: ExperimentContract,
    parameters: Parameters,
    train: pd.DataFrame,
    val: pd.DataFrame,
    norm_stats: NormStats,
    checkpoints: Path,
) -> tuple[TrainedModel, TrainingMetrics]:
    """Train every seed of a contract, or of a fold of it, on rows of train and val; choose the candidate."""
    rival = fit_linear_rival(parameters, train, val, norm_stats) if contract.has_linear_rival else None
    if parameters.training.engine == "linear":
        results = [train_linear(parameters, train, val, norm_stats)]
    else:
        with training_progress(parameters.training.seeds) as show:
            results = train_seeds(parameters, train, val, norm_stats, checkpoints, show, available_cores())
    candidate = select_candidate(results)
    metrics = training_metrics(parameters.training.engine, candidate, results, rival.fit if rival else None)
    files = bundle_files(contract, candidate, metrics, rival)
    zip_name = f"model_{contract.experiment_name}_v{contract.experiment_version}.zip"
    return TrainedModel(candidate.policy, files, zip_name), metrics


def bundle_files(
    contract: ExperimentContract,
    candidate: TrainingResult,
    metrics: TrainingMetrics,
    rival: FittedRival | None,
) -> dict[str, bytes]:
    """Make what the bundle holds beside the policy: bytes that depend on contract and data alone."""
    return {
        **({} if candidate.sb3_zip is None else {"model.zip": candidate.sb3_zip}),
        **({} if rival is None else {LINEAR_RIVAL: tensor_bytes(rival.policy)}),
        **contract_files(contract),
        "training_metrics.json": metrics.reproducible_json(),
    }


def seal_training(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    candidate: Bundle,
    metrics: TrainingMetrics,
    splits: pd.DataFrame,
) -> TrainingRecord:
    """Record the candidate, every seed, of a line every fold, and what they were made from."""
    model_hash = candidate.policy.model_hash
    seeds = tuple(SeedRecord(**seed.model_dump(exclude={"curve"})) for seed in metrics.seeds)
    record = TrainingRecord(
        experiment_name=contract.experiment_name,
        model_id=f"{contract.experiment_name}_{contract.created_at:%Y%m%d}_{short(candidate.manifest_hash)}",
        model_hash=model_hash,
        model_path=str(candidate.folder),
        manifest_hash=candidate.manifest_hash,
        dataset_hash=dataset.dataset_hash,
        config_hash=contract.config_hash,
        reward_config_hash=contract.reward_config_hash,
        curriculum_final_phase=metrics.final_phase,
        training_duration_seconds=round(sum(seed.duration_seconds for seed in seeds), 3),
        **metrics.model_dump(include=_OF_METRICS),
        seeds=seeds,
        linear_rival=metrics.linear_rival,
        trained_by=contract.trained_by,
        mlflow_run_id=active_run_id(),
        folds=_folds(contract, candidate, splits),
    )
    logger.info("L3 %s: %s", record.model_id, _summary(record))
    return record


def _folds(contract: ExperimentContract, candidate: Bundle, splits: pd.DataFrame) -> tuple[FoldRecord, ...]:
    if not isinstance(candidate, Line):
        return ()
    return fold_records(contract, candidate, _rows_of_folds(splits, len(candidate.bundles)))


def delete_checkpoints(record: TrainingRecord, checkpoints: Path) -> None:
    """Delete the checkpoints: once the record stands, they have served."""
    shutil.rmtree(checkpoints, ignore_errors=True)


def report_training(contract: ExperimentContract, record: TrainingRecord, metrics: TrainingMetrics) -> str:
    """Draw how the seeds learned."""
    from dosvotos.reports.training import render_training

    return render_training(contract, record, metrics.curves)


def _summary(record: TrainingRecord) -> str:
    returns = [seed.best_val_reward for seed in record.seeds]
    spread, seconds = summarize_returns(returns), record.training_duration_seconds
    if spread.deviation is None:
        return f"{record.timesteps:,} steps in {seconds:.0f} s, best val return {record.best_val_reward:+.2%}"
    return (
        f"{len(returns)} seeds in {seconds:.0f} s of work, val return of the best ({record.seed}) "
        f"{record.best_val_reward:+.2%}, mean {spread.mean:+.2%}, standard deviation {spread.deviation:.2%}, "
        f"worst {spread.worst:+.2%}"
    )
