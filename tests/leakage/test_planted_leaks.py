"""Every planted leak is found and named; the clean pipeline raises no alarm."""

import pytest

from dosvotos.leakage.check import DEFAULT_PROBES, check_leaks
from dosvotos.leakage.pipeline import own_pipeline
from tests.leakage import own
from tests.leakage.markets import Case, real_case, sample_case
from tests.leakage.plants import PLANTS

ISSUE = list(PLANTS)[:8]
FEW = 12


def found(case: Case, name: str, n_probes: int, seed: int) -> set[str]:
    plant, _ = PLANTS[name]
    report = check_leaks(plant(case.house, case.contract), case.history, case.variables, n_probes, seed)
    assert not report.clean
    return {finding.rule for finding in report.findings()}


@pytest.mark.parametrize("name", ISSUE)
def test_a_dozen_probes_find_the_usual_leaks(name):
    assert found(sample_case(), name, FEW, seed=0) & PLANTS[name][1]


def test_the_clean_pipeline_raises_no_alarm_and_every_feature_is_heard():
    case = sample_case()
    report = check_leaks(case.house, case.history, case.variables, 2 * FEW, seed=3)
    assert report.findings() == ()
    assert all(feature.verdict == "clean" for feature in report.features)
    assert {f.feature: f.inputs for f in report.features if f.feature != "time_normalized"} == {
        name: tuple(sorted(inputs)) for name, inputs in case.house.inputs.items() if name != "time_normalized"
    }


def test_own_features_are_described_and_their_leak_is_explained():
    case = sample_case()
    parameters = case.contract.parameters
    clean = check_leaks(own_pipeline("own", own.clean, parameters), case.history, case.variables, FEW, seed=1)
    assert clean.clean
    assert {f.feature: f.inputs for f in clean.features} == {"momentum": ("bars",), "dxy": (own.DXY,)}
    leaking = check_leaks(
        own_pipeline("own", own.leaking, parameters), case.history, case.variables, FEW, seed=1
    )
    first = next(f for f in leaking.findings() if f.rule == "future")
    assert first.subject == "gap"
    assert "became known" in first.words and "min after the bar's close" in first.words
    assert "centred window" in first.hint
    assert {f.subject for f in leaking.findings()} == {"gap"}


def test_the_same_seed_gives_the_same_report():
    case = sample_case()
    pipeline = own_pipeline("own", own.leaking, case.contract.parameters)
    first, again = (check_leaks(pipeline, case.history, case.variables, FEW, seed=5) for _ in range(2))
    assert first == again


def test_what_the_first_probes_find_stays_found_whatever_follows():
    case = sample_case()
    plant, _ = PLANTS["limit a week too long"]
    pipeline = plant(case.house, case.contract)
    few, more = (
        {
            (found.subject, found.rule, found.at, found.words)
            for found in check_leaks(pipeline, case.history, case.variables, n, seed=1).findings()
        }
        for n in (FEW, 2 * FEW)
    )
    assert few <= more
    assert more


@pytest.mark.slow
def test_the_clean_pipeline_raises_no_alarm_on_real_data(shared_data):
    case = real_case(shared_data)
    report = check_leaks(case.house, case.history, case.variables, FEW, seed=2)
    assert report.findings() == ()
    assert DEFAULT_PROBES > FEW
