"""What MLflow shows of a run, in plain values: its process imports none of the records they come from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dosvotos.backtest.metrics import Metrics
from dosvotos.contracts.experiment import ExperimentContract, flatten
from dosvotos.contracts.records import SeedRecord, TrainingRecord
from dosvotos.mlflow_tracking import Point, RunFigures, TrainingLog
from dosvotos.training.results import TrainingMetrics, Validation, summarize_returns

_TAGS_OF_RECORD = (
    "config_hash", "reward_config_hash", "dataset_hash", "model_hash", "manifest_hash", "model_id", "engine",
    "seed",
)  # fmt: skip
_ALWAYS_SHOWN = ("experiment.name", "experiment.version", "experiment.instrument")


def own_parameters(folder: Path, runtime: Mapping[str, Any], resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten those of the `resolved` parameters that the experiment's `folder` or --params set."""
    names = dict.fromkeys((*_ALWAYS_SHOWN, *flatten(dict(runtime))))
    for file in sorted(folder.rglob("*.yml")):
        if any(part.startswith("parameters") for part in file.relative_to(folder).parts):
            names |= flatten(yaml.safe_load(file.read_text()) or {})
    values = flatten(dict(resolved))
    return {name: values[name] for name in names if name in values}


def training_log(
    contract: ExperimentContract, record: TrainingRecord, metrics: TrainingMetrics, report: str, bundle: Path
) -> TrainingLog:
    """Gather a training's hashes, the candidate's curves, files, and of several seeds a run each."""
    curves = metrics.curves
    files = {"training_report.html": report, "training_record.json": record.model_dump_json(indent=2)}
    seeds = record.seeds if len(record.seeds) > 1 else ()
    return TrainingLog(
        figures=RunFigures(_points(_spread(record), curves[record.seed]), _tags(contract, record)),
        files=files,
        bundle=bundle,
        seeds={f"seed {seed.seed}": _of_seed(seed, record, curves[seed.seed]) for seed in seeds},
    )


def backtest_figures(metrics: Metrics) -> RunFigures:
    """Take the out-of-sample figures that are defined."""
    defined = {f"test_{name}": float(value) for name, value in metrics if value is not None}
    return RunFigures(_points(defined), {})


def _of_seed(seed: SeedRecord, record: TrainingRecord, curve: Sequence[Validation]) -> RunFigures:
    tags = {
        "seed": str(seed.seed),
        "engine": record.engine,
        "model_hash": seed.model_hash,
        "candidate": str(seed.seed == record.seed).lower(),
    }
    return RunFigures(_points({"best_val_return": seed.best_val_reward}, curve), tags)


def _tags(contract: ExperimentContract, record: TrainingRecord) -> dict[str, str]:
    return {
        "contract_id": f"{contract.contract_id} {contract.contract_version}",
        **{name: str(getattr(record, name)) for name in _TAGS_OF_RECORD},
        "seeds": ", ".join(str(seed.seed) for seed in record.seeds),
    }


def _spread(record: TrainingRecord) -> dict[str, float]:
    returns = [seed.best_val_reward for seed in record.seeds]
    spread = {f"val_return_{name}": value for name, value in summarize_returns(returns) if value is not None}
    return {"best_val_return": record.best_val_reward, **spread}


def _points(figures: Mapping[str, float], curve: Sequence[Validation] = ()) -> tuple[Point, ...]:
    """Give figures of the whole run, and those of each validation at its step."""
    of_curve = (
        Point(name, value, validation.timesteps)
        for validation in curve
        for name, value in _figures(validation).items()
    )
    return (*(Point(name, value, 0) for name, value in figures.items()), *of_curve)


def _figures(validation: Validation) -> dict[str, float]:
    figures = {
        "val_return": validation.val_return,
        "val_exposure": validation.val_exposure,
        "val_trades": float(validation.val_trades),
        **{f"reward/{name}": value for name, value in (validation.reward_components or {}).items()},
        **{f"train/{name}": value for name, value in validation.losses.items()},
    }
    if validation.val_sharpe is not None:
        figures["val_sharpe"] = validation.val_sharpe
    if validation.episode_reward is not None:
        figures["episode_reward"] = validation.episode_reward
    return figures
