"""Mutation testing: change the code that decides, one place at a time, and see whether a test notices.

``python -m tests.mutation [group ...]`` tries every mutant of the `GROUPS` named, of all by default, each
against the tests of its group alone. It prints what is not as `survivors.yml` says, then a JSON object with
the figures of each group, and fails if a survivor has no reason there, or one that has does not survive.

mutmut works in a copy, ``build/mutation``, in which functions that Numba compiles are plain ones: it leaves
decorated functions alone (a property too), and no mutant would reach compiled code. ``NUMBA_DISABLE_JIT``
makes all of them run as Python.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
SURVIVORS = Path(__file__).with_name("survivors.yml")
NOTICED: Final = {"killed", "timeout", "segfault"}
"""Of mutmut's words for a result; a mutant without an end is stopped by a signal."""


class Group(NamedTuple):
    """Code below ``src/dosvotos``, and the tests below ``tests`` that have to notice its mutants."""

    code: tuple[str, ...]
    tests: tuple[str, ...]


class Mutant(NamedTuple):
    """One change of one function."""

    function: str
    """With its module, below ``dosvotos``."""
    change: str
    """The lines it replaces and those it puts there, as ``old => new``."""


GROUPS: Final = {
    "accounting": Group(("market/accounting.py",), ("market/test_accounting.py",)),
    "alignment": Group(
        ("market/alignment.py", "market/visibility.py"),
        ("market/test_alignment.py", "market/test_visibility.py"),
    ),
    "criteria": Group(("promotion/criteria.py",), ("promotion/test_criteria.py",)),
    "ledger": Group(("database/ledger.py",), ("database/test_ledger.py",)),
    "window": Group(
        ("backtest/window.py", "market/window_status.py"),
        ("backtest/test_window.py", "market/test_window_status.py"),
    ),
    "votes": Group(("promotion/vote_rules.py",), ("promotion/test_vote_rules.py",)),
    "decision": Group(
        ("promotion/decision.py", "promotion/transaction.py"),
        ("promotion/test_decision.py", "promotion/test_signed_votes.py"),
    ),
}
COPIED: Final = ("conf", "src", "streamlit_app", "tests")


def lay_out(group: Group, work: Path) -> None:
    """Copy the project into an empty folder, with nothing of a group compiled and mutmut set to it."""
    shutil.rmtree(work, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in group.code:
        path = work / "src" / "dosvotos" / name
        path.write_text(re.sub(r"^@njit\(.*\)\n", "", path.read_text(), flags=re.MULTILINE))
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/dosvotos/{name}" for name in group.code],
        "also_copy": ["conf", "streamlit_app"],
        "timeout_constant": 3.0,  # 90 s and more: a mutant without an end has to be told from a busy machine
        "timeout_multiplier": 30.0,
        "pytest_add_cli_args": [
            "-m",
            "not slow and not campaign",
            "--hypothesis-seed=0",
            "-p",
            "no:cacheprovider",
        ],
        "pytest_add_cli_args_test_selection": [f"tests/{name}" for name in group.tests],
    }
    lines = (f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    project = (ROOT / "pyproject.toml").read_text()
    (work / "pyproject.toml").write_text(f"{project}\n[tool.mutmut]\n{''.join(lines)}")


def run_mutmut(work: Path) -> None:
    """Try every mutant."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"NUMBA_DISABLE_JIT": "1"}
    command = [str(Path(sys.executable).with_name("mutmut")), "run"]
    subprocess.run(command, cwd=work, env=environment, check=True)


def results(group: Group, work: Path) -> Iterator[tuple[str, Mutant]]:
    """Read every mutant's result, in mutmut's words, and what it changes where no test noticed."""
    os.chdir(work)  # mutmut reads paths from there
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code
    from mutmut.utils.format_utils import orig_function_and_class_names_from_key

    for path in (Path("src/dosvotos") / name for name in group.code):
        data = SourceFileMutationData(path=path)
        data.load()
        for key, code in data.exit_code_by_key.items():
            name, owner = orig_function_and_class_names_from_key(key)
            function = ".".join(filter(None, (*path.with_suffix("").parts[2:], owner, name)))
            status = status_by_exit_code[code]
            change = "" if status in NOTICED else change_in(get_diff_for_mutant(key, path=path))
            yield status, Mutant(function, change)


def change_in(diff: str) -> str:
    """Write a diff as ``old => new``, whitespace apart."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    return " => ".join(
        " ".join(" ".join(line[1:] for line in lines if line[:1] == sign).split()) for sign in "-+"
    )


def explained(group: Group) -> set[Mutant]:
    """The survivors of a group that have a reason."""
    modules = tuple(f"{name.removesuffix('.py').replace('/', '.')}." for name in group.code)
    known = yaml.safe_load(SURVIVORS.read_text())
    return {
        Mutant(function, change)
        for functions in known.values()
        for function, changes in functions.items()
        for change in changes
        if function.startswith(modules)
    }


def try_group(name: str) -> bool:
    """Try a group and print what came of it; tell whether every survivor has its reason."""
    group, work = GROUPS[name], ROOT / "build" / "mutation" / name
    lay_out(group, work)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_mutmut(work)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found, known = list(results(group, work)), explained(group)
    survivors = {mutant for status, mutant in found if status not in NOTICED}
    say("survives, and survivors.yml does not say why", survivors - known)
    say("does not survive; take it out of survivors.yml", known - survivors)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    counts = Counter(status for status, _ in found)
    print(
        json.dumps({"group": name, "mutants": len(found), **counts, "cpu_seconds": round(seconds)}),
        flush=True,
    )
    return survivors == known


def say(what: str, mutants: Iterable[Mutant]) -> None:
    """Print mutants, two lines each."""
    for mutant in sorted(mutants):
        print(f"{mutant.function}: {what}\n    {mutant.change}")


def main() -> int:
    """Try the groups asked for."""
    return int({try_group(name) for name in sys.argv[1:] or GROUPS} != {True})


if __name__ == "__main__":
    sys.exit(main())
