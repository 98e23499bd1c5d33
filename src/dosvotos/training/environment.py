"""The market as a batch of episodes under SB3's VecEnv interface.

One step decides at a bar's close, fills at the next bar's close and is rewarded with what the filled position
earns until the close after, less the fees: the account's own marks and fills.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import gymnasium as gym
import numpy as np
import pandas as pd
from numba import njit
from stable_baselines3.common.vec_env import VecEnv

from dosvotos.backtest.simulate import tape_of
from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.errors import DataError
from dosvotos.market.accounting import RUIN_SHARE, fill, mark
from dosvotos.market.calendar import session_dates
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import TARGETS
from dosvotos.training.reward import RewardWeights, reward_of


class MarketTape(NamedTuple):
    """A training split ready for episodes: its complete rows in time order."""

    observations: np.ndarray
    """Normalised market features, shape (n_rows, 13), float32."""
    clock: np.ndarray
    close: np.ndarray
    overnight_yield: np.ndarray
    """Financing a unit of notional held long into each row earns; zeros without financing."""
    starts: np.ndarray
    """Rows at which a session begins and a whole episode fits."""


def market_tape(
    rows: pd.DataFrame, norm_stats: NormStats, episode_bars: int, financed: bool = False
) -> MarketTape:
    """Prepare a split for training; rows without all features are left out.

    Raises
    ------
    DataError
        If no episode of `episode_bars` fits into the complete rows, or `financed` and a rate is unknown.
    """
    complete = rows.dropna(subset=list(MARKET_FEATURES))
    days = session_dates(pd.DatetimeIndex(complete.index))
    first_of_session = np.flatnonzero(np.diff(days, prepend=days[:1] - 1).astype(int) > 0)
    starts = first_of_session[first_of_session + episode_bars + 1 < len(complete)]
    if len(starts) == 0:
        raise DataError(
            f"training.episode_bars: an episode of {episode_bars} bars does not fit into the "
            f"{len(complete)} complete rows of train"
        )
    tape = tape_of(complete)
    return MarketTape(
        observations=norm_stats.apply(complete[list(MARKET_FEATURES)].to_numpy(float)).astype(np.float32),
        clock=complete["time_normalized"].to_numpy(np.float32),
        close=tape.close,
        overnight_yield=tape.overnight_yield() if financed else np.zeros(len(complete)),
        starts=starts,
    )


class MarketVecEnv(VecEnv):
    """N episodes that step together.

    Parameters
    ----------
    tape : MarketTape
    n_envs : int
    episode_bars : int
        Decisions an episode lasts; reaching it truncates, ruin terminates.
    cost : float
        Fraction of the traded notional paid a side.
    weights : RewardWeights
        May be replaced between phases.
    seed : int
        Draws the episodes' starts. The first episodes begin in their middle, so that resets spread; their
        reward covers what was left of them.
    """

    render_mode = None

    def __init__(
        self,
        tape: MarketTape,
        n_envs: int,
        episode_bars: int,
        cost: float,
        weights: RewardWeights,
        seed: int,
    ) -> None:
        limit = np.full(len(FEATURE_ORDER), 5.0, dtype=np.float32)
        super().__init__(n_envs, gym.spaces.Box(-limit, limit), gym.spaces.Discrete(len(TARGETS)))
        self.weights = weights
        self._tape, self._episode_bars, self._cost = tape, episode_bars, cost
        self._random = np.random.default_rng(seed)
        self._row = np.zeros(n_envs, dtype=np.int64)
        self._age = np.zeros(n_envs, dtype=np.int64)
        self._equity, self._peak, self._units = np.ones(n_envs), np.ones(n_envs), np.zeros(n_envs)
        self._return = np.zeros(n_envs)
        self._actions = np.zeros(n_envs, dtype=np.int64)

    def reset(self) -> np.ndarray:
        """Begin all episodes, at staggered ages."""
        self._begin(np.ones(self.num_envs, dtype=bool))
        self._age[:] = self._random.integers(0, self._episode_bars, self.num_envs)
        self._row += self._age
        return self._observe()

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions: 0 short, 1 flat, 2 long."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Fill, mark and reward; ended episodes begin anew."""
        before = self._equity.copy()
        drawdown_before = 1 - before / self._peak
        targets = self._actions.astype(np.float64) - 1.0
        tape, account = self._tape, (self._equity, self._units)
        fees = _trade(tape.close, tape.overnight_yield, self._row, targets, self._cost, *account)
        np.maximum(self._peak, self._equity, out=self._peak)
        pnl = (self._equity - before + fees) / before
        growth = np.maximum(1 - self._equity / self._peak - drawdown_before, 0.0)
        rewards = reward_of(pnl, fees / before, growth, self.weights).astype(np.float32)
        self._row += 1
        self._age += 1
        self._return += rewards
        ruined = self._equity <= RUIN_SHARE
        dones = ruined | (self._age >= self._episode_bars)
        infos = self._end_episodes(dones, ruined)
        return self._observe(), rewards, dones, infos

    def _end_episodes(self, dones: np.ndarray, ruined: np.ndarray) -> list[dict[str, Any]]:
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if dones.any():
            terminal = self._observe()
            for i in np.flatnonzero(dones):
                infos[i] = {
                    "terminal_observation": terminal[i],
                    "TimeLimit.truncated": not ruined[i],
                    "episode": {"r": float(self._return[i]), "l": int(self._age[i]), "t": 0.0},
                }
            self._begin(dones)
        return infos

    def _begin(self, which: np.ndarray) -> None:
        self._row[which] = self._random.choice(self._tape.starts, which.sum())
        self._age[which] = 0
        self._equity[which] = self._peak[which] = 1.0
        self._units[which] = self._return[which] = 0.0

    def _observe(self) -> np.ndarray:
        position = np.sign(self._units).astype(np.float32)
        return np.column_stack(
            [self._tape.observations[self._row], position, self._tape.clock[self._row]]
        ).astype(np.float32)

    def close(self) -> None:
        """Nothing is held open."""

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Restart the draws of episode starts; SB3 passes its own seed here."""
        self._random = np.random.default_rng(seed)
        return [seed] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute, once an episode."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute for all episodes."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method once, for all episodes."""
        return [getattr(self, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No episode is wrapped."""
        return [False] * self.num_envs

    @property
    def unwrapped(self) -> Self:
        """The environment itself."""
        return self


@njit(cache=True)
def _trade(
    close: np.ndarray,
    overnight_yield: np.ndarray,
    rows: np.ndarray,
    targets: np.ndarray,
    cost: float,
    equity: np.ndarray,
    units: np.ndarray,
) -> np.ndarray:
    """Fill each target at the next close and mark it at the close after; equity and units change in place."""
    fees = np.empty(len(rows))
    for i in range(len(rows)):
        price = close[rows[i] + 1]
        equity[i], units[i], fees[i] = fill(equity[i], units[i], targets[i], price, cost)
        equity[i] = mark(equity[i], units[i], price, close[rows[i] + 2])
        equity[i] += overnight_yield[rows[i] + 2] * units[i] * price
    return fees
