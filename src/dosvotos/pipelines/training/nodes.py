"""Nodes of L3."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dosvotos.contracts.experiment import (
    ExperimentContract,
    check_unchanged,
    flatten,
    reward_config,
)
from dosvotos.contracts.parameters import read_parameters
from dosvotos.contracts.records import DatasetRecord, TrainingRecord
from dosvotos.database.contracts import ContractBook
from dosvotos.datasets.models import TrainedModel
from dosvotos.hashing import short
from dosvotos.lineage.chain import check_contract, check_dataset, check_split
from dosvotos.market.normalization import NormStats
from dosvotos.pipelines.tracking import active_run_id, log_training
from dosvotos.policy.bundle import Bundle

logger = logging.getLogger(__name__)


def verify_dataset(
    contract: ExperimentContract,
    record: DatasetRecord,
    train: pd.DataFrame,
    val: pd.DataFrame,
    norm_stats: NormStats,
    book: ContractBook,
    parameters: dict[str, Any],
) -> dict[str, pd.DataFrame]:
    """Let only the contract's own, unaltered dataset through."""
    check_contract(contract, book.registered(contract))
    check_unchanged(contract, read_parameters(parameters))
    check_dataset(contract, record, norm_stats)
    check_split(record, "train", train)
    check_split(record, "val", val)
    return {"train": train, "val": val}


def train_policy(
    contract: ExperimentContract, splits: dict[str, pd.DataFrame], norm_stats: NormStats
) -> tuple[TrainedModel, dict[str, Any]]:
    """Train by the contract; the best policy on val is kept."""
    from dosvotos.training.ppo import train

    parameters = contract.parameters
    with _progress_bar() as show:
        result = train(parameters, splits["train"], splits["val"], norm_stats, show)
    curve = [validation._asdict() for validation in result.curve]
    metrics = {
        "best_val_reward": result.best_val_return,
        "best_reward": result.best_episode_reward,
        "final_phase": result.final_phase,
        "timesteps": result.timesteps,
        "torch_threads": result.torch_threads,
        "curve": curve,
    }
    tags = {
        "config_hash": contract.config_hash,
        "reward_config_hash": contract.reward_config_hash,
        "model_hash": result.policy.digest,
    }
    log_training(flatten(contract.frozen_config), tags, curve)
    files = {
        "model.zip": result.sb3_zip,
        "config.yaml": yaml.safe_dump(contract.frozen_config, sort_keys=True).encode(),
        "reward_config.json": json.dumps(reward_config(parameters), indent=2, sort_keys=True).encode(),
        "training_metrics.json": json.dumps(metrics, indent=2).encode(),
    }
    zip_name = f"model_{contract.experiment_name}_v{contract.experiment_version}.zip"
    return TrainedModel(result.policy, files, zip_name), {
        **metrics,
        "duration_seconds": result.duration_seconds,
    }


def seal_training(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    candidate: Bundle,
    metrics: dict[str, Any],
) -> TrainingRecord:
    """Record the candidate and what it was made from."""
    model_hash = candidate.policy.digest
    record = TrainingRecord(
        experiment_name=contract.experiment_name,
        model_id=f"{contract.experiment_name}_{contract.created_at:%Y%m%d}_{short(model_hash)}",
        model_hash=model_hash,
        model_path=str(candidate.folder),
        manifest_hash=candidate.manifest_hash,
        dataset_hash=dataset.dataset_hash,
        config_hash=contract.config_hash,
        reward_config_hash=contract.reward_config_hash,
        curriculum_final_phase=metrics["final_phase"],
        training_duration_seconds=round(metrics["duration_seconds"], 3),
        timesteps=metrics["timesteps"],
        best_val_reward=metrics["best_val_reward"],
        best_reward=metrics["best_reward"],
        seed=contract.parameters.training.seed,
        torch_threads=metrics["torch_threads"],
        trained_by=contract.trained_by,
        mlflow_run_id=active_run_id(),
    )
    logger.info(
        "L3 %s: %s steps in %.0f s, best val return %+.2f%%",
        record.model_id,
        f"{record.timesteps:,}",
        record.training_duration_seconds,
        100 * record.best_val_reward,
    )
    return record


@contextmanager
def _progress_bar() -> Iterator[Any]:
    columns = (
        TextColumn("L3 {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[val]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=None, val="")

        def show(phase: str, done: int, total: int, val_return: float | None) -> None:
            val = "" if val_return is None else f"val {val_return:+.2%}"
            done = min(done, total)
            progress.update(task, description=phase, completed=done, total=total, val=val)

        yield show
