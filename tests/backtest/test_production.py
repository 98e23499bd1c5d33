"""The candidate beside production, by hand."""

import pytest

from dosvotos.backtest.production import ProductionBacktest, improvement_over, is_reached, make_comparison
from tests.conftest import parameters_of
from tests.report_factory import metrics_of, report_of


def improvement(new: float | None, old: float | None, drawdowns: tuple[float, float] = (0.12, 0.15)):
    return improvement_over(
        metrics_of(sharpe_ratio=new, max_drawdown=drawdowns[0]),
        metrics_of(sharpe_ratio=old, max_drawdown=drawdowns[1]),
    )


def test_improvement_by_hand():
    found = improvement(1.2, 0.9)
    assert found.sharpe == pytest.approx(1 / 3) and found.drawdown == pytest.approx(0.2)
    assert is_reached(found, (0.05, 0.55), 0.05)


def test_a_small_old_sharpe_does_not_inflate_the_improvement():
    assert improvement(0.5, 0.01).sharpe == pytest.approx(4.9)
    assert improvement(0.5, -0.2).sharpe == pytest.approx(3.5)


@pytest.mark.parametrize(
    ("new", "old", "interval"),
    [
        (0.94, 0.9, (0.01, 0.1)),
        (1.2, 0.9, (-0.01, 0.6)),
        (1.2, 0.9, None),
        (1.2, None, None),
        (None, 0.9, None),
    ],
)
def test_improvement_below_the_threshold_or_within_luck_is_not_reached(new, old, interval):
    assert not is_reached(improvement(new, old), interval, 0.05)


def test_no_old_drawdown_leaves_its_improvement_undefined():
    assert improvement(1.2, 0.9, (0.1, 0.0)).drawdown is None


def test_without_another_model_there_is_nothing_but_the_status():
    production = ProductionBacktest(status="not_applicable", model_id=None)
    found = make_comparison(report_of(), production, 0.05, parameters_of().evidence)
    assert (found.status, found.baseline_metrics, found.reached) == ("not_applicable", None, None)
    assert found.metrics == report_of().metrics


def test_the_difference_is_paired_and_stands_beside_both_accounts():
    report = report_of()
    worse = {day: value - 0.002 for day, value in report.daily_returns.items()}
    production = ProductionBacktest(
        status="compared",
        model_id="old",
        metrics=metrics_of(sharpe_ratio=1.0),
        daily_returns=worse,
        equity_curve=(("2025-07-01T13:00:00+00:00", 1e5),),
    )
    found = make_comparison(report, production, 0.05, parameters_of().evidence)
    assert found.sharpe_difference == pytest.approx(0.9234) and found.sharpe_improvement == pytest.approx(
        0.9234
    )
    assert found.interval_90[0] > 0 and found.reached is True
    assert (found.baseline_model_id, found.baseline_equity_curve) == ("old", production.equity_curve)
