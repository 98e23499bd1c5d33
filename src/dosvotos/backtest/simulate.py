"""Targets of a policy over one split, as if it were asked bar by bar."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from dosvotos.compiled import njit
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.parameters import Parameters
from dosvotos.market.splits import Split, folds_of
from dosvotos.policy.candidate import Candidate, Line
from dosvotos.policy.forward import TARGETS, ServedPolicy
from dosvotos.policy.strategy import Strategy

_BATCH_BARS = 4096
_CACHED_ROWS = 1024  # whose activations stay in the processor's cache
_UNKNOWN = 2


class FoldPolicies(NamedTuple):
    """The policies of a walk-forward line, each with the window it decides in."""

    policies: tuple[ServedPolicy, ...]
    windows: tuple[Split, ...]
    """One after the other, in order."""


Decider = ServedPolicy | FoldPolicies | Strategy
"""Who gives the targets that L4 judges."""


def decider_of(candidate: Candidate, parameters: Parameters) -> Decider:
    """Take from a candidate who decides in the test window of its contract's parameters."""
    if isinstance(candidate, Strategy):
        return candidate
    if isinstance(candidate, Line):
        return _in_folds([bundle.policy for bundle in candidate.bundles], parameters)
    return candidate.policy


class Rival(NamedTuple):
    """The linear rival of a candidate; of a line each fold's own."""

    decider: Decider
    model_hash: str
    candidate_hash: str
    """Of the candidate: the same where it is a linear policy itself. Of a line both are the last fold's."""


def rival_of(candidate: Candidate, parameters: Parameters) -> Rival | None:
    """Take the linear rival that was fitted with a candidate.

    None where there is none: of an own strategy nothing was fitted, and older bundles have none.
    """
    if isinstance(candidate, Strategy) or candidate.linear_rival is None:
        return None
    own = candidate.linear_rival
    if not isinstance(candidate, Line):
        return Rival(own, own.model_hash, candidate.model_hash)
    rivals = [bundle.linear_rival for bundle in candidate.bundles if bundle.linear_rival is not None]
    return Rival(_in_folds(rivals, parameters), own.model_hash, candidate.model_hash)


def _in_folds(policies: Sequence[ServedPolicy], parameters: Parameters) -> FoldPolicies:
    """Give each policy the test window of its fold."""
    return FoldPolicies(tuple(policies), tuple(splits["test"] for splits in folds_of(parameters)))


def decide_targets(decider: Decider, rows: pd.DataFrame) -> np.ndarray:
    """Let a policy, a line or a strategy decide at every bar; shapes and rules as `policy_targets`."""
    if isinstance(decider, Strategy):
        return decider.targets(rows)
    if isinstance(decider, FoldPolicies):
        return line_targets(decider, rows)
    return policy_targets(decider, rows)


def line_targets(line: FoldPolicies, rows: pd.DataFrame) -> np.ndarray:
    """Let each fold's policy decide in its own window, starting flat and ending flat.

    Notes
    -----
    In an account of a fold alone, orders of its last two bars do not fill and an open position closes at its
    last close. In one account over all folds that is a target of 0 at both bars, so that the line's daily
    returns are those of its folds, one after the other.
    """
    parts = []
    for policy, window in zip(line.policies, line.windows, strict=True):
        targets = policy_targets(policy, window.select(rows))
        targets[-2:] = 0
        parts.append(targets)
    return np.concatenate(parts)


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
