"""What a step of training is worth, component by component."""

from typing import NamedTuple

import numpy as np

from dosvotos.contracts.parameters import CurriculumPhase, RewardParams


class RewardWeights(NamedTuple):
    """Weights in force, the reward's scale included; all but `pnl` are charged."""

    pnl: float
    transaction_cost: float
    drawdown: float
    volatility: float = 0.0
    holding: float = 0.0
    inactivity: float = 0.0
    turnover: float = 0.0

    @property
    def signed(self) -> np.ndarray:
        """What one unit of each component adds to the reward, shape (7,)."""
        charged = -np.array(self, dtype=float)
        charged[0] = self.pnl
        return charged


COMPONENTS = RewardWeights._fields
"""Columns of a step's components, each over the equity before the step:

pnl               the step's gain before fees, as a fraction
transaction_cost  fees paid, as a fraction
drawdown          growth of the episode's drawdown, as a fraction
volatility        the square of the gain net of fees
holding           1 for a bar with a position, else 0
inactivity        1 for a bar without one, else 0
turnover          positions traded: 0, 1, or 2 for a flip
"""


def weights_in(phase: CurriculumPhase, reward: RewardParams) -> RewardWeights:
    """The weights of one curriculum phase."""
    return RewardWeights(
        pnl=reward.scale * reward.pnl,
        transaction_cost=reward.scale * reward.transaction_cost * phase.transaction_cost,
        drawdown=reward.scale * reward.drawdown * phase.drawdown,
        volatility=reward.scale * reward.volatility,
        holding=reward.scale * reward.holding,
        inactivity=reward.scale * reward.inactivity,
        turnover=reward.scale * reward.turnover,
    )
