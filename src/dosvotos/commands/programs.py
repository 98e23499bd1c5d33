"""``dosvotos run`` and ``dosvotos app``: Kedro's run and the app, also where the wheel alone is installed."""

import sys
from importlib.util import find_spec

import click

from dosvotos.errors import ProjectError
from dosvotos.project import enter_root

_FORWARDED = {"ignore_unknown_options": True, "help_option_names": []}
"""Of a command whose words, --help among them, are another program's."""


@click.command(context_settings=_FORWARDED, options_metavar="")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF KEDRO RUN]")
def run(words: tuple[str, ...]) -> None:
    """Run pipelines: what 'kedro run' does, and takes."""
    from kedro.framework.cli.utils import find_run_command
    from kedro.framework.project import configure_project

    configure_project("dosvotos")
    find_run_command("dosvotos").main(args=list(words), prog_name="dosvotos run")


@click.command(context_settings=_FORWARDED, options_metavar="")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--host HOST] [--port PORT]")
def app(words: tuple[str, ...]) -> None:
    """Serve the approval app and its REST API on this machine."""
    absent = [name for name in ("streamlit", "fastapi", "uvicorn") if find_spec(name) is None]
    if absent:
        raise ProjectError(f"app: {', '.join(absent)} not installed; run pip install 'dosvotos[app]'")
    sys.path.append(str(enter_root()))  # of a project's own source an install knows src/ alone
    from streamlit_app.__main__ import main

    sys.exit(main(list(words)))
