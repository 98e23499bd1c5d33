"""Every page in Spanish: no English sentence on it, of whatever came from files, rows or refusals."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from streamlit.testing.v1 import AppTest

from dosvotos.database.connection import writing
from dosvotos.database.deliveries import BEFORE_DELIVERIES
from dosvotos.database.live_limits import Trip, add_trip
from dosvotos.database.outbox import LATE_AFTER, told_problem
from dosvotos.database.requests import add_request, claim_request, fail_request
from dosvotos.database.tables import data_quarantine, outbox
from dosvotos.notifications.recipients import URLS_VARIABLE
from dosvotos.promotion.notify import DISPATCH
from dosvotos.refusals import Phrase
from streamlit_app.i18n import Translator
from tests.languages import is_english
from tests.proposal_fixtures import BEATEN, INSTRUMENT, NOTES, Desk
from tests.streamlit_app.pages import page_text, press, vote

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


NOW = datetime.now(UTC)
MINUTE = timedelta(minutes=1)
STATUS = Phrase.of("not_sent_status", status=503)


def _undelivered(desk: Desk, problem: dict[str, Any]) -> None:
    """A message that no recipient has got."""
    times = {"created_at": NOW - 2 * LATE_AFTER, "next_try_at": NOW, "attempts": 3}
    row = {"kind": DISPATCH, "subject": "a0", "payload": {}, **times, **problem}
    with writing(desk.engine) as connection:
        connection.execute(insert(outbox).values(row))


def _failed_backtest(desk: Desk, proposal_id: int, problem: Phrase) -> None:
    day = date(2025, 7, 1)
    asked = {"proposal_id": proposal_id, "start_date": day, "end_date": day, "sample": "OUT-OF-SAMPLE",
             "requested_by": "alice", "requested_at": NOW}  # fmt: skip
    with writing(desk.engine) as connection:
        add_request(connection, asked)
    claimed = claim_request(desk.engine, "w", NOW, MINUTE)
    assert claimed is not None and fail_request(desk.engine, claimed.id, "w", problem, NOW)


@pytest.fixture
def troubled_desk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A halted market with limits reached, messages nobody got, findings and a failed extra backtest."""
    monkeypatch.setenv(URLS_VARIABLE, "json://127.0.0.1:9/")
    first = desk.propose("uno", 1, trained_by="bob")
    vote(desk, first, "APPROVE", "revisado con calma, nada en contra")
    desk.signal(20, desk.proposal(first).model_id)
    trip = Trip("ERRORS", "REDUCING", Phrase.of("limit_errors", found=7, limit=6))
    with writing(desk.engine) as connection:
        add_trip(connection, INSTRUMENT, None, trip, NOW, NOW)
        found = {"instrument": INSTRUMENT, "feed": "sample", "finding": "f", "rule": "spike",
                 "severity": "reported", "subject": "bars", "at": NOW, "source": "s",
                 "detail": "far off others", "found_at": NOW, "delivery_id": BEFORE_DELIVERIES}  # fmt: skip
        connection.execute(insert(data_quarantine).values(found))
    _undelivered(desk, told_problem(STATUS))
    _undelivered(desk, {"problem": "answered with status 500"})  # of before 0024
    return desk


def test_what_rows_say_went_wrong_is_told_in_spanish(open_page: Any, client: Any, troubled_desk: Desk):
    shown_on = {page: open_page(page, "es") for page in ("production", "audit", "data")}
    (troubled_desk.root / "data/HALT").write_text("los precios no son de hoy\n")
    shown_on["halted"] = open_page("production", "es")
    shown_on["failed"] = _with_failed_backtest(open_page, troubled_desk)
    assert [f"{page}: {text}" for page, at in shown_on.items() for text in english(shown(at))] == []
    assert "7 barras de una hora terminaron en ERROR" in page_text(shown_on["production"])
    assert "los precios no son de hoy; termina cuando se borre" in page_text(shown_on["halted"])
    told = ["respondió con el estado 503", "mensaje del programa: answered with status 500"]
    assert [text for text in shown(shown_on["audit"]) if "503" in text or "500" in text] == told
    late = client.get("/api/health", headers={"Accept-Language": "es"}).json()["late_messages"]
    assert [one["problem"] for one in late] == told
    late = client.get("/api/health").json()["late_messages"]
    assert [one["problem"] for one in late] == ["answered with status 503", "answered with status 500"]


def _with_failed_backtest(open_page: Any, desk: Desk) -> AppTest:
    asked = desk.propose("dos", 2)
    _failed_backtest(desk, asked, Phrase.of("contract_schema", found=9, known=2))
    at = open_page("review", "es", asked)
    assert "el esquema es 9" in page_text(at)
    return at


def test_every_refusal_of_a_vote_is_told_in_spanish(open_page: Any, desk: Desk):
    t, old = Translator("es"), NOW - timedelta(days=31)
    left = []
    for proposal_id, key in (
        (desk.propose("viejo", 1, created_at=old), "review.expired"),
        (desk.propose("vetado", 2, recommendation="REJECT"), "vote.veto"),
    ):
        at = open_page("review", "es", proposal_id, action="approve")
        assert t(key, days=30) in page_text(at) and not at.text_area
        left += english(shown(at))
    for refused in (_too_short, _altered_model, _too_late, _altered_dossier):
        left += english(shown(refused(open_page, desk, t)))
    assert left == []


def _too_short(open_page: Any, desk: Desk, t: Translator) -> AppTest:
    at = open_page("review", "es", desk.propose("corto", 3), action="reject")
    at.text_area[0].input("corta")
    press(at, t("vote.reject"))
    assert t("vote.notes_short", minimum=20, found=5) in page_text(at)
    return at


def _altered_model(open_page: Any, desk: Desk, t: Translator) -> AppTest:
    at = open_page("review", "es", desk.propose("sin_modelo", 4), action="approve")
    for policy in desk.root.glob("data/06_models/*/policy.safetensors"):
        policy.unlink()
    at.text_area[0].input(NOTES)
    press(at, t("vote.approve"))
    press(at, t("vote.confirm"))
    assert t("vote.altered_model") in page_text(at)
    return at


def _too_late(open_page: Any, desk: Desk, t: Translator) -> AppTest:
    proposal_id = desk.propose("tarde", 5)
    at = open_page("review", "es", proposal_id, action="reject")
    vote(desk, proposal_id, "REJECT", "otra persona fue más rápida")
    at.text_area[0].input("una razón que llega tarde")
    press(at, t("vote.reject"))
    assert t("vote.conflict") in page_text(at)
    return at


def _altered_dossier(open_page: Any, desk: Desk, t: Translator) -> AppTest:
    proposal_id = desk.propose("alterado", 6)
    file = desk.report(proposal_id)
    file.write_bytes(file.read_bytes() + b" ")
    at = open_page("review", "es", proposal_id)
    assert t("review.files_altered") in page_text(at)
    return at
