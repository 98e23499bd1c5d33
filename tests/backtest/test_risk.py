"""Risk figures, against numbers worked by hand, against the account itself, and against two libraries."""

import time

import numpy as np
import pandas as pd
import pytest

from dosvotos.backtest.report import Trade, account_report
from dosvotos.backtest.risk import (
    by_hour,
    by_side,
    positions,
    rolling_risk,
    session_equity,
    tail_risk,
    worst_drawdowns,
)
from dosvotos.market.accounting import Tape, run_account

DAYS = pd.bdate_range("2025-07-01", periods=300, tz="UTC")
RETURNS = np.random.default_rng(3).normal(2e-4, 0.008, len(DAYS))


def curve_of(values, start="2025-07-01T13:00Z", step="1D"):
    times = pd.date_range(start, periods=len(values), freq=step)
    return tuple(zip([moment.isoformat() for moment in times], map(float, values), strict=True))


def trade(entry="2025-07-01T13:05:00+00:00", direction=1, pnl=1.0) -> Trade:
    return Trade(
        entry_time=entry, exit_time="2025-07-01T17:00:00+00:00", direction=direction, units=1.0,
        entry_price=4000.0, exit_price=4001.0, pnl=pnl,
    )  # fmt: skip


def test_drawdowns_are_told_apart_by_their_peaks_and_ordered_by_depth():
    deep, shallow, open_ = worst_drawdowns(curve_of([100, 110, 99, 104.5, 110, 112, 84, 100, 113, 113, 112]))
    assert (deep.peak.day, deep.trough.day, deep.recovered.day) == (6, 7, 9)
    assert deep.depth == pytest.approx(0.25) and deep.days == 3
    assert (shallow.peak.day, shallow.recovered.day) == (2, 5) and shallow.depth == pytest.approx(0.1)
    assert open_.recovered is None and open_.depth == pytest.approx(1 / 113) and open_.days == 1


@pytest.mark.parametrize("values", [[], [100], [100, 101, 102], [100, 100, 100]])
def test_an_account_that_never_falls_has_no_drawdown(values):
    assert worst_drawdowns(curve_of(values)) == ()


def test_the_deepest_is_the_accounts_and_all_are_quantstats_own():
    from quantstats import stats

    equity = 100 * np.cumprod(1 + RETURNS)
    curve = tuple(zip([day.isoformat() for day in DAYS], equity.tolist(), strict=True))
    found = worst_drawdowns(curve, 5)
    assert found[0].depth == pytest.approx(float((1 - equity / np.maximum.accumulate(equity)).max()))
    series = stats.to_drawdown_series(pd.Series(RETURNS, DAYS.tz_localize(None)))
    details = stats.drawdown_details(series).sort_values("max drawdown").head(5)
    assert [one.depth for one in found] == pytest.approx(list(-details["max drawdown"] / 100))
    assert [str(one.trough.date()) for one in found] == [str(day)[:10] for day in details["valley"]]


def test_rolling_figures_are_quantstats_own():
    from quantstats import stats

    series = pd.Series(RETURNS, DAYS.tz_localize(None))
    ours = rolling_risk(dict(zip(DAYS.strftime("%Y-%m-%d"), RETURNS.tolist(), strict=True)), 60)
    theirs = stats.rolling_sharpe(series, 0.0, 60, True, 245)
    np.testing.assert_allclose(ours["sharpe_ratio"], theirs, rtol=1e-9)
    theirs = stats.rolling_volatility(series, 60, 245)
    np.testing.assert_allclose(ours["volatility"], theirs, rtol=1e-9)
    assert ours["sharpe_ratio"].isna().sum() == 59


def test_without_variance_there_is_no_rolling_sharpe_ratio():
    ours = rolling_risk(dict(zip(DAYS.strftime("%Y-%m-%d"), np.zeros(len(DAYS)), strict=True)), 60)
    assert ours["sharpe_ratio"].isna().all() and (ours["volatility"].dropna() == 0).all()


@pytest.mark.parametrize("n", [1, 19, 20, 21, 300])
def test_the_tail_is_empyricals(n: int):
    import empyrical

    ours = tail_risk(RETURNS[:n])
    assert ours.value_at_risk == pytest.approx(-empyrical.value_at_risk(RETURNS[:n], 0.05))
    shortfall = -empyrical.conditional_value_at_risk(RETURNS[:n], 0.05)
    assert ours.expected_shortfall == pytest.approx(shortfall)


def test_no_session_has_no_tail():
    assert tail_risk([]).value_at_risk is None


def test_trades_are_summed_up_by_side_and_by_bogota_hour():
    trades = [trade(pnl=3.0), trade(direction=-1, pnl=-1.0), trade("2025-07-01T16:55:00+00:00", -1, 2.0)]
    sides = by_side(trades)
    assert (sides[1].trades, sides[1].pnl, sides[1].win_rate) == (1, 3.0, 1.0)
    assert (sides[-1].trades, sides[-1].pnl, sides[-1].win_rate, sides[-1].average_pnl) == (2, 1.0, 0.5, 0.5)
    assert {hour: part.pnl for hour, part in by_hour(trades).items()} == {8: 2.0, 11: 2.0}
    assert by_side([])[1].win_rate is None and by_hour([]) == {}


@pytest.mark.parametrize("seed", range(3))
def test_positions_from_trades_are_those_of_the_account(seed: int):
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2025-07-01", periods=20)
    times = pd.DatetimeIndex([day + pd.Timedelta(hours=13, minutes=5 * n) for day in days for n in range(60)])
    times = times.tz_localize("UTC")
    close = 4000 * np.cumprod(1 + rng.normal(0, 5e-4, len(times)))
    tape = Tape(times, close, np.zeros(len(times)))
    targets = np.repeat(rng.integers(-1, 2, len(times) // 6), 6)
    account = run_account(tape, targets, 0.0003, 1e5)
    report = account_report(account, tape, days.to_numpy("datetime64[D]"))
    np.testing.assert_array_equal(positions(report.trades, times), account.position)
    assert (positions(report.trades, times) != 0).mean() == pytest.approx(report.metrics.exposure)
    ends = session_equity(report.equity_curve[0][1], report.daily_returns)
    assert list(ends.values()) == pytest.approx(account.equity[59::60], rel=1e-6)
    assert sum(part.trades for part in by_hour(report.trades).values()) == report.metrics.total_trades


def test_a_long_curve_is_read_in_time():
    curve = curve_of(1e5 * np.cumprod(1 + np.random.default_rng(1).normal(0, 1e-4, 400_000)), step="5min")
    started = time.process_time()
    assert len(worst_drawdowns(curve)) == 5
    assert time.process_time() - started < 2.0
