"""Refusals: a text in each language for every code, and a code wherever a person can be refused."""

import ast
import string
from pathlib import Path

import pytest

import dosvotos
import streamlit_app
from dosvotos.errors import DecisionError, NotAllowedError
from dosvotos.refusals import refusal, refusal_texts

SOURCE = Path(dosvotos.__file__).parent
KINDS = {
    "CredentialError", "DecisionError", "DecisionConflictError", "NotAllowedError", "SignatureError",
    "RequestError", "UnknownProposalError", "UnknownRequestError",
}  # fmt: skip
MODULES = [
    *(
        path
        for path in sorted((SOURCE / "promotion").glob("*.py"))
        if path.stem not in {"exported_vote", "restoring"}  # a terminal's alone
    ),
    SOURCE / "database/registry.py", SOURCE / "database/requests.py", SOURCE / "lineage/vote.py",
    SOURCE / "signing/sshsig.py", SOURCE / "signing/wire.py",
]  # fmt: skip
OF_A_TERMINAL = {
    "bundle", "first_signatory", "verify_decision", "verify_countersignature", "restored_epochs", "_compare",
    "_adding", "_restoring", "library_lock",
}  # fmt: skip
"""Functions whose message stands in another one's, in the log's verification, or nobody can cause."""


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def raised(node: ast.Raise) -> str | None:
    """Name the error that is raised with a message of its own."""
    call = node.exc
    return call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else None


def used_codes() -> dict[str, set[str]]:
    """Codes in the source, with the figures given to them."""
    used: dict[str, set[str]] = {}
    modules = (
        path for folder in (SOURCE, Path(streamlit_app.__file__).parent) for path in folder.rglob("*.py")
    )
    sources = (path.read_text(encoding="utf-8") for path in modules)
    for source in (one for one in sources if "Error.of(" in one):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "of" and node.args:
                figures = {one.arg for one in node.keywords if one.arg}
                complete = all(one.arg for one in node.keywords)
                for one in ast.walk(node.args[0]):
                    if isinstance(one, ast.Constant) and one.value in refusal_texts():
                        used[one.value] = figures if complete else placeholders(english(one.value))
    return used


def english(code: str) -> str:
    return refusal_texts()[code]["en"]


def test_whoever_is_refused_is_told_in_their_language():
    found = []
    for path in MODULES:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name not in OF_A_TERMINAL:
                raises = (node for node in ast.walk(function) if isinstance(node, ast.Raise))
                found += [f"{path.name}, line {node.lineno}" for node in raises if raised(node) in KINDS]
    assert found == []


def test_every_code_has_both_languages_with_the_same_figures_and_is_used_with_them():
    used = used_codes()
    for code, texts in refusal_texts().items():
        assert set(texts) == {"en", "es"} and texts["en"] != texts["es"], code
        assert placeholders(texts["en"]) == placeholders(texts["es"]), code
        if code not in ("built_on_retracted", "hidden_character"):  # figures of other refusals
            assert placeholders(texts["en"]) <= used[code], code


def test_a_code_nobody_knows_and_a_figure_that_is_missing_are_errors():
    with pytest.raises(KeyError):
        refusal("nonsense", {})
    with pytest.raises(KeyError):
        refusal("own_model", {"person": "ana"})


def test_an_error_keeps_its_kind_and_is_told_in_each_language():
    error = NotAllowedError.of("own_model", person="ana", model="demo_1")
    assert (
        str(error) == error.told("en") == ("ana trained demo_1 and may not approve it; ask another reviewer")
    )
    assert error.told("es") == "ana entrenó demo_1 y no lo puede aprobar; pídelo a otro revisor"
    assert DecisionError("in English only").told("es") == "in English only"


def test_a_refusal_within_a_refusal_is_told_in_the_same_language():
    inner = NotAllowedError.of("own_model", person="ana", model="demo_1")
    assert "at: ana entrenó demo_1 y no lo puede aprobar" in refusal(
        "text_value", {"line": "at", "found": inner}, "es"
    )
