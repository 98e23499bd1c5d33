import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.backtest.metrics import (
    annual_return,
    daily_returns,
    drawdowns,
    measure,
    sharpe_ratio,
    sortino_ratio,
)
from dosvotos.market.accounting import Account, run_account
from dosvotos.market.calendar import session_bar_times
from tests.backtest.windows import bar_times, sessions, tape_of_closes


def account_of(
    equity: list[float], pnl: list[float] = (), position: list[float] | None = None, ruined: bool = False
) -> Account:
    held = np.zeros(len(equity)) if position is None else np.array(position, dtype=float)
    closed = np.zeros((len(pnl), 7))
    closed[:, 1], closed[:, 6] = np.arange(len(pnl)) + 1, pnl  # exit_bar and pnl
    return Account(np.array(equity, dtype=float), held, np.zeros(len(equity)), closed, ruined)


def last_bars(days: np.ndarray) -> pd.DatetimeIndex:
    """One bar a session: its last."""
    return pd.DatetimeIndex([session_bar_times(day)[-1] for day in days])


# ---- daily returns


def test_daily_returns_run_between_session_ends_the_first_against_the_start():
    days = sessions(3)
    equity = np.repeat([100.0, 110.0, 99.0], 60)
    equity[0] = 80.0  # the starting balance
    equity[70:90] = 500.0  # what happens within a session plays no part
    np.testing.assert_allclose(daily_returns(equity, bar_times(3), days), [0.25, 0.1, -0.1])


def test_a_session_without_bars_returns_nothing_wherever_it_lies():
    days = sessions(6)
    times = last_bars(days[[1, 2, 4]])
    returns = daily_returns(np.array([100.0, 110.0, 121.0]), times, days)
    np.testing.assert_allclose(returns, [0, 0, 0.1, 0, 0.1, 0])


def test_after_ruin_at_nothing_returns_are_zero_not_undefined():
    returns = daily_returns(np.array([100.0, 0.0, 0.0]), last_bars(sessions(3)), sessions(3))
    assert returns.tolist() == [0.0, -1.0, 0.0]


# ---- Sharpe


def test_sharpe_by_hand():
    # mean 0.01, deviations -0.01, 0.01, 0: std with ddof 1 is 0.01
    assert sharpe_ratio(np.array([0.0, 0.02, 0.01])) == pytest.approx(np.sqrt(245))


def test_flat_sessions_count_and_lower_the_ratio():
    traded = np.array([0.01, 0.02, 0.01, 0.02])
    diluted = np.concatenate([traded, np.zeros(4)])
    series = pd.Series(diluted)
    assert sharpe_ratio(diluted) == pytest.approx(series.mean() / series.std() * np.sqrt(245))
    assert sharpe_ratio(diluted) < sharpe_ratio(traded)


@pytest.mark.parametrize(
    "returns", [[], [0.01], [0.0] * 50, [0.01] * 50, [-0.003] * 133, [0.1] * 7], ids=lambda r: str(r[:1])
)
def test_without_variance_there_is_no_sharpe(returns: list[float]):
    assert sharpe_ratio(np.array(returns)) is None


def test_sharpe_changes_sign_with_the_returns_and_not_with_their_size():
    returns = np.random.default_rng(0).normal(1e-3, 0.01, 145)
    assert sharpe_ratio(-returns) == pytest.approx(-sharpe_ratio(returns))
    assert sharpe_ratio(returns * 3) == pytest.approx(sharpe_ratio(returns))


# ---- Sortino and Calmar


def test_sortino_by_hand():
    # mean 0.005; the losses squared over all four days: (0.02^2 + 0.01^2) / 4, root 0.01118
    returns = np.array([0.03, -0.02, -0.01, 0.02])
    assert sortino_ratio(returns) == pytest.approx(0.005 / np.sqrt(5e-4 / 4) * np.sqrt(245))


def test_without_a_losing_session_there_is_no_sortino():
    assert sortino_ratio(np.array([0.0, 0.01, 0.02])) is None
    assert sortino_ratio(np.array([-0.01])) is None


def test_gains_of_any_size_leave_the_downside_as_it_is():
    returns = np.random.default_rng(1).normal(0, 0.01, 100)
    larger = np.where(returns > 0, 2 * returns, returns)
    found = [sortino_ratio(r) / r.mean() for r in (returns, larger)]
    assert found[0] == pytest.approx(found[1])


def test_calmar_is_the_compound_return_a_year_over_the_largest_drawdown():
    # two sessions, +10% and a fall of 5% on the way: 1.1^(245 / 2) - 1 a year
    equity = np.repeat([100.0, 110.0], 60)
    equity[30] = 95.0
    found = measure(account_of(equity), bar_times(2), sessions(2)).calmar_ratio
    assert found == pytest.approx((1.1 ** (245 / 2) - 1) / 0.05)
    assert annual_return(0.1, 245) == pytest.approx(0.1)


def test_worst_day_and_average_holding_by_hand():
    equity = np.repeat([100.0, 98.0, 99.0], 60)
    found = measure(account_of(equity, [1.0, 1.0, 1.0]), bar_times(3), sessions(3))
    assert found.worst_day == pytest.approx(-0.02)
    assert found.average_holding_bars == pytest.approx(2.0)  # 1, 2 and 3 bars


# ---- drawdown


def test_drawdown_by_hand():
    np.testing.assert_allclose(drawdowns(np.array([100.0, 120, 90, 130, 117, 65])), [0, 0, 0.25, 0, 0.1, 0.5])


def test_the_starting_balance_is_a_peak_so_the_first_fee_is_a_drawdown():
    tape = tape_of_closes(np.full(60, 4000.0))
    account = run_account(tape, np.ones(60), 0.01, 1e5)
    metrics = measure(account, tape.times, sessions(1))
    assert metrics.max_drawdown == pytest.approx(0.02)


def test_drawdown_is_taken_on_five_minute_marks_not_on_session_ends():
    equity = np.full(120, 100.0)
    equity[30] = 60.0
    assert measure(account_of(equity), bar_times(2), sessions(2)).max_drawdown == pytest.approx(0.4)


# ---- trades


def test_trade_figures_by_hand():
    metrics = measure(account_of([100.0] * 60, [30, -10, 0, 20, -15]), bar_times(1), sessions(1))
    assert metrics.total_trades == 5
    assert metrics.win_rate == pytest.approx(2 / 5)  # a trade of zero profit is a loss
    assert metrics.profit_factor == pytest.approx(50 / 25)  # and adds nothing to the gross loss
    assert metrics.avg_trade_pnl == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("pnl", "win_rate", "profit_factor", "average"),
    [
        ([], None, None, None),
        ([5.0, 1.0], 1.0, None, 3.0),
        ([0.0, 0.0], 0.0, None, 0.0),
        ([-4.0], 0.0, 0.0, -4.0),
        ([0.0, -4.0], 0.0, 0.0, -2.0),
    ],
)
def test_figures_that_are_not_defined_are_null(pnl, win_rate, profit_factor, average):
    metrics = measure(account_of([100.0] * 60, pnl), bar_times(1), sessions(1))
    assert (metrics.win_rate, metrics.profit_factor, metrics.avg_trade_pnl) == (
        win_rate,
        profit_factor,
        average,
    )
    assert metrics.sharpe_ratio is None


def test_an_account_that_never_trades_has_figures_that_say_so():
    tape = tape_of_closes(4000 + np.arange(120.0))
    metrics = measure(run_account(tape, np.zeros(120), 3.5e-4, 1e5), tape.times, sessions(2))
    assert metrics.model_dump() == {
        "sharpe_ratio": None,
        "sortino_ratio": None,
        "calmar_ratio": None,
        "max_drawdown": 0.0,
        "win_rate": None,
        "profit_factor": None,
        "total_trades": 0,
        "avg_trade_pnl": None,
        "total_return": 0.0,
        "worst_day": 0.0,
        "average_holding_bars": None,
        "exposure": 0.0,
        "turnover": 0.0,
        "ruined": False,
    }


def test_exposure_counts_bars_and_turnover_sides_a_session():
    targets = np.zeros(120)
    targets[10:40], targets[40:55] = 1, -1  # in, a flip, out: four sides, 45 bars
    targets[100:] = 1  # in, and closed by the end: two sides, held from bar 101 to 118
    tape = tape_of_closes(np.full(120, 4000.0))
    metrics = measure(run_account(tape, targets, 0.0, 1e5), tape.times, sessions(3))
    assert metrics.exposure == pytest.approx((45 + 18) / 120)
    assert metrics.turnover == pytest.approx(6 / 3)
    assert metrics.total_trades == 3


def test_a_ruined_account_has_lost_everything_once():
    close = np.full(180, 100.0)
    close[90:] = 200.0
    tape = tape_of_closes(close)
    metrics = measure(run_account(tape, -np.ones(180), 0.0, 1e5), tape.times, sessions(3))
    assert metrics.ruined and metrics.total_return == -1.0 and metrics.max_drawdown == 1.0
    returns = np.array([0.0, -1.0, 0.0])
    assert metrics.sharpe_ratio == pytest.approx(returns.mean() / returns.std(ddof=1) * np.sqrt(245))


# ---- against pandas


@given(seed=st.integers(0, 2**16), n_sessions=st.integers(1, 8), cost=st.sampled_from([0.0, 3.5e-4, 0.00375]))
@settings(max_examples=40, deadline=None)
def test_all_figures_equal_an_independent_computation(seed: int, n_sessions: int, cost: float):
    random = np.random.default_rng(seed)
    close = 4000 * np.exp(np.cumsum(random.normal(0, 1e-3, 60 * n_sessions)))
    spells = np.repeat(random.integers(-1, 2, len(close)), random.integers(1, 30, len(close)))[: len(close)]
    tape, days = tape_of_closes(close), sessions(n_sessions + 1)
    account = run_account(tape, spells, cost, 1e5)
    found = measure(account, tape.times, days)

    equity = pd.Series(account.equity, index=tape.times.tz_convert("America/Bogota"))
    ends = equity.groupby(equity.index.date).last()
    ends = ends.reindex(pd.DatetimeIndex(days).date).ffill()
    returns = pd.concat([pd.Series([1e5]), ends]).pct_change().iloc[1:]
    if returns.std() > 1e-12:
        assert found.sharpe_ratio == pytest.approx(returns.mean() / returns.std() * 245**0.5)
    else:
        assert found.sharpe_ratio is None
    assert found.max_drawdown == pytest.approx(-(equity / equity.cummax() - 1).min(), abs=1e-12)
    pnl = account.trades["pnl"]
    assert found.total_trades == len(pnl)
    if len(pnl):
        assert found.win_rate == pytest.approx((pnl > 0).mean())
        assert found.avg_trade_pnl == pytest.approx((account.equity[-1] - 1e5) / len(pnl), abs=1e-6)
        gains, losses = pnl.clip(lower=0).sum(), -pnl.clip(upper=0).sum()
        assert found.profit_factor == (pytest.approx(gains / losses) if losses else None)
    assert found.total_return == pytest.approx((1 + returns).prod() - 1, abs=1e-12)
    traded = account.fees[account.fees > 0] / cost if cost else np.zeros(0)
    if cost and len(traded):
        legs = 2 * len(pnl)
        assert found.turnover * len(days) == legs
