"""Training of one seed: the curriculum's phases in order, validation on val, the best policy kept."""

import io
import json
import logging
import time
import zipfile
from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from dosvotos.backtest.metrics import daily_returns, sharpe_ratio
from dosvotos.backtest.run import trade
from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.parameters import CurriculumPhase, Parameters, TrainingParams
from dosvotos.errors import DataError
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import ServedPolicy
from dosvotos.training.checkpoint import CheckpointFile, TrainingState, capture_state, restore_state
from dosvotos.training.environment import MarketVecEnv
from dosvotos.training.episodes import training_arrays, validation_window
from dosvotos.training.fast_ppo import FastPPO
from dosvotos.training.results import (
    LOSSES,
    ProgressCallback,
    TrainingProgress,
    TrainingResult,
    Validation,
    validation_score,
)
from dosvotos.training.reward import COMPONENTS, phase_weights
from dosvotos.training.start import served_policy, set_start
from dosvotos.training.threads import keep_compiler_out, use_one_thread

ENGINES: dict[str, type[PPO]] = {"fast": FastPPO, "sb3": PPO}
logger = logging.getLogger(__name__)
_FIXED_DATE = (2020, 1, 1, 0, 0, 0)
_PICKLE_KEYS = {":type:", ":serialized:"}
_OF_THE_MACHINE = "system_info.txt"
_EXCLUDED_FROM_ZIP = [
    "_last_obs",
    "_last_episode_starts",
    "_current_progress_remaining",
    "_num_timesteps_at_start",
    "_random_state",
    "ep_info_buffer",
    "ep_success_buffer",
    "start_time",
]


def train(
    parameters: Parameters,
    seed: int,
    train_rows: pd.DataFrame,
    val_rows: pd.DataFrame,
    norm_stats: NormStats,
    progress: ProgressCallback | None = None,
    checkpoint: CheckpointFile | None = None,
) -> TrainingResult:
    """Train one seed of an experiment.

    Parameters
    ----------
    parameters : Parameters
    seed : int
    train_rows, val_rows : DataFrame
        Splits of L2: index bar open (UTC), raw MARKET_FEATURES, time_normalized, close.
    norm_stats : NormStats
    progress : callable, optional
        Called after every rollout and validation.
    checkpoint : CheckpointFile, optional
        Training resumes from it if it exists, and writes it at every validation.

    Returns
    -------
    TrainingResult
        Its policy is the best on val by ``training.selection`` within the last phase, where costs are final.
        The same parameters and data give the same policy on one CPU family, interrupted or not.

    Raises
    ------
    DataError
        If train is too short for an episode, val holds no complete row, or the loss or the policy stops being
        finite.
    """
    keep_compiler_out()
    threads = use_one_thread()
    phases = parameters.curriculum.phases
    env = _new_env(parameters, seed, train_rows, norm_stats)
    model = new_model(env, parameters.training, seed)
    set_start(model, parameters, train_rows, val_rows, norm_stats)
    callback = _ValidationCallback(parameters, seed, val_rows, norm_stats, progress, checkpoint)
    for index in range(callback.resume(model, env), len(phases)):
        env.episodes.weights = phase_weights(phases[index], parameters.reward)
        _learn(model, callback.start_phase(index, model.num_timesteps), callback)
    model.policy.load_state_dict(callback.best_weights)
    return TrainingResult(
        seed=seed,
        policy=served_policy(model, norm_stats),
        sb3_zip=_sb3_zip(model),
        curve=callback.curve,
        best_val_return=callback.best_val_return,
        best_val_score=callback.best_val_score,
        best_episode_reward=callback.best_episode_reward,
        final_phase=phases[-1].name,
        timesteps=int(model.num_timesteps),
        torch_threads=threads.torch,
        blas_threads=threads.blas,
        duration_seconds=callback.seconds,
    )


def _learn(model: PPO, timesteps: int, callback: "_ValidationCallback") -> None:
    try:
        model.learn(timesteps, callback=callback, reset_num_timesteps=False)
    except FloatingPointError as error:
        raise callback.divergence_error() from error
    except (ValueError, RuntimeError):  # torch raises on logits and probabilities that are not finite
        callback.check_finite(model)
        raise


def _new_env(
    parameters: Parameters, seed: int, train_rows: pd.DataFrame, norm_stats: NormStats
) -> MarketVecEnv:
    settings, trading = parameters.training, parameters.trading
    financed = trading.financing == "policy_rates"
    bars, credit_bars = settings.episode_bars, parameters.reward.credit_bars
    data = training_arrays(train_rows, norm_stats, bars, financed, credit_bars)
    n_envs, cost = settings.hyperparameters.n_envs, trading.costs.per_side
    weights = phase_weights(parameters.curriculum.phases[0], parameters.reward)
    return MarketVecEnv(data, n_envs, settings.episode_bars, cost, weights, seed)


Weights = dict[str, torch.Tensor]


class _WeightAverage:
    """The mean of a policy's weights over updates.

    Notes
    -----
    Adam's steps do not shrink, so the weights keep straying about a point, and their mean lies nearer to it.

    References
    ----------
    Polyak and Juditsky (1992), Acceleration of stochastic approximation by averaging. Izmailov et al. (2018),
    Averaging weights leads to wider optima and better generalization.
    """

    def __init__(self) -> None:
        self.weights: Weights = {}
        self.size, self.latest_update = 0, -1

    def add(self, weights: Weights, update: int) -> None:
        """Add the weights after an update, unless it is the one added last."""
        if update == self.latest_update:
            return
        self.size, self.latest_update = self.size + 1, update
        if not self.weights:
            self.weights = _copy(weights)
        for name, mean in self.weights.items():
            mean.add_((weights[name] - mean) / self.size)


class _ValidationCallback(BaseCallback):
    """Validates every few rollouts, keeps the last phase's best weights and stops when patience is out.

    With ``training.average_weights`` it is the last phase's mean weights that are validated and kept.
    """

    def __init__(
        self,
        parameters: Parameters,
        seed: int,
        val_rows: pd.DataFrame,
        norm_stats: NormStats,
        progress: ProgressCallback | None,
        checkpoint: CheckpointFile | None,
    ) -> None:
        super().__init__()
        self._parameters, self._seed = parameters, seed
        self._val_tape, self._val_sessions = validation_window(val_rows, parameters.calendar)
        self._val_rows, self._norm_stats = val_rows, norm_stats
        self._progress, self._checkpoint = progress, checkpoint
        self._phases = parameters.curriculum.phases
        self._total_timesteps = sum(phase.timesteps for phase in self._phases)
        self._started, self._seconds_before = time.perf_counter(), 0.0
        self._losses: list[dict[str, float]] = []
        # what follows is saved in checkpoints
        self._phase_index, self._phase_end = -1, 0
        self._rollouts, self._no_improvement = 0, 0
        self.curve: list[Validation] = []
        self.best_val_return = self.best_val_score = -np.inf
        self.best_episode_reward: float | None = None
        self.best_weights: Weights = {}
        self._average = _WeightAverage()

    @property
    def seconds(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self._seconds_before + time.perf_counter() - self._started

    @property
    def _phase(self) -> CurriculumPhase:
        return self._phases[self._phase_index]

    def start_phase(self, index: int, timesteps: int) -> int:
        """Start a phase, unless training resumed within it; return the timesteps left in it."""
        if index != self._phase_index:
            self._phase_index, self._phase_end = index, timesteps + self._phases[index].timesteps
            self._rollouts, self._no_improvement, self.best_episode_reward = 0, 0, None
        return self._phase_end - timesteps

    def _on_step(self) -> bool:
        return self._no_improvement < self._parameters.training.patience

    def _on_rollout_start(self) -> None:
        self._record_losses()
        if self._rollouts:
            self._add_to_average()
        if self._rollouts and self._rollouts % self._parameters.training.evaluation_rollouts == 0:
            self._validate()
        self._rollouts += 1

    def _on_rollout_end(self) -> None:
        if (reward := self._mean_reward()) is not None:
            best = self.best_episode_reward
            self.best_episode_reward = reward if best is None else max(best, reward)
        self._report_progress()

    def _on_training_end(self) -> None:
        self._record_losses()
        self._add_to_average()
        if self._on_step():
            self._validate()

    def _record_losses(self) -> None:
        logged = self.logger.name_to_value
        losses = {name: float(logged[f"train/{name}"]) for name in LOSSES if f"train/{name}" in logged}
        self._losses += [losses] if losses else []

    @property
    def _in_last_phase(self) -> bool:
        return self._phase_index == len(self._phases) - 1

    @property
    def _averages(self) -> bool:
        return self._in_last_phase and self._parameters.training.average_weights

    def _add_to_average(self) -> None:
        if self._averages:
            self._average.add(self.model.policy.state_dict(), self.model._n_updates)

    def _validate(self) -> None:
        if self.curve and self.curve[-1].timesteps == self.model.num_timesteps:
            return  # resumed from the checkpoint of this validation
        self.check_finite(self.model)
        weights = self._average.weights if self._averages else self.model.policy.state_dict()
        validation = self._backtest_on_val(self._policy_with(weights))
        self.curve.append(validation)
        self._losses = []
        if self._in_last_phase:
            self._update_best(validation, weights)
        if self._checkpoint is not None:
            self._checkpoint.save(self._checkpoint_state())
        self._report_progress()

    def _policy_with(self, weights: Weights) -> ServedPolicy:
        policy = self.model.policy
        present = _copy(policy.state_dict())
        policy.load_state_dict(weights)
        served = served_policy(self.model, self._norm_stats)
        policy.load_state_dict(present)
        return served

    def _backtest_on_val(self, policy: ServedPolicy) -> Validation:
        account = trade(self._val_tape, policy_targets(policy, self._val_rows), self._parameters)
        return Validation(
            phase=self._phase.name,
            timesteps=int(self.model.num_timesteps),
            val_return=float(account.equity[-1] / account.equity[0] - 1),
            val_sharpe=self._val_sharpe(account.equity),
            val_exposure=float((account.position != 0).mean()),
            val_trades=len(account.trades),
            episode_reward=self._mean_reward(),
            reward_components=self._mean_components(),
            losses={name: _mean(name, self._losses) or 0.0 for name in LOSSES} if self._losses else {},
        )

    def _val_sharpe(self, equity: np.ndarray) -> float | None:
        if self._parameters.training.selection == "return":
            return None
        return sharpe_ratio(daily_returns(equity, self._val_tape.times, self._val_sessions))

    def check_finite(self, model: PPO) -> None:
        """Raise DataError if the policy network holds NaN or infinity."""
        policy = served_policy(model, self._norm_stats)
        if not all(np.isfinite(tensor).all() for tensor in policy.tensors.values()):
            raise self.divergence_error()

    def divergence_error(self) -> DataError:
        """Return the error that names phase, seed and learning rate."""
        phase, rate = self._phase.name, self._parameters.training.hyperparameters.learning_rate
        return DataError(
            f"training diverged in {phase} with seed {self._seed}: the loss or the "
            f"policy is no longer finite; lower training.hyperparameters.learning_rate, now {rate}"
        )

    def _update_best(self, validation: Validation, weights: Weights) -> None:
        self._no_improvement += 1
        score = validation_score(validation, self._parameters.training.selection)
        if score > self.best_val_score:
            self.best_weights, self._no_improvement = _copy(weights), 0
            self.best_val_return, self.best_val_score = validation.val_return, score

    def _report_progress(self) -> None:
        if self._progress is not None:
            done, total = int(self.model.num_timesteps), self._total_timesteps
            val_return = self.curve[-1].val_return if self.curve else None
            reward = self._mean_reward()
            self._progress(TrainingProgress(self._seed, self._phase.name, done, total, reward, val_return))

    def _mean_reward(self) -> float | None:
        return _mean("r", self.model.ep_info_buffer or ())

    def _mean_components(self) -> dict[str, float] | None:
        episodes = self.model.ep_info_buffer or ()
        means = {name: _mean(f"reward/{name}", episodes) for name in COMPONENTS}
        return {name: mean for name, mean in means.items() if mean is not None} or None

    # ---- checkpoints

    def resume(self, model: PPO, env: MarketVecEnv) -> int:
        """Restore the checkpoint, if there is one; return the index of the phase to continue with."""
        state = self._checkpoint.load() if self._checkpoint is not None else None
        if state is None:
            return 0
        restore_state(model, env, state)
        progress = state.values["course"]
        self._phase_index, self._phase_end = progress["place"], progress["phase_end"]
        self._rollouts, self._no_improvement = progress["rollouts"], progress["without_better"]
        self.curve = [Validation(**validation) for validation in progress["curve"]]
        self.best_episode_reward = progress["best_episode_reward"]
        self.best_weights = _with_prefix("kept.", state.tensors)
        if self.best_weights:
            self.best_val_return = progress["best_val_return"]
            self.best_val_score = progress["best_val_score"]
        self._average.weights = _with_prefix("average.", state.tensors)
        self._average.size, self._average.latest_update = progress["average"]
        self._seconds_before = progress["seconds"]
        logger.info("L3 seed %s goes on from step %s", self._seed, f"{model.num_timesteps:,}")
        return self._phase_index

    def _checkpoint_state(self) -> TrainingState:
        tensors, values = capture_state(self.model, self.model.get_env())
        progress = {
            "place": self._phase_index,
            "phase_end": self._phase_end,
            "rollouts": self._rollouts,
            "without_better": self._no_improvement,
            "curve": [validation.model_dump() for validation in self.curve],
            "best_episode_reward": self.best_episode_reward,
            "best_val_return": self.best_val_return if self.best_weights else None,
            "best_val_score": self.best_val_score if self.best_weights else None,
            "average": [self._average.size, self._average.latest_update],
            "seconds": self.seconds,
        }
        kept = {f"kept.{name}": tensor.numpy() for name, tensor in self.best_weights.items()}
        average = {f"average.{name}": tensor.numpy() for name, tensor in self._average.weights.items()}
        return TrainingState({**tensors, **kept, **average}, {**values, "course": progress})


def _copy(weights: Weights) -> Weights:
    return {name: tensor.clone() for name, tensor in weights.items()}


def _with_prefix(prefix: str, tensors: dict[str, np.ndarray]) -> Weights:
    named = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): torch.from_numpy(tensor.copy()) for name, tensor in named.items()}


def _mean(key: str, episodes: Iterable[dict[str, float]]) -> float | None:
    figures = [episode[key] for episode in episodes]
    return float(np.mean(figures)) if figures else None


def new_model(env: MarketVecEnv, settings: TrainingParams, seed: int) -> PPO:
    """Build an untrained model of the engine that the parameters choose."""
    hyperparameters = settings.hyperparameters.model_dump(exclude={"hidden_sizes", "n_envs"})
    policy = {"net_arch": list(settings.hyperparameters.hidden_sizes)}
    engine = ENGINES[settings.engine]
    return engine("MlpPolicy", env, **hyperparameters, policy_kwargs=policy, seed=seed, device="cpu")


def _sb3_zip(model: PPO) -> bytes:
    """Save in SB3's file format, with the same bytes for the same policy.

    Dates are fixed, nothing is compressed (it would show zlib's version), what SB3 tells of the machine is
    left out, and of each pickled object only the pickle is kept, which is all that SB3 reads: the
    description beside it contains memory addresses and depends on what else the process has done.
    """
    written = io.BytesIO()
    model.save(written, exclude=_EXCLUDED_FROM_ZIP)
    repacked = io.BytesIO()
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(repacked, "w") as target:
        for name in sorted(set(source.namelist()) - {_OF_THE_MACHINE}):
            content = _without_descriptions(source.read(name)) if name == "data" else source.read(name)
            target.writestr(zipfile.ZipInfo(name, _FIXED_DATE), content)
    return repacked.getvalue()


def _without_descriptions(data: bytes) -> bytes:
    fields = json.loads(data)
    for name, field in fields.items():
        if isinstance(field, dict) and ":serialized:" in field:
            fields[name] = {key: field[key] for key in _PICKLE_KEYS & field.keys()}
    return json.dumps(fields, sort_keys=True).encode()
