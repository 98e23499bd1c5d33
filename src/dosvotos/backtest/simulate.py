"""Targets of a policy over one split, as if it were asked bar by bar."""

import numpy as np
import pandas as pd

from dosvotos.compiled import njit
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.policy.forward import TARGETS, ServedPolicy

_BATCH_BARS = 4096
_CACHED_ROWS = 1024  # whose activations stay in the processor's cache
_UNKNOWN = 2


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
        -1, 0 or 1. A bar with a missing or absurd feature leaves the target unchanged, as NO_SIGNAL
        does live.

    Notes
    -----
    An action depends on the position held, which is known only once the action before is. So a batch of bars
    is evaluated for a guessed path of positions, the path is followed with those actions, and bars it then
    reaches with a position not evaluated are evaluated again, until none is left. Each action is the forward
    pass's own, so a wrong guess costs time and nothing else.
    """
    targets = np.empty(len(rows), dtype=np.int8)
    held = 0
    for first in range(0, len(rows), _BATCH_BARS):
        batch = rows.iloc[first : first + _BATCH_BARS]
        path = _batch_targets(policy, batch, held)
        targets[first : first + len(batch)] = path
        held = int(path[-1])
    return targets


def _batch_targets(policy: ServedPolicy, batch: pd.DataFrame, held: int) -> np.ndarray:
    features = batch[list(MARKET_FEATURES)].to_numpy(float)
    clock = batch["time_normalized"].to_numpy(float)
    actions = np.full((len(batch), len(TARGETS)), _UNKNOWN, dtype=np.int8)
    actions[~policy.usable(features)] = TARGETS
    path: np.ndarray
    path, unknown = _follow(actions, held)
    while unknown.any():
        before = np.concatenate([[held], path[:-1]])
        indices = np.flatnonzero(unknown)
        for some in np.split(indices, range(_CACHED_ROWS, len(indices), _CACHED_ROWS)):
            observations = policy.observe(features[some], before[some].astype(float), clock[some])
            actions[some, before[some] + 1] = policy.logits(observations).argmax(axis=1) - 1
        path, unknown = _follow(actions, held)
    return path


@njit()
def _follow(actions: np.ndarray, held: int) -> tuple[np.ndarray, np.ndarray]:
    """Follow actions, shape (n_bars, 3) by position held, from a position: targets, and bars without one.

    Where the action is not known, that for another position is the guess, or, with none, the target stays.
    """
    path = np.empty(len(actions), dtype=np.int8)
    unknown = np.zeros(len(actions), dtype=np.bool_)
    for t in range(len(actions)):
        action = actions[t, held + 1]
        if action == _UNKNOWN:
            unknown[t] = True
            action = held
            for other in actions[t]:
                if other != _UNKNOWN:
                    action = other
        held = action
        path[t] = held
    return path, unknown
