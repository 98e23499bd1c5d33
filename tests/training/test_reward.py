import numpy as np
import pytest

from dosvotos.contracts.parameters import CurriculumPhase, RewardParams
from dosvotos.training.reward import RewardWeights, reward_of, weights_in
from tests.conftest import parameters_of

REWARD = RewardParams(scale=1000, pnl=1.0, transaction_cost=2.0, drawdown=0.1)


def phase(transaction_cost: float, drawdown: float) -> CurriculumPhase:
    return CurriculumPhase(name="p", timesteps=1, transaction_cost=transaction_cost, drawdown=drawdown)


def test_a_phase_scales_costs_and_drawdown_but_never_the_pnl():
    assert weights_in(phase(0.5, 0.25), REWARD) == RewardWeights(1000.0, 1000.0, 25.0)
    assert weights_in(phase(0, 0), REWARD) == RewardWeights(1000.0, 0.0, 0.0)
    assert weights_in(phase(1, 1), REWARD) == RewardWeights(1000.0, 2000.0, 100.0)


def test_the_reward_by_hand():
    pnl, fees, growth = np.array([0.002, -0.001, 0.0]), np.array([0.0, 7e-4, 3.5e-4]), np.array([0, 0.001, 0])
    found = reward_of(pnl, fees, growth, RewardWeights(1000, 2000, 100))
    np.testing.assert_allclose(found, [2.0, -1.0 - 1.4 - 0.1, -0.7])


@pytest.mark.parametrize("component", range(3))
def test_each_component_enters_with_its_own_weight_and_sign(component: int):
    parts = [np.zeros(1)] * 3
    parts[component] = np.array([0.01])
    sign = 1 if component == 0 else -1
    assert reward_of(*parts, RewardWeights(3.0, 5.0, 7.0)) == pytest.approx(
        sign * (3, 5, 7)[component] * 0.01
    )


def test_every_experiment_ends_its_curriculum_at_full_costs():
    for env in ("demo", "null_market", "smoke", "exp1_curriculum_aggressive_v1", "exp2_interbank_costs_v1"):
        changes = {"data_acquisition": {"folder": "x"}} if env.startswith("exp") else {}
        parameters = parameters_of(env, **changes)
        last = parameters.curriculum.phases[-1]
        assert (last.transaction_cost, last.drawdown) == (1.0, 1.0)
        weights = weights_in(last, parameters.reward)
        assert weights.transaction_cost == weights.pnl
