import json

import numpy as np
import pytest

from dosvotos.backtest.report import findings_of
from dosvotos.backtest.run import run_backtest
from dosvotos.errors import LineageError
from tests.backtest.windows import sessions, split_rows
from tests.conftest import parameters_of
from tests.policy.policies import random_policy


@pytest.fixture(scope="module")
def results() -> dict:
    # null_market has no planted edge, so nobody knows anything
    report = run_backtest(
        random_policy(3, (8,), 2.0), split_rows(6, 3), sessions(6), parameters_of("null_market")
    )
    return {"sample": "OUT-OF-SAMPLE", **report}


def test_a_backtest_is_json_without_nan_and_its_findings_can_be_read_back(results):
    read = json.loads(json.dumps(results, allow_nan=False))
    found = findings_of(read)
    assert found.model_dump(mode="json") == {name: read[name] for name in type(found).model_fields}
    assert read["oracle_sharpe"] is None


def test_its_parts_agree_with_each_other(results):
    found = findings_of(results)
    assert found.metrics == found.metrics_without_financing == found.stress.delays[0].metrics
    assert found.metrics == found.stress.costs[1].metrics
    assert found.metrics_with_financing.total_return != found.metrics.total_return
    total = np.prod([1 + cut.total_return for cut in found.cuts.by_month]) - 1
    assert total == pytest.approx(found.metrics.total_return)


def test_a_short_tape_without_rates_says_why_financing_is_missing():
    rows = split_rows(3, 3).assign(policy_rate_difference=np.nan)
    found = run_backtest(random_policy(3, (8,)), rows, sessions(3), parameters_of("null_market"))
    assert found["metrics_with_financing"] is None
    assert "fed funds or TPM is unknown" in found["financing_note"]


@pytest.mark.parametrize("gone", ["cuts", "stress", "sample", "metrics_with_financing"])
def test_results_of_another_version_are_refused_with_what_to_do(results, gone: str):
    older = {name: value for name, value in results.items() if name != gone}
    with pytest.raises(LineageError, match=f"another version, see {gone}; run the backtest pipeline again"):
        findings_of(older)
