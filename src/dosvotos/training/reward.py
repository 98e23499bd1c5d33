"""What a step of training is worth, as fractions of equity, component by component."""

from typing import NamedTuple

import numpy as np

from dosvotos.contracts.parameters import CurriculumPhase, RewardParams


class RewardWeights(NamedTuple):
    """Weights in force, the reward's scale included."""

    pnl: float
    transaction_cost: float
    drawdown: float


def weights_in(phase: CurriculumPhase, reward: RewardParams) -> RewardWeights:
    """The weights of one curriculum phase."""
    return RewardWeights(
        pnl=reward.scale * reward.pnl,
        transaction_cost=reward.scale * reward.transaction_cost * phase.transaction_cost,
        drawdown=reward.scale * reward.drawdown * phase.drawdown,
    )


def reward_of(
    pnl: np.ndarray, fees: np.ndarray, drawdown_growth: np.ndarray, weights: RewardWeights
) -> np.ndarray:
    """Reward of each episode's step, shape (n_envs,); every component is a fraction of equity."""
    total: np.ndarray = (
        weights.pnl * pnl - weights.transaction_cost * fees - weights.drawdown * drawdown_growth
    )
    return total
