"""Kedro's extension point: importing it makes every ``kedro`` command report mistakes without a traceback."""

import atexit
import gc
import os
import sys
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click

from dosvotos.commands.errors import install_excepthook
from dosvotos.errors import ProjectError

install_excepthook()
atexit.register(gc.freeze)  # or the interpreter walks all that torch and MLflow made, for 2 to 3 s


_NEEDED: Final = {
    "ipython": ("IPython", "run"), "jupyter": ("jupyterlab", "notebooks"), "viz": ("kedro_viz", "viz"),
    "mlflow": ("kedro_mlflow", "run"),
}  # fmt: skip
"""What a command of Kedro needs, and the target and extra that install it."""


@click.group(name="dosvotos")
def cli() -> None:
    """Dos Votos adds no command to kedro's own; see ``dosvotos --help``."""


def _refuse_without_package(command: str) -> None:
    """Say what installs what a command needs; Kedro names a requirements.txt that is not there."""
    package, extra = _NEEDED.get(command, ("sys", ""))
    if find_spec(package) is None:
        raise ProjectError(
            f"kedro {command}: {package} is not installed; 'make {extra}' installs it, as does "
            f"'.venv/bin/pip install -c constraints.txt -e .[{extra}]'"
        )


def _find_own_programs() -> None:
    """Let Kedro start this environment's ipython and mlflow, which it looks for in PATH."""
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))


def _prepare_mlflow_ui() -> None:
    """Let ``kedro mlflow ui`` work, whose default --env is none of ours."""
    from kedro_mlflow.framework.cli.cli import ui

    for option in ui.params:
        if option.name == "env":
            option.default = "demo"


def _overlapping_run() -> click.Command:
    """Give Kedro's run, which without --runner works on while other processes train."""
    from kedro.framework.cli.project import run

    for option in run.params:
        if option.name == "runner":
            option.default = "dosvotos.runner.OverlappingRunner"
    command: click.Command = run
    return command


def _open_on_blocks(host: str, port: int) -> None:
    """Open kedro-viz with datasets filtered out: seven labels of full size; its filter brings them back."""
    if host in ("127.0.0.1", "localhost", "0.0.0.0"):
        webbrowser.open_new(f"http://{host}:{port}/?types=nodes")


def _show_lineage_by_default() -> None:
    """Let ``kedro viz`` without --pipeline open on six blocks and the vote, not on a hundred nodes."""
    from kedro_viz.launchers import utils
    from kedro_viz.launchers.cli.run import run

    utils._start_browser = _open_on_blocks

    for option in run.params:
        if option.name == "pipeline":
            option.default = "lineage"


def __getattr__(name: str) -> click.Command:
    """Give ``run``, by which name Kedro finds it in a package, once it is asked for."""
    if name == "run":
        return _overlapping_run()
    raise AttributeError(name)


_refuse_without_package("".join(sys.argv[1:2]))
if sys.argv[1:2] == ["viz"]:
    _show_lineage_by_default()
if sys.argv[1:2] == ["run"]:
    _overlapping_run()
if sys.argv[1:2] in (["ipython"], ["jupyter"], ["mlflow"]):
    _find_own_programs()
if sys.argv[1:2] == ["mlflow"]:
    _prepare_mlflow_ui()
