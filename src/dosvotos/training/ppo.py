"""Training: the curriculum's phases one after the other, validation by net return, the best policy kept."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from dosvotos.backtest.simulate import policy_targets, tape_of
from dosvotos.contracts.parameters import Parameters, TrainingParams
from dosvotos.errors import DataError
from dosvotos.market.accounting import run_account
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import ServedPolicy
from dosvotos.training.environment import MarketVecEnv
from dosvotos.training.episodes import complete_rows, market_tape
from dosvotos.training.fast_ppo import FastPPO
from dosvotos.training.reward import COMPONENTS, weights_in
from dosvotos.training.threads import pin_threads

ENGINES: dict[str, type[PPO]] = {"fast": FastPPO, "sb3": PPO}
_FIXED_DATE = (2020, 1, 1, 0, 0, 0)
_READ_BACK = {":type:", ":serialized:"}
_VOLATILE = [
    "_last_obs",
    "_last_episode_starts",
    "_random_state",
    "ep_info_buffer",
    "ep_success_buffer",
    "start_time",
]


class Validation(NamedTuple):
    """One look at val."""

    phase: str
    timesteps: int
    val_return: float
    """Net return on val under the final costs and financing, the same measure in every phase."""
    episode_reward: float | None
    """Mean reward of the latest training episodes."""
    reward_components: dict[str, float] | None
    """What each component added to it."""


Progress = Callable[[str, int, int, float | None], None]
"""Told phase, steps done, steps in all and the latest val return."""


@dataclass
class TrainingResult:
    """What a training leaves behind."""

    policy: ServedPolicy
    sb3_zip: bytes
    """SB3's own file of the kept policy."""
    curve: list[Validation]
    best_val_return: float
    best_episode_reward: float | None
    """Best mean reward of recent episodes in the last phase; None when none ended."""
    final_phase: str
    timesteps: int
    torch_threads: int
    blas_threads: int | None
    """None where the process's BLAS does not tell."""
    duration_seconds: float


def train(
    parameters: Parameters,
    train_rows: pd.DataFrame,
    val_rows: pd.DataFrame,
    norm_stats: NormStats,
    progress: Progress,
) -> TrainingResult:
    """Train one seed of an experiment.

    Parameters
    ----------
    parameters : Parameters
    train_rows, val_rows : DataFrame
        Splits of L2: index bar open (UTC), raw MARKET_FEATURES, time_normalized, close.
    norm_stats : NormStats
    progress : callable
        Told about every rollout.

    Returns
    -------
    TrainingResult
        The kept policy is the best on val within the last phase, where costs are final. The same parameters
        and data give the same policy on one CPU family.

    Raises
    ------
    DataError
        If train is too short for an episode, val holds no complete row, or the loss or the policy stops being
        finite.
    """
    threads = pin_threads()
    started = time.perf_counter()
    settings = parameters.training
    financed = parameters.trading.financing == "policy_rates"
    tape = market_tape(train_rows, norm_stats, settings.episode_bars, financed)
    phases = parameters.curriculum.phases
    env = MarketVecEnv(
        tape,
        settings.hyperparameters.n_envs,
        settings.episode_bars,
        parameters.trading.costs.per_side,
        weights_in(phases[0], parameters.reward),
        settings.seed,
    )
    model = new_model(env, settings)
    keeper = _BestPolicy(parameters, val_rows, norm_stats, progress)
    for phase in phases:
        env.weights = weights_in(phase, parameters.reward)
        keeper.begin(phase.name, is_last=phase is phases[-1])
        try:
            model.learn(phase.timesteps, callback=keeper, reset_num_timesteps=False)
        except FloatingPointError as error:
            raise keeper.divergence() from error
        except (ValueError, RuntimeError):  # torch refuses logits and probabilities that are not finite
            keeper.refuse_divergence(served_policy(model, norm_stats))
            raise
    model.policy.load_state_dict(keeper.kept.state)
    return TrainingResult(
        policy=served_policy(model, norm_stats),
        sb3_zip=_sb3_zip(model),
        curve=keeper.curve,
        best_val_return=keeper.kept.val_return,
        best_episode_reward=keeper.best_episode_reward,
        final_phase=phases[-1].name,
        timesteps=int(model.num_timesteps),
        torch_threads=threads.torch,
        blas_threads=threads.blas,
        duration_seconds=time.perf_counter() - started,
    )


def served_policy(model: PPO, norm_stats: NormStats) -> ServedPolicy:
    """Take the policy network out of SB3: float32 tensors under the served policy's names."""
    state = {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.policy.state_dict().items()}
    tensors = {
        "action.weight": state["action_net.weight"],
        "action.bias": state["action_net.bias"],
    }
    layers = sorted(
        int(name.split(".")[2])
        for name in state
        if name.startswith("mlp_extractor.policy_net.") and name.endswith(".weight")
    )
    for place, layer in enumerate(layers):
        for part in ("weight", "bias"):
            tensors[f"hidden.{place}.{part}"] = state[f"mlp_extractor.policy_net.{layer}.{part}"]
    return ServedPolicy(tensors, norm_stats)


class _Kept(NamedTuple):
    val_return: float
    state: dict[str, torch.Tensor]


class _BestPolicy(BaseCallback):
    """Validates every few rollouts, keeps the last phase's best policy and stops when patience is out."""

    def __init__(
        self, parameters: Parameters, val_rows: pd.DataFrame, norm_stats: NormStats, progress: Progress
    ) -> None:
        super().__init__()
        self.curve: list[Validation] = []
        self.kept = _Kept(-np.inf, {})
        self.best_episode_reward: float | None = None
        if complete_rows(val_rows, "val").empty:
            raise DataError(f"val: no row of {len(val_rows)} has all features, so no policy can be judged")
        self._parameters, self._rows, self._norm_stats = parameters, val_rows, norm_stats
        self._tape, self._progress = tape_of(val_rows), progress
        self._total = sum(phase.timesteps for phase in parameters.curriculum.phases)
        self._phase, self._is_last, self._rollouts, self._without_better = "", False, 0, 0

    def begin(self, phase: str, is_last: bool) -> None:
        self._phase, self._is_last, self._rollouts, self._without_better = phase, is_last, 0, 0
        self.best_episode_reward = None

    def _on_step(self) -> bool:
        return self._without_better < self._parameters.training.patience

    def _on_rollout_start(self) -> None:
        if self._rollouts and self._rollouts % self._parameters.training.evaluation_rollouts == 0:
            self._validate()
        self._rollouts += 1

    def _on_rollout_end(self) -> None:
        latest = self.curve[-1].val_return if self.curve else None
        self._progress(self._phase, self.model.num_timesteps, self._total, latest)
        if (reward := self._mean_reward()) is not None:
            best = self.best_episode_reward
            self.best_episode_reward = reward if best is None else max(best, reward)

    def _on_training_end(self) -> None:
        if self._on_step():
            self._validate()

    def _validate(self) -> None:
        trading, policy = self._parameters.trading, served_policy(self.model, self._norm_stats)
        self.refuse_divergence(policy)
        targets = policy_targets(policy, self._rows)
        financed = trading.financing == "policy_rates"
        cost, capital = trading.costs.per_side, trading.initial_capital
        equity = run_account(self._tape, targets, cost, capital, financed).equity
        val_return = float(equity[-1] / equity[0] - 1)
        self.curve.append(
            Validation(
                self._phase,
                self.model.num_timesteps,
                val_return,
                self._mean_reward(),
                self._mean_components(),
            )
        )
        if self._is_last:
            self._keep_if_better(val_return)

    def refuse_divergence(self, policy: ServedPolicy) -> None:
        if not all(np.isfinite(tensor).all() for tensor in policy.tensors.values()):
            raise self.divergence()

    def divergence(self) -> DataError:
        rate = self._parameters.training.hyperparameters.learning_rate
        return DataError(
            f"training diverged in {self._phase}: the loss or the policy is no longer finite; lower "
            f"training.hyperparameters.learning_rate, now {rate}"
        )

    def _keep_if_better(self, val_return: float) -> None:
        self._without_better += 1
        if val_return > self.kept.val_return:
            state = {name: tensor.clone() for name, tensor in self.model.policy.state_dict().items()}
            self.kept = _Kept(val_return, state)
            self._without_better = 0

    def _mean_reward(self) -> float | None:
        return _mean("r", self.model.ep_info_buffer or ())

    def _mean_components(self) -> dict[str, float] | None:
        episodes = self.model.ep_info_buffer or ()
        means = {name: _mean(f"reward/{name}", episodes) for name in COMPONENTS}
        return {name: mean for name, mean in means.items() if mean is not None} or None


def _mean(key: str, episodes: Iterable[dict[str, float]]) -> float | None:
    figures = [episode[key] for episode in episodes]
    return float(np.mean(figures)) if figures else None


def new_model(env: VecEnv, settings: TrainingParams) -> PPO:
    """An untrained model of the chosen engine."""
    chosen = settings.hyperparameters.model_dump()
    hidden = list(chosen.pop("hidden_sizes"))
    del chosen["n_envs"]
    return ENGINES[settings.engine](
        "MlpPolicy",
        env,
        **chosen,
        policy_kwargs={"net_arch": hidden},
        seed=settings.seed,
        device="cpu",
        verbose=0,
    )


def _sb3_zip(model: PPO) -> bytes:
    """SB3's file, the same bytes for the same policy: without times, and without what describes each pickle.

    SB3 reads the pickles alone; the descriptions beside them show memory addresses and what else the process
    has done with a class.
    """
    written = io.BytesIO()
    model.save(written, exclude=_VOLATILE)
    repacked = io.BytesIO()
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(repacked, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            content = _without_descriptions(source.read(name)) if name == "data" else source.read(name)
            target.writestr(zipfile.ZipInfo(name, _FIXED_DATE), content)
    return repacked.getvalue()


def _without_descriptions(data: bytes) -> bytes:
    fields = json.loads(data)
    for name, field in fields.items():
        if isinstance(field, dict) and ":serialized:" in field:
            fields[name] = {key: field[key] for key in _READ_BACK & field.keys()}
    return json.dumps(fields, sort_keys=True).encode()
