"""Every planted leak is found and named; the clean pipeline raises no alarm."""

import pytest

from dosvotos.leakage.check import DEFAULT_PROBES, check_leaks
from dosvotos.leakage.pipeline import FeatureFunction, pipeline_from_function
from dosvotos.leakage.report import LeakReport
from tests.leakage import user_features
from tests.leakage.markets import Case, real_case, sample_case
from tests.leakage.planted_leaks import PLANTS

ISSUE = list(PLANTS)[:8]
FEW = 12


def found(case: Case, name: str, n_probes: int, seed: int) -> set[str]:
    plant, _ = PLANTS[name]
    report = check_leaks(plant(case.pipeline, case.contract), case.history, case.variables, n_probes, seed)
    assert not report.clean
    return {finding.rule for finding in report.findings()}


@pytest.mark.parametrize("name", ISSUE)
def test_a_dozen_probes_find_the_usual_leaks(name):
    assert found(sample_case(), name, FEW, seed=0) & PLANTS[name][1]


def test_the_clean_pipeline_raises_no_alarm_and_every_feature_reacts_to_its_inputs():
    case = sample_case()
    report = check_leaks(case.pipeline, case.history, case.variables, 2 * FEW, seed=3)
    assert report.findings() == ()
    assert all(feature.verdict == "clean" for feature in report.features)
    assert {f.feature: f.inputs for f in report.features if f.feature != "time_normalized"} == {
        name: tuple(sorted(inputs))
        for name, inputs in case.pipeline.inputs.items()
        if name != "time_normalized"
    }


def check_function(function: FeatureFunction, seed: int) -> LeakReport:
    case = sample_case()
    pipeline = pipeline_from_function("own", function, case.contract.parameters)
    return check_leaks(pipeline, case.history, case.variables, FEW, seed)


def test_own_features_are_described_and_their_leak_is_explained():
    clean = check_function(user_features.clean, seed=1)
    assert clean.clean
    assert {f.feature: f.inputs for f in clean.features} == {
        "momentum": ("bars",), "dxy": (user_features.DXY,),
    }  # fmt: skip
    leaking = check_function(user_features.leaking, seed=1)
    first = next(f for f in leaking.findings() if f.rule == "future")
    assert first.subject == "gap"
    assert "became known" in first.detail and "min after the bar's close" in first.detail
    assert "centred window" in first.hint
    assert {f.subject for f in leaking.findings()} == {"gap"}


def test_the_same_seed_gives_the_same_report():
    first, again = (check_function(user_features.leaking, seed=5) for _ in range(2))
    assert first == again


def test_what_the_first_probes_find_stays_found_whatever_follows():
    case = sample_case()
    plant, _ = PLANTS["limit a week too long"]
    pipeline = plant(case.pipeline, case.contract)
    few, more = (
        {
            (found.subject, found.rule, found.at, found.detail)
            for found in check_leaks(pipeline, case.history, case.variables, n, seed=1).findings()
        }
        for n in (FEW, 2 * FEW)
    )
    assert few <= more
    assert more


@pytest.mark.slow
def test_the_clean_pipeline_raises_no_alarm_on_real_data(shared_data):
    case = real_case(shared_data)
    report = check_leaks(case.pipeline, case.history, case.variables, FEW, seed=2)
    assert report.findings() == ()
    assert DEFAULT_PROBES > FEW
