"""Market tapes and environments for the tests of episodes and of their interfaces."""

from datetime import date

import numpy as np
import pandas as pd

from dosvotos.contracts.features import FEATURE_ORDER
from dosvotos.training.environment import MarketVecEnv
from dosvotos.training.episodes import TrainingArrays, training_arrays
from dosvotos.training.reward import RewardWeights
from tests.training.short_training import norm_stats, signal_rows

NET = RewardWeights(pnl=1.0, transaction_cost=1.0, drawdown=0.0)
COST = 3.5e-4
POSITION = FEATURE_ORDER.index("position")
ROWS = signal_rows(5, date(2024, 1, 2), 12)


ALL_COMPONENTS = RewardWeights(
    pnl=2.0, transaction_cost=3.0, drawdown=5.0, volatility=7.0, holding=0.01, inactivity=0.02, turnover=0.03
)


def training_data(rows: pd.DataFrame = ROWS, episode_bars: int = 60, credit_bars: int = 0) -> TrainingArrays:
    return training_arrays(rows, norm_stats(), episode_bars, credit_bars=credit_bars)


def environment(
    data: TrainingArrays,
    n_envs: int = 4,
    episode_bars: int = 60,
    cost: float = COST,
    weights: RewardWeights = NET,
    seed: int = 0,
) -> MarketVecEnv:
    return MarketVecEnv(data, n_envs, episode_bars, cost, weights, seed)


def rows_seen(data: TrainingArrays, observations: np.ndarray) -> list[int]:
    """Return the row of the data that each observation shows."""
    shown = observations[:, :13]
    return [int(np.flatnonzero((data.observations == one).all(axis=1))[0]) for one in shown]


def hand_made(close: list[float], credit_close: list[float] | None = None) -> TrainingArrays:
    n, prices = len(close), np.array(close, dtype=float)
    credited = prices if credit_close is None else np.array(credit_close, dtype=float)
    marks = np.arange(n, dtype=np.float32)[:, None] * np.ones((1, 13), dtype=np.float32) / n
    flat = np.zeros(n)
    return TrainingArrays(marks, np.zeros(n, np.float32), prices, flat, credited, np.array([0]))
