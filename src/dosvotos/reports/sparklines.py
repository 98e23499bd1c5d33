"""A small line of each subject's values over time, all on one axis that ends now."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.quality.findings import BARS

WIDTH: Final = 150
HEIGHT: Final = 30
_BARS_APART_DAYS: Final = 5.0
"""Longest stretch without bars that a line spans, days."""


class Sparkline(NamedTuple):
    """A line of `WIDTH` by `HEIGHT` pixels."""

    low: float
    high: float
    path: str
    """In SVG's words."""


def sparklines(
    bars: pd.DataFrame,
    known: Mapping[str, pd.DataFrame],
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
) -> dict[str, Sparkline]:
    """Draw the closes and each variable's values, a line each by its name.

    Parameters
    ----------
    bars : DataFrame
        Index bar open (UTC), in order; close.
    known : mapping of DataFrame by variable
        observation_date, value, in order of dates.
    variables : mapping of MacroVariable by name
        Others are left out; a line breaks where a value aged out before the next one came.
    as_of : Timestamp, timezone-aware
        The right edge of all; the first value of any is the left one.
    """
    now = np.datetime64(as_of.tz_convert("UTC").tz_localize(None), "m")
    lines = {}
    if len(bars):
        times = pd.DatetimeIndex(bars.index).tz_convert("UTC").tz_localize(None)
        closes = bars["close"].to_numpy(float)
        lines[BARS] = times.to_numpy("datetime64[m]"), closes, _BARS_APART_DAYS
    for name, rows in known.items():
        if name in variables:
            days = rows["observation_date"].to_numpy("datetime64[D]").astype("datetime64[m]")
            lines[name] = days, rows["value"].to_numpy(float), float(variables[name].ffill_max_days)
    begin = min((times[0] for times, _, _ in lines.values()), default=now)
    return {name: _sparkline(*line, begin, now) for name, line in lines.items()}


def _sparkline(
    times: np.ndarray, values: np.ndarray, max_gap_days: float, begin: np.datetime64, now: np.datetime64
) -> Sparkline:
    """Draw values over time, lowest and highest a pixel; a longer gap breaks the line."""
    share = (times - begin) / max(now - begin, np.timedelta64(1, "m"))
    x = np.rint(share * (WIDTH - 6)).astype(int) + 2
    low, span = values.min(), np.ptp(values) or 1.0
    y = np.round((HEIGHT - 4) * (1 - (values - low) / span) + 2, 1)
    breaks = np.diff(times, prepend=times[:1]) > np.timedelta64(1, "D") * max_gap_days
    breaks[0] = True
    starts = np.flatnonzero(breaks | (np.diff(x, prepend=x[:1]) > 0))
    bottom, top = np.maximum.reduceat(y, starts), np.minimum.reduceat(y, starts)
    path = "".join(
        f"{'M' if begins else 'L'}{across} {lower:g}V{upper:g}"
        for begins, across, lower, upper in zip(breaks[starts], x[starts], bottom, top, strict=True)
    )
    return Sparkline(float(low), float(values.max()), path)
