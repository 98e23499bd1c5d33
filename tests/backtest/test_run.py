import json

import numpy as np
import pytest

from dosvotos.backtest.report import BacktestReport, BacktestResult, figures_of
from dosvotos.backtest.run import run_backtest
from dosvotos.contracts.records import parse_record
from dosvotos.errors import LineageError
from tests.backtest.windows import sessions, split_rows
from tests.conftest import parameters_of
from tests.policy.policies import random_policy
from tests.report_factory import report_of


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    # null_market has no planted edge, so nobody knows anything
    return run_backtest(
        random_policy(3, (8,), 2.0), split_rows(6, 3), sessions(6), parameters_of("null_market"), 1
    )


def test_a_backtest_survives_its_json(result):
    assert BacktestResult.model_validate_json(result.model_dump_json()) == result
    assert result.oracle_sharpe is None


def test_its_parts_agree_with_each_other(result):
    assert result.metrics == result.metrics_without_financing == result.stress.delays[0].metrics
    assert result.metrics == result.stress.costs[1].metrics
    assert result.metrics_with_financing.total_return != result.metrics.total_return
    total = np.prod([1 + cut.total_return for cut in result.cuts.by_month]) - 1
    assert total == pytest.approx(result.metrics.total_return)


def test_a_short_tape_without_rates_says_why_financing_is_missing():
    rows = split_rows(3, 3).assign(policy_rate_difference=np.nan)
    found = run_backtest(random_policy(3, (8,)), rows, sessions(3), parameters_of("null_market"), 1)
    assert found.metrics_with_financing is None
    assert "fed funds or TPM is unknown" in found.financing_note


def test_a_proposal_repeats_the_figures_and_neither_curves_nor_trades():
    report = report_of()
    figures = figures_of(report)
    assert {name: getattr(report, name) for name in type(figures).model_fields} == dict(figures)
    assert not {"equity_curve", "drawdown_series", "trades", "daily_returns"} & set(dict(figures))


@pytest.mark.parametrize("gone", ["cuts", "stress", "sample", "metrics_with_financing"])
def test_a_report_of_another_version_is_refused_with_what_to_do(gone: str):
    fields = report_of().model_dump(mode="json", exclude={gone})
    with pytest.raises(LineageError, match=f"x: written by another version, see {gone}; run the backtest"):
        parse_record(BacktestReport, json.dumps(fields).encode(), "x")
