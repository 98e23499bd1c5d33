"""Features that remember the first history they saw, or a table made before."""

from functools import cache

import numpy as np
import pandas as pd

from tests.leakage.user_features import clean

_FITTED: dict[str, float] = {}
_TABLE: dict[str, pd.Series] = {}


def fitted_once(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
    """Momentum, and closes scaled by the mean and spread of the first history seen."""
    if not _FITTED:
        _FITTED.update(mean=float(bars["close"].mean()), std=float(bars["close"].std()))
    scaled = (bars["close"] - _FITTED["mean"]) / _FITTED["std"]
    return clean(bars, macro).assign(scaled=scaled)


def table_of_first_call(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
    """Momentum, and the closes an hour later out of a table made in the first call."""
    if "ahead" not in _TABLE:
        _TABLE["ahead"] = bars["close"].shift(-12) / bars["close"] - 1
    return clean(bars, macro).assign(ahead=_TABLE["ahead"].reindex(bars.index))


def table_made_before(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
    """Momentum, and a figure a bar out of a table that was there before any call."""
    return clean(bars, macro).assign(ready=made_before().reindex(bars.index))


@cache
def made_before() -> pd.Series:
    times = pd.date_range("2022-12-01", "2024-01-31", freq="5min", tz="UTC", unit="us")
    return pd.Series(np.random.default_rng(1).normal(size=len(times)), index=times)


def constant(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
    """Momentum, and a figure that never moves."""
    return clean(bars, macro).assign(one=1.0)
