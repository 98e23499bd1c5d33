"""Kedro's settings: how configuration is found and merged, and which hooks run."""

import os
from datetime import UTC, datetime

from dosvotos.config_loader import StrictConfigLoader
from dosvotos.hooks import CatalogHooks, FreshnessHooks, LockHooks, ParameterHooks, TrackingHooks

HOOKS = (ParameterHooks(), CatalogHooks(), TrackingHooks(), LockHooks(), FreshnessHooks())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _mlflow_tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///data/mlflow.db"


CONFIG_LOADER_CLASS = StrictConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "demo",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**"]},
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "custom_resolvers": {"now": _now, "mlflow_tracking_uri": _mlflow_tracking_uri},
}
