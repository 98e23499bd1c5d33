"""Findings of a made-up backtest, as tests of the vote, the books and the app need them."""

from typing import Any

import numpy as np

from dosvotos.backtest.cuts import cut_returns
from dosvotos.backtest.metrics import Metrics
from dosvotos.backtest.naive import Naive
from dosvotos.backtest.report import Findings
from dosvotos.backtest.stress import CostCase, DelayCase, Stress

METRICS = Metrics(
    sharpe_ratio=1.9234, sortino_ratio=2.8123, calmar_ratio=3.1, max_drawdown=0.0812, win_rate=0.5512,
    profit_factor=1.4061, total_trades=1204, avg_trade_pnl=18.42, total_return=0.22, worst_day=-0.0161,
    average_holding_bars=8.7, exposure=0.734, turnover=8.1, ruined=False,
)  # fmt: skip


def metrics_of(**changes: Any) -> Metrics:
    return METRICS.model_copy(update=changes)


def stress_of(metrics: Metrics, break_even_bps: float | None = 7.9) -> Stress:
    """Figures that fall with the cost and with the delay."""

    def worse(by: float) -> Metrics:
        return metrics.model_copy(
            update={"sharpe_ratio": metrics.sharpe_ratio - by, "total_return": metrics.total_return - by / 10}
        )

    costs = {"none": (0.0, -0.8), "stated": (3.5, 0.0), "double": (7.0, 0.9), "wide": (38.5, 9.0)}
    return Stress(
        costs=tuple(
            CostCase(name=name, cost_bps=bps, metrics=worse(by)) for name, (bps, by) in costs.items()
        ),
        break_even_bps=break_even_bps,
        delays=tuple(DelayCase(bars=bars, metrics=worse(0.3 * bars)) for bars in range(3)),
    )


def findings_of(metrics: Metrics = METRICS, returns: dict[str, float] | None = None) -> Findings:
    """All findings; `returns` by ISO date."""
    daily = returns or {f"2025-07-{day:02}": 0.001 * (day % 5 - 1) for day in range(1, 22)}
    values = np.array(list(daily.values()))
    return Findings(
        sample="OUT-OF-SAMPLE",
        metrics=metrics,
        metrics_without_financing=metrics,
        metrics_with_financing=metrics.model_copy(update={"sharpe_ratio": 1.81, "total_return": 0.1}),
        financing_note=None,
        cuts=cut_returns(values, np.array(list(daily), "datetime64[D]"), np.arange(len(values)) + 1.0),
        stress=stress_of(metrics),
        naive=Naive(
            always_long=metrics_of(sharpe_ratio=-0.42, total_return=-0.051, profit_factor=None),
            always_short=metrics_of(sharpe_ratio=0.31, total_return=0.037, win_rate=None),
            random_sharpe_p95=0.87,
        ),
    )
