"""Refusals: a text in each language for every code, and a code wherever a person can be refused."""

import ast
import re
import string
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_core._pydantic_core import list_all_errors

import dosvotos
import streamlit_app
from dosvotos.contracts.records import FetchOutcome, parse_record
from dosvotos.database.connection import make_engine, open_existing, reading
from dosvotos.errors import DecisionError, DosVotosError, NotAllowedError, stored_otherwise
from dosvotos.files import read_regular_file
from dosvotos.hashing import digest_bytes
from dosvotos.policy.bundle import open_bundle
from dosvotos.refusals import broken_rule, refusal, refusal_texts
from dosvotos.sealed import open_sealed, read_sealed_file
from dosvotos.signing.keys import parse_public_key
from dosvotos.signing.passkeys import parse_assertion
from tests.languages import is_english

SOURCE = Path(dosvotos.__file__).parent
KINDS = {
    "CredentialError", "DecisionError", "DecisionConflictError", "NotAllowedError", "SignatureError",
    "RequestError", "UnknownProposalError", "UnknownRequestError", "LineageError", "BundleError",
    "DatabaseError", "HomeError", "FileError", "ContractError",
}  # fmt: skip
MODULES = [
    *(
        path
        for path in sorted((SOURCE / "promotion").glob("*.py"))
        if path.stem not in {"copies", "exported_vote", "older_traces", "restoring"}  # a terminal's alone
    ),
    *sorted((SOURCE / "database").glob("*.py")), *sorted((SOURCE / "signing").glob("*.py")),
    *(SOURCE / "lineage" / f"{name}.py" for name in ("chain", "recompute", "vote")),
    *(SOURCE / f"{name}.py" for name in ("files", "sealed", "policy/bundle", "contracts/records")),
    SOURCE / "contracts/experiment.py",
]  # fmt: skip
OF_A_TERMINAL = {
    "check_draft", "_check_same", "_check_fold", "trainer_on_log", "add_model", "check_contract",
    "require_registered", "import_home", "_place", "open_signer", "read_public_key", "_read_key", "sign",
    "library_lock",
}  # fmt: skip
"""Functions that a run or a command calls, never the app; and one whose error nobody can cause."""


FAMILIES = (
    "next_",
    "database_file_holds",
    "database_server_holds",
    "kind_",
    "errno_",
    "pydantic_",
    "not_sent_",
)
"""Codes that are completed at run time or named in another process; like those named in the
test they are figures of other refusals."""


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
    for source in (one for one in sources if "Error.of(" in one or "Phrase.of(" in one):
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
        wordless = not re.search(r"\w", re.sub(r"\{\w+\}", "", texts["en"]))
        assert set(texts) == {"en", "es"} and (wordless or texts["en"] != texts["es"]), code
        assert placeholders(texts["en"]) == placeholders(texts["es"]), code
        if code not in ("built_on_retracted", "hidden_character") and not code.startswith(FAMILIES):
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


@pytest.mark.parametrize("rule", list_all_errors(), ids=lambda rule: rule["type"])
def test_every_rule_of_pydantic_is_told_in_spanish(rule):
    problem = {
        "type": rule["type"],
        "ctx": rule.get("example_context") or {},
        "msg": rule["example_message_python"],
    }
    assert broken_rule(problem) == rule["example_message_python"].removeprefix("Value error, ")
    told = broken_rule(problem, "es")
    assert told and not is_english(told)


def _missing(folder: Path) -> None:
    read_regular_file(folder / "none", 10)


def _folder(folder: Path) -> None:
    read_regular_file(folder, 10)


def _altered(folder: Path) -> None:
    (folder / "record.json").write_text("{}")
    read_sealed_file(folder / "record.json", "0" * 64)


def _gone(folder: Path) -> None:
    read_sealed_file(folder / "record.json", "0" * 64)


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format": 7}')
    open_sealed(folder, digest_bytes(b'{"format": 7}'))


def _no_record(folder: Path) -> None:
    parse_record(FetchOutcome, b'{"subject": 1}', "fetch.json")


def _no_json(folder: Path) -> None:
    parse_record(FetchOutcome, b"{", "fetch.json")


def _no_bundle(folder: Path) -> None:
    open_bundle(folder, "0" * 64)


def _no_database(folder: Path) -> None:
    open_existing(f"sqlite:///{folder}/none.db")


def _no_table(folder: Path) -> None:
    with reading(make_engine(f"sqlite:///{folder}/empty.db")) as connection:
        connection.exec_driver_sql("SELECT 1 FROM nothing")


def _no_key(folder: Path) -> None:
    parse_public_key("ssh-ed25519 nonsense!")


def _no_passkey(folder: Path) -> None:
    parse_assertion("{}")


@pytest.mark.parametrize(
    "fault",
    [
        *(_missing, _folder, _altered, _gone, _no_manifest, _no_record, _no_json, _no_bundle, _no_database),
        *(_no_table, _no_key, _no_passkey),
    ],
)
def test_what_files_hashes_and_libraries_say_is_told_in_spanish_too(fault, tmp_path):
    with pytest.raises(DosVotosError) as caught:
        fault(tmp_path)
    assert caught.value.told("en") == str(caught.value)
    assert not is_english(caught.value.told("es")), caught.value.told("es")


def test_a_field_of_a_stored_record_is_told_in_spanish_and_its_value_is_not_repeated():
    with pytest.raises(ValidationError) as caught:
        FetchOutcome.model_validate({"subject": "a secret", "source": 3})
    told = stored_otherwise(caught.value).told("es")
    assert told.startswith("FetchOutcome: source: debe ser un texto") and "secret" not in told
