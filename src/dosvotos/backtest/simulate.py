"""Targets of a policy over one split, bar by bar."""

import numpy as np
import pandas as pd
from numba import njit

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.market.accounting import Tape
from dosvotos.policy.forward import TARGETS, ServedPolicy


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
    The forward pass runs once for all bars and each of the three positions the policy could hold; the
    sequence of positions is then only looked up.
    """
    features = rows[list(MARKET_FEATURES)].to_numpy(float)
    complete = np.isfinite(features).all(axis=1)
    clock = rows["time_normalized"].to_numpy(float)[complete]
    choices = np.zeros((len(rows), len(TARGETS)), dtype=np.int8)
    for place, held in enumerate(TARGETS):
        position = np.full(complete.sum(), float(held))
        observations = policy.observe(features[complete], position, clock)
        choices[complete, place] = policy.logits(observations).argmax(axis=1) - 1
    targets: np.ndarray = _resolve(choices, complete)
    return targets


@njit(cache=True)
def _resolve(choices: np.ndarray, complete: np.ndarray) -> np.ndarray:
    targets = np.zeros(len(choices), dtype=np.int8)
    held = 0
    for t in range(len(choices)):
        if complete[t]:
            held = choices[t, held + 1]
        targets[t] = held
    return targets
