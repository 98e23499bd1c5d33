"""Values that repeat the one before where their series' own history says they would not."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from dosvotos.contracts.parameters import MacroQualityParams
from dosvotos.quality.lines import STORED, Line, Verdicts

_MOST_DECIMALS: Final = 6
_MIN_STEPS: Final = 20
_NEARLY_ALL: Final = 0.95
_HALF: Final = 0.5
"""Share of repeats from which a series says nothing about copies."""

Period = tuple[str, str, int]
"""Country, source and period: what one release copies at once."""


def judge_repeats(lines: Sequence[Line], thresholds: MacroQualityParams) -> Verdicts:
    """Judge runs of equal values, single copies of a month or quarter, and whole copied periods."""
    verdicts: Verdicts = {}
    for line in lines:
        verdicts |= _judge_runs(line, thresholds)
    copied, singles = _copies(lines, thresholds)
    verdicts = _copies_beside(lines, copied, thresholds) | singles | verdicts
    verdicts.pop(STORED, None)
    return verdicts


def _judge_runs(line: Line, thresholds: MacroQualityParams) -> Verdicts:
    """Judge runs of equal values that repeats elsewhere do not explain; their first value stays.

    A run of n values has the odds ``once x again^(n - 2)``: the share of repeats outside the run, and the
    share of those that were followed by one more.
    """
    verdicts: Verdicts = {}
    same = np.diff(line.value) == 0
    _, starts, sizes = np.unique(np.append(0, np.cumsum(~same)), return_index=True, return_counts=True)
    for start, size in zip(starts[sizes > 2].tolist(), sizes[sizes > 2].tolist(), strict=True):
        repeats = int(same.sum()) - (size - 1)
        followed = int((same[1:] & same[:-1]).sum()) - (size - 2)
        elsewhere = len(same) - (size - 1)
        share = repeats / max(elsewhere, 1)
        if elsewhere < _MIN_STEPS or share >= thresholds.usual_repeats:
            continue
        once = max(share, _repeat_odds(line.value), 1 / len(same))
        odds = once * max(once, (followed + once) / (repeats + 1)) ** (size - 2)
        ends = start + size == len(line.value)
        longest = int((sizes >= size).sum()) == 1
        if len(same) * odds < thresholds.max_expected_runs:
            why = f"{len(same) * odds:.1e} such runs expected, limit {thresholds.max_expected_runs:g}"
        elif ends and longest and odds < thresholds.max_tail_odds:
            why = f"odds {odds:.1e}, limit {thresholds.max_tail_odds:g}"
        else:
            continue
        rule = "fabricated_tail" if ends else "fabricated_run"
        found = (rule, f"{size} values in a row equal {line.value[start]:g} ({why})")
        verdicts |= dict.fromkeys(line.label[start + 1 : start + size].tolist(), found)
    return verdicts


def _copies(lines: Sequence[Line], thresholds: MacroQualityParams) -> tuple[Counter[Period], Verdicts]:
    """Find exact repeats in monthly and quarterly series whose decimals and steps make one unlikely."""
    copied: Counter[Period] = Counter()
    verdicts: Verdicts = {}
    for line in lines:
        if line.variable.frequency == "daily" or len(places := _repeats(line)) == 0:
            continue
        if (odds := _repeat_odds(line.value)) < thresholds.max_repeat_odds:
            for place in places:
                copied[_period(line, place)] += 1
                verdicts[int(line.label[place])] = (
                    "copied",
                    f"{line.value[place]:g} repeats the value before to the last digit (odds {odds:.1e}, "
                    f"limit {thresholds.max_repeat_odds:g})",
                )
    return copied, verdicts


def _copies_beside(
    lines: Sequence[Line], copied: Counter[Period], thresholds: MacroQualityParams
) -> Verdicts:
    """Find the other repeats of periods in which several series were copied."""
    verdicts: Verdicts = {}
    for line in lines if copied else ():
        for place in _repeats(line):
            if (n := copied[_period(line, place)]) >= thresholds.min_copies:
                verdicts[int(line.label[place])] = (
                    "copied",
                    f"{line.value[place]:g} repeats the value before, as {n} {line.variable.country} series "
                    f"do in this period that never should (limit {thresholds.min_copies})",
                )
    return verdicts


def _repeats(line: Line) -> np.ndarray:
    """Places that repeat the value before; none in a series that mostly does."""
    repeats = np.diff(line.value) == 0
    rare = repeats.any() and repeats.mean() < _HALF
    return np.flatnonzero(repeats) + 1 if rare else np.empty(0, dtype=int)


def _repeat_odds(values: np.ndarray) -> float:
    """Chance that two values in a row agree by rounding: their last digit over the median step."""
    steps = np.abs(np.diff(values))
    moves = steps[steps > 0]
    return min(_last_digit(values) / float(np.median(moves)), 1.0) if len(moves) else 1.0


def _last_digit(values: np.ndarray) -> float:
    """Unit of the last decimal in which nearly all values are written; a bad one may have more."""
    scaled = (values * 10.0**n for n in range(_MOST_DECIMALS))
    decimals = (n for n, v in enumerate(scaled) if (np.abs(v - np.rint(v)) < 1e-6).mean() >= _NEARLY_ALL)
    return float(10.0 ** -next(decimals, _MOST_DECIMALS))


def _period(line: Line, place: int) -> Period:
    return line.variable.country, str(line.source[place]), int(line.period[place])
