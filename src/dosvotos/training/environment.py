"""The market's episodes under three interfaces: SB3's VecEnv, Gymnasium's VectorEnv and Gymnasium's Env.

All three take the same step; the same seed and actions give the same trajectories.
"""

from collections.abc import Sequence
from typing import Any, Self

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.vec_env import VecEnv

from dosvotos.contracts.features import FEATURE_ORDER
from dosvotos.market.normalization import CLIP
from dosvotos.policy.forward import TARGETS
from dosvotos.training.episodes import Episodes, MarketTape
from dosvotos.training.reward import COMPONENTS, RewardWeights


def observation_space() -> gym.spaces.Box:
    """Observations in FEATURE_ORDER, clipped as they are for the served policy."""
    limit = np.full(len(FEATURE_ORDER), CLIP, dtype=np.float32)
    return gym.spaces.Box(-limit, limit)


def action_space() -> gym.spaces.Discrete:
    """0 short, 1 flat, 2 long."""
    return gym.spaces.Discrete(len(TARGETS))


class MarketVecEnv(VecEnv):
    """N episodes that step together, for stable-baselines3.

    Parameters
    ----------
    tape, episode_bars, cost, weights
        As `Episodes` takes them.
    n_envs : int
    seed : int
        Draws the episodes' starts. The first episodes begin in their middle, so that resets spread; their
        reward covers what was left of them.

    Notes
    -----
    An ended episode's ``infos[i]["episode"]`` holds its reward ``r``, its bars ``l`` and, as ``reward/pnl``
    and so on, what each component added to ``r``.
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
        super().__init__(n_envs, observation_space(), action_space())
        self.episodes = Episodes(tape, n_envs, episode_bars, cost, weights)
        self._actions = np.zeros(n_envs, dtype=np.int64)
        self.seed(seed)

    @property
    def weights(self) -> RewardWeights:
        """Reward weights in force; may be replaced between phases."""
        return self.episodes.weights

    @weights.setter
    def weights(self, weights: RewardWeights) -> None:
        self.episodes.weights = weights

    def reset(self) -> np.ndarray:
        """Begin all episodes, at staggered ages."""
        return self.episodes.begin_all(staggered=True)

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions: 0 short, 1 flat, 2 long."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Fill, mark and reward; ended episodes begin anew."""
        step = self.episodes.step(self._actions)
        dones = step.terminated | step.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if dones.any():
            self._end(np.flatnonzero(dones), step.truncated, infos)
        return self.episodes.observe(), step.rewards, dones, infos

    def _end(self, ended: np.ndarray, truncated: np.ndarray, infos: list[dict[str, Any]]) -> None:
        terminal, account = self.episodes.observe(), self.episodes.account
        for i in ended:
            infos[i] = {
                "terminal_observation": terminal[i],
                "TimeLimit.truncated": bool(truncated[i]),
                "episode": {
                    "r": float(account.returns[i].sum()),
                    "l": int(account.age[i]),
                    "t": 0.0,
                    **{f"reward/{name}": float(account.returns[i, k]) for k, name in enumerate(COMPONENTS)},
                },
            }
        self.episodes.begin(ended)

    def close(self) -> None:
        """Nothing is held open."""

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Restart the draws of episode starts; SB3 passes its own seed here."""
        seeds = [None if seed is None else seed + i for i in range(self.num_envs)]
        self.episodes.seed(seeds)
        return seeds

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


class MarketVectorEnv(gym.vector.VectorEnv):
    """N episodes that step together, for Gymnasium; an ended episode begins anew within the same step.

    Parameters
    ----------
    tape, episode_bars, cost, weights
        As `Episodes` takes them.
    num_envs : int

    Notes
    -----
    ``infos["reward"]`` holds what each component added to the step's rewards, arrays of shape (num_envs,).
    ``reset(options={"staggered": True})`` begins the episodes in their middle, as `MarketVecEnv` does.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self, tape: MarketTape, num_envs: int, episode_bars: int, cost: float, weights: RewardWeights
    ) -> None:
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = observation_space(), action_space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.episodes = Episodes(tape, num_envs, episode_bars, cost, weights)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all episodes; `seed` seeds the i-th with ``seed + i``, a list each with its own."""
        if isinstance(seed, int):
            seed = [seed + i for i in range(self.num_envs)]
        if seed is not None:
            self.episodes.seed(seed)
        return self.episodes.begin_all(_staggered(options)), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Fill, mark and reward; ended episodes begin anew, their last observation is ``final_obs``."""
        step = self.episodes.step(np.asarray(actions))
        infos: dict[str, Any] = {"reward": dict(zip(COMPONENTS, step.contributions.T, strict=True))}
        ended = np.flatnonzero(step.terminated | step.truncated)
        if len(ended):
            last = self.episodes.observe()
            for i in ended:
                infos = self._add_info(infos, {"final_obs": last[i], "final_info": {}}, i)
            self.episodes.begin(ended)
        return self.episodes.observe(), step.rewards, step.terminated, step.truncated, infos


class MarketEnv(gym.Env):
    """One episode after the other, for Gymnasium.

    Parameters
    ----------
    tape, episode_bars, cost, weights
        As `Episodes` takes them.

    Notes
    -----
    ``info["reward"]`` holds what each component added to the step's reward. ``reset(options={"staggered":
    True})`` begins the episode in its middle, as `MarketVecEnv` does with its first ones.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, tape: MarketTape, episode_bars: int, cost: float, weights: RewardWeights) -> None:
        self.observation_space, self.action_space = observation_space(), action_space()
        self.episodes = Episodes(tape, 1, episode_bars, cost, weights)
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode at the start of a session."""
        super().reset(seed=seed)
        self._running = True
        self.episodes.randoms = [self.np_random]
        return self.episodes.begin_all(_staggered(options))[0], {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Fill, mark and reward."""
        if not self._running:
            raise gym.error.ResetNeeded("MarketEnv: the episode has ended or never begun; call reset() first")
        step = self.episodes.step(np.array([action]))
        info = {"reward": dict(zip(COMPONENTS, step.contributions[0].tolist(), strict=True))}
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        self._running = not (terminated or truncated)
        return self.episodes.observe()[0], float(step.rewards[0]), terminated, truncated, info


def _staggered(options: dict[str, Any] | None) -> bool:
    return bool((options or {}).get("staggered", False))
