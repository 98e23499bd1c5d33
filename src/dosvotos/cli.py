"""Kedro's extension point: importing it makes every ``kedro`` command report mistakes without a traceback."""

import click

from dosvotos.commands.errors import install_excepthook

install_excepthook()


@click.group(name="dosvotos")
def cli() -> None:
    """Dos Votos adds no command to kedro's own; see ``dosvotos --help``."""
