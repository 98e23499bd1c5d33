"""The figure of a backtest: what became of the account, session by session."""

from typing import Any

import numpy as np

from dosvotos.backtest.metrics import drawdowns
from dosvotos.backtest.report import BacktestReport
from dosvotos.reports.figures import BAD, BLUE, MUTED, line, subplots


def draw_equity(report: BacktestReport) -> Any:
    """Draw equity from 1 and drawdown at the end of each session of the window.

    The linear rival of the same bars lies below it, where there is one.
    """
    drawn = subplots(2, 1, ("equity, net", "drawdown"), height=420, shared_xaxes=True, vertical_spacing=0.12)
    rival = report.linear_rival
    if rival is not None:
        _add(drawn, rival.daily_returns, "linear rival", MUTED)
    equity = _add(drawn, report.daily_returns, report.model_id, BLUE)
    fall = -drawdowns(np.concatenate([[1.0], equity]))[1:]
    drawn.add_scatter(
        x=list(report.daily_returns), y=fall.tolist(), mode="lines", fill="tozeroy", line=line(BAD, 1),
        showlegend=False, row=2, col=1,
    )  # fmt: skip
    return drawn.update_yaxes(tickformat=".0%", row=2, col=1)


def _add(drawn: Any, daily_returns: dict[str, float], name: str, colour: str) -> np.ndarray:
    equity = np.cumprod(1 + np.array(list(daily_returns.values())))
    drawn.add_scatter(
        x=list(daily_returns), y=equity.tolist(), name=name, mode="lines", line=line(colour), row=1, col=1
    )
    return equity
