"""Targets of a policy over one split, bar by bar."""

import numpy as np
import pandas as pd
from numba import njit

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.market.accounting import Tape
from dosvotos.policy.forward import TARGETS, ServedPolicy

_BATCH_BARS = 1024


def tape_of(rows: pd.DataFrame) -> Tape:
    """The tape of a dataset split: index bar open (UTC), columns close and policy_rate_difference."""
    return Tape(
        times=pd.DatetimeIndex(rows.index),
        close=rows["close"].to_numpy(float),
        rate_difference=rows["policy_rate_difference"].to_numpy(float),
    )


def policy_targets(policy: ServedPolicy, rows: pd.DataFrame) -> np.ndarray:
    """Let the policy decide at every bar, starting flat.

    Parameters
    ----------
    policy : ServedPolicy
    rows : DataFrame
        Raw MARKET_FEATURES and ``time_normalized`` of every session bar of the split.

    Returns
    -------
    ndarray of shape (n_bars,), int8
        -1, 0 or 1. A bar with a missing feature leaves the target unchanged, as NO_SIGNAL does live.

    Notes
    -----
    The forward pass runs once for each bar and each of the three positions the policy could hold, in
    batches that fit the processor's cache; the sequence of positions is then only looked up.
    """
    choices = np.full((len(rows), len(TARGETS)), TARGETS, dtype=np.int8)
    for first in range(0, len(rows), _BATCH_BARS):
        batch = rows.iloc[first : first + _BATCH_BARS]
        features = batch[list(MARKET_FEATURES)].to_numpy(float)
        complete = np.isfinite(features).all(axis=1)
        clock = batch["time_normalized"].to_numpy(float)[complete]
        choices[first : first + _BATCH_BARS][complete] = _choices(policy, features[complete], clock)
    targets: np.ndarray = _resolve(choices)
    return targets


def _choices(policy: ServedPolicy, features: np.ndarray, clock: np.ndarray) -> np.ndarray:
    """Target the policy chooses at each bar (n, 3), a column for each position it could hold."""
    n_bars, n_positions = len(features), len(TARGETS)
    held = np.repeat(np.array(TARGETS, dtype=float), n_bars)
    observations = policy.observe(np.tile(features, (n_positions, 1)), held, np.tile(clock, n_positions))
    actions = policy.logits(observations).argmax(axis=1)
    choices: np.ndarray = np.array(TARGETS, dtype=np.int8)[actions].reshape(n_positions, n_bars).T
    return choices


@njit(cache=True)
def _resolve(choices: np.ndarray) -> np.ndarray:
    targets = np.zeros(len(choices), dtype=np.int8)
    held = 0
    for t in range(len(choices)):
        held = choices[t, held + 1]
        targets[t] = held
    return targets
