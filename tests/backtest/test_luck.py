"""The p-value of luck and its companions, against hand formulas and slow versions of their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from dosvotos.backtest.evidence import moments_of, probabilistic_sharpe_ratio
from dosvotos.backtest.luck import hac_psr, last_third_share, luck_p_value, passing_sharpe

SEEDS = st.integers(0, 10_000)


def returns_of(seed: int, n_sessions: int = 145, mean: float = 0.0005) -> np.ndarray:
    """Skewed, fat-tailed daily returns."""
    random = np.random.default_rng(seed)
    return 0.004 * random.standard_t(4, n_sessions) + 0.002 * random.exponential(1, n_sessions) - 0.002 + mean


def t_tail(t: float, freedom: int) -> float:
    """Student's upper tail, by integrating its density written out."""
    from math import gamma, pi, sqrt

    factor = gamma((freedom + 1) / 2) / (sqrt(freedom * pi) * gamma(freedom / 2))
    tail, _ = integrate.quad(lambda x: factor * (1 + x * x / freedom) ** (-(freedom + 1) / 2), t, np.inf)
    return tail


def psr_tail(returns: np.ndarray) -> float:
    """1 - PSR(0), moment by moment."""
    n, mean = len(returns), sum(returns) / len(returns)
    second, third, fourth = (sum((r - mean) ** k for r in returns) / n for k in (2, 3, 4))
    sharpe = mean / np.sqrt(second * n / (n - 1))
    skew, kurtosis = third / second**1.5, fourth / second**2
    error = np.sqrt((1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2) / (n - 1))
    tail, _ = integrate.quad(lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi), sharpe / error, np.inf)
    return tail


@given(SEEDS, st.integers(5, 80), st.floats(-0.002, 0.004))
@settings(max_examples=25, deadline=None)
def test_the_p_value_is_the_larger_of_the_two_tails_by_hand(seed: int, n_sessions: int, mean: float):
    returns = returns_of(seed, n_sessions, mean)
    t = np.sqrt(n_sessions) * returns.mean() / returns.std(ddof=1)
    expected = max(psr_tail(returns), t_tail(t, n_sessions - 1))
    assert luck_p_value(returns) == pytest.approx(expected, abs=1e-7)


def test_it_is_never_below_one_minus_the_probabilistic_sharpe_ratio():
    for seed in range(50):
        returns = returns_of(seed)
        psr = probabilistic_sharpe_ratio(moments_of(returns))
        assert luck_p_value(returns) >= 1 - psr - 1e-12


def test_many_windows_at_once_are_as_one_after_the_other():
    windows = np.stack([returns_of(seed) for seed in range(12)]).reshape(3, 4, 145)
    for function in (luck_p_value, hac_psr, last_third_share):
        one_by_one = [[float(function(window)) for window in row] for row in windows]
        np.testing.assert_allclose(function(windows), one_by_one, rtol=1e-12)


@pytest.mark.parametrize("returns", [np.zeros(145), np.full(145, 0.001), np.array([0.1, 0.2])])
def test_returns_that_do_not_vary_or_are_too_few_have_none(returns: np.ndarray):
    assert np.isnan([luck_p_value(returns), hac_psr(returns), last_third_share(returns)]).all()


def test_most_of_the_p_values_of_no_skill_are_uniform():
    p_values = luck_p_value(np.random.default_rng(3).normal(size=(20_000, 145)))
    for level in (0.05, 0.005):
        assert np.mean(p_values <= level) == pytest.approx(level, rel=0.25)


def slow_hac_psr(returns: np.ndarray, lags: int) -> float:
    """Newey and West's variance of the estimate as a double sum over all pairs of sessions."""
    n, mean, spread = len(returns), returns.mean(), returns.std(ddof=0)
    sharpe = mean / returns.std(ddof=1)
    influence = [(r - mean) / spread - sharpe / 2 * (((r - mean) / spread) ** 2 - 1) for r in returns]
    total = 0.0
    for i in range(n):
        for j in range(n):
            if abs(i - j) <= lags:
                total += (1 - abs(i - j) / (lags + 1)) * influence[i] * influence[j]
    return float(stats.norm.cdf(sharpe * np.sqrt((n - 1) / (total / n))))


@given(SEEDS, st.integers(20, 60))
@settings(max_examples=15, deadline=None)
def test_the_hac_probability_is_that_of_a_double_sum(seed: int, n_sessions: int):
    returns = np.convolve(returns_of(seed, n_sessions + 3, 0.002), [0.4, 0.3, 0.2, 0.1], "valid")
    assert hac_psr(returns) == pytest.approx(slow_hac_psr(returns, 5), rel=1e-9)


def test_without_lags_it_is_the_probabilistic_sharpe_ratio_and_runs_lower_it():
    returns = returns_of(2, mean=0.001)
    psr = probabilistic_sharpe_ratio(moments_of(returns))
    assert hac_psr(returns, lags=0) == pytest.approx(psr, rel=1e-12)
    runs = np.repeat(returns[:48] - returns[:48].mean() + 0.001, 3)
    assert hac_psr(runs) < probabilistic_sharpe_ratio(moments_of(runs)) - 0.01


def test_the_last_third_is_the_last_third():
    returns = np.array([1.0, -1, 2, 0, 0, 2, 3, -1, 0])
    assert last_third_share(returns) == pytest.approx(10 / 20)
    assert last_third_share(np.r_[returns_of(1, 100), np.zeros(50)]) == 0.0


@given(SEEDS, st.floats(0.0006, 0.06))
@settings(max_examples=25, deadline=None)
def test_at_the_passing_sharpe_ratio_the_p_value_is_the_level(seed: int, level: float):
    returns = returns_of(seed)
    moments = moments_of(returns)
    needed = passing_sharpe(145, moments.skew, moments.kurtosis, level)
    moved = returns - returns.mean() + needed / np.sqrt(245) * returns.std(ddof=1)
    assert luck_p_value(moved) == pytest.approx(level, rel=1e-6)
