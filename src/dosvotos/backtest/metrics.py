"""The specification's metrics, under one convention each (design, sections 3 and 9)."""

import numpy as np
import pandas as pd
from pydantic import ConfigDict

from dosvotos.contracts.records import Record
from dosvotos.market.accounting import Account
from dosvotos.market.calendar import SESSIONS_PER_YEAR, session_dates

NO_VARIANCE = 1e-15
"""Standard deviation of daily returns up to which they count as constant."""


class SpecifiedMetrics(Record):
    """The specification's figures, which proposals of every version have; None where one is not defined."""

    model_config = ConfigDict(extra="ignore")

    sharpe_ratio: float | None
    """Annual, from daily net returns; None without variance."""
    max_drawdown: float
    """Largest fall from a peak on 5-minute marks, a positive fraction; the start is a peak."""
    win_rate: float | None
    profit_factor: float | None
    total_trades: int
    avg_trade_pnl: float | None
    """In the account's currency."""


class Metrics(SpecifiedMetrics):
    """All figures of one account."""

    model_config = ConfigDict(extra="forbid")

    sortino_ratio: float | None
    """Annual, against the root mean square of the losses; None without a losing session."""
    calmar_ratio: float | None
    """Compound return a year over the largest drawdown; None without a drawdown."""
    total_return: float
    worst_day: float
    """Lowest return of a session."""
    average_holding_bars: float | None
    """From a trade's fill to its exit; None without trades."""
    exposure: float
    """Share of bars with a position."""
    turnover: float
    """Sides traded a session."""
    ruined: bool


def measure(account: Account, times: pd.DatetimeIndex, sessions: np.ndarray) -> Metrics:
    """Measure an account over its scheduled sessions (``datetime64[D]``), those without bars included."""
    returns = daily_returns(account.equity, times, sessions)
    pnl = account.trades["pnl"].to_numpy()
    held = (account.trades["exit_bar"] - account.trades["entry_bar"]).to_numpy()
    total_return = float(account.equity[-1] / account.equity[0] - 1)
    drawdown = float(drawdowns(account.equity).max())
    sides = np.abs(np.diff(account.position, prepend=0.0)).sum() + abs(account.position[-1])
    return Metrics(
        sharpe_ratio=sharpe_ratio(returns),
        sortino_ratio=sortino_ratio(returns),
        calmar_ratio=annual_return(total_return, len(sessions)) / drawdown if drawdown > 0 else None,
        max_drawdown=drawdown,
        win_rate=float((pnl > 0).mean()) if len(pnl) else None,
        profit_factor=_profit_factor(pnl),
        total_trades=len(pnl),
        avg_trade_pnl=float(pnl.mean()) if len(pnl) else None,
        total_return=total_return,
        worst_day=float(returns.min()),
        average_holding_bars=float(held.mean()) if len(held) else None,
        exposure=float((account.position != 0).mean()),
        turnover=float(sides / len(sessions)),
        ruined=account.ruined,
    )


def daily_returns(equity: np.ndarray, times: pd.DatetimeIndex, sessions: np.ndarray) -> np.ndarray:
    """Compute simple returns of the scheduled sessions, (n_sessions,), the first from the starting balance.

    A session without bars returns 0.
    """
    return returns_between(equity, last_bars(times, sessions))


def last_bars(times: pd.DatetimeIndex, sessions: np.ndarray) -> np.ndarray:
    """Find each session's last bar, or the last before it; -1 before the first bar."""
    found: np.ndarray = np.searchsorted(session_dates(times), sessions, side="right") - 1
    return found


def returns_between(equity: np.ndarray, last_bar: np.ndarray) -> np.ndarray:
    """Compute the returns between sessions' last bars, as `daily_returns` does."""
    ends = np.where(last_bar >= 0, equity[np.maximum(last_bar, 0)], equity[0])
    before = np.concatenate([[equity[0]], ends[:-1]])
    alive = before > 0
    returns = np.zeros(len(ends))
    returns[alive] = ends[alive] / before[alive] - 1
    return returns


def sharpe_ratio(returns: np.ndarray) -> float | None:
    """Compute mean over standard deviation (ddof 1) of daily returns x sqrt(245); None without variance."""
    if len(returns) < 2:
        return None
    spread = returns.std(ddof=1)
    return float(returns.mean() / spread * np.sqrt(SESSIONS_PER_YEAR)) if spread > NO_VARIANCE else None


def sortino_ratio(returns: np.ndarray) -> float | None:
    """Compute mean over root mean square of losses, all daily returns counted, x sqrt(245)."""
    if len(returns) < 2 or not (returns < 0).any():
        return None
    downside = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))
    return float(returns.mean() / downside * np.sqrt(SESSIONS_PER_YEAR))


def annual_return(total_return: float, n_sessions: int) -> float:
    """Compute the return a year of 245 sessions that compounds to a total over a number of sessions."""
    return float((1 + total_return) ** (SESSIONS_PER_YEAR / n_sessions) - 1)


def drawdowns(equity: np.ndarray) -> np.ndarray:
    """Compute the fall from the running peak at each mark, positive fractions of shape (n_bars,)."""
    result: np.ndarray = 1 - equity / np.maximum.accumulate(equity)
    return result


def _profit_factor(pnl: np.ndarray) -> float | None:
    loss = -pnl[pnl < 0].sum()
    return float(pnl[pnl > 0].sum() / loss) if loss > 0 else None
