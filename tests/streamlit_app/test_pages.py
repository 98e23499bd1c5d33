"""Every page, in both languages, as Streamlit runs it."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import text, update
from streamlit.testing.v1 import AppTest

from dosvotos.contracts.records import LedgerGenesis
from dosvotos.database.connection import writing
from dosvotos.database.fills import FillSource, add_fills
from dosvotos.database.tables import model_registry
from dosvotos.formats import MISSING
from dosvotos.promotion.notify import URLS_VARIABLE, Notification, announce
from dosvotos.promotion.reasons import Reason, sentence
from dosvotos.reports.evidence import evidence_label
from streamlit_app.i18n import LANGUAGES, Translator
from tests.proposal_fixtures import INSTRUMENT, Desk, as_an_older_version
from tests.report_factory import evidence_of
from tests.streamlit_app.pages import HOSTILE, UI, assert_plain, page_text, press, vote

pytestmark = pytest.mark.slow

PAGES = ["proposals", "review", "compare", "production", "data", "models", "signals", "audit"]
BROKEN = {"record": HOSTILE, "field": HOSTILE, "recorded": "a", "recomputed": "b", "source": HOSTILE}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_an_empty_page_says_so_and_what_to_do(open_page, page: str, language: str):
    at, t = open_page(page, language), Translator(language)
    assert t("app.banner", user="alice") in page_text(at)
    if page == "review":
        assert t("review.nothing") in page_text(at)
    else:
        assert t(f"{page}.empty") in page_text(at)
        assert t(f"{page}.empty_next") in page_text(at)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_a_filled_page_works(open_page, desk: Desk, page: str, language: str):
    first = desk.propose("one", 1)
    vote(desk, first, "APPROVE")
    production = desk.proposal(first).model_id
    desk.propose("two", 2, baseline_model_id=production, recommendation="REVIEW", confidence=0.6)
    desk.signal(60, production)
    at, t = open_page(page, language), Translator(language)
    assert t("app.banner", user="alice") in page_text(at)
    shown = {
        "proposals": t("proposals.closed"),
        "review": t("review.criteria"),
        "compare": t("compare.pairs"),
        "production": production,
        "data": t("data.variables"),
        "models": production,
        "signals": t("signals.no_signal"),
        "audit": t("audit.whole", count=1),
    }
    assert shown[page] in page_text(at)


def test_imported_fills_stand_beside_the_model_s_book(open_page, desk: Desk):
    first = desk.propose("one", 1)
    vote(desk, first, "APPROVE")
    assert Translator("en")("fills.none") in page_text(open_page("production"))
    at = pd.to_datetime(["2026-11-20T15:00:00Z", "2026-11-20T15:10:00Z"])
    traded = pd.DataFrame(
        {"time": at, "side": ["BUY", "SELL"], "quantity": [150_000.0, 50_000.0], "price": 4000.0}
    )
    with writing(desk.engine) as connection:
        source = FillSource(INSTRUMENT, "market", 100_000.0, "fills.csv", "f" * 64)
        add_fills(connection, traded, source, datetime.now(UTC))
    for language, held in (("en", "100,000"), ("es", "100.000")):
        at, t = open_page("production", language), Translator(language)
        (table,) = [d.value for d in at.dataframe if t("fills.amount") in d.value]
        figures = dict(zip(table[t("fills.what")], table[t("fills.amount")], strict=True))
        assert figures[t("fills.count")] == "2" and figures[t("fills.held")] == held
        assert figures[t("fills.difference")] == f"+{held}" and figures[t("fills.slippage")] == MISSING
        assert len(at.get("plotly_chart")) == 1 and t("fills.hint") in page_text(at)


def test_the_language_can_be_switched(open_page):
    at = open_page()
    for language, title in (("es", "Propuestas de promoción"), ("en", "Promotion proposals")):
        at.sidebar.segmented_control[0].select(language)
        at.run()
        assert at.title[0].value == title
    at.switch_page("views/models.py").run()
    assert at.title[0].value == "Models"
    assert at.query_params["lang"] == "en"


def test_the_address_carries_the_language(open_page):
    assert open_page("audit", lang="es").title[0].value == "Registro de auditoría"
    assert open_page("audit", lang="tlh").title[0].value == "Audit log"


def test_a_proposal_is_shown_whole(open_page, desk: Desk):
    at = open_page("review", proposal_id=desk.propose(planted_edge=0.45))
    page = page_text(at)
    assert "planted and generous; real markets are not like this" in page
    assert "It passes the criteria, and luck is unlikely: with a probability of 97.3%" in page
    assert "L4 recommends: Promote" in page
    assert "< 15.0%" in page
    assert len(at.get("plotly_chart")) == 4 and "SIMULATED" in page_text(at)
    table = at.table[0].value
    assert list(table.columns) == [
        "This model", "With financing", "Linear rival", "Always long", "Always short",
    ]  # fmt: skip
    assert table.loc["Sharpe ratio"].tolist() == ["1.92", "1.81", "1.31", "-0.42", "0.31"]
    assert table.loc["Trades", "This model"] == "1,204"
    assert "no production model yet" in page
    at = open_page("review", proposal_id=1, section="lineage")
    (layers,) = [control for control in at.segmented_control if control.key == "layer"]
    layers.select("L3")
    at.run()
    page, full = page_text(at), at.dataframe[0].value
    assert desk.proposal(1).lineage["model_hash"] in list(full["Hash"])
    assert desk.proposal(1).lineage["model_hash"][:12] in page


@pytest.mark.usefixtures("recomputing")
def test_the_lineage_is_verified_at_that_moment_and_a_broken_layer_is_red(open_page, desk: Desk):
    proposal_id, t = desk.propose_recomputable(trained_by="bob"), Translator("en")
    at = open_page("review", proposal_id=proposal_id, section="lineage")
    assert t("lineage.holds") not in page_text(at)
    page = page_text(press(at, t("lineage.verify")))
    assert page.count(f"green-badge[{t('lineage.holds')}]") == 5 and "links hold" in page
    with writing(desk.engine) as connection:
        connection.execute(update(model_registry).values(dataset_hash="0" * 64))
    page = page_text(press(at, t("lineage.verify")))
    assert page.count(f"green-badge[{t('lineage.holds')}]") == 4
    assert page.count(f"red-badge[{t('lineage.breaks')}]") == 1


def test_in_spanish_figures_dates_and_answers_are_spanish(open_page, desk: Desk):
    page = page_text(open_page("review", language="es", proposal_id=desk.propose()))
    assert "< 15,0\u00a0%" in page and "> 0,50" in page
    assert "Todavía no hay modelo en producción" in page
    assert "Sharpe 1,92, 1.204 operaciones. Cumple los criterios, y la suerte es improbable" in page
    assert " to " not in page.partition("Fuera de la muestra")[2][:60]


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "a ridge on the same features: +0.61 (-0.40 to +1.70, 90%); the linear rival has 1.31."),
        ("es", "sobre las mismas variables: +0,61 (-0,40 a +1,70, 90\xa0%); el rival lineal tiene 1,31."),
    ],
)
def test_the_linear_rival_stands_beside_the_model(open_page, desk: Desk, language: str, sentence: str):
    at = open_page("review", language, desk.propose())
    assert sentence in page_text(at)
    assert evidence_label("linear_rival", language) in page_text(
        open_page("review", language, 1, section="evidence")
    )


def test_a_proposal_made_before_reasons_had_codes_keeps_its_sentence(open_page, desk: Desk):
    old = desk.propose(reason="Sharpe 1.92, as it was written then.", reasons=None)
    assert "as it was written then." in page_text(open_page("review", language="es", proposal_id=old))


def test_a_proposal_shows_other_costs_later_fills_and_its_parts(open_page, desk: Desk):
    proposal_id = desk.propose()
    at = open_page("review", proposal_id=proposal_id, section="costs")
    stress, cuts = at.table[0].value, at.table[1].value
    assert list(stress.index) == [
        "No costs",
        "Stated costs (3.5 bps a side)",
        "Twice the costs (7.0 bps)",
        "A spread of 75 bps (38.5 bps)",
        "Filled one bar later",
        "Filled two bars later",
    ]
    assert stress["Sharpe ratio"].tolist() == ["2.72", "1.92", "1.02", "-7.08", "1.62", "1.32"]
    assert "used up at a cost of 7.9 bps a side" in page_text(at)
    assert list(cuts.index)[-4:] == [
        "Calm sessions",
        "Usual sessions",
        "Volatile sessions",
        "Without the best five days",
    ]
    at = open_page("review", proposal_id=proposal_id)
    assert at.table[0].value.loc["Sortino ratio", "This model"] == "2.81"
    assert "Out of sample" in page_text(at) and "In sample:" not in page_text(at)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_proposal_of_an_older_version_is_shown_and_says_what_it_lacks(open_page, desk: Desk, language: str):
    proposal_id = desk.propose(results=as_an_older_version)
    at = open_page("review", language, proposal_id)
    assert Translator(language)("review.files_altered") in page_text(at)
    lacks = {"en": "written by another version, see cuts", "es": "lo escribió otra versión, véase cuts"}
    assert lacks[language] in page_text(at)
    assert len(at.table) == 1 and not at.get("plotly_chart")  # the model's figures
    assert len(open_page("review", language, proposal_id, section="evidence").table) == 3


def test_an_older_proposals_criteria_and_evidence_are_shown_as_far_as_they_can_be_read(open_page, desk: Desk):
    proposal_id = desk.propose(criteria=None, evidence={"passed": True})
    assert "PASS (1.923 > 0.5)" in page_text(open_page("review", proposal_id=proposal_id))
    evidence = open_page("review", proposal_id=proposal_id, section="evidence")
    assert Translator("en")("review.older") in page_text(evidence)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_result_on_data_the_model_has_seen_says_so(open_page, desk: Desk, language: str):
    at = open_page("review", language, desk.propose(results=lambda made: {**made, "sample": "IN-SAMPLE"}))
    assert Translator(language)("review.in_sample") in page_text(at)
    assert "IN-SAMPLE" in page_text(at)


@pytest.mark.parametrize("edge", [0, 0.0, None])
def test_a_market_without_a_planted_edge_carries_no_such_warning(open_page, desk: Desk, edge: float | None):
    assert "generous" not in page_text(open_page("review", proposal_id=desk.propose(planted_edge=edge)))


@pytest.mark.parametrize(("language", "found"), [("en", "4.56"), ("es", "4,56")])
def test_a_feature_outside_what_train_held_is_named_before_the_vote(
    open_page, desk: Desk, language: str, found: str
):
    at = open_page("review", language, desk.propose(), section="evidence")
    t = Translator(language)
    named = t("drift.one", feature="dxy_z", since="2025-05-06")
    assert t("drift.alarms", features=named) in page_text(at)
    assert "(dxy_z)" in page_text(at), "and in the strip"
    (table,) = [shown.value for shown in at.table if "dxy_z" in shown.value.index]
    assert found in table.loc["dxy_z"].tolist() and "2025-05-06" in table.loc["dxy_z"].tolist()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_risk_of_a_proposal_is_shown_and_its_trades_can_be_taken_away(
    open_page, desk: Desk, language: str
):
    at, t = open_page("review", language, desk.propose(), section="risk"), Translator(language)
    page = page_text(at)
    for title in ("price", "accounts", "falls", "heatmap"):
        assert t(f"chart.{title}") in page
    falls, parts = at.table[0].value, at.table[1].value
    assert 1 <= len(falls) <= 5 and next(iter(falls.columns)) == t("risk.depth")
    assert list(parts.index)[:2] == [t("risk.long"), t("risk.short")] and "08:00" in parts.index
    assert t("risk.too_short", sessions=60) in page
    (trades,) = at.dataframe
    assert (
        len(trades.value) == int(parts.iloc[:2, 0].str.replace(r"\D", "", regex=True).astype(int).sum()) > 0
    )
    assert t("risk.export") in [button.label for button in at.get("download_button")]


def test_a_comparison_with_production_is_shown(open_page, desk: Desk):
    first = desk.propose("one", 1)
    vote(desk, first, "APPROVE")
    second = desk.propose("two", 2, baseline_model_id=desk.proposal(first).model_id)
    at = open_page("review", "es", second)
    assert list(at.table[0].value.columns)[2] == "Producción"
    assert at.table[0].value.loc["Índice de Sharpe", "Producción"] == "1,44"
    assert "índice de Sharpe 33\u00a0% mayor, caída 20\u00a0% mayor" in page_text(at)
    assert at.metric[0].delta == "producción: 1,44"
    assert "Diferencia de los índices de Sharpe: 0,48, con un intervalo del 90 % de 0,11 a 0,87" in page_text(
        at
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_limit_below_the_house_s_shows_both_values(open_page, desk: Desk, language: str):
    criterion = {"name": "min_sharpe", "found": 1.2, "sign": ">", "needed": 0.3, "verdict": "PASS"}
    loosened = Reason(code="loosened", figures={"limits": {"min_sharpe": [0.3, 0.5]}})
    changes = {"criteria": [criterion | {"floor": 0.5}], "reasons": [loosened.model_dump()]}
    proposal_id = desk.propose(recommendation="REVIEW", **changes)
    at = open_page("review", language, proposal_id)
    house, limit = ("0.50", "house's limit") if language == "en" else ("0,50", "límite de la casa")
    assert f"> {house.replace('5', '3')} · {limit}: {house}" in page_text(at)
    assert sentence(loosened, language) in page_text(at)


def test_an_altered_report_is_not_shown(open_page, desk: Desk):
    proposal_id = desk.propose()
    desk.report(proposal_id).write_text("{}")
    at = open_page("review", proposal_id=proposal_id)
    assert Translator("en")("review.files_altered") in page_text(at)
    assert not at.get("plotly_chart")
    assert list(at.table[0].value.columns) == ["This model"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("{}")])
def test_a_damaged_dossier_offers_no_approval_and_is_not_called_spotless(
    open_page, desk: Desk, language: str, damage
):
    t, proposal_id = Translator(language), desk.propose()
    damage(desk.report(proposal_id))
    at = open_page("review", language, proposal_id, action="approve")
    assert [button.label for button in at.button] == [t("action.reject"), t("action.more_tests")]
    assert not at.text_area and t("review.files_altered") in page_text(at)
    assert t("verdict.unreadable") in page_text(at) and t("verdict.nothing_against") not in page_text(at)


@pytest.mark.parametrize("wanted", ["99", "x", "-1", "1; DROP TABLE promotion_proposals", "9" * 40])
def test_an_unknown_proposal_is_told_so(open_page, desk: Desk, wanted: str):
    desk.propose()
    assert Translator("en")("review.unknown") in page_text(open_page("review", proposal_id=wanted))


def test_what_people_and_files_say_is_plain_text_everywhere(open_page, desk: Desk, monkeypatch):
    monkeypatch.setenv("DOSVOTOS_USER", f"alice {HOSTILE}")
    hostile = {
        "reason": HOSTILE,
        "reasons": [{"code": "lineage", "figures": {"said": HOSTILE}}],
        "criteria_results": {f"min_{HOSTILE}": f"PASS ({HOSTILE})", "other": HOSTILE},
        "criteria": [
            {"name": HOSTILE, "found": None, "sign": ">", "needed": 0, "verdict": "PASS"},
            {"name": "lineage", "found": 0, "sign": "<", "needed": 1, "verdict": "FAIL", "broken": [BROKEN]},
        ],
        "evidence": evidence_of(
            Reason(code="uncovered", figures={"uncovered": 1, "sessions": 2, "features": [HOSTILE]}),
            seeds=HOSTILE,
            point_in_time=HOSTILE,
            ledger=LedgerGenesis(id=HOSTILE, created_at=HOSTILE),
        ).model_dump(mode="json"),
        "vs_baseline": {"sharpe_improvement": HOSTILE},
    }
    decided = desk.propose("decided", 1, trained_by=HOSTILE)
    vote(desk, decided, "REJECT", HOSTILE)
    waiting = desk.propose("waiting", 2, **hostile)
    older = desk.propose("older", 3, **{**hostile, "criteria": None, "evidence": {"seeds": HOSTILE}})
    desk.signal(20, HOSTILE)
    for page, proposal_id in [
        *((page, None) for page in PAGES),
        ("review", decided),
        ("review", waiting),
        ("review", older),
    ]:
        assert_plain(open_page(page, proposal_id=proposal_id))
    for section in ("costs", "evidence", "lineage", "votes"):
        assert_plain(open_page("review", proposal_id=waiting, section=section))


def test_the_models_page_is_the_inventory_and_gives_it_as_csv(open_page, desk: Desk):
    vote(desk, desk.propose("demo", 1), "APPROVE")
    at = open_page("models")
    table = at.dataframe[-1].value
    assert list(table["Approved by"]) == ["alice · self_approved"] and list(table["Owner"]) == ["not stated"]
    assert list(table["Data licences"]) == ["none needed: the market is simulated"]


def test_the_audit_page_names_what_nobody_was_told(open_page, desk: Desk, monkeypatch):
    monkeypatch.setenv(URLS_VARIABLE, "json://127.0.0.1:9/")
    with writing(desk.engine) as connection:
        announce(
            connection, Notification(event="HALT", instrument="USD/COP"), datetime(2026, 8, 3, tzinfo=UTC)
        )
    at = open_page("audit")
    assert at.warning[0].value == Translator("en")("audit.late", count=1)
    assert list(at.dataframe[0].value["Message"]) == ["Notification: HALT USD/COP"]


def test_a_broken_audit_chain_is_told(open_page, desk: Desk):
    vote(desk, desk.propose(), "REJECT")
    with writing(desk.engine) as connection:
        connection.execute(text("DROP TRIGGER approval_audit_log_no_update"))
        connection.execute(text("UPDATE approval_audit_log SET notes = 'yes'"))
    at = open_page("audit")
    assert Translator("en")("audit.broken") in page_text(at)
    assert "row 1: its content was changed" in page_text(at)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("page", "edited"),
    [("proposals", {"metrics": {"sharpe_ratio": 1.0}}), ("review", {"criteria": [{"name": "min_sharpe"}]})],
)
def test_a_row_without_a_key_is_told_without_a_traceback(
    open_page, desk: Desk, page: str, edited: dict, language: str
):
    desk.propose(**edited, reasons=None)
    at = open_page(page, language)
    assert Translator(language)("app.stored_otherwise") in page_text(at)
    edited_since = {"en": "a stored row or file was edited", "es": "un archivo guardado fue editado"}
    assert edited_since[language] in page_text(at)


@pytest.mark.usefixtures("desk", "no_component_scan")
def test_a_database_that_is_away_is_told_without_a_traceback(monkeypatch):
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", "postgresql://u:hush@127.0.0.1:1/none")
    at = AppTest.from_file(UI, default_timeout=60)
    at.session_state["language"] = "en"
    at.run()
    assert not at.exception
    assert Translator("en")("app.database_unavailable") in page_text(at)
    assert "hush" not in page_text(at)
