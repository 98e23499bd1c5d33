"""How much faster the fast engine trains than gym-anytrading with stock SB3, and that it is the same PPO.

All engines run in one process on one thread, after a warm-up, in rounds: a round measures each of them
once, a figure is the median of the rounds' ratios. Ratios are of CPU seconds, so that other load on the
machine counts on neither side, and so are the compile times; `seconds_400k` is by the clock on the wall.

`speedup_identical_work` sets 64 market episodes against gym-anytrading's one, both with SB3's own schedule
(rollouts of 2,048 steps, minibatches of 64, 10 epochs), 15 features and networks of 2 x 64.
`speedup_recommended` is 64 episodes x 128 steps, minibatches of 256 and 4 epochs against the same;
`vs_zero_cost_limit` the first against stock SB3 on 64 environments that cost nothing.
`max_weight_difference` is the furthest any weight lies from SB3's after 320 minibatches from the same
weights, rollout and order.

Needs ``pip install -e '.[bench]'``.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
from learning import EASY, parameters_for, planted_rows
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnv

from dosvotos.contracts.parameters import Parameters
from dosvotos.market.normalization import fit_norm_stats
from dosvotos.training.environment import MarketVecEnv
from dosvotos.training.episodes import TrainingArrays, training_arrays
from dosvotos.training.fast_ppo import FastPPO
from dosvotos.training.ppo import train
from dosvotos.training.reward import phase_weights
from dosvotos.training.threads import use_one_thread

N_ENVS, EPISODE_BARS, N_FEATURES = 64, 300, 15
SB3_DEFAULTS = {"batch_size": 64, "n_epochs": 10}
RECOMMENDED = {"n_steps": 128, "batch_size": 256, "n_epochs": 4}


def anytrading_env(data: TrainingArrays) -> gym.Env:
    """gym-anytrading on the same closes and features."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    from gym_anytrading.envs import ForexEnv

    class FeatureEnv(ForexEnv):
        def _process_data(self) -> tuple[np.ndarray, np.ndarray]:
            padding = np.zeros((len(data.close), N_FEATURES - data.observations.shape[1]), np.float32)
            return data.close, np.hstack([data.observations, padding])

    return FeatureEnv(df=pd.DataFrame({"Close": data.close}), window_size=1, frame_bound=(1, len(data.close)))


class ZeroCostVecEnv(VecEnv):
    """Hands out the same arrays at every step."""

    render_mode = None

    def __init__(self) -> None:
        limit = np.full(N_FEATURES, 5.0, np.float32)
        super().__init__(N_ENVS, gym.spaces.Box(-limit, limit), gym.spaces.Discrete(3))
        random = np.random.default_rng(0)
        self._observations = random.normal(size=(N_ENVS, N_FEATURES)).astype(np.float32).clip(-5, 5)
        self._rewards = random.normal(size=N_ENVS).astype(np.float32)
        self._dones, self._infos = np.zeros(N_ENVS, bool), [{}] * N_ENVS

    def reset(self) -> np.ndarray:
        return self._observations

    def step_async(self, actions: np.ndarray) -> None:
        pass

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        return self._observations, self._rewards, self._dones, self._infos

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * N_ENVS

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * N_ENVS


def market_env(data: TrainingArrays, parameters: Parameters) -> MarketVecEnv:
    """The project's own environment under the last phase's reward."""
    weights = phase_weights(parameters.curriculum.phases[-1], parameters.reward)
    return MarketVecEnv(data, N_ENVS, EPISODE_BARS, parameters.trading.costs.per_side, weights, seed=0)


def model(engine: type[PPO], env: Any, **settings: Any) -> PPO:
    made = engine("MlpPolicy", env, seed=0, device="cpu", policy_kwargs={"net_arch": [64, 64]}, **settings)
    made.set_logger(configure(None, []))
    return made


def cpu_seconds_a_step(model: PPO, n_steps: int) -> float:
    """CPU seconds a step of training, whole rollouts and updates."""
    before, started = model.num_timesteps, time.process_time()
    model.learn(n_steps, reset_num_timesteps=False, log_interval=None)
    return (time.process_time() - started) / (model.num_timesteps - before)


def max_weight_difference(data: TrainingArrays, parameters: Parameters) -> float:
    """After 320 minibatches of both engines' own ``train`` from the same weights, rollout and order."""
    env, schedule = market_env(data, parameters), {"n_steps": 32, **SB3_DEFAULTS}
    fast, stock = model(FastPPO, env, **schedule), model(PPO, env, **schedule)
    stock.set_parameters(copy.deepcopy(fast.get_parameters()))
    draws, drawn = np.random.default_rng(), np.random.permutation  # SB3 draws from the latter

    def train_both() -> None:
        nonlocal draws
        draws.bit_generator.state = fast.generator.bit_generator.state
        stock.rollout_buffer = copy.deepcopy(fast.rollout_buffer)
        FastPPO.train(fast)
        np.random.permutation = draws.permutation
        stock.train()
        np.random.permutation = drawn

    fast.train = train_both
    fast.learn(2048, log_interval=None)
    pairs = zip(fast.policy.parameters(), stock.policy.parameters(), strict=True)
    return max(float((one - other).abs().max()) for one, other in pairs)


def seconds_of_a_training(parameters: Parameters, rows: dict[str, pd.DataFrame]) -> tuple[float, float]:
    """One whole ``train`` with its validations, by the clock and of this process's CPU time."""
    started, cpu_started = time.perf_counter(), time.process_time()
    train(parameters, 0, rows["train"], rows["val"], fit_norm_stats(rows["train"]))
    return time.perf_counter() - started, time.process_time() - cpu_started


def one_rollout() -> None:
    """All that is compiled, in one rollout; prints the CPU seconds the first takes beyond the second."""
    parameters, rows = parameters_for(EASY, 0), planted_rows(EASY, 0, 20)[0]
    data = training_arrays(rows, fit_norm_stats(rows), EPISODE_BARS)
    model(PPO, ZeroCostVecEnv(), **RECOMMENDED)
    seconds = []
    for _ in range(2):
        started = time.process_time()
        model(FastPPO, market_env(data, parameters), **RECOMMENDED).learn(N_ENVS * 128, log_interval=None)
        seconds.append(time.process_time() - started)
    print(seconds[0] - seconds[1])


def seconds_to_compile() -> dict[str, float]:
    """One rollout in a process of its own, with an empty cache of compiled code and with a full one."""
    once = [sys.executable, "-W", "ignore", "-c", "import training; training.one_rollout()"]
    with tempfile.TemporaryDirectory() as cache:
        settings = {**os.environ, "NUMBA_CACHE_DIR": cache}
        runs = [
            subprocess.run(
                once, cwd=Path(__file__).parent, env=settings, capture_output=True, text=True, check=True
            )
            for _ in range(2)
        ]
    cold, cached = (float(run.stdout.split()[-1]) for run in runs)
    return {"compile_seconds_cold": cold, "compile_seconds_cached": cached}


def main() -> None:
    """Measure, print tables, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter rollouts, no compile times")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore", category=UserWarning)
    rows = {"train": planted_rows(EASY, 1, 490)[0], "val": planted_rows(EASY, 2, 120)[0]}
    parameters = parameters_for(EASY, seed=0)
    data = training_arrays(rows["train"], fit_norm_stats(rows["train"]), EPISODE_BARS)
    rollout, rounds = (1024, 5) if quick else (2048, 9)
    batched = {"n_steps": rollout // N_ENVS, **SB3_DEFAULTS}
    engines: dict[str, tuple[PPO, int]] = {
        "gym-anytrading": (model(PPO, anytrading_env(data), n_steps=rollout, **SB3_DEFAULTS), rollout),
        "zero cost": (model(PPO, ZeroCostVecEnv(), **batched), rollout),
        "identical": (model(FastPPO, market_env(data, parameters), **batched), 8 * rollout),
        "recommended": (model(FastPPO, market_env(data, parameters), **RECOMMENDED), 4 * 8192),
    }
    threads = use_one_thread()
    for trained, _ in engines.values():
        trained.learn(trained.n_steps * trained.n_envs, log_interval=None)
    measured = pd.DataFrame(
        [{name: cpu_seconds_a_step(*engine) for name, engine in engines.items()} for _ in range(rounds)]
    )

    def ratio(slow: str, fast: str) -> float:
        return float((measured[slow] / measured[fast]).median())

    trainings = [seconds_of_a_training(parameters, rows) for _ in range(1 if quick else 3)]
    figures = {
        "speedup_identical_work": round(ratio("gym-anytrading", "identical"), 1),
        "speedup_recommended": round(ratio("gym-anytrading", "recommended"), 1),
        "vs_zero_cost_limit": round(ratio("zero cost", "identical"), 1),
        "seconds_400k": round(float(np.median([wall for wall, _ in trainings])), 2),
        "cpu_seconds_400k": round(float(np.median([cpu for _, cpu in trainings])), 2),
        "max_weight_difference": max_weight_difference(data, parameters),
    }
    if not quick:
        figures |= {name: round(seconds, 2) for name, seconds in seconds_to_compile().items()}
    table = Table("engine", "microseconds a step", "lowest", "highest", title=f"{rounds} rounds, {threads}")
    for name, seconds in (1e6 * measured).items():
        table.add_row(name, *(f"{value:.1f}" for value in (seconds.median(), seconds.min(), seconds.max())))
    Console().print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
