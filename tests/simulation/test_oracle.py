from datetime import date

import numpy as np
import pandas as pd
import pytest

from dosvotos.backtest.metrics import measure
from dosvotos.market.accounting import Tape, run_account
from dosvotos.market.calendar import BAR, scheduled_sessions
from dosvotos.simulation.market import FIRST_SESSION
from dosvotos.simulation.oracle import oracle_targets, planted_signal
from tests.simulation.market_factory import EDGE, END, features, market

COST = 3.5e-4
SESSION_STD = 0.00721
SIGNAL_SD = 0.5 * np.sqrt(3 + 2 * (0.026 + 0.332 + 0.201))


def test_the_signal_by_hand():
    one_of_each = planted_signal(0.004462, -0.0281, 0.00785)
    assert one_of_each == pytest.approx(1.5 / SIGNAL_SD)
    assert planted_signal(0.004462, 0.0, 0.0) == pytest.approx(0.5 / SIGNAL_SD)
    assert planted_signal(0.1, 0.0, 0.0) == 2.0 and planted_signal(-0.1, 0.0, 0.0) == -2.0
    mixed = planted_signal(np.array([0.004462, np.nan]), np.array([0.0281, 0.0]), np.array([0.0, 0.0]))
    assert mixed.tolist() == [0.0, 0.0]


def rows_of(first_slot: int, *signals: float) -> pd.DataFrame:
    """Sessions from `first_slot` on, one a signal; dxy alone carries it."""
    days = scheduled_sessions(date(2025, 7, 1), date(2025, 12, 1))[: len(signals)]
    open_ = pd.DatetimeIndex(days).tz_localize("UTC") + pd.Timedelta(hours=13)
    times = [day + slot * BAR for day in open_ for slot in range(first_slot, 60)]
    dxy = np.array(signals) * SIGNAL_SD * 0.004462 / 0.5
    return pd.DataFrame(
        {
            "dxy_change_1d": np.repeat(dxy, 60 - first_slot),
            "brent_change_1d": 0.0,
            "usdmxn_change_1d": 0.0,
            "time_normalized": np.tile(np.arange(first_slot, 60) / 59, len(signals)),
        },
        index=pd.DatetimeIndex(times),
    )


def test_the_oracle_holds_from_the_first_bar_to_the_last_where_drift_is_worth_two_round_trips():
    worth = 2 * 2 * COST / (EDGE * SESSION_STD * 58 / 59)
    targets = oracle_targets(rows_of(0, 1.01 * worth, 0.99 * worth, -2.0), EDGE, COST).reshape(3, 60)
    assert targets.dtype == np.int8
    assert targets[0].tolist() == [1] * 58 + [0, 0]
    assert targets[1].tolist() == [0] * 60
    assert targets[2].tolist() == [-1] * 58 + [0, 0]


def test_the_oracle_counts_only_the_drift_left():
    worth_with_20_bars_left = 2 * 2 * COST / (EDGE * SESSION_STD * 20 / 59)
    late = rows_of(38, 1.01 * worth_with_20_bars_left, 0.99 * worth_with_20_bars_left)
    targets = oracle_targets(late, EDGE, COST).reshape(2, 22)
    assert targets.any(axis=1).tolist() == [True, False]
    assert not oracle_targets(rows_of(58, 2.0), 0.9, 0.0).any()


@pytest.mark.slow
def test_without_an_edge_the_oracle_wants_nothing():
    assert not oracle_targets(features(), 0.0, COST).any()
    assert not oracle_targets(features(), 0.0, 0.0).any()


@pytest.mark.slow
def test_the_oracle_earns_what_the_plant_promises():
    bars, rows = market(EDGE).bars, features()
    tape = Tape(pd.DatetimeIndex(rows.index), bars["close"].to_numpy(), np.zeros(len(bars)))
    account = run_account(tape, oracle_targets(rows, EDGE, COST), COST, 100_000.0)
    figures = measure(account, tape.times, scheduled_sessions(FIRST_SESSION, END.date()))
    assert figures.sharpe_ratio is not None and 4.2 < figures.sharpe_ratio < 6.2
    assert figures.win_rate is not None and figures.win_rate > 0.55
    assert np.abs(account.position).reshape(-1, 60)[:, -1].max() == 0
