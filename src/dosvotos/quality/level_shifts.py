"""Level rules of a macro series: short steps, lost decimal points, values of another instrument."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.quality_thresholds import MacroQualityParams
from dosvotos.quality.series import (
    STORED,
    MacroSeries,
    Violation,
    Violations,
    format_ratio,
    log_ratio,
    power_of_ten,
)

LEVEL_SHIFT: Final = "level_shift"
_QUANTILE: Final = 0.99
_MIN_STEPS: Final = 20
_UNREPORTED_STEPS: Final = 2.0
"""Multiple of the 99% step up to which a lasting jump is not reported if the variable has no step ratio: that
quantile leaves out steps of about a power of ten, which balances near zero take too."""
_DAYS_WITHOUT_GAP: Final = 7
"""Days between two daily values up to which a step is not one over a gap."""


class Segment(NamedTuple):
    """Consecutive values without a break between them, and the rule they violate."""

    start: int
    end: int
    """One past the last."""
    rule: str = ""
    """Empty for the series' own values; values of rule LEVEL_SHIFT are kept too."""
    detail: str = ""

    @property
    def size(self) -> int:
        """Number of values."""
        return self.end - self.start


def find_level_violations(series: Sequence[MacroSeries], thresholds: MacroQualityParams) -> Violations:
    """Return the violation of each row that is not on the level of its series."""
    return {
        int(label): Violation(segment.rule, segment.detail)
        for one in series
        for segment in segment_series(one, thresholds)
        if segment.rule and segment.rule != LEVEL_SHIFT
        for label in one.label[segment.start : segment.end]
    }


def segment_series(series: MacroSeries, thresholds: MacroQualityParams) -> list[Segment]:
    """Split a series at its breaks and name the rule that each segment violates, in time order.

    Notes
    -----
    A step is a break if its log ratio exceeds that of the variable's ``max_step_ratio``, which grows with the
    square root of the time over a gap; without a ratio, if it is about a power of ten in a series of one
    sign. The reference segment is the one with most stored values, then most values. From it outwards, the
    next segment belongs to the series if the step from the last value that belongs is no break, if it holds
    stored values, or if it is a level shift: it lasts, nothing after it returns to the old level, and its
    jump is not many times the series' 99% step, as another instrument's is.
    """
    index = np.arange(len(series.value))
    breaks = np.flatnonzero(_is_break(series, index[:-1], index[1:])) + 1
    segments = [Segment(start, end) for start, end in pairwise([0, *breaks.tolist(), len(index)])]
    if len(segments) == 1:
        return segments
    ranks = [(_count_stored(series, segment), segment.size) for segment in segments]
    reference = ranks.index(max(ranks))
    after = _classify_outwards(series, segments[reference:], thresholds, forward=True)
    before = _classify_outwards(series, segments[reference::-1], thresholds, forward=False)
    return [*reversed(before[1:]), *after]


def step_q99(series: MacroSeries) -> float:
    """Return the 99% quantile of a series' absolute log steps, breaks left out; 0 with fewer than 20."""
    index = np.arange(len(series.value))
    steps = series.log_steps()
    steps = steps[np.isfinite(steps) & ~_is_break(series, index[:-1], index[1:])]
    return float(np.quantile(steps, _QUANTILE)) if len(steps) >= _MIN_STEPS else 0.0


def _classify_outwards(
    series: MacroSeries, segments: list[Segment], thresholds: MacroQualityParams, forward: bool
) -> list[Segment]:
    """Classify segments one after the other, away from the first, which belongs to the series."""
    near = [segment.start if forward else segment.end - 1 for segment in segments]
    far = [segment.end - 1 if forward else segment.start for segment in segments]
    q99 = step_q99(series)
    classified, last = [segments[0]], far[0]
    for i, candidate in enumerate(segments[1:], start=1):
        segment = candidate
        if not _count_stored(series, candidate) and _is_break(series, last, near[i]):
            returns = any(not _is_break(series, last, index) for index in near[i + 1 :])
            jump = _Jump(series.value[near[i]], series.value[last], candidate.size, returns)
            rule, detail = _classify_jump(jump, series.variable, q99, thresholds)
            segment = candidate._replace(rule=rule, detail=detail)
        classified.append(segment)
        if segment.rule in ("", LEVEL_SHIFT):
            last = far[i]
    return classified


class _Jump(NamedTuple):
    """A break between the last value that belongs to the series and the first of a segment."""

    value: float
    neighbour: float
    size: int
    """Number of values in the segment."""
    returns: bool
    """Whether a later segment is back at the old level."""


def _classify_jump(
    jump: _Jump, variable: MacroVariable, q99: float, thresholds: MacroQualityParams
) -> tuple[str, str]:
    """Return the rule that the segment after a jump violates, and the sentence about it."""
    value, neighbour, size, returns = jump
    ratio, lasting = variable.max_step_ratio, getattr(thresholds.lasting, variable.frequency)
    n_steps = float(log_ratio(value, neighbour)) / q99 if q99 > 0 else np.inf
    limit = "" if ratio is None else f" (at most {ratio:g} times)"
    found = f"{value:g} is {format_ratio(value, neighbour)} the {neighbour:g} beside it{limit}"
    is_slip = power_of_ten(value, neighbour) != 0
    lasts = size >= lasting and not returns and n_steps <= thresholds.splice_steps
    if lasts and not (is_slip and ratio is not None):
        if n_steps <= (1.0 if ratio is not None else _UNREPORTED_STEPS):
            return "", ""
        stays = f"stays for {size} value(s), {n_steps:.1f} of the series' usual largest steps"
        return LEVEL_SHIFT, f"{found} and {stays}"
    if is_slip:
        return "decimal_slip", f"{found}: a decimal point lost"
    if size < lasting:
        return "step", f"{found}, for {size} value(s); a level counts from {lasting} on"
    if returns:
        return "splice", f"{found} for {size} values, then the series returns: another instrument"
    return "splice", (
        f"{found} for {size} values, {n_steps:.0f} of the series' usual largest steps away (limit "
        f"{thresholds.splice_steps:g}): another instrument"
    )


def _is_break(series: MacroSeries, before: np.ndarray | int, after: np.ndarray | int) -> np.ndarray:
    """Tell whether the step between two indices is larger than any true one; over a gap it may be larger."""
    first, second = series.value[before], series.value[after]
    if (ratio := series.variable.max_step_ratio) is not None:
        limit = np.log(ratio) * _gap_factor(series, before, after)
        return np.asarray((first > 0) & (second > 0) & (log_ratio(second, first) > limit))
    one_sign = bool((series.value > 0).all() or (series.value < 0).all())
    return np.asarray(power_of_ten(second, first) != 0) & one_sign


def _gap_factor(series: MacroSeries, before: np.ndarray | int, after: np.ndarray | int) -> np.ndarray:
    """Return the square root of the weeks, months or quarters between neighbours, at least 1; else 1."""
    without_gap = _DAYS_WITHOUT_GAP if series.variable.frequency == "daily" else 1
    n_steps = np.abs(series.period[after] - series.period[before]) / without_gap
    are_neighbours = np.abs(np.subtract(after, before)) == 1
    return np.sqrt(np.where(are_neighbours, np.maximum(n_steps, 1.0), 1.0))


def _count_stored(series: MacroSeries, segment: Segment) -> int:
    return int((series.label[segment.start : segment.end] == STORED).sum())
