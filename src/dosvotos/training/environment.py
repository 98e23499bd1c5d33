"""The market as SB3's VecEnv, Gymnasium's VectorEnv and Gymnasium's Env.

All three step `Episodes`: the same seed and actions give the same trajectories.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.vec_env import VecEnv

from dosvotos.contracts.features import FEATURE_ORDER
from dosvotos.market.normalization import CLIP
from dosvotos.policy.forward import TARGETS
from dosvotos.training.episodes import Episodes, TrainingArrays
from dosvotos.training.reward import COMPONENTS, RewardWeights


def observation_space() -> gym.spaces.Box:
    """Return the space of observations in FEATURE_ORDER, clipped as for the served policy."""
    limit = np.full(len(FEATURE_ORDER), CLIP, dtype=np.float32)
    return gym.spaces.Box(-limit, limit)


def action_space() -> gym.spaces.Discrete:
    """Return the space of actions: 0 short, 1 flat, 2 long."""
    return gym.spaces.Discrete(len(TARGETS))


class MarketVecEnv(VecEnv):
    """The market as stable-baselines3's VecEnv; an ended episode is reset within the same step.

    Parameters
    ----------
    data, episode_bars, cost, weights
        As `Episodes` takes them.
    n_envs : int
    seed : int
        Seeds the episodes' starts. The first episodes start in their middle, so that they do not all end at
        once; their reward covers the rest of them.

    Notes
    -----
    An ended episode's ``infos[i]["episode"]`` holds its reward ``r``, its bars ``l`` and, as ``reward/pnl``
    and so on, the contribution of each component to ``r``.
    """

    render_mode = None

    def __init__(
        self,
        data: TrainingArrays,
        n_envs: int,
        episode_bars: int,
        cost: float,
        weights: RewardWeights,
        seed: int,
    ) -> None:
        super().__init__(n_envs, observation_space(), action_space())
        self.episodes = Episodes(data, n_envs, episode_bars, cost, weights)
        self._actions = np.zeros(n_envs, dtype=np.int64)
        self.seed(seed)

    def reset(self) -> np.ndarray:
        """Reset all episodes, staggered, and return their observations."""
        return self.episodes.reset_all(staggered=True)

    def step_async(self, actions: np.ndarray) -> None:
        """Store the actions for `step_wait`: 0 short, 1 flat, 2 long."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step all episodes and reset those that ended; return observations, rewards, dones and infos."""
        step = self.episodes.step(self._actions)
        dones = step.terminated | step.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if dones.any():
            self._finish(np.flatnonzero(dones), step.truncated, infos)
        return self.episodes.observe(), step.rewards, dones, infos

    def _finish(self, ended: np.ndarray, truncated: np.ndarray, infos: list[dict[str, Any]]) -> None:
        terminal, accounts = self.episodes.observe(), self.episodes.accounts
        for i in ended:
            infos[i] = {
                "terminal_observation": terminal[i],
                "TimeLimit.truncated": bool(truncated[i]),
                "episode": {
                    "r": float(accounts.returns[i].sum()),
                    "l": int(accounts.age[i]),
                    "t": 0.0,
                    **{f"reward/{name}": float(accounts.returns[i, k]) for k, name in enumerate(COMPONENTS)},
                },
            }
        self.episodes.reset(ended)

    def close(self) -> None:
        """Do nothing: there are no resources to close."""

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the episodes' starts; SB3 passes its own seed here."""
        seeds = [None if seed is None else seed + i for i in range(self.num_envs)]
        self.episodes.seed(seeds)
        return seeds

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return the attribute once for each episode."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute for all episodes."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method once, for all episodes."""
        return [getattr(self, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return False for each episode."""
        return [False] * self.num_envs


class MarketVectorEnv(gym.vector.VectorEnv):
    """The market as Gymnasium's VectorEnv, made of what `Episodes` takes.

    An ended episode is reset within the same step.
    ``infos["reward"]`` holds each component's contribution to the rewards, arrays of shape (num_envs,).
    ``reset(options={"staggered": True})`` starts the episodes in their middle, as `MarketVecEnv` does.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self, data: TrainingArrays, num_envs: int, episode_bars: int, cost: float, weights: RewardWeights
    ) -> None:
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = observation_space(), action_space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.episodes = Episodes(data, num_envs, episode_bars, cost, weights)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset all episodes; an int `seed` seeds episode i with ``seed + i``, a list has one for each."""
        if isinstance(seed, int):
            seed = [seed + i for i in range(self.num_envs)]
        if seed is not None:
            self.episodes.seed(seed)
        return self.episodes.reset_all((options or {}).get("staggered", False)), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all episodes and reset those that ended; ``final_obs`` has their last observations."""
        step = self.episodes.step(np.asarray(actions))
        infos: dict[str, Any] = {"reward": dict(zip(COMPONENTS, step.contributions.T, strict=True))}
        ended = np.flatnonzero(step.terminated | step.truncated)
        if len(ended):
            last = self.episodes.observe()
            for i in ended:
                infos = self._add_info(infos, {"final_obs": last[i], "final_info": {}}, i)
            self.episodes.reset(ended)
        return self.episodes.observe(), step.rewards, step.terminated, step.truncated, infos


class MarketEnv(gym.Env):
    """The market as Gymnasium's Env, made of what `Episodes` takes.

    ``info["reward"]`` holds each component's contribution to the reward.
    ``reset(options={"staggered": True})`` starts the episode in its middle.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, data: TrainingArrays, episode_bars: int, cost: float, weights: RewardWeights) -> None:
        self.observation_space, self.action_space = observation_space(), action_space()
        self.episodes = Episodes(data, 1, episode_bars, cost, weights)
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode at the start of a session and return its observation."""
        super().reset(seed=seed)
        self._running = True
        self.episodes.generators = [self.np_random]
        return self.episodes.reset_all((options or {}).get("staggered", False))[0], {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take the action; return observation, reward, terminated, truncated and info."""
        if not self._running:
            raise gym.error.ResetNeeded("MarketEnv: the episode has ended or never begun; call reset() first")
        step = self.episodes.step(np.array([action]))
        info = {"reward": dict(zip(COMPONENTS, step.contributions[0].tolist(), strict=True))}
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        self._running = not (terminated or truncated)
        return self.episodes.observe()[0], float(step.rewards[0]), terminated, truncated, info
