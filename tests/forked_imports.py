"""What a forked process finds imported: all but what depends on its arguments, folder or environment.

That is Kedro's view of a project (`dosvotos.settings`, `dosvotos.cli`), and torch and MLflow, which our
programs load in processes of their own.
"""

import importlib

MODULES = (
    "dosvotos.commands.main",
    "dosvotos.commands.audit",
    "dosvotos.commands.data",
    "dosvotos.commands.jobs",
    "dosvotos.commands.leakcheck",
    "dosvotos.commands.live",
    "dosvotos.datasets.database",
    "dosvotos.datasets.files",
    "dosvotos.datasets.models",
    "dosvotos.hooks",
    "dosvotos.pipelines.backtest",
    "dosvotos.pipelines.data_acquisition",
    "dosvotos.pipelines.dataset",
    "dosvotos.pipelines.inference",
    "dosvotos.pipelines.promotion",
    "dosvotos.pipelines.training",
    "dosvotos.runner",
    "kedro.framework.cli.project",
    "tests.faults.voting",
    "tests.forked",
)

for _name in MODULES:
    importlib.import_module(_name)
