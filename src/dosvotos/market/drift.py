"""Drift: how far the distributions of val's features lie from train's."""

from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.market.normalization import CLIP, NormStats

SLIGHT: Final = 0.1
STRONG: Final = 0.25
"""Population stability indices from which practice calls a shift slight, and strong."""
_BINS: Final = 10


def feature_drift(train: pd.DataFrame, val: pd.DataFrame, norm_stats: NormStats) -> pd.DataFrame:
    """Compare the distributions of each market feature.

    Parameters
    ----------
    train, val : DataFrame
        MARKET_FEATURES among their columns, raw; missing values are left out feature by feature.
    norm_stats : NormStats
        Of train.

    Returns
    -------
    DataFrame
        A row a feature: train_mean, train_std, val_mean, val_std (raw units), mean_shift (in standard
        deviations of train), std_ratio, ks (Kolmogorov-Smirnov statistic), psi (population stability
        index over train's deciles), clipped_train and clipped_val (shares beyond +-5 standard deviations).
        NaN where a side has no value.

    Notes
    -----
    Five-minute rows of slow features are one value repeated, so a p-value would mean nothing; none is given.
    """
    from scipy.stats import ks_2samp

    rows = []
    for name, mean, std in zip(MARKET_FEATURES, norm_stats.mean, norm_stats.std, strict=True):
        of_train, of_val = (frame[name].dropna().to_numpy(float) for frame in (train, val))
        comparable = len(of_train) > 0 and len(of_val) > 1
        rows.append(
            {
                "feature": name,
                "train_mean": mean,
                "train_std": std,
                "val_mean": of_val.mean() if comparable else np.nan,
                "val_std": of_val.std(ddof=1) if comparable else np.nan,
                "mean_shift": (of_val.mean() - mean) / std if comparable else np.nan,
                "std_ratio": of_val.std(ddof=1) / std if comparable else np.nan,
                "ks": float(ks_2samp(of_train, of_val).statistic) if comparable else np.nan,
                "psi": stability_index(of_train, of_val) if comparable else np.nan,
                "clipped_train": _clipped_share(of_train, mean, std),
                "clipped_val": _clipped_share(of_val, mean, std),
            }
        )
    return pd.DataFrame(rows)


def stability_index(expected: np.ndarray, observed: np.ndarray) -> float:
    """Compute the population stability index of `observed` over deciles of `expected`; shape (n,), finite.

    Notes
    -----
    The sum over bins of (q - p) ln(q / p), p and q being the shares of each side. Half a value is added to
    each bin, so that an empty one gives a large index and not an infinite one. Equal deciles are one bin.
    """
    edges = np.unique(np.quantile(expected, np.linspace(0, 1, _BINS + 1))[1:-1])
    shares = []
    for values in (expected, observed):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    p, q = shares
    return float(((q - p) * np.log(q / p)).sum())


def _clipped_share(values: np.ndarray, mean: float, std: float) -> float:
    return float((np.abs(values - mean) > CLIP * std).mean()) if len(values) else np.nan
