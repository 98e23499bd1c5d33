"""Values on a level that is not the series' own: bad steps, lost decimal points, other instruments."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from dosvotos.contracts.parameters import MacroQualityParams
from dosvotos.quality.lines import STORED, Line, Verdicts, log_ratio, power_of_ten, times

LEVEL_SHIFT: Final = "level_shift"
_USUAL: Final = 0.99
_MIN_STEPS: Final = 20
_UNLIMITED: Final = 2.0
"""Usual steps of an unreported jump that lasts, without a ratio: those of about a power of ten are left out
of the usual ones, and balances near zero take them too."""
_USUAL_DAYS: Final = 7
"""Days without a daily value, from which a step is one over a hole."""


class Stretch(NamedTuple):
    """Values between two breaks, and what is thought of them."""

    start: int
    end: int
    """One past the last."""
    rule: str = ""
    """Empty for the series' own values; LEVEL_SHIFT values are kept too."""
    detail: str = ""

    @property
    def size(self) -> int:
        """Number of values."""
        return self.end - self.start


def judge_levels(lines: Sequence[Line], thresholds: MacroQualityParams) -> Verdicts:
    """Judge the values that are not on their series' level."""
    return {
        int(label): (stretch.rule, stretch.detail)
        for line in lines
        for stretch in cut(line, thresholds)
        if stretch.rule and stretch.rule != LEVEL_SHIFT
        for label in line.label[stretch.start : stretch.end]
    }


def cut(line: Line, thresholds: MacroQualityParams) -> list[Stretch]:
    """Cut a line where it breaks, and judge each stretch from the series' own outwards.

    Returns
    -------
    list of Stretch, in order

    Notes
    -----
    A step breaks beyond the variable's ``max_step_ratio``, whose logarithm grows with the square root of the
    time over a hole; without one, if it is about a power of ten in a
    series of one sign. The stretch with most stored values, then most values, is the series' own. Going
    outwards, the next one belongs to it if the step from the last that belongs is no break, if it holds
    stored values, or if it is a true level shift: it lasts, nothing after it returns to the old level, and
    its jump is not many times the series' usual largest steps, as another instrument's is.
    """
    places = np.arange(len(line.value))
    breaks = np.flatnonzero(_is_break(line, places[:-1], places[1:])) + 1
    stretches = [Stretch(start, end) for start, end in pairwise([0, *breaks.tolist(), len(places)])]
    if len(stretches) == 1:
        return stretches
    own = max(range(len(stretches)), key=lambda i: (_n_stored(line, stretches[i]), stretches[i].size))
    after = _walk(line, stretches[own:], thresholds, forward=True)
    before = _walk(line, stretches[own::-1], thresholds, forward=False)
    return [*reversed(before[1:]), *after]


def usual_step(line: Line) -> float:
    """The 99% quantile of a line's log steps, breaks left out; 0 with fewer than 20 of them."""
    places = np.arange(len(line.value))
    steps = line.log_steps()
    steps = steps[np.isfinite(steps) & ~_is_break(line, places[:-1], places[1:])]
    return float(np.quantile(steps, _USUAL)) if len(steps) >= _MIN_STEPS else 0.0


def _walk(
    line: Line, stretches: list[Stretch], thresholds: MacroQualityParams, forward: bool
) -> list[Stretch]:
    """Judge stretches in turn, the first of which belongs to the series."""
    near = [stretch.start if forward else stretch.end - 1 for stretch in stretches]
    far = [stretch.end - 1 if forward else stretch.start for stretch in stretches]
    usual = usual_step(line)
    judged, last = [stretches[0]], far[0]
    for i, stretch in enumerate(stretches[1:], start=1):
        verdict = stretch
        if not _n_stored(line, stretch) and _is_break(line, last, near[i]):
            returns = any(not _is_break(line, last, place) for place in near[i + 1 :])
            rule, detail = _judge(line, last, near[i], stretch.size, returns, usual, thresholds)
            verdict = stretch._replace(rule=rule, detail=detail)
        judged.append(verdict)
        if verdict.rule in ("", LEVEL_SHIFT):
            last = far[i]
    return judged


def _judge(
    line: Line,
    last: int,
    first: int,
    size: int,
    returns: bool,
    usual: float,
    thresholds: MacroQualityParams,
) -> tuple[str, str]:
    """Name a stretch that breaks off from the last value of the series."""
    value, beside, ratio = line.value[first], line.value[last], line.variable.max_step_ratio
    limit = "" if ratio is None else f" (at most {ratio:g} times)"
    found = f"{value:g} is {times(value, beside)} the {beside:g} beside it{limit}"
    lasting = getattr(thresholds.lasting, line.variable.frequency)
    n_steps = float(log_ratio(value, beside)) / usual if usual > 0 else np.inf
    is_slip = power_of_ten(value, beside) != 0
    lasts = size >= lasting and not returns and n_steps <= thresholds.splice_steps
    if lasts and not (is_slip and ratio is not None):
        if n_steps <= (1.0 if ratio is not None else _UNLIMITED):
            return "", ""
        return (
            LEVEL_SHIFT,
            f"{found} and stays for {size} value(s), {n_steps:.1f} of the series' usual largest steps",
        )
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


def _is_break(line: Line, before: np.ndarray | int, after: np.ndarray | int) -> np.ndarray:
    """Whether no true value takes the step between two places; over a hole it may be larger."""
    first, second = line.value[before], line.value[after]
    if (ratio := line.variable.max_step_ratio) is not None:
        limit = np.log(ratio) * _over_hole(line, before, after)
        beyond: np.ndarray = (first > 0) & (second > 0) & (log_ratio(second, first) > limit)
        return beyond
    one_sign = bool((line.value > 0).all() or (line.value < 0).all())
    return np.asarray(power_of_ten(second, first) != 0) & one_sign


def _over_hole(line: Line, before: np.ndarray | int, after: np.ndarray | int) -> np.ndarray:
    """Square root of the weeks, months or quarters between neighbours, at least 1; 1 across other values."""
    usual = _USUAL_DAYS if line.variable.frequency == "daily" else 1
    n_steps = np.abs(line.period[after] - line.period[before]) / usual
    neighbours = np.abs(np.subtract(after, before)) == 1
    return np.sqrt(np.where(neighbours, np.maximum(n_steps, 1.0), 1.0))


def _n_stored(line: Line, stretch: Stretch) -> int:
    return int((line.label[stretch.start : stretch.end] == STORED).sum())
