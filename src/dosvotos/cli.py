"""Kedro's extension point: importing it makes every ``kedro`` command report mistakes without a traceback."""

import sys

import click

from dosvotos.commands.errors import install_excepthook

install_excepthook()


@click.group(name="dosvotos")
def cli() -> None:
    """Dos Votos adds no command to kedro's own; see ``dosvotos --help``."""


def _show_mlflow_of_demo() -> None:
    """Let ``kedro mlflow ui`` work without --env: its default, conf/local, is none of our experiments."""
    from kedro_mlflow.framework.cli.cli import ui

    for option in ui.params:
        if option.name == "env":
            option.default = "demo"


if sys.argv[1:2] == ["mlflow"]:
    _show_mlflow_of_demo()
