"""Kedro's settings: how configuration is found and merged, and which hooks run."""

import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import yaml
from kedro.framework.cli import cli as kedro_cli
from kedro.framework.project import LOGGING

from dosvotos import process_settings  # noqa: F401  before anything large
from dosvotos.config_loader import LOADER_ARGS, StrictConfigLoader
from dosvotos.hooks import (
    CandidateHooks,
    Context,
    FreshnessHooks,
    MlflowHooks,
    OutboxHooks,
    ParameterHooks,
    PartHooks,
    ProductionHooks,
    RunHooks,
    TrainingHooks,
    guard_runs,
)
from dosvotos.project import find_root
from dosvotos.redaction import hide_secrets_in_logs

_VIZ_WORKFLOW, _VIZ_STATISTICS = "pipeline-run-hook", "kedro-dataset-stats"


def _configure_logging() -> None:
    """Do from subfolders what Kedro does in the root only; log warnings at their level, and no secret."""
    logging.captureWarnings(True)
    hide_secrets_in_logs()
    file = (find_root() or Path()) / "conf/logging.yml"
    if "KEDRO_LOGGING_CONFIG" not in os.environ and os.access(file, os.R_OK):
        LOGGING.configure(yaml.safe_load(file.read_text()))


def _plugins_left_out() -> tuple[ModuleType, ...]:
    """Leave out what costs seconds: ``kedro run`` needs no plugin's commands, a tick no kedro-viz statistics.

    And kedro-viz's record of a workflow, which knows `SequentialRunner` alone and warns in any other run.
    Kedro loads no plugin's hooks under a name that is taken; empty modules take them.
    """
    workflow = ModuleType(_VIZ_WORKFLOW)
    if sys.argv[1:2] != ["run"]:
        return (workflow,)
    kedro_cli.load_entry_points = lambda name: []
    tick = any(word.rpartition("=")[2] == "inference" for word in sys.argv)
    beside_a_wheel = not ((find_root() or Path()) / "pyproject.toml").is_file()  # no project to kedro-viz
    return (workflow, ModuleType(_VIZ_STATISTICS)) if tick or beside_a_wheel else (workflow,)


def _search_once(package: str) -> None:
    """Let Python remember that a package is not installed; it would search for it at every import.

    Kedro imports ibis for each of a thousand parameters that it puts into the catalog.
    """
    if package not in sys.modules and find_spec(package) is None:
        sys.modules[package] = None  # type: ignore[assignment]  # what Python takes for "not there"


_configure_logging()
_search_once("ibis")

CONTEXT_CLASS = Context
_RUN_HOOKS = RunHooks()
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)  # beside a wheel there is no .telemetry to refuse it
HOOKS = (
    ParameterHooks(),
    CandidateHooks(),
    _RUN_HOOKS,
    MlflowHooks(),
    OutboxHooks(),
    TrainingHooks(),
    FreshnessHooks(),
    PartHooks(),
    ProductionHooks(),
    *_plugins_left_out(),
)
guard_runs(_RUN_HOOKS)

CONFIG_LOADER_CLASS = StrictConfigLoader
CONFIG_LOADER_ARGS = LOADER_ARGS
