"""An experiment may ask for more evidence than the house, never for less."""

import pytest

from dosvotos.errors import ParameterError
from dosvotos.promotion.floors import refuse_looser
from dosvotos.promotion.gate_policy import packaged_policy
from tests.conftest import parameter_tree, parameters_of

STRICTER = {"min_positive_seeds": 0.8, "n_random_traders": 300, "naive_percentile": 99.0}
LOOSER = {"min_positive_seeds": 0.5, "n_random_traders": 199, "naive_percentile": 94.5}


def evidence(**changes: float) -> dict:
    return {**parameter_tree()["evidence"], **changes}


@pytest.mark.parametrize("env", ["demo", "smoke", "null_market", "exp1_curriculum_aggressive_v1"])
def test_our_own_experiments_keep_the_floors(env: str):
    refuse_looser(parameters_of(env), packaged_policy())


@pytest.mark.parametrize("name", STRICTER)
def test_stricter_is_taken_and_looser_refused_with_both_values(name: str):
    refuse_looser(parameters_of(evidence=evidence(**{name: STRICTER[name]})), packaged_policy())
    with pytest.raises(ParameterError, match=rf"evidence\.{name}: must be at least .*, was {LOOSER[name]:g}"):
        refuse_looser(parameters_of(evidence=evidence(**{name: LOOSER[name]})), packaged_policy())


def test_more_uncovered_sessions_than_the_house_tolerates_are_refused():
    quality = parameter_tree()["quality_thresholds"] | {"max_uncovered_sessions": 0.11}
    with pytest.raises(ParameterError, match=r"max_uncovered_sessions: must be at most 0\.1, was 0\.11"):
        refuse_looser(parameters_of(quality_thresholds=quality), packaged_policy())
    refuse_looser(
        parameters_of(quality_thresholds=quality | {"max_uncovered_sessions": 0.0}), packaged_policy()
    )


@pytest.mark.parametrize("gone", ["min_psr", "max_spa_p_value", "bootstrap_replications", "seed"])
def test_the_houses_own_levels_are_no_parameters_of_an_experiment(gone: str):
    with pytest.raises(ParameterError, match=rf"evidence\.{gone}: unknown parameter"):
        parameters_of(evidence=evidence(**{gone: 0.5}))
