"""MLflow, where it is installed: what a training run shows beside its record."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dosvotos.contracts.experiment import ExperimentContract, flatten
from dosvotos.contracts.records import TrainingRecord
from dosvotos.training.results import Validation, summarize_returns

_MAX_PARAM = 500
_MAX_BATCH = 1000


def active_run_id() -> str | None:
    """Id of the run kedro-mlflow opened, or None without MLflow or with tracking off."""
    if find_spec("mlflow") is None:
        return None
    import mlflow

    run = mlflow.active_run()
    return run.info.run_id if run else None


def log_training(
    contract: ExperimentContract,
    record: TrainingRecord,
    curves: Mapping[int, Sequence[Validation]],
    report: str,
    bundle: Path,
) -> None:
    """Log a training to the active run: parameters, hashes, the candidate's curves, and the files.

    Of several seeds each has a run of its own below it, so that MLflow draws a figure's curves together.
    """
    if active_run_id() is None:
        return
    import mlflow

    mlflow.log_params({n: str(v)[:_MAX_PARAM] for n, v in flatten(contract.frozen_config).items()})
    mlflow.set_tags(_tags(contract, record))
    client, parent = mlflow.MlflowClient(), mlflow.active_run()
    _log_curve(client, parent.info.run_id, curves[record.seed])
    mlflow.log_metrics(_spread(record))
    mlflow.log_text(report, "training_report.html")
    mlflow.log_text(record.model_dump_json(indent=2), "training_record.json")
    mlflow.log_artifacts(str(bundle), "bundle")
    for seed in record.seeds if len(record.seeds) > 1 else ():
        tags = {
            "mlflow.parentRunId": parent.info.run_id,
            "seed": str(seed.seed),
            "engine": record.engine,
            "model_hash": seed.model_hash,
            "candidate": str(seed.seed == record.seed).lower(),
        }
        child = client.create_run(parent.info.experiment_id, tags=tags, run_name=f"seed {seed.seed}")
        _log_curve(client, child.info.run_id, curves[seed.seed])
        client.log_metric(child.info.run_id, "best_val_return", seed.best_val_reward)
        client.set_terminated(child.info.run_id)


def _tags(contract: ExperimentContract, record: TrainingRecord) -> dict[str, str]:
    tags = {
        "contract_id": f"{contract.contract_id} {contract.contract_version}",
        "config_hash": record.config_hash,
        "reward_config_hash": record.reward_config_hash,
        "dataset_hash": record.dataset_hash,
        "model_hash": record.model_hash,
        "manifest_hash": record.manifest_hash,
        "model_id": record.model_id,
        "engine": record.engine,
        "seed": str(record.seed),
        "seeds": ", ".join(str(seed.seed) for seed in record.seeds),
    }
    commit = git_commit()
    return {**tags, "git_commit": commit} if commit else tags


def git_commit() -> str | None:
    """The commit of the project's folder, marked where files differ from it; None outside git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _spread(record: TrainingRecord) -> dict[str, float]:
    returns = [seed.best_val_reward for seed in record.seeds]
    spread = {f"val_return_{n}": v for n, v in summarize_returns(returns)._asdict().items() if v is not None}
    return {"best_val_return": record.best_val_reward, **spread}


def _log_curve(client: Any, run_id: str, curve: Sequence[Validation]) -> None:
    """All points in few calls: each costs the store a transaction."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    points = [
        Metric(name, value, now, validation.timesteps)
        for validation in curve
        for name, value in _figures(validation).items()
    ]
    for first in range(0, len(points), _MAX_BATCH):
        client.log_batch(run_id, metrics=points[first : first + _MAX_BATCH])


def _figures(validation: Validation) -> dict[str, float]:
    figures = {
        "val_return": validation.val_return,
        "val_exposure": validation.val_exposure,
        "val_trades": float(validation.val_trades),
        **{f"reward/{name}": value for name, value in (validation.reward_components or {}).items()},
        **{f"train/{name}": value for name, value in validation.losses.items()},
    }
    if validation.episode_reward is not None:
        figures["episode_reward"] = validation.episode_reward
    return figures


def log_backtest(metrics: Mapping[str, Any]) -> None:
    """Log the out-of-sample figures that are defined to the active run."""
    if active_run_id() is None:
        return
    import mlflow

    mlflow.log_metrics({f"test_{n}": float(v) for n, v in metrics.items() if v is not None})
