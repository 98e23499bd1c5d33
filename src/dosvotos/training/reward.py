"""The reward's components and their weights in each curriculum phase."""

from typing import NamedTuple

import numpy as np

from dosvotos.contracts.parameters import CurriculumPhase, RewardParams


class RewardWeights(NamedTuple):
    """Weight of each reward component, scale included; all but `pnl` are penalties."""

    pnl: float
    transaction_cost: float
    drawdown: float
    volatility: float = 0.0
    holding: float = 0.0
    inactivity: float = 0.0
    turnover: float = 0.0

    @property
    def coefficients(self) -> np.ndarray:
        """Factor of each component in the reward, shape (7,): `pnl` positive, penalties negative."""
        coefficients = -np.array(self, dtype=float)
        coefficients[0] = self.pnl
        return coefficients


COMPONENTS = RewardWeights._fields
"""Names of the components, in the order of every array of them; of one step, relative to its initial equity:

pnl               profit before fees, as a fraction; with `reward.credit_bars` in advance
transaction_cost  fees paid, as a fraction
drawdown          increase of the episode's drawdown, as a fraction
volatility        the square of the profit net of fees
holding           1 for a bar with a position, else 0
inactivity        1 for a bar without one, else 0
turnover          positions traded: 0, 1, or 2 for a flip
"""


def phase_weights(phase: CurriculumPhase, reward: RewardParams) -> RewardWeights:
    """Compute the reward weights of a curriculum phase."""
    return RewardWeights(
        pnl=reward.scale * reward.pnl,
        transaction_cost=reward.scale * reward.transaction_cost * phase.transaction_cost,
        drawdown=reward.scale * reward.drawdown * phase.drawdown,
        volatility=reward.scale * reward.volatility,
        holding=reward.scale * reward.holding,
        inactivity=reward.scale * reward.inactivity,
        turnover=reward.scale * reward.turnover,
    )
