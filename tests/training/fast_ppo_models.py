"""Small models of either engine, and comparisons of their weights, for the tests of the fast engine."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from dosvotos.training.environment import MarketVecEnv
from dosvotos.training.episodes import training_arrays
from dosvotos.training.fast_ppo import FastPPO
from dosvotos.training.reward import RewardWeights
from tests.training.short_training import norm_stats, train_rows

NET = RewardWeights(pnl=1000.0, transaction_cost=1000.0, drawdown=0.0)
SMALL: dict[str, Any] = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "policy_kwargs": {"net_arch": [16]}}


class Noise(gym.Env):
    """Random observations; the reward favours action 1; episodes end by ruin or by the time limit."""

    def __init__(self, n_features: int = 5, n_actions: int = 3) -> None:
        self.observation_space = gym.spaces.Box(-9, 9, (n_features,), np.float32)
        self.action_space = gym.spaces.Discrete(n_actions)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self._age = 0
        return self._observation(), {}

    def step(self, action: int):
        self._age += 1
        reward = float(self.np_random.normal() + (action == 1))
        return self._observation(), reward, self.np_random.random() < 0.05, self._age >= 9, {}

    def _observation(self) -> np.ndarray:
        return np.clip(self.np_random.normal(size=self.observation_space.shape), -9, 9).astype(np.float32)


def noise(n_envs: int = 4, **settings: int) -> DummyVecEnv:
    return DummyVecEnv([lambda: Noise(**settings)] * n_envs)


def market(n_envs: int = 8, seed: int = 3) -> MarketVecEnv:
    data = training_arrays(train_rows(), norm_stats(), episode_bars=60)
    return MarketVecEnv(data, n_envs, 60, 1e-4, NET, seed)


def small(env: Any = None, engine: type[PPO] = FastPPO, seed: int | None = 0, **settings: Any) -> PPO:
    model = engine("MlpPolicy", env or noise(), seed=seed, device="cpu", **{**SMALL, **settings})
    model.set_logger(configure(None, []))
    return model


class RecordingCallback(BaseCallback):
    """Records the locals that SB3 passes to callbacks."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.steps, self.calls, self.shown = 0, [], []
        self._stop_after = stop_after

    def _on_step(self) -> bool:
        self.steps += 1
        self.calls.append("step")
        keys = ("actions", "clipped_actions", "values", "log_probs", "rewards", "dones", "infos", "new_obs")
        self.shown.append({k: copy.deepcopy(self.locals[k]) for k in (*keys, "obs_tensor", "n_steps")})
        return self.steps != self._stop_after

    def _on_rollout_start(self) -> None:
        self.calls.append("start")

    def _on_rollout_end(self) -> None:
        self.calls.append("end")


def parameters_of(model: PPO) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in model.policy.state_dict().items()}


def steps_of(model: PPO) -> float:
    steps = {s["step"].item() for s in model.policy.optimizer.state_dict()["state"].values()}
    assert len(steps) == 1
    return steps.pop()


def largest_difference(one: PPO, other: PPO) -> float:
    left, right = parameters_of(one), parameters_of(other)
    return max(float(np.abs(left[name] - right[name]).max()) for name in left)


def assert_same_to_the_last_bit(one: PPO, other: PPO) -> None:
    left, right = one.get_parameters(), other.get_parameters()
    for name, tensor in left["policy"].items():
        assert torch.equal(tensor, right["policy"][name]), name
    moments = left["policy.optimizer"]["state"], right["policy.optimizer"]["state"]
    assert moments[0].keys() == moments[1].keys() != set()
    for place, state in moments[0].items():
        for name, tensor in state.items():
            assert torch.equal(tensor, moments[1][place][name]), (place, name)


def trained(seed: int = 0) -> FastPPO:
    model = small(market(), seed=seed)
    model.learn(4 * 256)
    return model
