from types import SimpleNamespace

from dosvotos.backtest.metrics import Metrics
from dosvotos.reports.metrics import METRICS, RESULTS, write_metrics


def test_every_metric_of_a_backtest_has_its_row():
    assert {metric.key for metric in RESULTS} == Metrics.model_fields.keys() - {"ruined"}
    assert [*METRICS][: len(RESULTS)] == [metric.key for metric in RESULTS]


def test_a_metric_is_written_by_its_unit_in_each_language():
    drawdown, trades = METRICS["max_drawdown"], METRICS["total_trades"]
    assert (drawdown.write(0.05337), drawdown.write(0.05337, "es")) == ("5.3%", "5,3\u00a0%")
    assert (trades.write(12_345), trades.label("es")) == ("12,345", "Operaciones")
    keys = ("sharpe_ratio", "max_drawdown", "turnover")
    assert write_metrics(SimpleNamespace(sharpe_ratio=1204.5, max_drawdown=None), keys, "es") == {
        "Índice de Sharpe": "1.204,50",
        "Caída máxima": "\u2013",
        "Puntas por sesión": "\u2013",
    }


def test_the_best_value_is_the_higher_or_the_lower_as_its_metric_says():
    assert METRICS["sharpe_ratio"].best([1.2, None, 3.1]) == 3.1
    assert METRICS["max_drawdown"].best([0.05, 0.12]) == 0.05
    assert METRICS["exposure"].best([0.2, 0.9]) is None and METRICS["win_rate"].best([None]) is None
