from dataclasses import replace

import numpy as np
import pytest

from dosvotos.backtest.metrics import daily_returns, drawdowns, measure
from dosvotos.backtest.report import AccountReport, Trade, account_digest, account_report
from dosvotos.market.accounting import Account, Tape, run_account
from tests.backtest.windows import sessions, tape_of_closes


@pytest.fixture
def tape() -> Tape:
    random = np.random.default_rng(3)
    return tape_of_closes(4000 * np.exp(np.cumsum(random.normal(0, 1e-3, 170))))


@pytest.fixture
def account(tape: Tape) -> Account:
    targets = np.repeat(np.resize([1, -1, 0], 34), 5)
    return run_account(tape, targets, 3.5e-4, 1e5)


def test_a_report_survives_its_json(account: Account, tape: Tape):
    report = account_report(account, tape, sessions(4))
    assert AccountReport.model_validate_json(report.model_dump_json()) == report


def test_curves_have_a_point_a_bar_at_its_open_in_utc(account: Account, tape: Tape):
    report = account_report(account, tape, sessions(4))
    times = [time for time, _ in report.equity_curve]
    assert times == [time for time, _ in report.drawdown_series]
    assert times[0] == "2024-07-02T13:00:00+00:00" and len(times) == 170
    assert times == sorted(times)
    np.testing.assert_allclose([v for _, v in report.equity_curve], account.equity, atol=0.005)
    np.testing.assert_allclose([v for _, v in report.drawdown_series], drawdowns(account.equity), atol=5e-7)


def test_figures_and_daily_returns_are_those_of_the_account_unrounded(account: Account, tape: Tape):
    days = sessions(4)
    report = account_report(account, tape, days)
    assert report.metrics == measure(account, tape.times, days)
    expected = daily_returns(account.equity, tape.times, days)
    assert list(report.daily_returns) == ["2024-07-02", "2024-07-03", "2024-07-04", "2024-07-05"]
    assert list(report.daily_returns.values()) == expected.tolist()


def test_trades_carry_the_times_of_the_bars_that_filled_them(account: Account, tape: Tape):
    trades = account_report(account, tape, sessions(4)).trades
    assert len(trades) == len(account.trades) > 10
    first, table = trades[0], account.trades.iloc[0]
    assert first == Trade(
        entry_time=tape.times[1].isoformat(),
        exit_time=tape.times[6].isoformat(),
        direction=1,
        units=table["units"],
        entry_price=tape.close[1],
        exit_price=tape.close[6],
        pnl=table["pnl"],
    )
    assert sum(trade.pnl for trade in trades) == pytest.approx(account.equity[-1] - 1e5)


def test_an_account_without_trades_reports_nulls_and_empty_lists(tape: Tape):
    flat = run_account(tape, np.zeros(170), 3.5e-4, 1e5)
    report = account_report(flat, tape, sessions(3))
    assert report.trades == () and report.metrics.win_rate is None


def test_the_hash_is_the_courses_and_moves_with_any_bit_of_it(account: Account, tape: Tape):
    again = run_account(tape, np.repeat(np.resize([1, -1, 0], 34), 5), 3.5e-4, 1e5)
    assert account_digest(again) == account_digest(account)
    for part in ("equity", "position", "fees"):
        altered = getattr(account, part).copy()
        altered[100] = np.nextafter(altered[100], 1e9)
        assert account_digest(replace(account, **{part: altered})) != account_digest(account)
