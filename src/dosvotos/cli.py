"""Kedro's extension point: importing it makes every ``kedro`` command report mistakes without a traceback."""

import atexit
import gc
import os
import sys
from pathlib import Path

import click

from dosvotos.commands.errors import install_excepthook

install_excepthook()
atexit.register(gc.freeze)  # or the interpreter walks all that torch and MLflow made, for 2 to 3 s


@click.group(name="dosvotos")
def cli() -> None:
    """Dos Votos adds no command to kedro's own; see ``dosvotos --help``."""


def _prepare_mlflow_ui() -> None:
    """Let ``kedro mlflow ui`` work: its default --env is none of ours, and it looks for mlflow in PATH."""
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    from kedro_mlflow.framework.cli.cli import ui

    for option in ui.params:
        if option.name == "env":
            option.default = "demo"


def _overlap_by_default() -> None:
    """Let ``kedro run`` without --runner work on while other processes train."""
    from kedro.framework.cli.project import run

    for option in run.params:
        if option.name == "runner":
            option.default = "dosvotos.runner.OverlappingRunner"


if sys.argv[1:2] == ["run"]:
    _overlap_by_default()
if sys.argv[1:2] == ["mlflow"]:
    _prepare_mlflow_ui()
