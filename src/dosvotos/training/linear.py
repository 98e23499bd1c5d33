"""The linear rival: a ridge on the policy's own features, which a trained network has to be worth more than.

Thirteen normal equations are one solve, so NumPy and SciPy do; scikit-learn would be a dependency for that.
"""

import time
from itertools import product
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg
from threadpoolctl import threadpool_limits

from dosvotos.backtest.metrics import daily_returns, sharpe_ratio
from dosvotos.backtest.run import trade
from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import LinearFit
from dosvotos.errors import DataError
from dosvotos.market.accounting import Account
from dosvotos.market.calendar import session_dates
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import TARGETS, ServedPolicy
from dosvotos.training.episodes import complete_rows, validation_window
from dosvotos.training.results import TrainingResult, Validation, validation_score

RIDGE_PENALTIES: Final = (0.1, 1.0)
"""Of the mean squared error; 1 shrinks the weight of a feature unrelated to the others to half."""
ENTRY_THRESHOLDS: Final = (0.5, 1.0, 2.0)
"""Forecast from which a position is opened, in standard deviations of the forecasts on train."""
PHASE: Final = "linear"
"""Stands for the curriculum's phase: the rival has none."""


class FittedRival(NamedTuple):
    """A fitted linear policy, and how it was chosen."""

    policy: ServedPolicy
    fit: LinearFit


def fit_linear_rival(
    parameters: Parameters, train_rows: pd.DataFrame, val_rows: pd.DataFrame, norm_stats: NormStats
) -> FittedRival:
    """Fit the linear rival of an experiment: weights on train, penalty and threshold chosen on val.

    Parameters
    ----------
    parameters : Parameters
        For costs, financing and the calendar's exceptions.
    train_rows, val_rows : DataFrame
        Splits of L2: index bar open (UTC), raw MARKET_FEATURES, time_normalized, close.
    norm_stats : NormStats

    Returns
    -------
    FittedRival
        The best net Sharpe ratio on val, the figure that L4 judges; of equal ones the first. The same rows
        give the same policy, whatever the number of cores.

    Raises
    ------
    DataError
        If no complete row of train can be filled before its session ends, or val holds none.

    Notes
    -----
    The forecast is a ridge regression of what a position decided now earns from its fill to the session's
    last close, on the 13 normalised features, less its mean: the drift of train is no edge. From flat a
    position is opened where the forecast exceeds the threshold, and it is held until the forecast changes
    sign: the band that the threshold leaves for the costs.
    """
    tape, sessions = validation_window(val_rows, parameters.calendar)
    best, highest = None, -np.inf
    with threadpool_limits(1, user_api="blas"):
        features, earned = training_set(train_rows, norm_stats)
        for penalty, threshold in product(RIDGE_PENALTIES, ENTRY_THRESHOLDS):
            policy = linear_policy(ridge_weights(features, earned, penalty), features, threshold, norm_stats)
            account = trade(tape, policy_targets(policy, val_rows), parameters)
            sharpe = sharpe_ratio(daily_returns(account.equity, tape.times, sessions))
            if best is None or (sharpe is not None and sharpe > highest):
                best = FittedRival(policy, _describe(policy, penalty, threshold, account, sharpe))
                highest = highest if sharpe is None else sharpe
    assert best is not None
    return best


def train_linear(
    parameters: Parameters, train_rows: pd.DataFrame, val_rows: pd.DataFrame, norm_stats: NormStats
) -> TrainingResult:
    """Make the linear rival the candidate (``training.engine: linear``); raises as `fit_linear_rival`."""
    started = time.perf_counter()
    policy, fit = fit_linear_rival(parameters, train_rows, val_rows, norm_stats)
    validation = Validation(
        phase=PHASE,
        timesteps=0,
        val_return=fit.val_return,
        val_sharpe=fit.val_sharpe if parameters.training.selection == "sharpe" else None,
        val_exposure=fit.val_exposure,
        val_trades=fit.val_trades,
        episode_reward=None,
        reward_components=None,
        losses={},
    )
    return TrainingResult(
        seed=parameters.training.seeds[0],
        policy=policy,
        sb3_zip=None,
        curve=[validation],
        best_val_return=fit.val_return,
        best_val_score=validation_score(validation, parameters.training.selection),
        best_episode_reward=None,
        final_phase=PHASE,
        timesteps=0,
        torch_threads=0,
        blas_threads=1,
        duration_seconds=time.perf_counter() - started,
    )


def rest_of_session_return(rows: pd.DataFrame) -> np.ndarray:
    """Compute what a long position decided at each bar earns until its session's last close.

    Returns
    -------
    ndarray of shape (n_bars,)
        Fraction, before costs, from the fill at the next close; NaN where none is left to hold for.
    """
    close, days = rows["close"].to_numpy(float), session_dates(pd.DatetimeIndex(rows.index))
    last = np.searchsorted(days, days, side="right") - 1
    decided = np.flatnonzero(np.arange(len(close)) + 1 < last)
    earned = np.full(len(close), np.nan)
    earned[decided] = close[last[decided]] / close[decided + 1] - 1
    return earned


def ridge_weights(features: np.ndarray, earned: np.ndarray, penalty: float) -> np.ndarray:
    """Solve a ridge regression with a free intercept, which is dropped.

    Parameters
    ----------
    features : ndarray of shape (n, 13)
    earned : ndarray of shape (n,)
    penalty : float
        Added to the variance of each feature.

    Returns
    -------
    ndarray of shape (13,)

    Notes
    -----
    scikit-learn's ``Ridge(alpha=n * penalty).coef_``.
    """
    centred, n = features - features.mean(axis=0), len(earned)
    gram = centred.T @ centred / n + penalty * np.eye(features.shape[1])
    weights: np.ndarray = linalg.solve(gram, centred.T @ (earned - earned.mean()) / n, assume_a="pos")
    return weights


def linear_policy(
    weights: np.ndarray, features: np.ndarray, threshold: float, norm_stats: NormStats
) -> ServedPolicy:
    """Write a forecast and its threshold as a network without hidden layers.

    Parameters
    ----------
    weights : ndarray of shape (13,)
        Of the forecast.
    features : ndarray of shape (n, 13)
        Normalised, of train: the forecast is divided by its standard deviation on them.
    threshold : float
        In such standard deviations, positive.
    norm_stats : NormStats

    Notes
    -----
    With the forecast f, the position p and the threshold h the logits of short, flat and long are
    ``-f - h p``, ``h`` and ``f + h p``: flat opens beyond h, a position closes where f changes sign, and
    turns at once beyond 2 h.
    """
    spread = float((features @ weights).std())
    action = np.zeros((len(TARGETS), len(FEATURE_ORDER)), np.float32)
    position, flat = FEATURE_ORDER.index("position"), TARGETS.index(0)
    for row, target in enumerate(TARGETS):
        action[row, : len(MARKET_FEATURES)] = target * weights / (spread or 1.0)
        action[row, position] = target * threshold
    bias = np.zeros(len(TARGETS), np.float32)
    bias[flat] = threshold
    return ServedPolicy({"action.weight": action, "action.bias": bias}, norm_stats)


def training_set(train_rows: pd.DataFrame, norm_stats: NormStats) -> tuple[np.ndarray, np.ndarray]:
    """Give the normalised features and the returns of the complete rows that can be filled."""
    complete = train_rows.index.isin(complete_rows(train_rows, "train").index)
    earned = rest_of_session_return(train_rows)
    used = complete & np.isfinite(earned)
    if not used.any():
        raise DataError(
            f"train: of {len(train_rows)} bars none has all features and a later bar of its session to be "
            "filled at, so no linear rival can be fitted; set an earlier date_ranges.train.start"
        )
    features = train_rows.loc[used, list(MARKET_FEATURES)].to_numpy(float)
    return norm_stats.apply(features), earned[used]


def _describe(
    policy: ServedPolicy, penalty: float, threshold: float, account: Account, sharpe: float | None
) -> LinearFit:
    return LinearFit(
        model_hash=policy.model_hash,
        ridge_penalty=penalty,
        entry_threshold=threshold,
        val_sharpe=sharpe,
        val_return=float(account.equity[-1] / account.equity[0] - 1),
        val_exposure=float((account.position != 0).mean()),
        val_trades=len(account.trades),
    )
