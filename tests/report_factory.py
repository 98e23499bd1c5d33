"""Reports of a made-up backtest, as tests of the vote, the registry and the app need them."""

from typing import Any

import numpy as np

from dosvotos.backtest.cuts import cut_returns
from dosvotos.backtest.linear_rival import LinearRivalReport, RivalDifference
from dosvotos.backtest.metrics import Metrics
from dosvotos.backtest.naive import Naive
from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport
from dosvotos.backtest.stress import CostCase, DelayCase, Stress
from dosvotos.contracts.records import LedgerGenesis, LinearFit
from dosvotos.promotion.evidence import Evidence
from dosvotos.promotion.reasons import Reason

METRICS = Metrics(
    sharpe_ratio=1.9234, sortino_ratio=2.8123, calmar_ratio=3.1, max_drawdown=0.0812, win_rate=0.5512,
    profit_factor=1.4061, total_trades=1204, avg_trade_pnl=18.42, total_return=0.22, worst_day=-0.0161,
    average_holding_bars=8.7, exposure=0.734, turnover=8.1, ruined=False,
)  # fmt: skip

LINEAR_FIT = LinearFit(
    model_hash="0" * 64, ridge_penalty=1.0, entry_threshold=1.0, val_sharpe=0.3, val_return=0.01,
    val_exposure=0.5, val_trades=3,
)  # fmt: skip


def metrics_of(**changes: Any) -> Metrics:
    return METRICS.model_copy(update=changes)


def stress_of(metrics: Metrics, break_even_bps: float | None = 7.9) -> Stress:
    """Figures that fall with the cost and with the delay."""

    def worse(by: float) -> Metrics:
        sharpe = None if metrics.sharpe_ratio is None else metrics.sharpe_ratio - by
        return metrics.model_copy(
            update={"sharpe_ratio": sharpe, "total_return": metrics.total_return - by / 10}
        )

    costs = {"none": (0.0, -0.8), "stated": (3.5, 0.0), "double": (7.0, 0.9), "wide": (38.5, 9.0)}
    return Stress(
        costs=tuple(
            CostCase(name=name, cost_bps=bps, metrics=worse(by)) for name, (bps, by) in costs.items()
        ),
        break_even_bps=break_even_bps,
        delays=tuple(DelayCase(bars=bars, metrics=worse(0.3 * bars)) for bars in range(3)),
    )


def report_of(
    metrics: Metrics = METRICS, daily_returns: dict[str, float] | None = None, **changes: Any
) -> BacktestReport:
    """A whole report; `daily_returns` by ISO date, other fields as `changes` say."""
    daily = daily_returns or {f"2025-07-{day:02}": 0.001 * (day % 5 - 1) for day in range(1, 22)}
    values, days = np.array(list(daily.values())), list(daily)
    fields = {
        "model_id": "demo_1",
        "model_hash": "a" * 64,
        "experiment_name": "demo",
        "test_period": f"{days[0]} to {days[-1]}",
        "sample": "OUT-OF-SAMPLE",
        "backtest_hash": "b" * 64,
        "metrics": metrics,
        "metrics_without_financing": metrics,
        "metrics_with_financing": metrics.model_copy(update={"sharpe_ratio": 1.81, "total_return": 0.1}),
        "financing_note": None,
        "cuts": cut_returns(values, np.array(days, "datetime64[D]"), np.arange(len(values)) + 1.0),
        "stress": stress_of(metrics),
        "naive": Naive(
            always_long=metrics_of(sharpe_ratio=-0.42, total_return=-0.051, profit_factor=None),
            always_short=metrics_of(sharpe_ratio=0.31, total_return=0.037, win_rate=None),
            random_sharpe_p95=0.87,
        ),
        "oracle_sharpe": 5.41,
        "equity_curve": (),
        "drawdown_series": (),
        "trades": (),
        "daily_returns": daily,
    }
    return BacktestReport(**{**fields, **changes})


def rival_of(difference: float | None = 0.61, low: float = -0.4, high: float = 1.7) -> LinearRivalReport:
    """A linear rival over the same sessions; None as the difference is the candidate itself."""
    compared = {"status": "compared", "sharpe_difference": difference, "interval_90": (low, high)}
    same = {"status": "same_policy", "sharpe_difference": None, "interval_90": None}
    return LinearRivalReport(
        model_hash="c" * 64,
        metrics=metrics_of(sharpe_ratio=1.3134, total_return=0.151, total_trades=87),
        daily_returns={f"2025-07-{day:02}": 0.0007 * (day % 4 - 1) for day in range(1, 22)},
        difference=RivalDifference(sharpe_ratio=1.3134, **(same if difference is None else compared)),
    )


def comparison_of(report: BacktestReport, baseline: str | None = None, **changes: Any) -> ComparisonReport:
    """A comparison with a weaker production model, or with none."""
    fields = {
        "model_id": report.model_id,
        "experiment_name": report.experiment_name,
        "test_period": report.test_period,
        "baseline_model_id": baseline,
        "status": "compared" if baseline else "not_applicable",
        "metrics": report.metrics,
    }
    if baseline:
        fields |= {
            "baseline_metrics": report.metrics.model_copy(
                update={"sharpe_ratio": 1.44, "max_drawdown": 0.15}
            ),
            "sharpe_difference": 0.4834,
            "sharpe_improvement": 0.334,
            "drawdown_improvement": -0.2,
            "interval_90": (0.11, 0.87),
            "reached": True,
            "baseline_equity_curve": tuple((time, 4e4 + 0.6 * value) for time, value in report.equity_curve),
        }
    return ComparisonReport(**{**fields, **changes})


def evidence_of(*missing: Reason, **changes: Any) -> Evidence:
    """The evidence of a first look; nothing is missing unless named."""
    fields = {
        "policy": 1,
        "looks": 1,
        "models": 1,
        "prior_trials": 0,
        "level": 0.05,
        "p_value": 0.0313,
        "passing_sharpe": 1.71,
        "psr": 0.97,
        "hac_psr": 0.961,
        "sessions": 145,
        "sessions_traded": 131,
        "last_third_share": 0.31,
        "window_status": "calendar",
        "luck_excluded": not missing,
        "beats_naive": True,
        "seeds": "one seed",
        "point_in_time": "simulated",
        "covered": True,
        "ledger": LedgerGenesis(id="x", created_at="y"),
        "missing": missing,
    }
    return Evidence(**{**fields, **changes})
