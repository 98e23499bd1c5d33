"""Every page in Spanish: no English sentence on it, of whatever came from files, rows or refusals."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.languages import is_english
from tests.proposal_fixtures import BEATEN, Desk
from tests.streamlit_app.pages import vote

pytestmark = pytest.mark.slow

SECTIONS = ("result", "risk", "costs", "evidence", "lineage", "votes")


def shown(at: AppTest) -> list[str]:
    """Every text of a page: elements, labels, options, tables and figures' legends."""
    texts: list[str] = []
    for element in (one for one in at if one.type != "code"):  # a record as it is stored
        proto = getattr(element, "proto", None)
        texts += [str(getattr(proto, name, "")) for name in ("body", "label", "help", "caption")]
        texts += [str(option) for option in getattr(proto, "options", ())]
        value = getattr(element, "value", None)
        if hasattr(value, "columns"):
            cells = value.reset_index()
            texts += [str(cell) for cell in (*cells.columns, *cells.to_numpy().ravel())]
        elif isinstance(value, str):
            texts.append(value)
    return texts


def english(texts: list[str]) -> list[str]:
    return [text for text in texts if is_english(text)]


def test_english_is_told_from_spanish_and_from_code():
    assert english(["The proposal is not open", "It ran by the book"]) != []
    assert english(["La propuesta no está abierta", "`the log is of that`", "a favor de 3 modelos"]) == []


@pytest.fixture
def full_desk(desk: Desk) -> Desk:
    """Proposals of each recommendation, a failed extra backtest, votes, gaps and evidence with notes."""
    first = desk.propose("uno", 1, trained_by="bob")
    vote(desk, first, "APPROVE", "revisado con calma, nada en contra")
    production = desk.proposal(first).model_id
    vote(desk, desk.propose("dos", 2), "REJECT", "demasiado riesgo para la mesa hoy")
    without = {"metrics_with_financing": None, "financing_note": "the policy rate is not known"}
    third = desk.propose(
        "tres", 3, recommendation="REVIEW", confidence=0.6, baseline_model_id=production,
        results=lambda made: made | without,
    )  # fmt: skip
    desk.change(third, evidence=desk.proposal(third).evidence | {"missing": [BEATEN.model_dump()]})
    desk.propose("cuatro", 4, recommendation="REJECT", confidence=0.9, reasons=[BEATEN.model_dump()])
    desk.signal(60, production)
    return desk


def test_no_page_is_left_in_english(open_page: Any, full_desk: Desk):
    opened: dict[str, AppTest] = {}
    for page in ("proposals", "compare", "production", "data", "models", "signals", "audit"):
        opened[page] = open_page(page, "es")
    for section in SECTIONS:
        opened[section] = open_page("review", "es", 3, section=section)
    for action in ("approve", "reject", "more_tests"):
        opened[action] = open_page("review", "es", 3, action=action)
    opened["vetoed"], opened["closed"] = (open_page("review", "es", n) for n in (4, 2))
    left = [f"{name}: {text}" for name, at in opened.items() for text in english(shown(at))]
    assert left == []
