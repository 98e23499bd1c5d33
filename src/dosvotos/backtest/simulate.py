"""Targets of a policy over one split, as if it were asked bar by bar."""

import numpy as np
import pandas as pd

from dosvotos.compiled import njit
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.market.accounting import Tape
from dosvotos.policy.forward import TARGETS, ServedPolicy

_BATCH_BARS = 4096
_CACHED_ROWS = 1024  # whose activations stay in the processor's cache
_UNKNOWN = 2


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
    What the policy answers depends on the position it holds, which is known only once it has answered before.
    So a batch of bars is answered for a guessed path of positions, the path is walked with the answers, and
    bars it then reaches with a position not asked about are asked again, until none is left. Each answer is
    the forward pass's own, so a wrong guess costs time and nothing else.
    """
    targets = np.empty(len(rows), dtype=np.int8)
    held = 0
    for first in range(0, len(rows), _BATCH_BARS):
        batch = rows.iloc[first : first + _BATCH_BARS]
        features = batch[list(MARKET_FEATURES)].to_numpy(float)
        clock = batch["time_normalized"].to_numpy(float)
        answers = np.full((len(batch), len(TARGETS)), _UNKNOWN, dtype=np.int8)
        answers[~np.isfinite(features).all(axis=1)] = TARGETS
        path, asked = _walk(answers, held)
        while asked.any():
            before = np.concatenate([[held], path[:-1]])
            places = np.flatnonzero(asked)
            for some in np.split(places, range(_CACHED_ROWS, len(places), _CACHED_ROWS)):
                observations = policy.observe(features[some], before[some].astype(float), clock[some])
                answers[some, before[some] + 1] = policy.logits(observations).argmax(axis=1) - 1
            path, asked = _walk(answers, held)
        targets[first : first + len(batch)] = path
        held = int(path[-1])
    return targets


@njit()
def _walk(answers: np.ndarray, held: int) -> tuple[np.ndarray, np.ndarray]:
    """Follow the answers from a position: targets, and the bars whose answer is not known.

    Where it is not, the answer for another position is the guess, or, with none, that the target stays.
    """
    path = np.empty(len(answers), dtype=np.int8)
    asked = np.zeros(len(answers), dtype=np.bool_)
    for t in range(len(answers)):
        answer = answers[t, held + 1]
        if answer == _UNKNOWN:
            asked[t] = True
            answer = held
            for other in answers[t]:
                if other != _UNKNOWN:
                    answer = other
        held = answer
        path[t] = held
    return path, asked
