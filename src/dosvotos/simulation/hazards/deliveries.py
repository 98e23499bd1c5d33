"""Hazards of a whole delivery of bars: it is another thing than it says, and must be refused."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd

_PRICES: Final = ["open", "high", "low", "close"]
_EUR_USD, _GBP_USD, _CHANGE_FROM = 1.16, 1.32, 0.6
_LEVELS: Final = {"usdmxn": 18.4, "usdclp": 940.0, "usdbrl": 5.4}


def _scale(bars: pd.DataFrame, factor: float, share: float = 0.0) -> pd.DataFrame:
    """Multiply all prices from a share of the bars on."""
    factors = np.where(np.arange(len(bars)) < int(len(bars) * share), 1.0, factor)
    return bars.assign(**{name: bars[name] * factors for name in _PRICES})


def _invert(bars: pd.DataFrame) -> pd.DataFrame:
    """One over each price; highs and lows change places."""
    inverse = {name: 1 / bars[name] for name in _PRICES}
    return bars.assign(**{**inverse, "high": inverse["low"], "low": inverse["high"]})


def _level(level: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda bars: _scale(bars, level / bars["close"].median())


DELIVERIES: Final[dict[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "inverted": _invert,
    "eurcop": lambda bars: _scale(bars, _EUR_USD),
    "gbpcop": lambda bars: _scale(bars, _GBP_USD),
    **{name: _level(level) for name, level in _LEVELS.items()},
    "thousandth": lambda bars: _scale(bars, 1e-3),
    "hundredfold": lambda bars: _scale(bars, 100.0),
    "redenomination": lambda bars: _scale(bars, 1e-3, _CHANGE_FROM),
    "turns_into_eurcop": lambda bars: _scale(bars, _EUR_USD, _CHANGE_FROM),
}
"""By name: what turns a market's bars (open, high, low, close, in time order) into such a delivery."""
