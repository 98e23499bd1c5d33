"""Sparklines: a small SVG of each subject's values over time, all on one time axis that ends now."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.quality.findings import BARS

_WIDTH, _HEIGHT = 150, 30
"""Pixels."""
_MAX_BAR_GAP_DAYS: Final = 5.0
"""Days without bars from which the line of closes is interrupted."""

STYLE: Final = """
svg.course { display: block; } .course path { fill: none; stroke: #1f5f8b; stroke-linecap: round;
  stroke-linejoin: round; } .course line { stroke: #9aa7b3; }
"""


class _Line(NamedTuple):
    times: np.ndarray
    """datetime64[m], UTC, in order."""
    values: np.ndarray
    """Finite."""
    max_gap_days: float
    """A longer gap interrupts the line."""


def draw_sparklines(
    bars: pd.DataFrame,
    known: Mapping[str, pd.DataFrame],
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
) -> dict[str, Markup]:
    """Draw the closes, under the subject of bars, and the values of each variable, under its name.

    Parameters
    ----------
    bars : DataFrame
        Index bar open (UTC), in order; close, finite.
    known : mapping of DataFrame by variable
        observation_date, value (finite), in order of dates.
    variables : mapping of MacroVariable by name
        Others are not drawn; a line is interrupted where a value expired before the next one.
    as_of : Timestamp, timezone-aware
        The right edge of all; the left one is the earliest value of any.
    """
    now = np.datetime64(as_of.tz_convert("UTC").tz_localize(None), "m")
    lines = {}
    if len(bars):
        times = pd.DatetimeIndex(bars.index).tz_convert("UTC").tz_localize(None).to_numpy("datetime64[m]")
        lines[BARS] = _Line(times, bars["close"].to_numpy(float), _MAX_BAR_GAP_DAYS)
    for name, rows in known.items():
        if name in variables:
            days = rows["observation_date"].to_numpy("datetime64[D]").astype("datetime64[m]")
            lines[name] = _Line(days, rows["value"].to_numpy(float), float(variables[name].ffill_max_days))
    begin = min((line.times[0] for line in lines.values()), default=now)
    return {name: _draw(line, begin, now) for name, line in lines.items()}


def _draw(line: _Line, begin: np.datetime64, now: np.datetime64) -> Markup:
    """Draw a line with the lowest and highest value of each pixel column."""
    times, values = line.times, line.values
    elapsed = (times - begin) / max(now - begin, np.timedelta64(1, "m"))
    x = np.rint(elapsed * (_WIDTH - 6)).astype(int) + 2
    low, span = values.min(), np.ptp(values) or 1.0
    y = np.round((_HEIGHT - 4) * (1 - (values - low) / span) + 2, 1)
    breaks = np.diff(times, prepend=times[:1]) > np.timedelta64(1, "D") * line.max_gap_days
    breaks[0] = True
    starts = np.flatnonzero(breaks | (np.diff(x, prepend=x[:1]) > 0))
    bottom, top = np.maximum.reduceat(y, starts), np.minimum.reduceat(y, starts)
    path = "".join(
        f"{'M' if begins else 'L'}{column} {lower:g}V{upper:g}"
        for begins, column, lower, upper in zip(breaks[starts], x[starts], bottom, top, strict=True)
    )
    return Markup(
        '<svg class=course width={0} height={1} role=img aria-label="from {2:g} to {3:g}">'
        '<path d="{4}"/><line x1={5} x2={5} y1=0 y2={1} /></svg>'
    ).format(_WIDTH, _HEIGHT, low, values.max(), path, _WIDTH - 1)
