"""Training: the curriculum's phases one after the other, validation by net return, the best policy kept."""

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

from dosvotos.backtest.simulate import policy_targets, tape_of
from dosvotos.contracts.parameters import Parameters, TrainingParams
from dosvotos.errors import DataError
from dosvotos.market.accounting import run_account
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import ServedPolicy
from dosvotos.training.checkpoint import Checkpoint, State, restore, state_of
from dosvotos.training.environment import MarketVecEnv
from dosvotos.training.episodes import complete_rows, market_tape
from dosvotos.training.fast_ppo import FastPPO
from dosvotos.training.results import LOSSES, Progress, Standing, TrainingResult, Validation
from dosvotos.training.reward import COMPONENTS, weights_in
from dosvotos.training.threads import pin_threads

ENGINES: dict[str, type[PPO]] = {"fast": FastPPO, "sb3": PPO}
logger = logging.getLogger(__name__)
_FIXED_DATE = (2020, 1, 1, 0, 0, 0)
_READ_BACK = {":type:", ":serialized:"}
_VOLATILE = [
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
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
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
        Told about every rollout.
    checkpoint : Checkpoint, optional
        Written at every validation; what stands there is gone on from.

    Returns
    -------
    TrainingResult
        The kept policy is the best on val within the last phase, where costs are final. The same parameters
        and data give the same policy on one CPU family, interrupted or not.

    Raises
    ------
    DataError
        If train is too short for an episode, val holds no complete row, or the loss or the policy stops being
        finite.
    """
    threads = pin_threads()
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
        seed,
    )
    model = new_model(env, settings, seed)
    keeper = _BestPolicy(parameters, seed, val_rows, norm_stats, progress, checkpoint)
    for place in range(keeper.go_on(model, env), len(phases)):
        env.weights = weights_in(phases[place], parameters.reward)
        keeper.begin(place, model.num_timesteps)
        try:
            model.learn(keeper.steps_left(model.num_timesteps), callback=keeper, reset_num_timesteps=False)
        except FloatingPointError as error:
            raise keeper.divergence() from error
        except (ValueError, RuntimeError):  # torch refuses logits and probabilities that are not finite
            keeper.refuse_divergence(served_policy(model, norm_stats))
            raise
    model.policy.load_state_dict(keeper.kept)
    return TrainingResult(
        seed=seed,
        policy=served_policy(model, norm_stats),
        sb3_zip=_sb3_zip(model),
        curve=keeper.curve,
        best_val_return=keeper.best_val_return,
        best_episode_reward=keeper.best_episode_reward,
        final_phase=phases[-1].name,
        timesteps=int(model.num_timesteps),
        torch_threads=threads.torch,
        blas_threads=threads.blas,
        duration_seconds=keeper.seconds,
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


class _BestPolicy(BaseCallback):
    """Validates every few rollouts, keeps the last phase's best policy and stops when patience is out."""

    def __init__(
        self,
        parameters: Parameters,
        seed: int,
        val_rows: pd.DataFrame,
        norm_stats: NormStats,
        progress: Progress | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        super().__init__()
        if complete_rows(val_rows, "val").empty:
            raise DataError(f"val: no row of {len(val_rows)} has all features, so no policy can be judged")
        self._parameters, self._seed = parameters, seed
        self._rows, self._tape, self._norm_stats = val_rows, tape_of(val_rows), norm_stats
        self._progress, self._checkpoint = progress, checkpoint
        self._phases = parameters.curriculum.phases
        self._total = sum(phase.timesteps for phase in self._phases)
        self._started, self._seconds_before = time.perf_counter(), 0.0
        self._losses: list[dict[str, float]] = []
        # the rest is the callback's part of a checkpoint
        self._place, self._phase_end = -1, 0
        self._rollouts, self._without_better = 0, 0
        self.curve: list[Validation] = []
        self.best_val_return = -np.inf
        self.best_episode_reward: float | None = None
        self.kept: dict[str, torch.Tensor] = {}

    @property
    def seconds(self) -> float:
        """Spent on this training, before an interruption and since."""
        return self._seconds_before + time.perf_counter() - self._started

    def begin(self, place: int, timesteps: int) -> None:
        """Begin a phase, unless it is the one gone on with."""
        if place == self._place:
            return
        self._place, self._phase_end = place, timesteps + self._phases[place].timesteps
        self._rollouts, self._without_better, self.best_episode_reward = 0, 0, None

    def steps_left(self, timesteps: int) -> int:
        """Of the present phase."""
        return self._phase_end - timesteps

    def _on_step(self) -> bool:
        return self._without_better < self._parameters.training.patience

    def _on_rollout_start(self) -> None:
        self._note_losses()
        if self._rollouts and self._rollouts % self._parameters.training.evaluation_rollouts == 0:
            self._validate()
        self._rollouts += 1

    def _on_rollout_end(self) -> None:
        if (reward := self._mean_reward()) is not None:
            best = self.best_episode_reward
            self.best_episode_reward = reward if best is None else max(best, reward)
        self._tell()

    def _on_training_end(self) -> None:
        self._note_losses()
        if self._on_step():
            self._validate()

    def _note_losses(self) -> None:
        found = self.logger.name_to_value
        losses = {name: float(found[f"train/{name}"]) for name in LOSSES if f"train/{name}" in found}
        self._losses += [losses] if losses else []

    def _validate(self) -> None:
        if self.curve and self.curve[-1].timesteps == self.model.num_timesteps:
            return  # gone on with where it had just been validated
        trading, policy = self._parameters.trading, served_policy(self.model, self._norm_stats)
        self.refuse_divergence(policy)
        targets = policy_targets(policy, self._rows)
        financed = trading.financing == "policy_rates"
        account = run_account(self._tape, targets, trading.costs.per_side, trading.initial_capital, financed)
        val_return = float(account.equity[-1] / account.equity[0] - 1)
        self.curve.append(
            Validation(
                phase=self._phases[self._place].name,
                timesteps=int(self.model.num_timesteps),
                val_return=val_return,
                val_exposure=float((account.position != 0).mean()),
                val_trades=len(account.trades),
                episode_reward=self._mean_reward(),
                reward_components=self._mean_components(),
                losses={name: _mean(name, self._losses) or 0.0 for name in LOSSES} if self._losses else {},
            )
        )
        self._losses = []
        if self._place == len(self._phases) - 1:
            self._keep_if_better(val_return)
        if self._checkpoint is not None:
            self._checkpoint.save(self._state())
        self._tell()

    def refuse_divergence(self, policy: ServedPolicy) -> None:
        if not all(np.isfinite(tensor).all() for tensor in policy.tensors.values()):
            raise self.divergence()

    def divergence(self) -> DataError:
        rate = self._parameters.training.hyperparameters.learning_rate
        return DataError(
            f"training diverged in {self._phases[self._place].name} with seed {self._seed}: the loss or the "
            f"policy is no longer finite; lower training.hyperparameters.learning_rate, now {rate}"
        )

    def _keep_if_better(self, val_return: float) -> None:
        self._without_better += 1
        if val_return > self.best_val_return:
            self.kept = {name: tensor.clone() for name, tensor in self.model.policy.state_dict().items()}
            self.best_val_return, self._without_better = val_return, 0

    def _tell(self) -> None:
        if self._progress is not None:
            phase, latest = self._phases[self._place].name, self.curve[-1].val_return if self.curve else None
            done = int(self.model.num_timesteps)
            self._progress(Standing(self._seed, phase, done, self._total, self._mean_reward(), latest))

    def _mean_reward(self) -> float | None:
        return _mean("r", self.model.ep_info_buffer or ())

    def _mean_components(self) -> dict[str, float] | None:
        episodes = self.model.ep_info_buffer or ()
        means = {name: _mean(f"reward/{name}", episodes) for name in COMPONENTS}
        return {name: mean for name, mean in means.items() if mean is not None} or None

    # ---- interrupted and gone on with

    def go_on(self, model: PPO, env: MarketVecEnv) -> int:
        """Take up the checkpoint, if there is one; the place of the phase to go on with."""
        state = self._checkpoint.load() if self._checkpoint is not None else None
        if state is None:
            return 0
        restore(model, env, state)
        course = state.rest["course"]
        self._place, self._phase_end = course["place"], course["phase_end"]
        self._rollouts, self._without_better = course["rollouts"], course["without_better"]
        self.curve = [Validation(**validation) for validation in course["curve"]]
        self.best_episode_reward = course["best_episode_reward"]
        if self._kept_names(state):
            self.best_val_return = course["best_val_return"]
            self.kept = {n: torch.from_numpy(state.tensors[f"kept.{n}"]) for n in self._kept_names(state)}
        self._seconds_before = course["seconds"]
        logger.info("L3 seed %s goes on from step %s", self._seed, f"{model.num_timesteps:,}")
        return self._place

    def _state(self) -> State:
        tensors, rest = state_of(self.model, self.model.get_env())
        course = {
            "place": self._place,
            "phase_end": self._phase_end,
            "rollouts": self._rollouts,
            "without_better": self._without_better,
            "curve": [validation._asdict() for validation in self.curve],
            "best_episode_reward": self.best_episode_reward,
            "best_val_return": self.best_val_return if self.kept else None,
            "seconds": self.seconds,
        }
        kept = {f"kept.{name}": tensor.numpy() for name, tensor in self.kept.items()}
        return State({**tensors, **kept}, {**rest, "course": course})

    @staticmethod
    def _kept_names(state: State) -> list[str]:
        return [name.removeprefix("kept.") for name in state.tensors if name.startswith("kept.")]


def _mean(key: str, episodes: Iterable[dict[str, float]]) -> float | None:
    figures = [episode[key] for episode in episodes]
    return float(np.mean(figures)) if figures else None


def new_model(env: MarketVecEnv, settings: TrainingParams, seed: int) -> PPO:
    """An untrained model of the chosen engine."""
    chosen = settings.hyperparameters.model_dump()
    hidden = list(chosen.pop("hidden_sizes"))
    del chosen["n_envs"]
    return ENGINES[settings.engine](
        "MlpPolicy",
        env,
        **chosen,
        policy_kwargs={"net_arch": hidden},
        seed=seed,
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
