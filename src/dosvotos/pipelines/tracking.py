"""MLflow, where it is installed: what a training run shows beside its record."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

_MAX_PARAM = 500


def active_run_id() -> str | None:
    """Id of the run kedro-mlflow opened, or None without MLflow or with tracking off."""
    if find_spec("mlflow") is None:
        return None
    import mlflow

    run = mlflow.active_run()
    return run.info.run_id if run else None


def log_training(
    config: Mapping[str, Any], tags: Mapping[str, str], curve: Sequence[Mapping[str, Any]]
) -> None:
    """Log the flattened contract, the hashes as tags and the validation curve to the active run."""
    if active_run_id() is None:
        return
    import mlflow

    mlflow.log_params({name: str(value)[:_MAX_PARAM] for name, value in config.items()})
    mlflow.set_tags(dict(tags))
    for point in curve:
        figures = {n: v for n, v in point.items() if isinstance(v, float)}
        mlflow.log_metrics(figures, step=point["timesteps"])


def log_backtest(metrics: Mapping[str, Any]) -> None:
    """Log the out-of-sample figures that are defined to the active run."""
    if active_run_id() is None:
        return
    import mlflow

    mlflow.log_metrics({f"test_{n}": float(v) for n, v in metrics.items() if v is not None})
