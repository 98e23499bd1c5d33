"""A walk-forward line: one account over all folds is its folds' own accounts, one after the other."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.backtest.metrics import daily_returns, measure
from dosvotos.backtest.simulate import FoldPolicies, decide_targets, policy_targets
from dosvotos.market.accounting import Tape, run_account
from dosvotos.market.splits import Split
from tests.backtest.windows import sessions, split_rows
from tests.policy.policies import random_policy

COST, CAPITAL = 3.5e-4, 100_000.0


def windows(lengths: list[int]) -> tuple[Split, ...]:
    days = sessions(sum(lengths))
    parts = np.split(days, np.cumsum(lengths)[:-1])
    return tuple(Split("test", part[0].astype(object), part[-1].astype(object)) for part in parts)


@given(
    seed=st.integers(0, 2**16),
    lengths=st.lists(st.integers(1, 3), min_size=2, max_size=4),
    missing=st.sampled_from([0.0, 0.3]),
    financed=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_a_line_s_daily_returns_and_trades_are_those_of_its_folds_each_starting_flat(
    seed, lengths, missing, financed
):
    rows, folds = split_rows(sum(lengths), seed, missing), windows(lengths)
    policies = tuple(random_policy(seed + k, (8,), 2.0) for k in range(len(lengths)))
    targets = decide_targets(FoldPolicies(policies, folds), rows)
    whole = run_account(Tape.from_rows(rows), targets, COST, CAPITAL, financed)
    found = daily_returns(whole.equity, Tape.from_rows(rows).times, sessions(sum(lengths)))
    expected, trades, capital = [], [], CAPITAL
    for policy, window in zip(policies, folds, strict=True):
        part = window.select(rows)
        tape = Tape.from_rows(part)
        account = run_account(tape, policy_targets(policy, part), COST, CAPITAL, financed)
        returns = daily_returns(account.equity, tape.times, window.sessions())
        expected += returns.tolist()
        trades += (account.trades["pnl"] * capital / CAPITAL).tolist()
        capital *= float(np.prod(1 + returns))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(whole.trades["pnl"], trades, rtol=1e-9, atol=1e-7)
    assert measure(whole, Tape.from_rows(rows).times, sessions(sum(lengths))).total_trades == len(trades)


def test_the_targets_at_a_fold_s_end_by_hand():
    rows, folds = split_rows(2, 1), windows([1, 1])
    always = [random_policy(0, (8,)) for _ in range(2)]
    for policy, side in zip(always, (2, 0), strict=True):  # the first always long, the second always short
        policy.tensors["action.weight"][:] = 0
        policy.tensors["action.bias"][:] = np.eye(3)[side]
    targets = decide_targets(FoldPolicies(tuple(always), folds), rows)
    assert targets.tolist() == [1] * 58 + [0, 0] + [-1] * 58 + [0, 0]
    account = run_account(Tape.from_rows(rows), targets, COST, CAPITAL, False)
    assert account.trades[["entry_bar", "exit_bar"]].to_numpy().tolist() == [[1, 59], [61, 119]]


def test_a_bar_outside_of_every_fold_is_no_bar_of_the_line():
    rows, folds = split_rows(3, 1), windows([1, 1])
    policies = tuple(random_policy(k, (8,)) for k in range(2))
    inside = rows[rows.index <= pd.Timestamp(folds[-1].last, tz="America/Bogota") + pd.Timedelta(days=1)]
    assert len(decide_targets(FoldPolicies(policies, folds), rows)) == len(inside) == 120
    with pytest.raises(ValueError, match="zip"):
        decide_targets(FoldPolicies(policies, folds[:1]), rows)
