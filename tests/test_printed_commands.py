"""Every command that README and docs print is run as printed, or stands below with the reason why not.

A page's commands are run in order in one copy of a project; where the page prints an output, it is compared.
What takes seconds is run in `make test`, what takes a training or a server in `make campaign`.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dosvotos.audit.enrolment import challenge_of, enrol
from dosvotos.commands.main import cli
from dosvotos.database.connection import open_database
from dosvotos.signing.relying_party import relying_party
from dosvotos.signing.signers import new_signer
from tests.authenticator import Authenticator
from tests.conftest import ROOT, parameters_of
from tests.market_files import write_market
from tests.printed import PAGES, SHELLS, Block, Shell, blocks_of, files_of, printed_but_not_there
from tests.project import new_project, stored_project
from tests.proposal_fixtures import Desk
from tests.sharing import made_once
from tests.test_docs import _parse

pytestmark = pytest.mark.slow

LIVE = (
    "kedro run --pipelines data_acquisition --env exp2_interbank_costs_v1 "
    "--params data_acquisition.source=live"
)
NOT_HERE = {
    "useradd": "makes a user of the machine",
    "git clone": "clones the published project",
    "python3.11 -m venv": "installs 2 GB, as make run does on a fresh clone",
    "chown": "needs root and the user that useradd makes",
    "install -m 0600": "needs root and the user that useradd makes",
    "cp deploy/*.service": "needs systemd",
    "systemctl": "needs systemd",
    "make test": "runs this test",
    "make quick": "runs this test's neighbours",
    "make campaign": "runs this test",
    "make coverage": "runs this test's neighbours",
    "make mutants": "runs tests for hours",
    "make docs": "writes into this repository; tests/test_docs.py compares what it would write",
    "make bench": "an hour of measurements, each of whose scripts has its own lines in benchmarks/README.md",
    "export DOSVOTOS_NOTIFY_URLS": "the addresses are other people's",
    "export DOSVOTOS_PUBLIC_URL=https://votes": "belongs to the line before it",
    "dosvotos notify test": "would send to other people's addresses; tests/notifications sends to its own",
    LIVE: "asks the internet; tests/sources/test_live.py runs the same against imitations",
    "export DOSVOTOS_PUBLIC_URL=https://desk": "belongs to the line after it",
    "make notebooks": "installs JupyterLab, which stays; tests/test_notebooks.py runs the notebooks",
    "kedro package": "tests/test_wheel.py runs it, and what it makes",
    "pip install -c constraints.txt 'dosvotos": "needs the wheel: tests/test_wheel.py",
    "mkdir desk": "needs the wheel: tests/test_wheel.py",
    "python -m dosvotos run": "needs the wheel: tests/test_wheel.py",
    "DOSVOTOS_SINGLE_USER=1 dosvotos app": "needs the wheel, and stays: tests/test_wheel.py",
    ".venv/bin/python -m streamlit_app": "waits for a TLS proxy; tests/streamlit_app/test_proxies.py has one",
}  # fmt: skip
"""By a part of the line."""
RUN_BY = {
    "docs/api.md": "tests/streamlit_app/test_api_docs.py",
    "docs/housekeeping.md: Backup": "tests/test_housekeeping.py",
    **{f"docs/howto/{page.name}": "tests/test_howto.py" for page in (ROOT / "docs/howto").glob("*.md")},
}
"""Pages, or their first block, that a test of their own runs as printed."""
STAYS = {
    "make app": "http://localhost:",
    ".venv/bin/kedro mlflow ui": "Uvicorn running",
    ".venv/bin/dosvotos live --env demo --speed 20": "live: USD/COP.SIM from",
}
"""Commands that stay until they are stopped, and what they have printed when they work."""
PORTS = {"make app": 8501, ".venv/bin/kedro mlflow ui": 5000}
WHY = "the equity was read twice, and its costs"


def is_here(line: str) -> bool:
    plain = line.replace(".venv/bin/kedro", "kedro")
    return not any(part in line or part in plain for part in NOT_HERE)


def lines_of(block: Block) -> list[str]:
    """Give a block's lines that are run by its walk."""
    return [line for line in block.commands if is_here(line) and not _stays(line)]


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0


def _stays(line: str) -> bool:
    return any(line.startswith(start) for start in STAYS)


def shells_of(page: str) -> list[Block]:
    return [block for block in blocks_of(ROOT / page) if block.language in SHELLS]


def outcome(block: Block, shell: Shell, codes: tuple[int, ...] = (0,)) -> str:
    """Run a block's lines and give what they print; a printed output must stand in it."""
    output = "".join(ran.output for ran in shell.run(lines_of(block), codes))
    assert printed_but_not_there(block.output, output) == [], f"{block.page}:\n{output}"
    return output


# ---- the projects that pages are walked in


def _lay_desk(folder: Path) -> None:
    """A project with one proposal that an approval can compute again."""
    new_project(folder)
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    desk = Desk(open_database(f"sqlite:///{folder}/data/dosvotos.db"), folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        desk.propose_recomputable()
    finally:
        os.chdir(before)
        desk.engine.dispose()


def _terminal(root: Path, **settings: str) -> Shell:
    """Open a terminal of somebody with a home and an SSH key of their own."""
    home = root.with_name("person")
    _give_key(home)
    return Shell(root, {"HOME": str(home), "DOSVOTOS_HOME": str(home / "homes"), **settings})


def _give_key(home: Path) -> str:
    """Put a new key where ssh-keygen puts it; gives the line of its public half."""
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    signer = new_signer()
    (home / ".ssh/id_ed25519").write_bytes(signer.private_bytes)
    (home / ".ssh/id_ed25519").chmod(0o600)
    (home / ".ssh/id_ed25519.pub").write_text(signer.public_key.line + "\n")
    return signer.public_key.line


@pytest.fixture
def shell(tmp_path, monkeypatch) -> Shell:
    root = tmp_path / "project"
    shutil.copytree(made_once("printed", _lay_desk), root, symlinks=True)
    for name in ("DOSVOTOS_DATABASE_URL", "DOSVOTOS_USER", "DOSVOTOS_SINGLE_USER"):
        monkeypatch.delenv(name, raising=False)
    return _terminal(root)


# ---- pages that take seconds


def walk_promotion(shell: Shell) -> None:
    _, admin, reviewer = shells_of("docs/promotion.md")
    adas = (shell.settings["HOME"], (Path(shell.settings["HOME"]) / ".ssh/id_ed25519").read_bytes())
    anas = Path(adas[0]).with_name("ana")
    (shell.root / "ana.pub").write_text(_give_key(anas) + "\n")
    outcome(admin, shell)
    shell.settings["HOME"] = str(anas)
    assert "APPROVED" in outcome(reviewer, shell)
    assert "ana" in shell.run(["dosvotos audit list"])[0].output


def walk_team(shell: Shell) -> None:
    begin, add, _ = shells_of("docs/team.md")
    link = re.search(r"/desk/enrol#(\S+)", outcome(begin, shell))
    assert link
    phone, engine = Authenticator(), open_database(f"sqlite:///{shell.root}/data/dosvotos.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOSVOTOS_HOME", shell.settings["DOSVOTOS_HOME"])
        site = relying_party()
        enrol(engine, link[1], phone.register(challenge_of(link[1])), site.origin, datetime.now(UTC), site)
    engine.dispose()
    assert "ana is reviewer" in outcome(add, shell)


def walk_housekeeping(shell: Shell) -> None:
    _, prune, _ = shells_of("docs/housekeeping.md")
    outcome(prune, shell)


def walk_restore(shell: Shell) -> None:
    """A backup is made between two decisions, and the database is lost after them."""
    single = "DOSVOTOS_SINGLE_USER=1 "
    backup = shells_of("docs/housekeeping.md")[0].commands[0]
    shell.run([f'{single}dosvotos vote 1 approve --reason "{WHY}"', backup, f'{single}dosvotos halt "{WHY}"'])
    (shell.root / "data/dosvotos.db").rename(shell.root / "lost.db")
    for rest in shell.root.glob("data/dosvotos.db-*"):
        rest.unlink()
    shutil.copy(shell.root / "backup.db", shell.root / "data/dosvotos.db")
    assert "it was shortened" in shell.run(["dosvotos audit verify"], codes=(1,))[0].output
    shell.settings["DOSVOTOS_SINGLE_USER"] = "1"
    (block,) = shells_of("docs/security.md")
    outcome(block, shell)
    shell.run(["dosvotos audit verify --full"])


def walk_operations(shell: Shell) -> None:
    install, cron = shells_of("docs/operations.md")
    assert lines_of(install) == []
    shell.replaced |= {"/opt/dosvotos": str(shell.root), "/srv/backup": str(shell.root.with_name("backup"))}
    outcome(cron, shell)
    assert list(shell.root.with_name("backup").glob("*/SHA256SUMS"))


def walk_contributing(shell: Shell) -> None:
    subprocess.run(["git", "init", "-q"], cwd=shell.root, check=True)
    (block,) = shells_of("CONTRIBUTING.md")
    outcome(block, shell)
    assert (shell.root / ".git/hooks/pre-commit").is_file()


QUICK: dict[str, Callable[[Shell], None]] = {
    "docs/promotion.md": walk_promotion,
    "docs/team.md": walk_team,
    "docs/housekeeping.md": walk_housekeeping,
    "docs/security.md": walk_restore,
    "docs/operations.md": walk_operations,
    "CONTRIBUTING.md": walk_contributing,
}


@pytest.mark.parametrize("page", QUICK)
def test_a_page_s_commands_do_what_it_says(page, shell):
    QUICK[page](shell)


def test_deliveries_are_listed_and_retracted_as_printed(tmp_path):
    project = stored_project(tmp_path / "project")
    project.engine.dispose()
    (block,) = (block for block in shells_of("docs/data.md") if block.language == "console")
    outcome(block, _terminal(project.root, DOSVOTOS_USER="root"))


# ---- pages that take a training


def _fresh(root: Path) -> Shell:
    """A clone as `make run` leaves it after the install, without a run."""
    project = new_project(root, tracked=False)
    (project.root / ".venv").symlink_to(sys.prefix)
    for name in ("Makefile", "constraints.txt"):
        shutil.copy(ROOT / name, project.root)
    for name in ("streamlit_app", "benchmarks", ".streamlit"):
        (project.root / name).symlink_to(ROOT / name)
    shell = _terminal(project.root, DOSVOTOS_USER="root")
    shell.cold = True
    shell.replaced = {"make run": "make -o .venv/.run run", "make app": "make -o .venv/.run app"}
    return shell


def _after_run(folder: Path) -> None:
    shell = _fresh(folder)
    (folder / "printed").write_text(shell.run(["make run"])[0].output)


@pytest.fixture
def after_run(tmp_path) -> Shell:
    """A clone after `make run`."""
    root = tmp_path / "project"
    shutil.copytree(made_once("after_run", _after_run), root, symlinks=True)
    shell = _fresh(tmp_path / "other")
    return Shell(root, _terminal(root, DOSVOTOS_USER="root").settings, shell.replaced, cold=True)


@pytest.mark.campaign
def test_make_run_prints_what_the_readme_shows(after_run):
    run = shells_of("README.md")[0]
    assert run.commands[0].startswith("make run")
    output = (after_run.root / "printed").read_text()
    assert printed_but_not_there(run.output, output) == [], output
    tutorial = shells_of("docs/tutorial.md")[0]
    assert printed_but_not_there(tutorial.output, output) == [], output


@pytest.mark.campaign
def test_the_tutorial_s_walk_over_the_sample_market(after_run):
    """As printed, save the live loop, which stays: `test_what_stays_works_until_it_is_stopped` starts it."""
    _, vote, tick, _, audit, *_ = shells_of("docs/tutorial.md")
    outcome(vote, after_run)
    tick = tick._replace(output=re.sub(r"target .*", "target", tick.output))  # of another day's bar
    outcome(tick, after_run)
    outcome(audit, after_run)


@pytest.mark.campaign
@pytest.mark.parametrize("line", STAYS)
def test_what_stays_works_until_it_is_stopped(line, after_run):
    if (port := PORTS.get(line)) and not _is_free(port):
        pytest.skip(f"port {port} is taken")
    if "live" in line:
        after_run.run([f'DOSVOTOS_SINGLE_USER=1 .venv/bin/dosvotos vote 1 approve --reason "{WHY}"'])
    after_run.until(line, STAYS[line])


@pytest.mark.campaign
def test_the_readme_s_and_the_leak_check_s_commands(after_run):
    shell = after_run
    for path, text in files_of(ROOT / "docs/leakcheck.md").items():
        (shell.root / path).write_text(text)
    shell.run(["kedro run --env demo_linear"])
    *_, answering, on_call, before_vote, leakcheck = shells_of("README.md")
    shell.run([f'DOSVOTOS_SINGLE_USER=1 .venv/bin/dosvotos vote 1 approve --reason "{WHY}"'])
    for block in (answering, on_call, before_vote):
        outcome(block, shell)
    own, planted = lines_of(leakcheck)
    shell.run([own])
    (leaks,) = shells_of("docs/leakcheck.md")
    for line in (planted, *lines_of(leaks)):
        assert "sees what was not yet known" in shell.run([line], codes=(1,))[0].output
    (again, *_) = shells_of("docs/promotion.md")
    outcome(again, shell)


@pytest.mark.campaign
def test_the_documents_rule_is_judged_as_printed(after_run):
    (block,) = shells_of("docs/own_strategy.md")
    output = outcome(block, after_run)
    assert "Sharpe 3.75" in output and "PROMOTE" in output


@pytest.mark.campaign
def test_parts_of_a_run_go_as_the_page_for_kedro_users_prints_them(tmp_path):
    shell = _fresh(tmp_path / "project")
    outcome(shells_of("docs/kedro.md")[0], shell)
    assert list(shell.root.glob("data/06_models/mine/*/manifest.json"))


@pytest.fixture
def market(tmp_path) -> Path:
    """Files of USD/COP from 2022 on: a simulated market under the real one's names."""
    folder = tmp_path / "my_market"
    write_market(folder, parameters_of("demo"))
    return folder


@pytest.mark.campaign
def test_the_tutorial_s_walk_over_your_own_csv(tmp_path, market):
    """The figures printed are those of real bars, which are not ours to ship; the lines are the same."""
    shell = _fresh(tmp_path / "project")
    market.rename(shell.root / "my_market")
    for path, text in files_of(ROOT / "docs/tutorial.md").items():
        (shell.root / path).parent.mkdir(exist_ok=True)
        (shell.root / path).write_text(text)
    read, build, train = shells_of("docs/tutorial.md")[-3:]
    assert "L0 USD/COP from files" in "".join(ran.output for ran in shell.run(lines_of(read), codes=(0, 3)))
    said = "".join(ran.output for ran in shell.run(lines_of(build)))
    assert "L2 dataset" in said and "clean: nothing saw the future" in said
    said = shell.run(lines_of(train))[0].output
    assert "status: PENDING_APPROVAL" in said and "min_sharpe" in said


@pytest.mark.campaign
def test_an_experiment_on_files_goes_as_printed_from_the_data_to_the_proposal(tmp_path, market):
    shell = _fresh(tmp_path / "project")
    shell.replaced |= {"/path/to/folder": str(market)}
    for path, text in files_of(ROOT / "docs/dataset.md").items():
        (shell.root / path).parent.mkdir(exist_ok=True)
        (shell.root / path).write_text(text)
    files = [block for block in shells_of("docs/data.md") if "PATH" in block.text or "/path" in block.text]
    shell.run(lines_of(files[0]), codes=(0, 3))
    dataset, *line = shells_of("docs/dataset.md")
    outcome(dataset, shell)
    assert len(line) == 2


WALKED = {
    *QUICK, "README.md", "docs/tutorial.md", "docs/leakcheck.md", "docs/own_strategy.md", "docs/data.md",
    "docs/dataset.md", "docs/kedro.md",
}  # fmt: skip


# ---- nothing is left out


def test_every_page_with_commands_is_walked_or_run_by_a_test_of_its_own():
    with_commands = {page.relative_to(ROOT).as_posix() for page in PAGES if any(
        is_here(line) for block in blocks_of(page) if block.language in SHELLS for line in block.commands
    )}  # fmt: skip
    of_their_own = {page for page in RUN_BY if ":" not in page}
    assert with_commands - of_their_own == WALKED
    for page, test in RUN_BY.items():
        assert Path(page.partition(":")[0]).stem in (ROOT / test).read_text()


def test_every_line_that_is_not_run_here_is_printed_somewhere():
    lines = [line for page in PAGES for block in blocks_of(page) if block.language in SHELLS
             for line in block.commands]  # fmt: skip
    plain = [line.replace(".venv/bin/kedro", "kedro") for line in lines]
    printed = "\n".join((*lines, *plain))
    assert [part for part in (*NOT_HERE, *STAYS) if part not in printed] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_of_commands_says_that_it_is_one(page):
    """Else it would be taken for an output, and not be run."""
    command = re.compile(r"^(?:\$ |\.venv/bin/|dosvotos |kedro |make |cd |export )", re.MULTILINE)
    assert [
        block.text for block in blocks_of(page) if not block.language and command.search(block.text)
    ] == []


def _synopses() -> Iterator[tuple[str, list[str]]]:
    """Give each command that a sentence or table prints with its arguments, one for each ``a|b``."""
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        if page.name == "CHANGELOG.md":  # which names what is no more
            continue
        for found in re.findall(r"`(?:\.venv/bin/|[A-Z_]+=\S+ )*dosvotos ([a-z][^`]*)(?<! v1)`", text):
            first, *others = re.sub(r"[\[\]]", "", found.replace("\\|", "|")).split("|")
            yield page.name, _words(first)
            for other in others:
                yield page.name, [*_words(first)[:-1], *_words(other)]


def _words(text: str) -> list[str]:
    return re.sub(r'"[^"]*"', "REASON", text).split()


def test_every_option_that_a_sentence_prints_is_one():
    wrong = []
    for page, words in _synopses():
        try:
            _parse(cli, words)
        except Exception as error:
            wrong.append((page, " ".join(words), str(error)))
    assert wrong == []


@dataclass(frozen=True)
class Case:
    printed: str
    output: str
    missing: list[str]


@pytest.mark.parametrize(
    "case",
    [
        Case("L3 demo_20261120_19f591fcfe09 in 65 s", "T L3 demo_20270101_0f0a1b2c3d4e in 9 s", []),
        Case("a ... c", "a b\n c", []),
        Case("b\na", "a b", ["a"]),
        Case("Sharpe 4.57", "Sharpe 4.58", ["Sharpe 4.57"]),
    ],
)  # fmt: skip
def test_an_output_is_compared_but_for_what_changes_from_run_to_run(case):
    assert printed_but_not_there(case.printed, case.output) == case.missing
