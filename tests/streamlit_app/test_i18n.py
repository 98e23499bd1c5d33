"""The texts: the same in every language, none missing, none unused."""

import ast
import re
import string
from pathlib import Path
from typing import get_args

import pytest

import streamlit_app
from dosvotos import quality
from dosvotos.audit.decision_text import Action
from dosvotos.database.tables import PROPOSAL_STATES, RECOMMENDATIONS, STAGES
from dosvotos.live.reasons import Reason
from streamlit_app.i18n import LANGUAGES, Translator, texts
from tests.conftest import ROOT

SOURCES = sorted(Path(streamlit_app.__file__).parent.rglob("*.py"))
TEMPLATES = sorted(Path(streamlit_app.__file__).parent.rglob("*.html"))
KEYS = set(texts("en"))
CHECKS = sorted(Path(quality.__file__).parent.glob("*.py"))
QUALITY = ROOT / "docs/quality.md"


def placeholders(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}


def key_patterns() -> tuple[set[str], set[str]]:
    """Strings in the code that are keys, and beginnings of keys that are completed at run time."""
    whole, beginnings = set(), set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                whole.add(node.value)
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                beginnings.add(node.values[0].value)
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "label":
                beginnings.add(f"{node.args[0].value}.")
    for template in TEMPLATES:
        whole |= set(re.findall(r"""\bt\(["']([a-z]+\.\w+)["']""", template.read_text(encoding="utf-8")))
        beginnings |= set(re.findall(r"""\bt\(["']([a-z]+\.)["'] ~""", template.read_text(encoding="utf-8")))
    return whole, {beginning for beginning in beginnings if "." in beginning}


def test_every_language_has_the_same_keys_and_placeholders():
    for language in LANGUAGES:
        assert set(texts(language)) == KEYS
        for key in KEYS:
            assert placeholders(texts(language)[key]) == placeholders(texts("en")[key]), key


def test_no_text_is_empty_or_left_in_english():
    same = {key for key in KEYS if texts("en")[key] == texts("es")[key]}
    assert same <= {"column.hash", "evidence.no"}
    assert all(text.strip() for language in LANGUAGES for text in texts(language).values())


def test_every_text_is_used_and_every_key_in_the_code_exists():
    whole, beginnings = key_patterns()
    unused = {key for key in KEYS if key not in whole and not key.startswith(tuple(beginnings))}
    assert unused == set()
    families = {key.partition(".")[0] for key in KEYS}
    named = {text for text in whole if text.partition(".")[0] in families and text.count(".") == 1}
    assert {text for text in named if re.fullmatch(r"[a-z]+\.\w+", text)} - KEYS == set()


def test_every_problem_of_the_app_has_a_text_and_every_text_a_problem():
    named = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RefusedError":
                named |= {one.value for one in ast.walk(node.args[1]) if isinstance(one, ast.Constant)}
    told = {"invalid", "unexpected"}  # written where they are answered
    assert {f"problem.{code}" for code in named | told} == {key for key in KEYS if key.startswith("problem.")}


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("stage", STAGES),
        ("status", PROPOSAL_STATES),
        ("recommendation", RECOMMENDATIONS),
        ("reason", tuple(Reason)),
        ("decision", (*get_args(Action), "REQUEST_MORE_TESTS")),
    ],
)
def test_every_state_of_the_database_has_a_name(family: str, names: tuple[str, ...]):
    assert {f"{family}.{name}" for name in names} == {key for key in KEYS if key.startswith(f"{family}.")}


def test_every_rule_of_data_has_a_meaning_and_every_meaning_a_rule():
    known = {key.removeprefix("finding.") for key in KEYS if key.startswith("finding.")}
    documented = set(re.findall(r"`([a-z_]+)`", QUALITY.read_text(encoding="utf-8")))
    sources = "".join(path.read_text(encoding="utf-8") for path in CHECKS)
    named = set(re.findall(r'\.(?:quarantine|report|flag|remove_duplicates)\(\s*"(\w+)"', sources))
    named |= set(re.findall(r'^[A-Z_]+: Final = "([a-z]+_[a-z]+)"', sources, re.MULTILINE))
    assert len(named) > 25 and named <= known <= documented | named | {"changes"}


def test_a_missing_key_is_an_error_and_a_name_from_data_is_not():
    t = Translator("es")
    with pytest.raises(KeyError, match=r"review\.nonsense"):
        t("review.nonsense")
    assert t.label("decision", "A_NEW_ONE") == "A_NEW_ONE"
    assert t.label("decision", "APPROVE") == "Aprobó"
