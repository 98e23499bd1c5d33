"""Moments as int64 microseconds (us) since 1970 UTC, as compiled code and saved states hold them."""

from datetime import datetime

import numpy as np
import pandas as pd

US_PER_MINUTE = 60_000_000
US_PER_DAY = 86_400_000_000
US_PER_BAR = 5 * US_PER_MINUTE


def to_microseconds(times: pd.DatetimeIndex) -> np.ndarray:
    """Convert times to int64 of shape (n,); a time without zone counts as UTC."""
    microseconds: np.ndarray = times.as_unit("us").asi8
    return microseconds


def moment_to_microseconds(moment: datetime) -> int:
    """Convert one timezone-aware moment."""
    return round(moment.timestamp() * 1e6)


def to_timestamp(microseconds: float) -> pd.Timestamp:
    """Convert to the moment in UTC; `microseconds` must be finite."""
    return pd.Timestamp(int(microseconds), unit="us", tz="UTC")
