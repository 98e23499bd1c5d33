import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.backtest.cuts import Cut, cut_returns, session_volatility
from dosvotos.backtest.metrics import daily_returns, measure, sharpe_ratio
from dosvotos.market.accounting import Tape, run_account
from tests.backtest.windows import bar_times, sessions, tape_of_closes


def days(*names: str) -> np.ndarray:
    return np.array(names, dtype="datetime64[D]")


def compound(cuts: tuple[Cut, ...]) -> float:
    return float(np.prod([1 + cut.total_return for cut in cuts]) - 1)


def test_months_and_years_by_hand():
    when = days("2024-11-29", "2024-12-02", "2024-12-27", "2025-01-02")
    found = cut_returns(np.array([0.1, 0.1, -0.1, 0.05]), when, np.ones(4))
    assert [(cut.name, cut.sessions) for cut in found.by_month] == [
        ("2024-11", 1), ("2024-12", 2), ("2025-01", 1),
    ]  # fmt: skip
    assert [cut.total_return for cut in found.by_month] == pytest.approx([0.1, -0.01, 0.05])
    assert [cut.name for cut in found.by_year] == ["2024", "2025"]
    assert [cut.total_return for cut in found.by_year] == pytest.approx([1.1 * 0.99 - 1, 0.05])
    assert found.by_year[0].sharpe_ratio == pytest.approx(sharpe_ratio(np.array([0.1, 0.1, -0.1])))
    assert found.by_year[1].sharpe_ratio is None


@given(seed=st.integers(0, 2**16), n_sessions=st.integers(1, 300), unknown=st.sampled_from([0.0, 0.2, 1.0]))
@settings(max_examples=40, deadline=None)
def test_parts_hold_every_session_once_and_compound_to_the_whole(seed, n_sessions, unknown):
    random = np.random.default_rng(seed)
    returns, when = random.normal(0, 0.01, n_sessions), sessions(n_sessions)
    volatility = np.where(random.random(n_sessions) < unknown, np.nan, random.exponential(size=n_sessions))
    found = cut_returns(returns, when, volatility)
    total = np.prod(1 + returns) - 1
    for parts in (found.by_month, found.by_year, found.by_volatility):
        assert sum(cut.sessions for cut in parts) == n_sessions
        assert compound(parts) == pytest.approx(total)
        assert len({cut.name for cut in parts}) == len(parts)


def test_the_months_of_an_account_compound_to_its_total_return():
    random = np.random.default_rng(3)
    tape, when = tape_of_closes(4000 * np.exp(np.cumsum(random.normal(0, 1e-3, 60 * 80)))), sessions(81)
    account = run_account(tape, random.integers(-1, 2, 4800), 1e-4, 1e5)
    returns = daily_returns(account.equity, tape.times, when)
    found = cut_returns(returns, when, session_volatility(tape, when))
    assert len(found.by_month) >= 4
    assert compound(found.by_month) == pytest.approx(measure(account, tape.times, when).total_return)


def test_regimes_are_thirds_by_volatility_and_the_unknown_are_named():
    returns = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.5])
    volatility = np.array([5.0, 1.0, 6.0, 2.0, 3.0, 4.0, np.nan])
    found = {cut.name: cut for cut in cut_returns(returns, sessions(7), volatility).by_volatility}
    assert list(found) == ["calm", "usual", "volatile", "unknown"]
    assert [cut.sessions for cut in found.values()] == [2, 2, 2, 1]
    assert found["calm"].total_return == pytest.approx(1.02 * 1.04 - 1)
    assert found["usual"].total_return == pytest.approx(1.05 * 1.06 - 1)
    assert found["volatile"].total_return == pytest.approx(1.01 * 1.03 - 1)


def test_a_market_that_never_moves_is_calm():
    (calm,) = cut_returns(np.full(4, 0.01), sessions(4), np.zeros(4)).by_volatility
    assert (calm.name, calm.sessions) == ("calm", 4)


def test_without_the_best_five_days_only_those_are_gone():
    returns = np.array([0.05, -0.01, 0.02, 0.01, 0.04, 0.03, -0.02, 0.015])
    found = cut_returns(returns, sessions(8), np.ones(8)).without_best_days
    left = np.array([-0.01, 0.01, -0.02])
    assert found.sessions == 3
    assert found.total_return == pytest.approx(np.prod(1 + left) - 1)
    assert found.sharpe_ratio == pytest.approx(sharpe_ratio(left))


@pytest.mark.parametrize("n_sessions", [1, 4, 5])
def test_five_days_or_fewer_leave_nothing(n_sessions: int):
    found = cut_returns(np.full(n_sessions, 0.01), sessions(n_sessions), np.ones(n_sessions))
    assert found.without_best_days == Cut(
        name="without_best_days", sessions=0, total_return=0.0, sharpe_ratio=None
    )


def test_volatility_by_hand():
    # moves of +-1% at every bar: the root mean square is 1%, over 60 bars sqrt(60) as much
    steps = np.tile([0.01, -0.01], 60)
    tape = tape_of_closes(4000 * np.exp(np.cumsum(steps)))
    np.testing.assert_allclose(session_volatility(tape, sessions(2)), 0.01 * np.sqrt(60))


def test_nights_play_no_part_in_volatility():
    close = np.repeat([100.0, 150.0, 75.0], 60)
    assert session_volatility(tape_of_closes(close), sessions(3)).tolist() == [0.0, 0.0, 0.0]


def test_a_session_with_fewer_than_two_bars_has_no_volatility():
    steps = np.tile([0.01, -0.01], 90)
    full = tape_of_closes(4000 * np.exp(np.cumsum(steps)))
    kept = np.r_[0:60, 60, 120:180]
    tape = Tape(bar_times(3)[kept], full.close[kept], full.rate_difference[kept])
    found = session_volatility(tape, sessions(4))
    assert np.isnan(found).tolist() == [False, True, False, True]


def test_missing_bars_do_not_make_a_session_calm():
    random = np.random.default_rng(4)
    full = tape_of_closes(4000 * np.exp(np.cumsum(random.normal(0, 1e-3, 60 * 200))))
    kept = np.sort(random.choice(len(full.close), 60 * 100, replace=False))
    sparse = Tape(full.times[kept], full.close[kept], full.rate_difference[kept])
    whole, half = (np.nanmean(session_volatility(tape, sessions(200))) for tape in (full, sparse))
    assert half >= whole
