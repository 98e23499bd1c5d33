"""Every message a user can cause names the thing, the value found, and what to do next."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import dosvotos
import streamlit_app
from dosvotos import errors
from dosvotos.errors import AlteredError, DosVotosError, LineageError
from dosvotos.refusals import refusal_texts

SOURCE = Path(dosvotos.__file__).parent
FOLDERS = (SOURCE, Path(streamlit_app.__file__).parent)
KINDS = {
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, DosVotosError)
}
VERBS = (
    "add|approve|ask|bring|change|check|choose|compare|copy|correct|deliver|do|enter|exchange|export|free|give|go|halt|install|"
    "invite|judge|keep|leave|look|make|move|name|open|pack|point|pull|put|raise|read|rebuild|remove|report|restore|revoke|run|"
    "save|say|see|send|set|shorten|sign|start|state|stop|take|tell|touch|train|try|unpack|update|use|vote|wait|write"
)
STEP = re.compile(
    rf"(?:[;:.,]|\bor|\band|\bthen|'|^|\))\s+\(?(?:please |first |then |either )?'?(?:{VERBS})\b", re.I
)
"""Begins a clause with what to do."""
POINTS = re.compile(
    r"docs/|'dosvotos |'kedro |'openssl |'ssh-|'ssh-add|chmod"
    r"|has to|have to|must |is needed|needs \{|admin (?:adds|restores)|a person may|folders of conf/ are"
)
"""Or names the command, the page, or what has to be there."""
REMEDIES = re.compile(
    r"REMEDY|CURE|ways_out|\bagain\b|remedy|hint|WAYS_OUT|RAISE_VERSION|HOW_TO|ISO|FORMATS|NOTHING_TRAINED|describe|_STATE|"
    r"_CORRECT|_unreachable"
)
"""Or is put together from a part that does."""
ABSENCE = re.compile(
    r"\b(?:no|none|not|nobody|nothing|needed|neither|expected|leave|found|names a user|is still open)\b"
    r"|are missing|by its own tools|already|before|has taken its place|in single-user mode"
)
"""What a message says that fills nothing in."""
WITHIN = {
    "sources": "stand as notes in L0's table, whose last line says what the next run does",
    "live/intake.py": "as sources",
    "live/market.py": "tell the loop to count again from all stored bars",
    "live/state.py": "tell the tick to count again from all stored bars",
    "market/stream.py": "as live/state.py",
    "market/features/compute.py": "as live/state.py",
    "signing/checkpoint.py": "stand in a BrokenHomeError, or in 'audit verify --against'",
    "audit/signatures.py": "stand in an AlteredError",
    "audit/people.py": "stand in an AlteredError",
    "readers": "are told by their row or file, each with its own",
    "policy/strategy.py:179": "says what a FileError says",
    "config_loader.py": "lists lines, each of which says how to write the value",
    "live/delivery.py": "are tried again by the loop, which says so",
}
"""Modules whose messages stand within another one that says what to do."""


class Raised(NamedTuple):
    where: str
    kind: str
    text: str


def template(node: ast.expr) -> str:
    """Write a message with `{expression}` for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = node.values
        return "".join(
            template(one.value) if isinstance(one, ast.FormattedValue) else template(one) for one in parts
        )
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    return "{" + ast.unparse(node) + "}"


def raised() -> Iterator[Raised]:
    """Give every error of ours that the source raises with a message of its own."""
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                call = node.exc if isinstance(node, ast.Raise) else None
                if isinstance(call, ast.Call) and (kind := kind_of(call.func)) in KINDS:
                    where = f"{path.relative_to(folder).as_posix()}:{node.lineno}"
                    yield Raised(where, kind, text_of(call))


def kind_of(function: ast.expr) -> str:
    """Name the class of `DataError(...)` and of `DataError.of(...)`."""
    if isinstance(function, ast.Attribute) and function.attr == "of":
        function = function.value
    return function.id if isinstance(function, ast.Name) else ""


def text_of(call: ast.Call) -> str:
    """Write what is raised: a refusal's sentence where it names one."""
    first = call.args[0] if call.args else None
    if isinstance(call.func, ast.Attribute) and isinstance(first, ast.Constant):
        return refusal_texts()[first.value]["en"]
    return "; ".join(template(argument) for argument in call.args)


def says_what_to_do(text: str) -> bool:
    return bool(STEP.search(text) or POINTS.search(text) or REMEDIES.search(text))


def stands_within(where: str) -> bool:
    return any(where.startswith(module) for module in WITHIN)


ALL = list(raised())


def test_every_message_says_what_to_do_next():
    assert len(ALL) > 400
    stated = [one for one in ALL if getattr(errors, one.kind).next_step or stands_within(one.where)]
    assert [one for one in ALL if one not in stated and not says_what_to_do(one.text)] == []


def test_every_message_names_its_thing_and_what_was_found():
    """A message that fills nothing in is about what is absent, and says so."""
    plain = [one for one in ALL if "{" not in one.text and not stands_within(one.where)]
    assert [one for one in plain if not ABSENCE.search(one.text)] == []
    assert [one for one in ALL if not re.match(r"\w|\{|'|-", one.text)] == []


def test_every_refusal_has_as_many_clauses_in_spanish_as_in_english():
    clauses = {code: (text["en"].count(";"), text["es"].count(";")) for code, text in refusal_texts().items()}
    assert {code: pair for code, pair in clauses.items() if pair[0] != pair[1]} == {}


def test_every_module_that_is_left_out_is_there():
    assert {module for module in WITHIN if not (SOURCE / module.partition(":")[0]).exists()} == set()


@pytest.mark.parametrize("text", ["{file}: is broken", "compare: models of one instrument only; {listed}"])
def test_a_message_that_leaves_its_reader_alone_is_found(text):
    assert not says_what_to_do(text)
    assert says_what_to_do(f"{text}; leave one out")


def test_a_kind_s_next_step_ends_its_message_once_and_a_list_can_leave_it_out():
    error, next_step = AlteredError("row 3: was changed"), refusal_texts()[AlteredError.next_step]
    assert str(error) == f"row 3: was changed; {next_step['en']}" and error.finding == "row 3: was changed"
    assert str(LineageError("row 3: was changed; run L4 again")) == "row 3: was changed; run L4 again"
    assert str(type(error)(*error.args)) == str(error)  # as pickling makes it again
