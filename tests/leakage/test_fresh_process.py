"""What remembers the first history it saw is caught; what nothing moves is not called clean."""

import threading

import pandas as pd
import pytest

from dosvotos.commands.leakcheck import conclusion
from dosvotos.leakage.check import check_leaks
from dosvotos.leakage.pipeline import FeatureFunction, FeaturePipeline, pipeline_from_function
from dosvotos.leakage.report import LeakReport
from tests.leakage import remembering_features as remembering
from tests.leakage.markets import sample_case
from tests.leakage.user_features import clean

FEW = 6


def check(function: FeatureFunction, inputs: dict[str, tuple[str, ...]] | None = None) -> LeakReport:
    case = sample_case()
    pipeline = pipeline_from_function("own", function, case.contract.parameters)
    if inputs is not None:
        pipeline = FeaturePipeline("own", function, inputs=inputs, tolerance=pipeline.tolerance)
    return check_leaks(pipeline, case.history, case.variables, FEW, seed=1)


def verdicts(report: LeakReport) -> dict[str, str]:
    return {feature.feature: feature.verdict for feature in report.features}


@pytest.mark.parametrize(
    ("function", "feature", "hint"),
    [
        (remembering.fitted_once, "scaled", "fitted once"),
        (remembering.table_of_first_call, "ahead", "kept between calls"),
    ],
)
def test_what_was_fitted_or_tabulated_in_the_first_call_differs_in_a_fresh_process(function, feature, hint):
    report = check(function)
    assert verdicts(report) == {"momentum": "clean", "dxy": "clean", feature: "kept"}
    [finding] = [found for found in report.findings() if found.rule == "kept"]
    assert "in a fresh process" in finding.detail and hint in finding.hint
    assert report.probes["fresh process"] == 1 and not report.clean


def test_a_scaler_kept_in_a_closure_is_caught_too():
    fitted: list[float] = []

    def features(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
        if not fitted:
            fitted.append(float(bars["close"].mean()))
        return pd.DataFrame({"level": bars["close"] / fitted[0]})

    assert verdicts(check(features)) == {"level": "kept"}


@pytest.mark.parametrize(
    ("function", "feature"), [(remembering.table_made_before, "ready"), (remembering.constant, "one")]
)
def test_a_feature_that_neither_bars_nor_macro_move_is_unproven(function, feature):
    report = check(function)
    assert verdicts(report) == {"momentum": "clean", "dxy": "clean", feature: "unproven"}
    assert report.findings() == () and not report.clean
    assert conclusion(report).startswith(f"unproven: {feature}: neither bars nor macro values moved it")


def test_a_feature_declared_to_be_the_clocks_needs_nothing_else_to_move_it():
    def hour(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"hour": pd.DatetimeIndex(bars.index).hour.astype(float)}, index=bars.index)

    assert verdicts(check(hour)) == {"hour": "unproven"}
    assert verdicts(check(hour, {"hour": ("clock",)})) == {"hour": "clean"}


def test_code_that_cannot_be_sent_is_noted_and_checked_otherwise():
    lock = threading.Lock()

    def features(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
        with lock:
            return clean(bars, macro)

    report = check(features)
    assert report.clean and "fresh process" not in report.probes
    assert any("no first call in a fresh process: the code cannot be sent" in note for note in report.notes)
