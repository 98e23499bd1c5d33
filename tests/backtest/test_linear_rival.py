"""The linear rival beside a candidate: the same account, the paired difference, and what is said of it."""

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import StationaryBootstrap

from dosvotos.backtest.evidence import _block_size, sharpe_difference_draws
from dosvotos.backtest.linear_rival import RivalDifference
from dosvotos.backtest.metrics import measure, sharpe_ratio
from dosvotos.backtest.resampling import Bootstrap
from dosvotos.backtest.run import run_backtest, run_linear_rival, trade
from dosvotos.backtest.simulate import policy_targets, rival_of
from dosvotos.market.accounting import Tape
from dosvotos.policy.bundle import LINEAR_RIVAL, Bundle, tensor_bytes, write_bundle
from dosvotos.policy.forward import ServedPolicy
from tests.backtest.windows import sessions, split_rows
from tests.conftest import parameters_of
from tests.policy.policies import norm_stats, random_policy
from tests.recomputable_proposals import small_rival

N_SESSIONS = 12
BOOTSTRAP = Bootstrap(300, 1)
PARAMETERS = parameters_of(
    data_acquisition={"source": "files"}, experiment={"instrument": "USD/COP"},
    trading={"financing": "policy_rates"},
)  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return split_rows(N_SESSIONS)


def bundle_of(folder, policy: ServedPolicy, rival: ServedPolicy | None) -> Bundle:
    return write_bundle(folder, policy, {} if rival is None else {LINEAR_RIVAL: tensor_bytes(rival)})


def beside(bundle: Bundle, rows: pd.DataFrame):
    result = run_backtest(bundle.policy, rows, sessions(N_SESSIONS), PARAMETERS, 1)
    return result, run_linear_rival(rival_of(bundle, PARAMETERS), result, rows, PARAMETERS, BOOTSTRAP)


def test_it_trades_the_same_bars_at_the_same_costs_and_financing(tmp_path, rows):
    rival = small_rival(norm_stats())
    result, found = beside(bundle_of(tmp_path, random_policy(), rival), rows)
    tape = Tape.from_rows(rows)
    account = trade(tape, policy_targets(rival, rows), PARAMETERS)
    assert (
        found.metrics == measure(account, tape.times, sessions(N_SESSIONS)) and found.metrics.total_trades > 5
    )
    assert list(found.daily_returns) == list(result.daily_returns) and found.model_hash == rival.model_hash
    own, other = (np.array(list(one.daily_returns.values())) for one in (result, found))
    difference = found.difference
    assert difference.sharpe_difference == pytest.approx(sharpe_ratio(own) - sharpe_ratio(other))
    assert difference.sharpe_ratio == found.metrics.sharpe_ratio
    low, high = difference.interval_90
    assert low < difference.sharpe_difference < high


def test_the_linear_policy_itself_is_compared_with_nothing(tmp_path, rows):
    rival = small_rival(norm_stats())
    result, found = beside(bundle_of(tmp_path, rival, rival), rows)
    assert found.difference.status == "same_policy" and found.difference.interval_90 is None
    assert found.metrics == result.metrics


def test_who_never_trades_has_no_difference_and_older_bundles_no_rival(tmp_path, rows):
    idle = small_rival(norm_stats())
    idle.tensors["action.bias"][1] = 1e6
    _, found = beside(bundle_of(tmp_path, random_policy(), idle), rows)
    assert (found.difference.status, found.difference.sharpe_ratio) == ("undefined", None)
    assert not (found.difference.rival_is_better or found.difference.rival_is_worse)
    assert beside(bundle_of(tmp_path, random_policy(), None), rows)[1] is None


@pytest.mark.parametrize(
    ("interval", "better", "worse"),
    [
        ((-2.0, -0.01), True, False),
        ((-2.0, 0.0), False, False),
        ((0.0, 1.0), False, False),
        ((0.1, 1.0), False, True),
    ],
)
def test_an_interval_that_touches_zero_decides_nothing(interval, better, worse):
    found = RivalDifference(status="compared", sharpe_ratio=1.0, sharpe_difference=0.0, interval_90=interval)
    assert (found.rival_is_better, found.rival_is_worse) == (better, worse)


def test_the_draws_are_those_of_arch_resample_by_resample():
    random = np.random.default_rng(3)
    new = random.normal(1e-3, 7e-3, 90)
    old = np.where(np.arange(90) == 5, 0.01, 0.0)  # often without variance in a resample: Sharpe ratio 0
    block = _block_size(pd.Series(new - old))
    slow = StationaryBootstrap(block, np.column_stack([new, old]), seed=BOOTSTRAP.seed).apply(
        lambda pairs: np.array([(sharpe_ratio(pairs[:, 0]) or 0.0) - (sharpe_ratio(pairs[:, 1]) or 0.0)]),
        reps=BOOTSTRAP.replications,
    )[:, 0]
    assert sharpe_difference_draws(new, old, BOOTSTRAP) == pytest.approx(slow, rel=1e-12)
