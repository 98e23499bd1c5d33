import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.backtest.metrics import daily_returns, sharpe_ratio
from dosvotos.backtest.naive import random_sharpe_percentile, random_traders
from dosvotos.market.accounting import Tape, run_account
from tests.backtest.windows import sessions, tape_of_closes

N_TRADERS = 60


def positions_of(targets: np.ndarray) -> np.ndarray:
    """What an account that follows the targets holds after each bar's fill."""
    held = np.concatenate([[0], targets[:-1]])
    held[-1] = 0
    return held.astype(float)


def sides_traded(positions: np.ndarray) -> float:
    return np.abs(np.diff(positions, prepend=0.0)).sum()


@st.composite
def strategies(draw: st.DrawFn) -> np.ndarray:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = random.integers(1, draw(st.sampled_from([3, 20, 80])), 60)
    sides = random.choice(draw(st.sampled_from([[0, 1], [-1, 1], [-1, 0, 1], [-1, 0, 0, 0]])), 60)
    targets = np.repeat(sides, lengths)[: draw(st.integers(3, 300))]
    return positions_of(targets)


@given(positions=strategies(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_each_trader_spends_exactly_as_many_bars_long_short_and_flat(positions: np.ndarray, seed: int):
    traders = random_traders(positions, 20, seed)
    assert traders.shape == (20, len(positions)) and traders.dtype == np.int8
    for side in (-1, 0, 1):
        assert ((traders == side).sum(axis=1) == (positions == side).sum()).all()


@given(positions=strategies(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_traders_own_positions_lose_at_most_the_two_bars_that_cannot_be_held(positions, seed):
    for targets in random_traders(positions, 20, seed):
        held = positions_of(targets)
        assert 0 <= (positions != 0).sum() - (held != 0).sum() <= 2
        assert sides_traded(held) <= sides_traded(positions) + 2


@pytest.mark.parametrize("sides", [[1], [1, -1], [1, -1, 1, 1]], ids=["long only", "both", "mixed"])
def test_random_traders_trade_as_much_as_the_strategy(sides: list[int]):
    # design, section 3: 200 random traders with the same exposure and turnover
    day = np.zeros((145, 60))
    day[:, 2:58] = np.resize(sides, 145)[:, None]
    positions = day.ravel()
    traded = [sides_traded(positions_of(targets)) for targets in random_traders(positions, N_TRADERS, 3)]
    assert np.mean(traded) == pytest.approx(sides_traded(positions), rel=0.05)


@pytest.mark.parametrize("hours", [(2, 58), (30, 45), (1, 20), (45, 59)])
def test_random_traders_do_not_keep_the_strategys_hours(hours: tuple[int, int]):
    # a strategy that is long at the same hours every day has spells of equal length, which no order changes
    day = np.zeros((145, 60))
    day[:, hours[0] : hours[1]] = 1
    positions = day.ravel()
    held = np.array([positions_of(targets) for targets in random_traders(positions, 200, 4)])
    shared = (held[:, positions == 1] == 1).mean()
    assert shared == pytest.approx((positions == 1).mean(), abs=0.06)


def test_a_seed_gives_the_same_traders_and_another_seed_others():
    positions = positions_of(np.repeat(np.resize([1, 0, -1, 0], 40), np.arange(1, 41)))
    one, again, other = (random_traders(positions, 10, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert len(np.unique(one, axis=0)) == 10


def test_traders_without_skill_earn_nothing_on_average_before_costs():
    random = np.random.default_rng(5)
    tape = tape_of_closes(4000 * np.exp(np.cumsum(random.normal(0, 5e-4, 60 * 40))))
    positions = positions_of(np.repeat(np.resize([1, 0, -1, 0], 240), 10))
    returns = [
        run_account(tape, targets, 0.0, 1e5).equity[-1] / 1e5 - 1
        for targets in random_traders(positions, 300, 5)
    ]
    assert abs(np.mean(returns)) < 3 * np.std(returns) / np.sqrt(300)


def test_the_percentile_is_taken_over_the_net_sharpe_ratios():
    random = np.random.default_rng(6)
    tape, days = tape_of_closes(4000 * np.exp(np.cumsum(random.normal(0, 5e-4, 60 * 20)))), sessions(21)
    traders = random_traders(positions_of(np.repeat(np.resize([1, 0, -1], 120), 10)), 31, 6)
    sharpes = sorted(
        sharpe_ratio(daily_returns(run_account(tape, t, 3.5e-4, 1e5).equity, tape.times, days))
        for t in traders
    )
    found = [random_sharpe_percentile(tape, days, traders, 3.5e-4, 1e5, p) for p in (50, 90)]
    assert found == pytest.approx([sharpes[15], sharpes[27]])
    assert random_sharpe_percentile(tape, days, traders, 7e-4, 1e5, 50) < found[0]


def test_traders_who_never_trade_have_no_percentile():
    tape = tape_of_closes(4000 + np.arange(120.0))
    traders = random_traders(np.zeros(120), 20, 1)
    assert random_sharpe_percentile(tape, sessions(2), traders, 3.5e-4, 1e5, 95) is None


def test_a_trader_who_is_always_long_is_the_always_long_account():
    tape: Tape = tape_of_closes(4000 + np.random.default_rng(1).normal(0, 5, 120))
    found = random_sharpe_percentile(tape, sessions(2), np.ones((5, 120)), 3.5e-4, 1e5, 95)
    equity = run_account(tape, np.ones(120), 3.5e-4, 1e5).equity
    assert found == pytest.approx(sharpe_ratio(daily_returns(equity, tape.times, sessions(2))))
