"""Kedro's own commands, where a package they need is missing."""

import re
import tomllib
import webbrowser

import pytest

from dosvotos import cli
from dosvotos.errors import ProjectError
from tests.conftest import ROOT


@pytest.mark.parametrize("command", cli._NEEDED)
def test_a_command_of_kedro_without_its_package_names_what_installs_it(command, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    with pytest.raises(ProjectError) as caught:
        cli._refuse_without_package(command)
    message = str(caught.value)
    assert message.startswith(f"kedro {command}: ") and "\n" not in message
    (target,), (extra,) = re.findall(r"'make ([\w-]+)'", message), re.findall(r"\.\[(\w+)\]", message)
    assert re.search(rf"^{target}: ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extra in extras


def test_commands_whose_packages_are_there_or_that_need_none_go_on():
    for command in ("", "run", "registry", "viz"):
        cli._refuse_without_package(command)


def test_kedro_viz_opens_on_the_picture_unless_told_otherwise(monkeypatch):
    from kedro_viz.launchers import utils
    from kedro_viz.launchers.cli.run import run

    opened: list[str] = []
    monkeypatch.setattr(utils, "_start_browser", utils._start_browser)  # which the next line replaces
    monkeypatch.setattr(webbrowser, "open_new", opened.append)
    cli._show_lineage_by_default()
    assert {option.name: option.default for option in run.params}["pipeline"] == "lineage"
    for host in ("127.0.0.1", "192.0.2.1"):
        utils._start_browser(host, 4141)
    assert opened == ["http://127.0.0.1:4141/?types=nodes"]
