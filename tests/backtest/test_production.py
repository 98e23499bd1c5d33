"""The candidate beside production, by hand."""

import pytest

from dosvotos.backtest.production import ProductionBacktest, improvements, make_comparison
from dosvotos.backtest.resampling import Bootstrap
from tests.report_factory import metrics_of, report_of

BOOTSTRAP = Bootstrap(1000, 1)


def improved(new: float | None, old: float | None, drawdowns: tuple[float, float] = (0.12, 0.15)):
    return improvements(
        metrics_of(sharpe_ratio=new, max_drawdown=drawdowns[0]),
        metrics_of(sharpe_ratio=old, max_drawdown=drawdowns[1]),
    )


def test_improvement_by_hand():
    assert improved(1.2, 0.9) == pytest.approx((1 / 3, 0.2))


def test_a_small_old_sharpe_does_not_inflate_the_improvement():
    assert improved(0.5, 0.01)[0] == pytest.approx(4.9)
    assert improved(0.5, -0.2)[0] == pytest.approx(3.5)


def test_what_is_not_defined_has_no_improvement():
    assert improved(1.2, 0.9, (0.1, 0.0))[1] is None
    assert improved(None, 0.9)[0] is None and improved(1.2, None)[0] is None


def compared(shift: float, sharpe: float | None = 1.0, threshold: float = 0.05):
    """The report against itself, its daily returns shifted."""
    report = report_of()
    production = ProductionBacktest(
        status="compared",
        model_id="old",
        metrics=metrics_of(sharpe_ratio=sharpe),
        daily_returns={day: value + shift for day, value in report.daily_returns.items()},
        equity_curve=(("2025-07-01T13:00:00+00:00", 1e5),),
    )
    return make_comparison(report, production, threshold, BOOTSTRAP)


def test_an_improvement_counts_above_its_threshold_and_clear_of_luck():
    assert compared(-0.002).reached is True
    assert compared(-0.002, threshold=0.93).reached is False  # 0.9234 is not above it
    assert compared(0.0).reached is False  # the interval holds 0
    assert compared(-0.002, sharpe=None).reached is False


def test_without_another_model_there_is_nothing_but_the_status():
    production = ProductionBacktest(status="not_applicable", model_id=None)
    found = make_comparison(report_of(), production, 0.05, BOOTSTRAP)
    assert (found.status, found.baseline_metrics, found.reached) == ("not_applicable", None, None)
    assert found.metrics == report_of().metrics


def test_the_difference_is_paired_and_stands_beside_both_accounts():
    found = compared(-0.002)
    assert found.sharpe_difference == pytest.approx(0.9234)
    assert found.sharpe_improvement == pytest.approx(0.9234)
    assert found.interval_90[0] > 0 and found.baseline_model_id == "old"
    assert found.baseline_equity_curve == (("2025-07-01T13:00:00+00:00", 1e5),)
