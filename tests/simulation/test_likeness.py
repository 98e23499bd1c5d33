"""Tolerances mean what they say, and the page shows what was measured."""

import re

import numpy as np
import pytest

from dosvotos.reports.likeness import render_likeness
from dosvotos.simulation.likeness import LEFT_OUT, TOLERANCES, ComparedFigure, Tolerance, compare_figures
from dosvotos.simulation.statistics import MarketStatistics, market_statistics, published_figures
from tests.languages import english_in_spanish, in_english
from tests.simulation.market_factory import market

PUBLISHED = published_figures()


def test_a_tolerance_is_a_share_or_a_distance():
    assert Tolerance(0.1, relative=True).of(-8.0) == pytest.approx(0.8)
    assert Tolerance(0.1, relative=False).of(-8.0) == 0.1
    assert ComparedFigure("x", 1.0, 1.1, 0.11).inside and not ComparedFigure("x", 1.0, 0.8, 0.11).inside


def test_the_published_figures_lie_inside_and_others_do_not():
    assert all(row.inside for row in compare_figures(PUBLISHED))
    shifted = {name: value * 2 + 30 for name, value in PUBLISHED.items()}
    assert not any(row.inside for row in compare_figures(shifted))


def test_every_published_figure_is_compared_or_left_out_for_a_reason():
    """The rest are what a figure is made of, not figures of their own."""
    compared = {row.name for row in compare_figures(PUBLISHED)}
    assert set(TOLERANCES) <= compared and not compared & set(LEFT_OUT)
    rest = {re.sub(r"\.[^.]*$", "", name) for name in set(PUBLISHED) - compared - set(LEFT_OUT)}
    by_year = {"intraday.ar1_by_year", "daily.std_by_year", "daily.drift_by_year_pct"}
    parts = {
        "factors.start",
        "factors.usdcop_beta_lag0_pct",
        "factors.multi_ols_lag0",
        "factors.predictive_ols_lag1_on_session_return",
        "daily.regimes",
    }
    spot = {"factors.std", "factors.ac1"}
    pairs = {name for name in rest if name.startswith("factors.corr.")}
    assert rest - pairs == by_year | parts | spot


def test_a_measured_figure_takes_the_published_ones_place():
    rows = {row.name: row for row in compare_figures(PUBLISHED, {"daily.cc_std_pct": 0.5})}
    assert rows["daily.cc_std_pct"].real == 0.5 and not rows["daily.cc_std_pct"].inside
    assert rows["daily.intraday_std_pct"].inside


# ---- the page


@pytest.fixture(scope="module")
def measured() -> MarketStatistics:
    bars, macro = market(0.0)
    return market_statistics(bars, macro)


@pytest.fixture(scope="module")
def page(measured: MarketStatistics) -> str:
    return render_likeness(measured, "seed <7>", None, "published & more")


@pytest.mark.slow
def test_the_page_is_whole_and_needs_nothing_else(page: str):
    assert page.count('class="plotly-graph-div"') == 11
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="?http', outside)
    assert english_in_spanish(page) == []
    assert "seed &lt;7&gt;" in page and "published &amp; more" in page


def first_table(page: str) -> dict[str, list[str]]:
    """Cells of the first table by their row's name."""
    page = in_english(page)
    body = page[page.index("<h2>Figure by figure</h2>") : page.index("<h2>The daily factors</h2>")]
    rows = body[body.index("<tbody>") : body.index("</tbody>")].split("<tr>")[1:]
    parts = ([re.sub(r"<[^>]*>", "", cell) for cell in re.split(r"<td[^>]*>", row)[1:]] for row in rows)
    return {cells[0]: cells[1:] for cells in parts}


@pytest.mark.slow
def test_the_table_shows_both_markets_and_the_verdict(page: str, measured: MarketStatistics):
    rows = compare_figures(measured.figures)
    assert f"<b>{sum(row.inside for row in rows)} of {len(rows)} figures" in in_english(page)
    table = first_table(page)
    real, sample, tolerance, inside = table["close to close: standard deviation, %"]
    assert (real, tolerance, inside) == ("0.872", "± 0.192", "yes")
    assert float(sample) == pytest.approx(measured.figures["daily.cc_std_pct"], abs=0.001)
    shown = [row for row in rows if row.name in TOLERANCES and "slot" not in row.name]
    assert [cells[-1] == "yes" for cells in table.values()] == [row.inside for row in shown]


@pytest.mark.slow
def test_a_figure_outside_is_said_to_be(measured: MarketStatistics):
    off = MarketStatistics(**{**vars(measured), "figures": {**measured.figures, "intraday.ar1": 0.5}})
    table = first_table(render_likeness(off, "sample", measured, "itself"))
    outside = [name for name, cells in table.items() if cells[-1] == "no"]
    assert outside == ["5-minute returns: autocorrelation of neighbours"]


@pytest.mark.slow
def test_the_sample_is_inside_nearly_everywhere(measured: MarketStatistics):
    rows = compare_figures(measured.figures)
    assert np.mean([row.inside for row in rows]) > 0.97
