"""Drift: whether a feature has left what a model was trained on, by alarms whose false rate is known.

Rows of five minutes repeat slow features, so that a distribution's distance from train's says little: the
population stability index and Kolmogorov and Smirnov's test of train against itself alarm in every session.
What is watched instead is one mean a session and feature.
"""

from typing import Final, NamedTuple, Self

import numpy as np
import pandas as pd

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.records import FeatureDrift
from dosvotos.errors import DataError
from dosvotos.market.calendar import SESSIONS_PER_YEAR, session_dates

LEVELS: Final = ("atr_pct", "dxy_z", "vix_z", "embi_z", "rate_spread")
"""Slow features: too few independent values in a split for a sum to tell a shift from a wave."""
FAST: Final = tuple(name for name in MARKET_FEATURES if name not in LEVELS)
FALSE_ALARMS_A_YEAR: Final = 0.05
"""Promised over all features together; `benchmarks/live.py` measures it out of sample."""
_CALIBRATED_AT: Final = 0.02
"""Rate of `FAST` on resampled train."""
_LEAST_LIMIT: Final = 12.0
"""Of the sums. Two years show too few calm and volatile times: limits from them alone (5 to 8) alarm in half
of the years that follow; a shift of 2 standard deviations passes 12 within 20 sessions all the same."""
_ALLOWANCE: Final = 1.0
"""Half the shift that is to be caught, which is 2 standard deviations of the session means."""
_MARGIN: Final = 4.0
"""How far beyond train's range a level may lie, in its standard deviations in train."""
_BLOCK: Final = 20
_N_PATHS: Final = 2000
_MIN_SESSIONS: Final = 2 * _BLOCK
_SEED: Final = 20260131


class DriftAlarms(NamedTuple):
    """What train says a session's mean may be, as arrays over FAST and over LEVELS."""

    mean: np.ndarray
    """Shape (8,), raw units."""
    spread: np.ndarray
    """Standard deviation of the session means, shape (8,)."""
    limit: np.ndarray
    """Of the sums, in spreads, shape (8,)."""
    low: np.ndarray
    """Train's lowest session mean of each level, shape (5,), raw units."""
    high: np.ndarray
    level_spread: np.ndarray
    """Standard deviation of the levels, shape (5,)."""

    @classmethod
    def fit(cls, train: pd.DataFrame) -> Self:
        """Take the alarms' limits from train.

        Parameters
        ----------
        train : DataFrame
            Index bar open (UTC); raw MARKET_FEATURES among the columns, NaN where missing.

        Raises
        ------
        DataError
            If fewer than 40 sessions have all features.
        """
        return cls.fit_means(session_means(train))

    @classmethod
    def fit_means(cls, train_means: pd.DataFrame) -> Self:
        """Take the limits from session means, as `session_means` gives them; raises as `fit`."""
        means = train_means.dropna()
        if len(means) < _MIN_SESSIONS:
            raise DataError(
                f"train: drift alarms need at least {_MIN_SESSIONS} sessions with all features, found "
                f"{len(means)}; set an earlier date_ranges.train.start"
            )
        fast, levels = means[list(FAST)].to_numpy(), means[list(LEVELS)].to_numpy()
        mean, spread = fast.mean(axis=0), fast.std(axis=0, ddof=1)
        return cls(
            mean=mean,
            spread=spread,
            limit=_limits((fast - mean) / spread),
            low=levels.min(axis=0),
            high=levels.max(axis=0),
            level_spread=levels.std(axis=0, ddof=1),
        )

    def watch(self, rows: pd.DataFrame) -> tuple[FeatureDrift, ...]:
        """Judge sessions after train, in MARKET_FEATURES order; a session without a feature changes nothing.

        Parameters
        ----------
        rows : DataFrame
            As `fit` takes them, in the order of time; the sums start at its first session.
        """
        return self.judge(session_means(rows))

    def judge(self, means: pd.DataFrame) -> tuple[FeatureDrift, ...]:
        """Judge session means, as `session_means` gives them."""
        standardised = (means[list(FAST)].to_numpy() - self.mean) / self.spread
        levels = means[list(LEVELS)].to_numpy()
        outside = np.fmax(self.low - levels, levels - self.high) / self.level_spread
        days = means.index.to_numpy()
        found = {
            name: _drift(name, "cusum", cusum(standardised[:, [i]])[:, 0], float(self.limit[i]), days)
            for i, name in enumerate(FAST)
        }
        found |= {
            name: _drift(name, "support", outside[:, i], _MARGIN, days) for i, name in enumerate(LEVELS)
        }
        return tuple(found[name] for name in MARKET_FEATURES)


def feature_drift(train: pd.DataFrame, val: pd.DataFrame) -> tuple[FeatureDrift, ...] | None:
    """Judge val's drift from train; None if train is too short for alarms.

    `train` and `val` are as `DriftAlarms.fit` takes them.
    """
    means = session_means(train)
    return DriftAlarms.fit_means(means).watch(val) if has_alarms(means) else None


def has_alarms(train_means: pd.DataFrame) -> bool:
    """Tell whether session means, as `session_means` gives them, are enough to make alarms from."""
    return len(train_means.dropna()) >= _MIN_SESSIONS


def session_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Average each market feature over the bars of a session that have it.

    Returns
    -------
    DataFrame
        Index Bogota date (``datetime64[D]``), columns MARKET_FEATURES; NaN where no bar has the feature.
    """
    days = session_dates(pd.DatetimeIndex(rows.index))
    return rows[list(MARKET_FEATURES)].groupby(days).mean()


def cusum(standardised: np.ndarray) -> np.ndarray:
    """Sum what session means lie beyond an allowance of 1 on either side; the larger of the two sums.

    Parameters
    ----------
    standardised : ndarray of shape (n_sessions, ...)
        Mean 0 and standard deviation 1 where nothing has shifted; a NaN leaves the sums as they are.

    Notes
    -----
    Page (1954): ``S[t] = max(0, S[t - 1] + x[t] - k)`` and the same of ``-x``, k being half the shift to be
    caught.
    """
    steps = _steps(standardised)
    sums, last = np.empty_like(steps), np.zeros(steps.shape[1:])
    for t, step in enumerate(steps):
        last = np.maximum(0.0, last + step)
        sums[t] = last
    larger: np.ndarray = sums.max(axis=1)
    return larger


def _steps(standardised: np.ndarray) -> np.ndarray:
    """Give what each session adds to the sum upwards and to that downwards, shape (n_sessions, 2, ...)."""
    steps: np.ndarray = np.nan_to_num(np.stack([standardised, -standardised], axis=1) - _ALLOWANCE, nan=0.0)
    return steps


def resampled_sessions(n: int, n_paths: int, n_sessions: int, seed: int) -> np.ndarray:
    """Draw paths of `n` sessions in circular blocks of 20.

    Returns
    -------
    ndarray of shape (n_sessions, n_paths)
        Indices below `n`.

    Notes
    -----
    The circular block bootstrap (Politis and Romano 1992).
    """
    n_blocks = -(-n_sessions // _BLOCK)
    starts = np.random.default_rng(seed).integers(n, size=(n_blocks, 1, n_paths))
    taken: np.ndarray = (starts + np.arange(_BLOCK)[None, :, None]) % n
    return taken.reshape(-1, n_paths)[:n_sessions]


def _limits(standardised: np.ndarray) -> np.ndarray:
    """Find the limits that a year in the long run exceeds at one of the features as seldom as calibrated.

    Each feature has the same chance; a year before the one that is judged takes the sums away from 0.
    """
    paths = resampled_sessions(len(standardised), _N_PATHS, 2 * SESSIONS_PER_YEAR, _SEED)
    largest = _largest_sums(standardised, paths, SESSIONS_PER_YEAR)
    # a path alarms at any level below the highest rank that one of its features has
    rank = largest.argsort(axis=0).argsort(axis=0).max(axis=1)
    kept = int(np.quantile(rank, 1 - _CALIBRATED_AT, method="higher"))
    limits: np.ndarray = np.maximum(np.sort(largest, axis=0)[kept], _LEAST_LIMIT)
    return limits


def _largest_sums(standardised: np.ndarray, paths: np.ndarray, first: int) -> np.ndarray:
    """Give ``cusum(standardised[paths])[first:].max(axis=0)``, a session at a time: all at once is 250 MB."""
    steps = _steps(standardised)
    sums = np.zeros((paths.shape[1], *steps.shape[1:]))
    largest = np.zeros_like(sums)
    for t, drawn in enumerate(paths):
        sums += steps[drawn]
        np.maximum(sums, 0.0, out=sums)
        if t >= first:
            np.maximum(largest, sums, out=largest)
    of_both: np.ndarray = largest.max(axis=1)
    return of_both


def _drift(name: str, rule: str, statistic: np.ndarray, limit: float, days: np.ndarray) -> FeatureDrift:
    beyond = np.flatnonzero(statistic > limit)
    known = statistic[np.isfinite(statistic)]
    return FeatureDrift(
        feature=name,
        rule=rule,
        statistic=float(known.max()) if len(known) else None,
        limit=limit,
        first_alarm=str(days[beyond[0]].astype("datetime64[D]")) if len(beyond) else None,
        sessions_beyond=len(beyond),
    )
