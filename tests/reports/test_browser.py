"""Every page in a real browser: it fits a telephone, and prints without cutting a figure or a row."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from dosvotos.leakage.report import FeatureReport, Finding, LeakReport
from dosvotos.reports.comparison import render_comparison
from dosvotos.reports.leakcheck import render_leakcheck
from dosvotos.reports.likeness import render_likeness
from dosvotos.reports.quality import render_quality
from dosvotos.reports.validation_pack import make_pack
from dosvotos.simulation.statistics import market_statistics
from tests.backtest.test_compare import compared, contestant
from tests.report_factory import evidence_of
from tests.reports import test_dataset, test_quality, test_training, test_validation_pack
from tests.simulation.market_factory import market

CHROMIUM = Path("/usr/bin/chromium")
TELEPHONE_PX = 390
SHEET_PX = [1032, 703]
"""A4 landscape less its margins of 12 mm, at 96 pixels an inch."""

contract, desk, proposal_id = (
    test_training.contract,
    test_validation_pack.desk,
    test_validation_pack.proposal_id,
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=args)
        yield browser
        browser.close()


@pytest.fixture
def fits(browser, tmp_path):
    def check(html: str) -> None:
        path = tmp_path / "page.html"
        path.write_text(html)
        page = browser.new_page(viewport={"width": TELEPHONE_PX, "height": 844})
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE_PX
        if page.locator("button[lang=es]").count():
            page.click("button[lang=es]")
            assert page.evaluate("document.documentElement.lang") == "es"
            assert page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE_PX
        page.set_viewport_size({"width": SHEET_PX[0], "height": SHEET_PX[1]})
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        cut = """([width, height]) => [...document.querySelectorAll('figure, tr')]
            .filter(e => e.scrollWidth > width || e.offsetHeight > height)
            .map(e => `${e.scrollWidth} x ${e.offsetHeight}: ${e.textContent.slice(0, 200)}`)"""
        assert page.evaluate(cut, SHEET_PX) == []
        first_page = "[...document.querySelectorAll('.summary')].map(e => e.offsetTop + e.offsetHeight)"
        assert all(bottom <= SHEET_PX[1] for bottom in page.evaluate(first_page))
        page.close()

    return check


def test_a_comparison_fits(fits):
    names = "exp1_curriculum_aggressive_v1", "exp2_interbank_costs_v1"
    found = compared([contestant(name, seed) for seed, name in enumerate(names, 1)])
    fits(render_comparison(found, looks=2, evidence=dict.fromkeys(names, evidence_of())))


def test_a_dataset_fits(fits, variables):
    fits(test_dataset.drawn(variables, holed=True, vix_z=1.5))


def test_a_leak_check_fits(fits):
    moment = dt.datetime(2026, 7, 31, 18, tzinfo=dt.UTC)
    inputs = ("finc_bond_yield10y_col_d_col10y", "finc_bond_yield10y_usa_d_ust10y")
    finding = Finding(
        subject="rate_spread", rule="future", at=moment, detail="It moved.", hint="shift", n_probes=2
    )
    features = (FeatureReport(feature="rate_spread", probes=9, inputs=inputs, findings=(finding,)),)
    report = LeakReport(
        pipeline="of CTR-EXP-demo", seed=0, bars=66_960, first_bar=moment, last_bar=moment,
        probes={"replay": 9}, features=features, dataset=(), notes=("Nothing else.",),
    )  # fmt: skip
    page = render_leakcheck(report)
    assert "rate_spread: sees what was not yet known" in page and "found by 2 probes" in page
    fits(page)


def test_a_likeness_fits(fits):
    fits(render_likeness(market_statistics(*market(0.0)), "sample", None, "published"))


def test_data_quality_fits(fits, variables):
    rows = [test_quality.observation(name, "2025-07-07", "2025-07-08") for name in variables]
    bars = pd.concat([test_quality.bars_on("2024-12-27", flat=True), test_quality.bars_on("2025-07-08")])
    findings = [test_quality.finding(detail="long" * 80), test_quality.finding("gap", subject="x" * 80)]
    fits(render_quality(bars, pd.DataFrame(rows), pd.DataFrame(findings), variables, test_quality.NOON))


def test_a_training_fits(fits, contract):
    fits(test_training.page_of(contract, 7, 42, 99))


def test_a_validation_pack_fits(fits, desk, proposal_id):
    for language in ("en", "es"):
        fits(make_pack(desk.engine, proposal_id, language))
