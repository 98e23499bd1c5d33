"""Every command told what does not exist: a message that a user can act on, never a traceback."""

import errno
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from kedro.io import DatasetError

from dosvotos.commands.errors import message_of
from dosvotos.commands.main import cli
from tests.migrated import copy_migrated
from tests.project import new_project

NO_ERRORS = {
    "live": "waits for bars until it is stopped",
    "jobs": "waits for requests until it is stopped, or finds none",
    "watch": "waits until it is stopped",
    "likeness": "measures for seconds, whatever it is told",
}
"""Commands that are left out, and why."""
OF_TYPE = {"integer": "999999", "float": "1e99", "path": "nowhere/none.db", "filename": "nowhere/none"}


def leaves(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from leaves(command.get_command(context, name), (*words, name))
    else:
        yield words, command


def value_of(parameter: click.Parameter) -> str:
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return str(next(iter(kind.choices)))
    if isinstance(kind, click.DateTime):
        return "2031-02-03"
    if isinstance(kind, click.IntRange | click.FloatRange):
        return str(kind.max if kind.max is not None else kind.min if kind.min is not None else 7)
    return OF_TYPE.get(kind.name, "no-such-thing")


def hostile(command: click.Command, everything: bool) -> list[str]:
    """Give every required parameter, or each there is, a value that names nothing."""
    words: list[str] = []
    for one in command.params:
        if isinstance(one, click.Argument):
            words += [value_of(one)]
        elif isinstance(one, click.Option) and one.name != "help" and (one.required or everything):
            words += [one.opts[0]] if one.is_flag else [one.opts[0], value_of(one)]
    return words


COMMANDS = [(words, one) for words, one in leaves(cli) if words[0] not in NO_ERRORS]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    root = new_project(tmp_path).root
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize(
    "database",
    [
        "empty",
        pytest.param("none", marks=pytest.mark.campaign),
        pytest.param("garbage", marks=pytest.mark.campaign),
    ],
)
def test_a_command_that_is_told_what_does_not_exist_says_so(project, database):
    """By required parameters alone, and by all there are; a traceback is where `message_of` has no word."""
    file, wrong, n_refused = project / "data/dosvotos.db", [], 0
    for words, command in COMMANDS:
        for everything in (False, True):
            file.unlink(missing_ok=True)
            if database == "empty":
                copy_migrated(file)
            if database == "garbage":
                file.write_bytes(b"this is no database at all" * 100)
            done = CliRunner().invoke(cli, [*words, *hostile(command, everything)])
            n_refused += done.exit_code != 0
            if done.exception is None or isinstance(done.exception, SystemExit):
                continue
            message = message_of(done.exception)
            if message is None or "stored row or file was edited" in message:
                wrong.append((words, everything, message or repr(done.exception)))
    assert not wrong, wrong
    assert n_refused > len(COMMANDS)


def test_an_error_of_the_machine_names_the_file_and_the_cure():
    full = OSError(errno.ENOSPC, "No space left on device", "data/dosvotos.db")
    assert message_of(full) == (
        "data/dosvotos.db: No space left on device; free some space, then run the command again"
    )
    assert message_of(OSError(errno.EIO, "Input/output error")) is None
    dataset = DatasetError("raw_bars: cannot be saved")
    dataset.__cause__ = full
    assert message_of(dataset) == "raw_bars: cannot be saved; free some space, then run the command again"
    dataset.__cause__ = OSError(errno.EIO, "Input/output error")
    assert message_of(dataset) == "raw_bars: cannot be saved"
