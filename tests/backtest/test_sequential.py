import numpy as np
import pytest

from dosvotos.backtest.sequential import (
    _STAKES,
    below_claim,
    judge_claim,
    judge_pair,
    sessions_needed,
    volatility_scaled,
    wealth,
)
from dosvotos.market.calendar import SESSIONS_PER_YEAR

DAY = 0.005


def drawn(seed: int, n_sessions: int, n_paths: int, sharpe: float = 0.0) -> np.ndarray:
    """Fat-tailed daily returns with this annual Sharpe ratio."""
    tails = np.random.default_rng(seed).standard_t(4, (n_sessions, n_paths)) / np.sqrt(2)
    return DAY * (tails + sharpe / np.sqrt(SESSIONS_PER_YEAR))


def test_the_money_worked_by_hand():
    x = np.array([2.0, -1.0, 9.0])  # the last counts as 3.5
    by_stake = [(1 + s * 2) * (1 - s) * (1 + s * 3.5) for s in _STAKES]
    assert wealth(x)[-1] == pytest.approx(np.mean(by_stake))
    assert wealth(x)[0] == pytest.approx(1 + 2 * np.mean(_STAKES))


def test_no_day_ruins_a_bet():
    worst = wealth(np.full(500, -100.0))
    assert (worst > 0).all() and (np.diff(worst) < 0).all()


def test_a_day_is_scaled_by_the_days_before_it():
    returns = drawn(1, 60, 1)[:, 0]
    scaled, later = volatility_scaled(returns), volatility_scaled(np.append(returns[:40], returns[40:] * 7))
    np.testing.assert_array_equal(scaled[:40], later[:40])
    assert (scaled[:10] == 0).all()
    decay = 0.5 ** (1 / 20)
    weights = decay ** np.arange(39, -1, -1)
    assert scaled[40] == pytest.approx(
        returns[40] / np.sqrt((weights * returns[:40] ** 2).sum() / weights.sum())
    )


def test_with_a_spread_from_before_the_first_day_counts_and_flat_days_change_nothing():
    returns = np.array([0.01, 0.0, 0.0, -0.005])
    scaled = volatility_scaled(returns, 0.01)
    assert scaled[:3].tolist() == pytest.approx([1.0, 0.0, 0.0])
    assert scaled[3] == pytest.approx(-0.5)  # 0.01 was as expected, so the spread is what it was


def test_equal_models_are_called_different_in_at_most_5_percent_of_1000_days_of_looks():
    scaled = volatility_scaled(drawn(2, 1000, 1500) - drawn(3, 1000, 1500))
    claimed = (wealth(scaled) >= 40).any(axis=0) | (wealth(-scaled) >= 40).any(axis=0)
    assert claimed.mean() <= 0.05


def test_of_four_shadows_equal_to_production_any_is_called_different_as_seldom_as_of_one():
    production = drawn(2, 1000, 300)
    money = np.stack([largest(drawn(seed, 1000, 300) - production) for seed in (3, 10, 11, 12)])
    each, jointly = (money >= 40).any(axis=0), (money >= 160).any(axis=0)
    assert jointly.mean() <= 0.05 < each.mean()


def largest(differences: np.ndarray) -> np.ndarray:
    scaled = volatility_scaled(differences)
    return np.maximum(wealth(scaled), wealth(-scaled)).max(axis=0)


def test_a_shadow_among_four_needs_four_times_the_money():
    path = drawn(4, 400, 1, sharpe=5.0)[:, 0]
    money = wealth(volatility_scaled(path))
    alone, among = (judge_pair(path, np.zeros(400), 0.05, n) for n in (1, 4))
    assert (alone.claimed_at, among.claimed_at) == (np.argmax(money >= 40), np.argmax(money >= 160))
    assert alone.level == among.level and alone.sessions_needed < among.sessions_needed


def test_a_gap_of_four_is_found_within_a_year_and_on_the_right_side():
    returns = drawn(4, 250, 400, sharpe=4.0)
    found = (wealth(volatility_scaled(returns)) >= 40).any(axis=0)
    assert found.mean() >= 0.8
    path = returns[:, int(found.argmax())]
    better, worse = judge_pair(path, np.zeros(250)), judge_pair(np.zeros(250), path)
    assert (better.side, worse.side) == ("better", "worse")
    assert better.claimed_at == worse.claimed_at


def test_a_claim_is_never_taken_back():
    good, bad = drawn(5, 250, 1, sharpe=6.0)[:, 0], drawn(6, 600, 1, sharpe=-6.0)[:, 0]
    before = judge_pair(good, np.zeros(250))
    after = judge_pair(np.concatenate([good, bad]), np.zeros(850))
    assert before.side == after.side == "better" and before.claimed_at == after.claimed_at


def test_a_model_as_good_as_claimed_is_seldom_called_worse_and_one_that_loses_soon_is():
    as_claimed, losing = drawn(7, 1000, 1000, sharpe=3.0), drawn(8, 122, 1000, sharpe=-4.0)
    assert (wealth(below_claim(as_claimed, 3.0, DAY)) >= 20).any(axis=0).mean() <= 0.05
    called_worse = (wealth(below_claim(losing, 3.0, DAY)) >= 20).any(axis=0)
    assert called_worse.mean() >= 0.85
    first = int(called_worse.argmax())
    assert judge_claim(losing[:, first], 3.0, DAY).side == "worse"


def test_half_of_the_gaps_of_two_are_found_by_the_session_that_is_named():
    needed = sessions_needed(2.0, 0.025)
    scaled = volatility_scaled(drawn(9, needed, 1000, sharpe=2.0))
    assert (wealth(scaled) >= 40).any(axis=0).mean() >= 0.5
    assert judge_pair(np.zeros(3), np.zeros(3)).sessions_needed == needed
    assert sessions_needed(4.0, 0.025) < needed < sessions_needed(1.0, 0.025)


def test_no_session_is_no_claim():
    verdict = judge_pair(np.empty(0), np.empty(0))
    assert (verdict.sessions, verdict.e_value, verdict.claimed_at) == (0, 1.0, None)
