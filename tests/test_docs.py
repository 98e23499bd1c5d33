"""What the documents state is so: their tables, their links, and that their commands can be typed."""

import ast
import re
import runpy
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

from dosvotos.commands.main import cli
from dosvotos.config_loader import load_parameters
from dosvotos.contracts.acquisition import MacroVariable, SeriesSource
from dosvotos.live.reasons import Reason
from dosvotos.pipeline_registry import register_pipelines
from tests.conftest import ROOT

DATA = ROOT / "docs/data.md"
PAGES = sorted(
    page
    for glob in ("*.md", "docs/**/*.md", "benchmarks/*.md", ".github/**/*.md")
    for page in ROOT.glob(glob)
)
HEAD = ["| variable | unit | source (else) | known | honest range | terms |", "|---|---|---|---|---|---|"]


def _source(source: SeriesSource) -> str:
    return f"{source.provider} `{source.series}`"


def _row(name: str, variable: MacroVariable) -> str:
    rule = variable.publication
    sources = _source(variable.primary)
    if variable.fallback:
        sources += f" ({_source(variable.fallback)})"
    known = f"{rule.rule} {rule.time:%H:%M} {rule.zone.split('/')[1].replace('_', ' ')}"
    limits = f"{variable.expected_min:g} to {variable.expected_max:g}"
    mark = " **HIGH**" if variable.priority == "HIGH" else ""
    return f"| `{name}`{mark} | {variable.unit} | {sources} | {known} | {limits} | {variable.terms} |"


def test_the_table_of_variables_is_the_configuration_s(variables):
    table = "\n".join([*HEAD, *(_row(name, variable) for name, variable in variables.items())])
    assert table in DATA.read_text(), f"docs/data.md must hold this table:\n{table}"


def _anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.replace("\n", "").partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{page.name} links {target}"
        assert not anchor or anchor in _anchors(linked), f"{page.name} links {target}"


def _commands(text: str) -> Iterator[list[str]]:
    """Give each `kedro run` and `dosvotos` command of a page's code blocks, as its words."""
    for block in re.findall(r"^```(?:bash)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.match(r"(?:\w+=\S+ )*(?:\.venv/bin/)?((?:kedro run|dosvotos)(?: .*)?)$", line)
            if command and "[" not in line:  # a synopsis has brackets
                yield shlex.split(command[1], comments=True)


def _parse(command: click.Command, words: list[str]) -> None:
    """Parse words as the command does, down to its subcommand; nothing is run and no file is asked for."""
    context = click.Context(command, info_name=command.name)
    _, rest, _ = command.make_parser(context).parse_args(list(words))
    if isinstance(command, click.Group) and rest:
        _, subcommand, rest = command.resolve_command(context, rest)
        assert subcommand is not None
        _parse(subcommand, rest)
    else:
        assert not rest, f"{command.name} takes no {rest}"


def _unknown_names(words: list[str], experiments: set[str]) -> set[str]:
    """Give what a `kedro run` names and nobody has: environments and pipelines."""
    told = dict(pairwise(words))
    pipelines = set(told["--pipelines"].split(",")) if "--pipelines" in told else set()
    return (pipelines - set(register_pipelines())) | ({told.get("--env", "demo")} - experiments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_prints_can_be_typed(page):
    text = page.read_text()
    experiments = {path.name for path in (ROOT / "conf").iterdir()} | {"EXP", "EXPERIMENT"}
    experiments |= set(re.findall(r"^# conf/(\w+)/", text, re.MULTILINE))  # those the page itself makes
    for words in _commands(text):
        if words[0] == "dosvotos":
            _parse(cli, words[1:])
        else:
            assert not _unknown_names(words, experiments), " ".join(words)


def _named_commands(text: str) -> Iterator[str]:
    """Give each `dosvotos` and `make` command in a sentence, a table, or at the start of a line."""
    yield from re.findall(r"`((?:dosvotos|make) [a-z][^`]*)(?<! v1)`", text)  # `... v1` heads a signed text
    yield from re.findall(r"^(make [a-z-]+)", text, re.MULTILINE)


FORMER = {("CHANGELOG.md", "dosvotos outbox")}
"""Commands that a page names because they are no more."""


def _exists(command: str, targets: set[str]) -> bool:
    """Tell whether the words before the first argument name a command, or a target of the Makefile."""
    program, *words = re.split(r"[\s|]+", command)
    if program == "make":
        return words[0] in targets
    found: click.Command | None = cli
    while isinstance(found, click.Group) and words and re.fullmatch(r"[a-z-]+", words[0]):
        found = found.get_command(click.Context(found), words.pop(0))
    return found is not None


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_command_that_a_sentence_names_exists():
    targets = _targets()
    named = {(page.name, command) for page in PAGES for command in _named_commands(page.read_text())} - FORMER
    assert len(named) > 50
    assert {(page, command) for page, command in named if not _exists(command, targets)} == set()
    assert not _exists("dosvotos audit vrify", targets) and not _exists("make rum", targets)


def test_a_command_with_a_slip_is_found():
    wrong = "```bash\ndosvotos live --sped 60\n.venv/bin/kedro run --pipelines trainin --env dmo\n```\n"
    live, run = _commands(wrong)
    with pytest.raises(click.NoSuchOption):
        _parse(cli, live[1:])
    assert _unknown_names(run, {"demo"}) == {"trainin", "dmo"}
    with pytest.raises(click.UsageError):
        _parse(cli, ["vots", "1"])


def test_the_reference_is_what_the_typed_models_say():
    pages = runpy.run_path(str(ROOT / "docs/reference/generate.py"))["PAGES"]
    stale = [
        name for name, write in pages.items() if (ROOT / f"docs/reference/{name}.md").read_text() != write()
    ]
    assert stale == [], "run 'make docs'"


def test_every_package_that_is_required_has_its_licence_listed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    required = {Requirement(line).name for line in stated} - {"dosvotos"}
    page = (ROOT / "docs/licences.md").read_text()
    assert not {name for name in required if not re.search(rf"[ |]{re.escape(name)}[ ,]", page)}


def test_the_tutorial_s_experiment_is_one(tmp_path):
    page = (ROOT / "docs/tutorial.md").read_text()
    shutil.copytree(ROOT / "conf/base", tmp_path / "base")
    for name, text in re.findall(r"```yaml\n# conf/(\S+)\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    parameters = load_parameters("my_desk", tmp_path)
    assert parameters.experiment.instrument == "USD/COP"
    assert str(parameters.data_acquisition.folder) == "my_market"


def test_the_readme_s_table_has_every_command():
    table = "\n".join(re.findall(r"^\|.*\|$", (ROOT / "README.md").read_text(), re.MULTILINE))
    names = cli.list_commands(click.Context(cli))
    assert not {name for name in names if not re.search(rf"`(?:dosvotos )?{name}[` ]", table)}


def _codes(section: str) -> list[str]:
    """Give the codes in the first column of a section's table in docs/operations.md."""
    page = (ROOT / "docs/operations.md").read_text()
    text = page.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def _alert_codes() -> set[str]:
    """Give the first argument of every `raise_alert` in the source, by name or as written; its first word."""
    found = set()
    for file in (ROOT / "src/dosvotos").rglob("*.py"):
        if "raise_alert" not in (text := file.read_text()):
            continue
        tree = ast.parse(text)
        values = dict(_constants(tree))
        for node in ast.walk(tree):
            is_raised = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "raise_alert"
            if is_raised and not isinstance(node.func.value, ast.Call):  # super() hands on what it was given
                found.add(_text(node.args[0], values).split()[0])
    return found


def _constants(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            (target,), value = node.targets[:1], node.value
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            parts = value.elts if isinstance(value, ast.Tuple) else [value]
            for name, part in zip(names, parts, strict=False):
                first = part.values[0] if isinstance(part, ast.JoinedStr) and part.values else part
                if isinstance(name, ast.Name) and isinstance(first, ast.Constant):
                    yield name.id, str(first.value)


def _text(node: ast.AST, values: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return values[node.id]
    first = node.values[0] if isinstance(node, ast.JoinedStr) else node
    assert isinstance(first, ast.Constant), "an alert's code begins with a constant"
    return str(first.value)


def test_the_runbook_has_a_row_for_every_reason_and_every_alert():
    assert sorted(_codes("When a bar has no signal")) == sorted(Reason)
    assert "DATABASE_DOWN" in _alert_codes() and "MACRO_AGES_OUT" in _alert_codes()
    assert sorted(_codes("When an alert is raised")) == sorted(_alert_codes())


def test_the_pages_of_the_loop_name_every_metric():
    page = (ROOT / "docs/operations.md").read_text()
    source = (ROOT / "src/dosvotos/live/metrics.py").read_text()
    names = set(re.findall(r'"(dosvotos_\w+)"', source))
    assert len(names) >= 12 and {name for name in names if f"`{name}" not in page} == set()
