"""The candidate beside the production model on the same bars."""

from typing import Any, Literal

import numpy as np

from dosvotos.backtest.cuts import Cuts
from dosvotos.backtest.evidence import sharpe_difference_interval
from dosvotos.backtest.metrics import Metrics, SpecifiedMetrics
from dosvotos.backtest.report import BacktestReport, Curve, Trade
from dosvotos.backtest.resampling import Bootstrap
from dosvotos.contracts.records import Record

_MIN_OLD_SHARPE = 0.10

ComparisonStatus = Literal["not_applicable", "not_comparable", "compared"]
"""Not applicable without another model in production; not comparable where it has seen the window."""


class ProductionBacktest(Record):
    """L4: the production model over the candidate's window; only the status unless it was run."""

    status: ComparisonStatus
    model_id: str | None
    metrics: Metrics | None = None
    cuts: Cuts | None = None
    equity_curve: Curve | None = None
    drawdown_series: Curve | None = None
    trades: tuple[Trade, ...] | None = None
    daily_returns: dict[str, float] | None = None


class ComparisonReport(Record):
    """L4: how the candidate compares with production, as ``comparison_report_{exp}.json`` has it."""

    model_id: str
    experiment_name: str
    test_period: str
    baseline_model_id: str | None
    status: ComparisonStatus
    metrics: Metrics
    baseline_metrics: Metrics | None = None
    sharpe_difference: float | None = None
    """Annual, candidate minus production; None where one has no variance."""
    sharpe_improvement: float | None = None
    """Difference over the absolute old Sharpe ratio, which counts as 0.10 at least."""
    drawdown_improvement: float | None = None
    """Share of the old drawdown that is gone; None if the old one is 0."""
    interval_90: tuple[float, float] | None = None
    """Of `sharpe_difference`, by the paired stationary bootstrap."""
    reached: bool | None = None
    """Whether the improvement exceeds its threshold and the interval lies above 0; None if not compared."""
    baseline_equity_curve: Curve | None = None


def make_comparison(
    report: BacktestReport, production: ProductionBacktest, threshold: float, bootstrap: Bootstrap
) -> ComparisonReport:
    """Compare a candidate with the production model.

    Parameters
    ----------
    report : BacktestReport
    production : ProductionBacktest
        On the same sessions.
    threshold : float
        What `sharpe_improvement` must exceed.
    bootstrap : Bootstrap
    """
    about: dict[str, Any] = {
        "model_id": report.model_id,
        "experiment_name": report.experiment_name,
        "test_period": report.test_period,
        "baseline_model_id": production.model_id,
        "status": production.status,
        "metrics": report.metrics,
    }
    if production.metrics is None or production.daily_returns is None:
        return ComparisonReport(**about)
    interval = sharpe_difference_interval(
        np.array(list(report.daily_returns.values())),
        np.array(list(production.daily_returns.values())),
        bootstrap,
    )
    sharpe, drawdown = improvements(report.metrics, production.metrics)
    clear = interval is not None and interval[0] > 0
    return ComparisonReport(
        **about,
        baseline_metrics=production.metrics,
        sharpe_difference=_difference(report.metrics.sharpe_ratio, production.metrics.sharpe_ratio),
        sharpe_improvement=sharpe,
        drawdown_improvement=drawdown,
        interval_90=interval,
        reached=clear and sharpe is not None and sharpe > threshold,
        baseline_equity_curve=production.equity_curve,
    )


def improvements(new: SpecifiedMetrics, old: SpecifiedMetrics) -> tuple[float | None, float | None]:
    """Compute relative gains in Sharpe ratio and drawdown; None where one is not defined.

    Notes
    -----
    ``sharpe = (new - old) / max(|old|, 0.10)``; ``drawdown = (old - new) / old``, None if the old one is 0.
    """
    drawdown = None
    if old.max_drawdown > 0:
        drawdown = (old.max_drawdown - new.max_drawdown) / old.max_drawdown
    difference = _difference(new.sharpe_ratio, old.sharpe_ratio)
    if difference is None or old.sharpe_ratio is None:
        return None, drawdown
    return difference / max(abs(old.sharpe_ratio), _MIN_OLD_SHARPE), drawdown


def _difference(new: float | None, old: float | None) -> float | None:
    return None if new is None or old is None else new - old
