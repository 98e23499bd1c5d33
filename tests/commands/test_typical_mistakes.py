"""Commands and configuration with the usual mistakes: one message that says what to do, no traceback."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from kedro.framework.session import KedroSession

from dosvotos.commands.errors import message_of
from dosvotos.commands.main import cli
from dosvotos.config_loader import load_parameters
from dosvotos.database.connection import URL_VARIABLE
from tests.commands.test_every_command import COMMANDS, value_of
from tests.conftest import ROOT
from tests.migrated import copy_migrated
from tests.project import new_project
from tests.test_error_messages import says_what_to_do

pytestmark = pytest.mark.slow


def _huge(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(5 << 30)


MAKE_FILE: dict[str, Callable[[Path], object]] = {
    "missing": lambda file: file,
    "a folder": Path.mkdir,
    "empty": lambda file: file.write_bytes(b""),
    "not UTF-8": lambda file: file.write_bytes(b"time,side\n\xff\xfe\xfa,\x80\n" * 9),
    "zero bytes": lambda file: file.write_bytes(bytes(4096)),
    "huge": _huge,
    "a pipe": os.mkfifo,
    "a broken link": lambda file: file.symlink_to("nowhere"),
    "a picture": lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(200)),
    "JSON": lambda file: file.write_text('{"a": [1, NaN, {"b": null}]}'),
    "YAML": lambda file: file.write_text("version: .nan\nquorum: -1\nevidence: [1, 2]\n"),
}
NUMBERS = ("-1", "0", "nan", "inf", "1e400", "99999999999999999999", "zwei", "", "0x10", "1.5")
DATABASES = {
    "no URL": "dosvotos.db",
    "empty scheme": "://",
    "another kind": "mysql://me:secret@host/d",
    "a folder": "sqlite:///conf",
    "no SQLite": "sqlite:///pyproject.toml",
    "below a file": "sqlite:///pyproject.toml/a.db",
    "no port": "postgresql://me:secret@127.0.0.1:port/d",
    "closed port": "postgresql://me:secret@127.0.0.1:1/d",
    "no such host": "postgresql://me:secret@no-such-host.invalid/d",
    "unknown option": "postgresql://me:secret@127.0.0.1:1/d?nonsense=1",
    "a driver that is not there": "postgresql+pg8000://me:secret@127.0.0.1:1/d",
    "a quote": "postgresql://me:sec'ret@[::1/d",
}
IN_CI = {"a list for a section", "no UTF-8", "a list at the top", "a folder", "no port"}
"""Mistakes that `make test` makes; `make campaign` makes all."""
ENVIRONMENTS = (
    "exp9",
    "base",
    "..",
    "../conf/demo",
    "",
    "demo ",
    "Demo",
    "/tmp",
    "a" * 300,
    "démo",
    "de\x01mo",
)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    folder = new_project(tmp_path / "project").root
    copy_migrated(folder / "data/dosvotos.db")
    monkeypatch.chdir(folder)
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    return folder


def trouble(*words: str) -> str | None:
    """Run a command; a traceback, or a message that leaves its reader alone."""
    done = CliRunner().invoke(cli, words)
    if done.exception is None or isinstance(done.exception, SystemExit):
        return f"{words}: traceback" if "Traceback" in done.output else None
    message = message_of(done.exception)
    if message is None:
        return f"{words}: {done.exception!r}"
    return None if says_what_to_do(message) else f"{words}: {message}"


def required(command: click.Command, but: click.Parameter) -> list[str]:
    words = []
    for one in command.params:
        if one is not but and isinstance(one, click.Argument) and one.required:
            words.append(value_of(one))
        elif one is not but and isinstance(one, click.Option) and one.required and one.name != "help":
            words += [one.opts[0], value_of(one)]
    return words


def given(
    words: tuple[str, ...], command: click.Command, parameter: click.Parameter, value: str
) -> list[str]:
    name = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
    others = required(command, parameter)
    return [*words, *others, *(name or ["--"]), value]


PATHS = [
    (words, command, parameter)
    for words, command in COMMANDS for parameter in command.params
    if isinstance(parameter.type, click.Path) and words[0] != "drill"
]  # fmt: skip
OF_NUMBERS = [
    (words, command, parameter)
    for words, command in COMMANDS for parameter in command.params
    if parameter.type.name.startswith(("integer", "float"))
]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind == "not UTF-8" else pytest.mark.campaign) for kind in MAKE_FILE],
)
def test_a_file_that_is_not_what_it_should_be(root, kind):
    found = []
    for words, command, parameter in PATHS:
        file = root / "given"
        shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
        MAKE_FILE[kind](file)
        found.append(trouble(*given(words, command, parameter, str(file))))
    assert [one for one in found if one] == []


@pytest.mark.campaign
def test_a_number_that_is_none_or_none_that_can_be_meant(root):
    found = [trouble(*given(*one, number)) for one in OF_NUMBERS for number in NUMBERS]
    assert [one for one in found if one] == [] and len(found) > 50


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in IN_CI else pytest.mark.campaign) for kind in DATABASES]
)
def test_a_database_url_with_a_mistake(root, kind, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, DATABASES[kind])
    for words in (["audit", "verify"], ["db", "upgrade"], ["data", "list"], ["jobs"]):
        done = CliRunner().invoke(cli, words)
        assert done.exit_code != 0
        message = message_of(done.exception)
        assert message is not None and says_what_to_do(message), (words, done.exception)
        assert "secret" not in message and "sec'ret" not in message


@pytest.mark.campaign
@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_an_experiment_that_is_none(root, env):
    commands = [(words, command) for words, command in COMMANDS
                if any(one.name == "env" for one in command.params)]  # fmt: skip
    found = [trouble(*words, *required(command, None), "--env", env) for words, command in commands]  # type: ignore[arg-type]
    assert [one for one in found if one] == [] and commands


OWN = "conf/mine/parameters.yml"
YAML: dict[str, bytes] = {
    "a tab": b"training:\n\tseeds: [1]\n",
    "an unclosed list": b"training: {seeds: [1, 2\n",
    "a key twice": b"training: {patience: 3}\ntraining: {patience: 4}\n",
    "an unknown section": b"trainign: {patience: 3}\n",
    "an unknown key": b"training: {patiense: 3}\n",
    "text for a section": b"training: fast\n",
    "a list for a section": b"training: [1, 2]\n",
    "null for a section": b"training:\n",
    "a number for text": b"experiment: {description: 3}\n",
    "text for a number": b"training: {patience: three}\n",
    "a negative number": b"training: {patience: -3}\n",
    "NaN": b"trading: {initial_capital: .nan}\n",
    "infinity": b"trading: {initial_capital: .inf}\n",
    "a huge number": b"training: {patience: 1e400}\n",
    "yes": b"data_acquisition: {revise: yes}\n",
    "a day that is none": b"date_ranges: {train: {start: 2023-02-30}}\n",
    "an end before its start": b"date_ranges: {train: {start: 2024-06-01, end: 2023-01-01}}\n",
    "seeds twice": b"training: {seeds: [1, 1]}\n",
    "no seeds": b"training: {seeds: []}\n",
    "a zone that is none": b"data_acquisition: {timezone: Bogota}\n",
    "an interpolation that is none": b"experiment: {description: '${nowhere.at.all}'}\n",
    "a resolver that is none": b"experiment: {description: '${nonsense:1}'}\n",
    "a tag": b"experiment: {description: !!python/object/apply:os.system ['true']}\n",
    "a bomb": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    "no UTF-8": b"experiment: {description: \xff\xfe\xfa}\n",
    "UTF-16": "experiment: {description: ok}\n".encode("utf-16"),
    "zero bytes": bytes(100),
    "a mark of order and CRLF": b"\xef\xbb\xbfexperiment:\r\n  descriptoin: ok\r\n",
    "a conflict of a merge": b"<<<<<<< HEAD\ntraining: {patience: 3}\n=======\n>>>>>>> other\n",
    "two documents": b"training: {patience: 3}\n---\ntraining: {patience: 4}\n",
    "a list at the top": b"- training\n",
    "text at the top": b"training\n",
    "a number at the top": b"3\n",
    "a key that is no text": b"1: {a: 2}\ntrue: 3\n",
}
"""An experiment's parameters.yml, each with one mistake."""


def _own(root: Path, content: bytes) -> None:
    (root / "conf/mine").mkdir()
    (root / "conf/mine/globals.yml").write_text("experiment: mine\ninstrument: USD/COP.SIM\n")
    (root / OWN).write_bytes(content)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in IN_CI else pytest.mark.campaign) for kind in YAML]
)
def test_parameters_with_a_mistake(root, kind):
    """By a command and by a run: each stops with a message before any node starts."""
    _own(root, YAML[kind])
    with pytest.raises(Exception, match=r".") as own:
        load_parameters("mine", root / "conf")
    with pytest.raises(Exception, match=r".") as run, KedroSession.create(root, env="mine") as session:
        session.run(pipeline_names=["dataset"])
    for caught in (own, run):
        message = message_of(caught.value)
        assert message is not None, caught.value
        assert says_what_to_do(message), message
    assert not list((root / "data").rglob("*.parquet"))


@pytest.mark.campaign
@pytest.mark.parametrize("file", ["parameters.yml", "globals.yml"])
@pytest.mark.parametrize("kind", ["a folder", "empty", "a pipe", "a broken link", "missing"])
def test_a_file_of_an_experiment_that_is_not_what_it_should_be(root, file, kind):
    _own(root, b"")
    (root / "conf/mine" / file).unlink()
    MAKE_FILE[kind](root / "conf/mine" / file)
    try:
        parameters = load_parameters("mine", root / "conf")
    except Exception as error:
        message = message_of(error)
        assert message is not None and says_what_to_do(message), (error, message)
    else:
        assert file == "parameters.yml" and parameters.experiment.name == "mine"


def test_the_documents_name_what_a_mistake_leads_to():
    assert "A mistake ends in one message and exit code 1" in (ROOT / "README.md").read_text()
