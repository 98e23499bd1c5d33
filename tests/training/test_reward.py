import numpy as np
import pytest

from dosvotos.contracts.parameters import CurriculumPhase, RewardParams
from dosvotos.training.reward import COMPONENTS, RewardWeights, phase_weights
from tests.conftest import parameters_of

REWARD = RewardParams(
    scale=1000,
    pnl=1.0,
    transaction_cost=2.0,
    drawdown=0.1,
    volatility=50.0,
    holding=1e-6,
    inactivity=2e-6,
    turnover=1e-4,
)


def phase(transaction_cost: float, drawdown: float) -> CurriculumPhase:
    return CurriculumPhase(name="p", timesteps=1, transaction_cost=transaction_cost, drawdown=drawdown)


@pytest.mark.parametrize(("costs", "drawdown"), [(0.5, 0.25), (0.0, 0.0), (1.0, 1.0)])
def test_a_phase_scales_costs_and_drawdown_and_nothing_else(costs: float, drawdown: float):
    assert phase_weights(phase(costs, drawdown), REWARD) == pytest.approx(
        (1000.0, 2000.0 * costs, 100.0 * drawdown, 50_000.0, 1e-3, 2e-3, 0.1)
    )


def test_all_but_the_pnl_are_charged():
    weights = RewardWeights(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    assert weights.coefficients.tolist() == [1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0]
    assert COMPONENTS[0] == "pnl" and len(COMPONENTS) == len(weights.coefficients)


def test_components_are_the_parameters_own():
    assert set(COMPONENTS) == set(RewardParams.model_fields) - {"scale", "credit_bars"}


def test_every_experiment_ends_its_curriculum_at_full_costs():
    for env in ("demo", "null_market", "smoke", "exp1_curriculum_aggressive_v1", "exp2_interbank_costs_v1"):
        changes = {"data_acquisition": {"folder": "x"}} if env.startswith("exp") else {}
        parameters = parameters_of(env, **changes)
        last = parameters.curriculum.phases[-1]
        assert (last.transaction_cost, last.drawdown) == (1.0, 1.0)
        weights = phase_weights(last, parameters.reward)
        assert weights.transaction_cost == weights.pnl
        assert np.array_equal(weights[3:], [0, 0, 0, 0]), "the newer components are off until asked for"
