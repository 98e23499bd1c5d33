import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.backtest.metrics import measure
from dosvotos.backtest.stress import break_even_bps, delayed, stress
from dosvotos.contracts.parameters import TradingParams
from dosvotos.market.accounting import Tape, run_account
from tests.backtest.windows import sessions, tape_of_closes

CAPITAL = 1e5


def trading(spread_bps: float = 5.0, slippage_bps: float = 1.0, financing: str = "none") -> TradingParams:
    return TradingParams(
        fill="next_close",
        initial_capital=CAPITAL,
        costs={"spread_bps": spread_bps, "slippage_bps": slippage_bps, "commission_bps": 0.0},
        financing=financing,
    )


def market(seed: int, n_sessions: int = 5, drift: float = 0.0) -> tuple[Tape, np.ndarray]:
    """A random walk and targets that know a little of it."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, 1e-3, 60 * n_sessions)
    targets = np.repeat(random.integers(-1, 2, len(steps)), 7)[: len(steps)]
    steps[2:] += drift * targets[:-2]
    return tape_of_closes(4000 * np.exp(np.cumsum(steps))), targets


# ---- costs


def test_each_case_is_the_account_at_its_cost():
    tape, targets = market(1)
    found = stress(tape, targets, sessions(5), trading())
    assert {case.name: case.cost_bps for case in found.costs} == pytest.approx(
        {"none": 0.0, "stated": 3.5, "double": 7.0, "wide": 38.5}
    )
    for case in found.costs:
        account = run_account(tape, targets, case.cost_bps / 1e4, CAPITAL)
        assert case.metrics == measure(account, tape.times, sessions(5))


@given(seed=st.integers(0, 2**16), drift=st.sampled_from([-5e-4, 0.0, 5e-4]))
@settings(max_examples=25, deadline=None)
def test_a_higher_cost_never_earns_more(seed: int, drift: float):
    tape, targets = market(seed, drift=drift)
    found = stress(tape, targets, sessions(5), trading())
    by_cost = sorted(found.costs, key=lambda case: case.cost_bps)
    returns = [case.metrics.total_return for case in by_cost]
    assert returns == sorted(returns, reverse=True)
    assert len({case.metrics.total_trades for case in by_cost}) == 1


def test_financing_is_that_of_the_experiment():
    tape, targets = market(2)
    with_rates = stress(tape, targets, sessions(5), trading(financing="policy_rates"))
    account = run_account(tape, targets, 3.5e-4, CAPITAL, financed=True)
    assert with_rates.delays[0].metrics == measure(account, tape.times, sessions(5))
    assert with_rates.break_even_bps != stress(tape, targets, sessions(5), trading()).break_even_bps


# ---- break-even


def test_break_even_by_hand():
    # one long trade that gains 2%: 1.02 - c - 1.02 c = 1 at c = 0.02 / 2.02
    close = np.full(60, 100.0)
    close[30:] = 102.0
    targets = np.zeros(60)
    targets[10:40] = 1
    found = break_even_bps(tape_of_closes(close), targets, CAPITAL, False)
    assert found == pytest.approx(1e4 * 0.02 / 2.02)


def test_break_even_of_a_short_by_hand():
    # the exit's notional has fallen to 0.98: 1.02 - c - 0.98 c = 1 at c = 0.02 / 1.98
    close = np.full(60, 100.0)
    close[30:] = 98.0
    targets = np.zeros(60)
    targets[10:40] = -1
    found = break_even_bps(tape_of_closes(close), targets, CAPITAL, False)
    assert found == pytest.approx(1e4 * 0.02 / 1.98)


@given(seed=st.integers(0, 2**16), financed=st.booleans())
@settings(max_examples=25, deadline=None)
def test_at_the_break_even_cost_nothing_is_left_and_below_it_something(seed: int, financed: bool):
    tape, targets = market(seed, drift=5e-4)
    found = break_even_bps(tape, targets, CAPITAL, financed)

    def gain(bps: float) -> float:
        return run_account(tape, targets, bps / 1e4, CAPITAL, financed).equity[-1] / CAPITAL - 1

    assert found is not None and found > 0
    assert gain(found) == pytest.approx(0.0, abs=1e-6)
    assert gain(0.99 * found) > 0 > gain(1.01 * found)


@pytest.mark.parametrize("targets", [np.zeros(300), np.ones(300)], ids=["never trades", "loses"])
def test_without_a_gain_there_is_no_break_even(targets: np.ndarray):
    tape = tape_of_closes(np.linspace(4000, 3900, 300))
    assert break_even_bps(tape, targets, CAPITAL, False) is None


# ---- delays


def test_delay_zero_is_the_backtest_itself():
    tape, targets = market(3)
    base = measure(run_account(tape, targets, 3.5e-4, CAPITAL), tape.times, sessions(5))
    found = stress(tape, targets, sessions(5), trading())
    assert [case.bars for case in found.delays] == [0, 1, 2]
    assert found.delays[0].metrics == base == found.costs[1].metrics


@pytest.mark.parametrize("delay", [0, 1, 2, 5])
def test_a_delayed_order_fills_so_many_bars_later(delay: int):
    tape, targets = market(4)
    on_time = run_account(tape, targets, 3.5e-4, CAPITAL)
    late = run_account(tape, delayed(targets, delay), 3.5e-4, CAPITAL)
    held = np.concatenate([np.zeros(delay), on_time.position])[: len(targets)]
    assert np.array_equal(late.position[:-1], held[:-1])


def test_an_edge_of_one_bar_is_gone_with_one_bar_of_delay():
    random = np.random.default_rng(5)
    targets = random.choice([-1, 1], 600)
    steps = np.concatenate([[0, 0], 1e-3 * targets[:-2]])  # what a decision at t earns: the close after next
    tape = tape_of_closes(4000 * np.exp(np.cumsum(steps)))
    found = stress(tape, targets, sessions(10), trading(0.0, 0.0))
    on_time, late, later = (case.metrics.total_return for case in found.delays)
    assert on_time == pytest.approx(np.expm1(0.001 * 597), rel=0.01)
    assert abs(late) < on_time / 5 and abs(later) < on_time / 5


def test_a_delay_longer_than_the_window_trades_nothing():
    assert delayed(np.ones(3, dtype=np.int8), 5).tolist() == [0, 0, 0]
    assert delayed(np.array([1, -1, 0]), 0).tolist() == [1, -1, 0]
