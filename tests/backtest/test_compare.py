"""Two models on the same bars."""

import numpy as np
import pandas as pd
import pytest

from dosvotos.backtest.compare import (
    Comparison,
    Contestant,
    compare,
    contract_differences,
    sessions_to_compare,
)
from dosvotos.backtest.evidence import sharpe_difference_draws, sharpe_difference_interval
from dosvotos.backtest.metrics import drawdowns, sharpe_ratio
from dosvotos.backtest.resampling import Bootstrap
from dosvotos.backtest.run import run_backtest
from dosvotos.contracts.experiment import make_contract
from dosvotos.errors import ParameterError
from dosvotos.market.calendar import session_dates
from dosvotos.reports.comparison import render_comparison
from tests.backtest.windows import sessions, split_rows
from tests.conftest import parameters_of
from tests.languages import english_in_spanish
from tests.proposal_fixtures import tiny_policy
from tests.report_factory import evidence_of, report_of

ROWS = split_rows(40)
BOOTSTRAP = Bootstrap(200, 20260131)
SIM = "USD/COP.SIM"


def contestant(
    name: str, seed: int = 1, first: int = 0, last: int = 40, rows: pd.DataFrame = ROWS, **sections: dict
) -> Contestant:
    """A model tested on some of the 40 sessions."""
    days = sessions(40)[first:last]
    ranges = {
        "train": {"start": "2023-01-02", "end": "2023-12-29"},
        "val": {"start": "2024-01-02", "end": "2024-06-28"},
        "test": {"start": str(days[0]), "end": str(days[-1])},
    }
    changes = {"experiment": {"name": name}, "date_ranges": ranges, **sections}
    parameters = parameters_of(evidence={"n_random_traders": 20}, **changes)
    contract = make_contract(parameters, days[-1].astype(object), "ana")
    window = rows[np.isin(session_dates(pd.DatetimeIndex(rows.index)), days)]
    result = run_backtest(tiny_policy(seed), window, days, contract.parameters, 1)
    report = report_of(**dict(result), model_hash=f"{seed}" * 64, experiment_name=name)
    return Contestant(name, seed, f"{name}_{seed}", contract, window["close"], report)


@pytest.fixture(scope="module")
def a() -> Contestant:
    return contestant("a", 1)


@pytest.fixture(scope="module")
def b() -> Contestant:
    return contestant(
        "b", 2, trading={"costs": {"spread_bps": 9.0, "slippage_bps": 1.0, "commission_bps": 0.0}}
    )


def compared(contestants: list[Contestant], intersect: bool = False) -> Comparison:
    return compare(contestants, sessions_to_compare(contestants, intersect), BOOTSTRAP)


def daily(one: Contestant) -> np.ndarray:
    return np.array(list(one.report.daily_returns.values()))


def test_figures_and_pairs_are_those_of_the_two_backtests(a, b):
    found = compared([a, b])
    assert (found.sessions, found.intersected, found.left_out) == (40, False, {"a": 0, "b": 0})
    assert found.entries[1].metrics == dict(b.report.metrics)
    assert found.entries[0].stress == a.report.stress
    assert found.entries[0].equity[str(sessions(40)[-1])] == pytest.approx(1 + a.report.metrics.total_return)
    (pair,) = found.pairs
    assert pair.sharpe_difference == pytest.approx(sharpe_ratio(daily(a)) - sharpe_ratio(daily(b)))
    expected = sharpe_difference_interval(daily(a), daily(b), BOOTSTRAP)
    assert pair.interval_90 == pytest.approx(expected)


def test_the_probability_is_the_share_of_draws_and_turns_round(a, b):
    draws = sharpe_difference_draws(daily(a), daily(b), BOOTSTRAP)
    (pair,), (turned,) = compared([a, b]).pairs, compared([b, a]).pairs
    assert pair.probability_a_beats_b == (draws > 0).mean()
    assert turned.probability_a_beats_b == pytest.approx(1 - pair.probability_a_beats_b)
    assert turned.sharpe_difference == pytest.approx(-pair.sharpe_difference)


def test_a_model_against_itself_is_a_tie(a):
    (pair,) = compared([a, a._replace(name="again")]).pairs
    assert (pair.sharpe_difference, pair.interval_90, pair.probability_a_beats_b) == (0.0, (0.0, 0.0), 0.5)


def test_a_clear_winner_beats_the_other_nearly_always(a):
    better = {day: value + 0.004 for day, value in a.report.daily_returns.items()}
    winner = a._replace(name="winner", report=a.report.model_copy(update={"daily_returns": better}))
    (pair,) = compared([winner, a]).pairs
    assert pair.probability_a_beats_b > 0.99 and pair.interval_90[0] > 0


def test_three_models_make_three_pairs(a, b):
    found = compared([a, b, contestant("c", 3)])
    assert [(pair.a, pair.b) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_other_bars_are_refused_with_both_windows_and_the_way_out(a):
    later = contestant("later", 2, first=10)
    with pytest.raises(ParameterError, match=r"a was tested on 2024-07-02 to .*; 30 sessions .*--intersect"):
        compared([a, later])


def test_an_intersection_is_measured_again_and_says_what_is_left_out(a):
    later = contestant("later", 2, first=10)
    found = compared([a, later], intersect=True)
    assert (found.sessions, found.intersected, found.left_out) == (30, True, {"a": 10, "later": 0})
    entry = found.entries[0]
    assert entry.metrics["sharpe_ratio"] == pytest.approx(sharpe_ratio(daily(a)[10:]))
    assert entry.metrics["total_return"] == pytest.approx(np.prod(1 + daily(a)[10:]) - 1)
    equity = np.array([value for _, value in a.report.equity_curve])[10 * 60 - 1 :]
    assert entry.metrics["max_drawdown"] == pytest.approx(drawdowns(equity).max(), abs=1e-6)
    assert entry.stress is None and "total_trades" not in entry.metrics
    whole = found.entries[1]
    assert whole.metrics["max_drawdown"] == pytest.approx(later.report.metrics.max_drawdown, abs=1e-6)


def test_a_session_with_another_close_is_not_the_same_bars(a):
    edited = ROWS.copy()
    edited.iloc[300, edited.columns.get_loc("close")] += 0.01
    other = contestant("other", 2, rows=edited)
    with pytest.raises(ParameterError, match="39 sessions have the same bars"):
        compared([a, other])
    left = compared([a, other], intersect=True)
    assert left.sessions == 39 and str(sessions(40)[5]) not in left.entries[0].equity


def test_nothing_in_common_is_refused_even_intersected(a):
    edited = ROWS.assign(close=ROWS["close"] + 1)
    with pytest.raises(ParameterError, match="share 0 sessions"):
        compared([a, contestant("other", 2, rows=edited)], intersect=True)


def test_models_of_two_instruments_are_refused(a):
    real = contestant(
        "real", 2, experiment={"name": "real", "instrument": "USD/COP"}, data_acquisition={"source": "files"}
    )
    with pytest.raises(ParameterError, match=rf"one instrument only; a trades {SIM}, real trades USD/COP"):
        compared([a, real], intersect=True)


def test_the_contracts_differences_are_every_parameter_that_differs_and_no_other(a, b):
    found = {row.parameter: row.values for row in contract_differences({"a": a.contract, "b": b.contract})}
    assert found == {
        "trading.costs.spread_bps": {"a": a.contract.parameters.trading.costs.spread_bps, "b": 9.0}
    }
    same = contract_differences({"a": a.contract, "b": contestant("b").contract})
    assert same == ()


def test_the_page_shows_every_section_and_escapes_names(a, b):
    page = render_comparison(
        compared([a, b._replace(name="<b>")]), looks=3, evidence={"a": evidence_of(), "<b>": None}
    )
    for words in ("Side by side", "Equity", "Costs and delays", "volatility", "trading.costs.spread_bps"):
        assert words in page
    assert "3 models have looked at these sessions" in page and english_in_spanish(page) == []
    assert "<b>'s" not in page and "&lt;b&gt;" in page
    assert f"{a.report.metrics.sharpe_ratio:.2f}" in page


def test_the_page_of_an_intersection_says_that_the_figures_are_others(a):
    page = render_comparison(
        compared([a, contestant("later", 2, first=10)], intersect=True), looks=2, evidence={}
    )
    assert english_in_spanish(page) == []
    assert "10 of a&#39;s sessions are left out" in page and "Costs and delays" not in page
