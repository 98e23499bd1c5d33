"""The live account against the backtest's, bar by bar and to the last bit."""

import numpy as np
import pandas as pd
import pytest

from dosvotos.live.account import AccountTerms, LiveAccount, Mark, advance, open_account
from dosvotos.market.accounting import Tape, run_account
from dosvotos.market.calendar import BOGOTA

CAPITAL = 100_000.0


def tape(sessions: int, seed: int, volatility: float) -> Tape:
    """Sessions of 60 bars, the third day left out, with a rate difference that changes daily."""
    rng = np.random.default_rng(seed)
    days = [day for day in pd.date_range("2026-03-02", periods=sessions + 1) if day.day != 4]
    opens = [
        day.tz_localize(BOGOTA) + pd.Timedelta(hours=8, minutes=5 * i) for day in days for i in range(60)
    ]
    close = 4000 * np.exp(np.cumsum(rng.normal(0, volatility, len(opens))))
    return Tape(pd.DatetimeIndex(opens).tz_convert("UTC"), close, np.repeat(rng.normal(-5, 2, len(days)), 60))


def lived(tape: Tape, targets: np.ndarray, terms: AccountTerms) -> list[LiveAccount]:
    """The same account as live keeps it."""
    bars = [
        Mark(opened.to_pydatetime(), float(close), float(rate))
        for opened, close, rate in zip(tape.times, tape.close, tape.rate_difference, strict=True)
    ]
    rows = [open_account(terms, bars[0], 0.0)]
    for bar, target in zip(bars[1:], targets, strict=False):
        rows.append(advance(rows[-1], terms, bar, float(target)))
    return rows


@pytest.mark.parametrize("financed", [False, True])
@pytest.mark.parametrize(
    ("volatility", "cost"), [(0.001, 0.00035), (0.001, 0.1), (0.3, 0.0005)], ids=["usual", "dear", "wild"]
)
def test_live_is_the_backtest_s_account_to_the_last_bit(financed, volatility, cost):
    ruined = 0
    for seed in range(5):
        market = tape(4, seed, volatility)
        targets = np.repeat(np.random.default_rng(seed).integers(-1, 2, 48), 5).astype(float)
        account = run_account(market, targets, cost, CAPITAL, financed)
        rows = lived(market, targets, AccountTerms(cost, CAPITAL, financed))[:-1]
        equity = np.array([row.equity for row in rows])
        np.testing.assert_array_equal(np.maximum(equity, 0.0), account.equity[:-1])
        np.testing.assert_array_equal(np.sign([row.units for row in rows]), account.position[:-1])
        drawdown = 1 - equity / np.maximum.accumulate(equity)
        np.testing.assert_array_equal([row.drawdown for row in rows], drawdown)
        ruined += account.ruined
    assert (ruined > 0) == (volatility > 0.1 or cost > 0.01)


def test_a_resume_counts_the_drawdown_anew_and_the_approval_s_stays():
    terms, start = (
        AccountTerms(0.0, CAPITAL, False),
        pd.Timestamp("2026-03-02 13:00", tz="UTC").to_pydatetime(),
    )
    row = open_account(terms, Mark(start, 4000.0), 1.0)
    row = advance(row, terms, Mark(start + pd.Timedelta(minutes=5), 3600.0), 1.0)
    assert (row.drawdown, row.approval_drawdown) == (pytest.approx(0.1), pytest.approx(0.1))
    row = advance(row, terms, Mark(start + pd.Timedelta(minutes=10), 3240.0), 1.0, resumed_by=7)
    assert (row.drawdown, row.approval_drawdown) == (0.0, pytest.approx(0.19))
