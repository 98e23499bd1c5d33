"""Risk of an account, from its curve, daily returns and trades: what a risk officer asks before a vote."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from dosvotos.backtest.metrics import NO_VARIANCE
from dosvotos.backtest.report import Curve, Trade
from dosvotos.contracts.records import Record
from dosvotos.market.calendar import BOGOTA, SESSIONS_PER_YEAR

TAIL = 0.05
"""Share of sessions that value at risk and expected shortfall are about."""
ROLLING_SESSIONS = 60


class Drawdown(Record):
    """One fall from a peak, until the peak is reached again."""

    peak: datetime
    trough: datetime
    recovered: datetime | None
    """None where the account ends below the peak."""
    depth: float
    """A positive fraction of the peak."""
    days: int
    """Calendar days from the peak to recovery, or to the end."""


class TailRisk(Record):
    """Losses of the worst sessions, positive fractions; None without sessions."""

    value_at_risk: float | None
    expected_shortfall: float | None


class Part(Record):
    """Trades that have something in common."""

    trades: int
    pnl: float
    """Net, in the account's currency."""
    win_rate: float | None
    average_pnl: float | None


def worst_drawdowns(curve: Curve, count: int = 5) -> tuple[Drawdown, ...]:
    """Find the deepest falls of an equity curve, deepest first.

    Notes
    -----
    An episode begins after a peak and ends where the peak is reached again; episodes do not overlap.
    """
    if not curve:
        return ()
    equity = np.array([value for _, value in curve], dtype=float)
    peaks = np.maximum.accumulate(equity)
    under = np.concatenate([[False], equity < peaks, [False]]).astype(np.int8)
    starts, ends = np.flatnonzero(np.diff(under) == 1), np.flatnonzero(np.diff(under) == -1)
    if not len(starts):
        return ()
    falls = 1 - equity / peaks
    depths = np.maximum.reduceat(falls, starts)  # between episodes the fall is 0
    deepest = np.argsort(-depths, kind="stable")[:count]
    return tuple(_drawdown(curve, falls, int(starts[n]), int(ends[n])) for n in deepest)


def _drawdown(curve: Curve, falls: np.ndarray, start: int, end: int) -> Drawdown:
    """Describe the episode of the bars from `start` up to `end`, which is recovered if it exists."""
    trough = start + int(falls[start:end].argmax())
    recovered = datetime.fromisoformat(curve[end][0]) if end < len(curve) else None
    peak = datetime.fromisoformat(curve[start - 1][0])
    last = recovered or datetime.fromisoformat(curve[-1][0])
    return Drawdown(
        peak=peak,
        trough=datetime.fromisoformat(curve[trough][0]),
        recovered=recovered,
        depth=float(falls[trough]),
        days=(last - peak).days,
    )


def rolling_risk(daily_returns: Mapping[str, float], sessions: int = ROLLING_SESSIONS) -> pd.DataFrame:
    """Compute annual Sharpe ratio and volatility of the last `sessions` sessions, at each session.

    Returns
    -------
    DataFrame
        Index Bogota date; columns sharpe_ratio and volatility; NaN before there are so many sessions and,
        for the Sharpe ratio, without variance.
    """
    returns = pd.Series(daily_returns, dtype=float)
    window = returns.rolling(sessions)
    spread = window.std(ddof=1)
    sharpe = window.mean() / spread.where(spread > NO_VARIANCE) * np.sqrt(SESSIONS_PER_YEAR)
    return pd.DataFrame({"sharpe_ratio": sharpe, "volatility": spread * np.sqrt(SESSIONS_PER_YEAR)})


def tail_risk(returns: Sequence[float], tail: float = TAIL) -> TailRisk:
    """Estimate value at risk and expected shortfall of a session, from the sessions themselves.

    Notes
    -----
    The historical quantile, interpolated linearly, and the mean of the returns that do not exceed it.
    """
    values = np.asarray(returns, dtype=float)
    if not len(values):
        return TailRisk(value_at_risk=None, expected_shortfall=None)
    quantile = float(np.quantile(values, tail))
    return TailRisk(value_at_risk=-quantile, expected_shortfall=-float(values[values <= quantile].mean()))


def by_side(trades: Sequence[Trade]) -> dict[int, Part]:
    """Sum trades up by direction: 1 long, -1 short; both are there, empty or not."""
    return {side: _part([trade for trade in trades if trade.direction == side]) for side in (1, -1)}


def by_hour(trades: Sequence[Trade]) -> dict[int, Part]:
    """Sum trades up by the Bogota hour of the bar that filled their entry, in order."""
    hours = [pd.Timestamp(trade.entry_time).tz_convert(BOGOTA).hour for trade in trades]
    return {
        hour: _part([trade for trade, at in zip(trades, hours, strict=True) if at == hour])
        for hour in sorted(set(hours))
    }


def positions(trades: Sequence[Trade], times: pd.DatetimeIndex) -> np.ndarray:
    """Give the position after each bar's fill, shape (n_bars,): -1, 0 or 1.

    A trade is held from the bar that filled its entry up to the one that filled its exit; one that closes
    with the window's last bar is held at it too, as its account has it.
    """
    position = np.zeros(len(times), dtype=np.int8)
    entries, exits = (
        times.get_indexer(pd.to_datetime([getattr(trade, name) for trade in trades], utc=True))
        for name in ("entry_time", "exit_time")
    )
    for trade, entry, exit_ in zip(trades, entries, exits, strict=True):
        position[entry:exit_] = trade.direction
    return position


def session_equity(start: float, daily_returns: Mapping[str, float]) -> dict[str, float]:
    """Compound daily returns to the equity at each session's end."""
    return dict(start * (1 + pd.Series(daily_returns, dtype=float)).cumprod())


def _part(trades: Sequence[Trade]) -> Part:
    pnl = np.array([trade.pnl for trade in trades], dtype=float)
    return Part(
        trades=len(pnl),
        pnl=float(pnl.sum()),
        win_rate=float((pnl > 0).mean()) if len(pnl) else None,
        average_pnl=float(pnl.mean()) if len(pnl) else None,
    )
