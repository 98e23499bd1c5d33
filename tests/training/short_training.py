"""A small market in which one feature predicts the next return, and parameters of short trainings on it.

Run as a module it trains once and prints the hashes, for the test that another process gives the same.
"""

from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.parameters import Parameters
from dosvotos.hashing import digest_bytes
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.market.normalization import NormStats, fit_norm_stats
from tests.conftest import parameters_of

SIGNAL = "dxy_z"
SEED = 42
SMALL = {
    "n_envs": 8,
    "n_steps": 32,
    "batch_size": 64,
    "n_epochs": 2,
    "learning_rate": 1e-3,
    "gamma": 0.9,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "hidden_sizes": [16],
}
ROLLOUT = SMALL["n_envs"] * SMALL["n_steps"]
Phase = tuple[str, int, float, float]
TWO_PHASES: tuple[Phase, ...] = (("free", 2 * ROLLOUT, 0.0, 0.0), ("final", 4 * ROLLOUT, 1.0, 1.0))


def signal_rows(
    seed: int, start: date, n_sessions: int, edge: float = 5e-4, missing: float = 0.0
) -> pd.DataFrame:
    """Draw split rows; the sign of SIGNAL predicts the drift from the next close to the one after."""
    random = np.random.default_rng(seed)
    days = scheduled_sessions(start, date(2026, 12, 30))[:n_sessions]
    times = pd.DatetimeIndex([time for day in days for time in session_bar_times(day)])
    rows = pd.DataFrame(random.normal(0, 2, (len(times), 13)), index=times, columns=list(MARKET_FEATURES))
    returns = random.normal(0, 5e-4, len(times))
    returns[2:] += edge * np.sign(rows[SIGNAL].to_numpy()[:-2])
    rows["close"] = 4000 * np.exp(np.cumsum(returns))
    rows["time_normalized"] = np.tile(np.arange(60) / 59, n_sessions)
    rows["policy_rate_difference"] = -5.0
    rows.loc[random.random(len(rows)) < missing, "vix_z"] = np.nan
    return rows


@cache
def train_rows() -> pd.DataFrame:
    return signal_rows(0, date(2024, 1, 2), 30)


@cache
def val_rows() -> pd.DataFrame:
    return signal_rows(1, date(2024, 3, 4), 10)


@cache
def norm_stats() -> NormStats:
    return fit_norm_stats(train_rows())


def small_parameters(
    phases: tuple[Phase, ...] = TWO_PHASES,
    episode_bars: int = 60,
    evaluation_rollouts: int = 1,
    patience: int = 99,
    engine: str = "fast",
    selection: str = "sharpe",
    average_weights: bool = True,
    own: dict[str, Any] | None = None,
    **hyperparameters: Any,
) -> Parameters:
    names = ("name", "timesteps", "transaction_cost", "drawdown")
    return parameters_of(
        "smoke",
        training={
            "engine": engine,
            "seeds": [SEED],
            "episode_bars": episode_bars,
            "evaluation_rollouts": evaluation_rollouts,
            "patience": patience,
            "selection": selection,
            "average_weights": average_weights,
            **(own or {}),
            "hyperparameters": {**SMALL, **hyperparameters},
        },
        curriculum={"phases": [dict(zip(names, phase, strict=True)) for phase in phases]},
    )


if __name__ == "__main__":
    from dosvotos.training.ppo import train

    result = train(small_parameters(), SEED, train_rows(), val_rows(), norm_stats())
    print(result.policy.model_hash, digest_bytes(result.sb3_zip))
