"""What trainings tell while they run and leave behind, free of torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

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
"""What is noted of every update, under stable-baselines3's names."""

MIN_SEEDS = 5
"""Fewer say nothing of the share that ends above zero on val."""


class Standing(NamedTuple):
    """Where the training of one seed stands after a rollout."""

    seed: int
    phase: str
    done: int
    """Steps."""
    total: int
    """Steps of all phases; whole rollouts may pass it, patience may end before it."""
    episode_reward: float | None
    """Mean reward of the latest training episodes."""
    val_return: float | None
    """The latest."""


Progress = Callable[[Standing], None]


class Validation(NamedTuple):
    """One look at val."""

    phase: str
    timesteps: int
    val_return: float
    """Net return on val under the final costs and financing, the same measure in every phase."""
    val_exposure: float
    """Share of val's bars with a position."""
    val_trades: int
    """Round trips on val."""
    episode_reward: float | None
    """Mean reward of the latest training episodes."""
    reward_components: dict[str, float] | None
    """What each component added to it."""
    losses: dict[str, float]
    """Means over the updates since the validation before, under stable-baselines3's names."""


@dataclass
class TrainingResult:
    """What the training of one seed leaves behind."""

    seed: int
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
    """Of work on it, interruptions left out."""


class Spread(NamedTuple):
    """Net returns on val over the seeds."""

    mean: float
    deviation: float | None
    """Standard deviation (ddof 1); None of one seed."""
    worst: float


def spread_of(val_returns: Sequence[float]) -> Spread:
    """Mean, standard deviation and worst of the seeds' returns."""
    deviation = float(np.std(val_returns, ddof=1)) if len(val_returns) > 1 else None
    return Spread(float(np.mean(val_returns)), deviation, min(val_returns))
