"""Records of a training's progress, validations and result; nothing here imports torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from dosvotos.contracts.parameters import Selection
from dosvotos.contracts.records import LinearFit, Record, SeedRecord, is_absent
from dosvotos.jsonfile import write_json
from dosvotos.policy.forward import ServedPolicy

LOSSES = (
    "loss",
    "policy_gradient_loss",
    "value_loss",
    "entropy_loss",
    "approx_kl",
    "clip_fraction",
    "explained_variance",
)
"""Figures logged for every update, under stable-baselines3's names."""

MIN_SEEDS = 5
"""With fewer seeds, the share of them with a positive return on val is no evidence."""


class TrainingProgress(NamedTuple):
    """How far the training of one seed is after a rollout."""

    seed: int
    phase: str
    done: int
    """Timesteps so far."""
    total: int
    """Timesteps of all phases; whole rollouts may exceed it, patience may end before it."""
    episode_reward: float | None
    """Mean reward of the latest training episodes."""
    val_return: float | None
    """Of the latest validation."""


ProgressCallback = Callable[[TrainingProgress], None]


class Validation(Record):
    """A validation: the figures of the policy's backtest on val, and of training since the last one."""

    phase: str
    timesteps: int
    val_return: float
    """Net return on val under the final costs and financing, whatever the phase."""
    val_sharpe: float | None = Field(default=None, exclude_if=is_absent)
    """Annual, from daily net returns as L4 measures it; None without variance, or where the return selects:
    the bundle of a contract from before there was a choice keeps its bytes."""
    val_exposure: float
    """Share of val's bars with a position."""
    val_trades: int
    """Round trips on val."""
    episode_reward: float | None
    """Mean reward of the latest training episodes."""
    reward_components: dict[str, float] | None
    """Mean sum of each reward component over these episodes; they add up to `episode_reward`."""
    losses: dict[str, float]
    """Means over the updates since the validation before, under stable-baselines3's names."""


def validation_score(validation: Validation, selection: Selection) -> float:
    """Return what the policy to keep is the best of; a Sharpe ratio that is not defined counts as 0."""
    return validation.val_return if selection == "return" else validation.val_sharpe or 0.0


@dataclass
class TrainingResult:
    """The result of training one seed."""

    seed: int
    policy: ServedPolicy
    sb3_zip: bytes | None
    """The best policy in SB3's file format; None of the linear engine."""
    curve: list[Validation]
    best_val_return: float
    """Net return on val of the policy kept."""
    best_val_score: float
    """Its `validation_score`, by which seeds are compared too."""
    best_episode_reward: float | None
    """Best mean reward of recent episodes in the last phase; None when none ended."""
    final_phase: str
    timesteps: int
    torch_threads: int
    blas_threads: int | None
    """None where threadpoolctl knows no BLAS of the process."""
    duration_seconds: float
    """Without the time between an interruption and its resumption."""


class ValReturnSummary(Record):
    """Summary of the seeds' net returns on val."""

    mean: float
    deviation: float | None
    """Standard deviation (ddof 1); None for a single seed."""
    worst: float


def summarize_returns(val_returns: Sequence[float]) -> ValReturnSummary:
    """Return mean, standard deviation and worst of the seeds' returns on val."""
    deviation = float(np.std(val_returns, ddof=1)) if len(val_returns) > 1 else None
    return ValReturnSummary(mean=float(np.mean(val_returns)), deviation=deviation, worst=min(val_returns))


class SeedMetrics(SeedRecord):
    """The training of one seed and its course."""

    curve: tuple[Validation, ...]
    """Its validations in time order."""


class TrainingMetrics(Record):
    """L3's figures, from the training to its page: the candidate's, and each seed's course."""

    engine: str
    seed: int
    """The candidate's."""
    best_val_reward: float
    """Net return on val under the final costs of the policy that was kept."""
    best_reward: float | None
    """Best mean reward of recent episodes in the last phase; None when none ended."""
    final_phase: str
    timesteps: int
    torch_threads: int
    blas_threads: int | None
    val: ValReturnSummary
    seeds: tuple[SeedMetrics, ...]
    """In the contract's order."""
    linear_rival: LinearFit | None = Field(default=None, exclude_if=is_absent)
    """None under contracts from before the linear rival."""

    @property
    def curves(self) -> dict[int, tuple[Validation, ...]]:
        """Each seed's validations in time order."""
        return {seed.seed: seed.curve for seed in self.seeds}

    def reproducible_json(self) -> bytes:
        """Return the metrics as a bundle holds them: equal bytes for equal trainings.

        Durations and threads, which a machine or an interruption changes, stay outside.
        """
        outside: dict[str, Any] = {
            "torch_threads": True,
            "blas_threads": True,
            "seeds": {"__all__": {"duration_seconds"}},
        }
        return write_json(self.model_dump(mode="json", exclude=outside))


def training_metrics(
    engine: str,
    candidate: TrainingResult,
    results: Sequence[TrainingResult],
    linear_rival: LinearFit | None = None,
) -> TrainingMetrics:
    """Gather the figures of a training.

    Parameters
    ----------
    engine : str
    candidate : TrainingResult
        The best of `results`.
    results : sequence of TrainingResult
        Of every seed, in the contract's order.
    linear_rival : LinearFit, optional
    """
    return TrainingMetrics(
        engine=engine,
        seed=candidate.seed,
        best_val_reward=candidate.best_val_return,
        best_reward=candidate.best_episode_reward,
        final_phase=candidate.final_phase,
        timesteps=candidate.timesteps,
        torch_threads=candidate.torch_threads,
        blas_threads=candidate.blas_threads,
        val=summarize_returns([result.best_val_return for result in results]),
        seeds=tuple(map(_seed_metrics, results)),
        linear_rival=linear_rival,
    )


def _seed_metrics(result: TrainingResult) -> SeedMetrics:
    return SeedMetrics(
        seed=result.seed,
        model_hash=result.policy.model_hash,
        best_val_reward=result.best_val_return,
        best_reward=result.best_episode_reward,
        timesteps=result.timesteps,
        duration_seconds=round(result.duration_seconds, 3),
        curve=tuple(result.curve),
    )
