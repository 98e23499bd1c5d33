"""Repetition rules of macro series: equal values in a row that the series' own history makes unlikely."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from dosvotos.contracts.quality_thresholds import MacroQualityParams
from dosvotos.quality.series import STORED, MacroSeries, Violation, Violations

_MAX_DECIMALS: Final = 6
_MIN_STEPS: Final = 20
_DECIMALS_SHARE: Final = 0.95
_MAX_REPEAT_SHARE: Final = 0.5
"""Share of repeats from which a series says nothing about copies."""

Release = tuple[str, str, int]
"""Country, source and period: the values that one faulty release copies at once."""


def find_repeat_violations(series: Sequence[MacroSeries], thresholds: MacroQualityParams) -> Violations:
    """Return the violation of each row that repeats the value before it though its series rarely does."""
    violations: Violations = {}
    for one in series:
        violations |= _check_runs(one, thresholds)
    copies_per_release, copies = _find_copies(series, thresholds)
    violations = _find_further_copies(series, copies_per_release, thresholds) | copies | violations
    violations.pop(STORED, None)
    return violations


class _Run(NamedTuple):
    """Equal values in a row, the odds of such a run, and how many are expected in the whole series."""

    start: int
    size: int
    odds: float
    expected: float
    at_end: bool
    is_longest: bool


def _check_runs(series: MacroSeries, thresholds: MacroQualityParams) -> Violations:
    """Check runs of more than two equal values; the first value of a run violates nothing."""
    violations: Violations = {}
    for run in _runs(series.value, thresholds.usual_repeats):
        if run.expected < thresholds.max_expected_runs:
            why = f"{run.expected:.1e} such runs expected, limit {thresholds.max_expected_runs:g}"
        elif run.at_end and run.is_longest and run.odds < thresholds.max_tail_odds:
            why = f"odds {run.odds:.1e}, limit {thresholds.max_tail_odds:g}"
        else:
            continue
        rule = "fabricated_tail" if run.at_end else "fabricated_run"
        found = Violation(rule, f"{run.size} values in a row equal {series.value[run.start]:g} ({why})")
        violations |= dict.fromkeys(series.label[run.start + 1 : run.start + run.size].tolist(), found)
    return violations


def _runs(values: np.ndarray, usual_repeats: float) -> Iterator[_Run]:
    """Yield the runs of more than two equal values, unless the other steps say that the series stands still.

    Notes
    -----
    A run of n values has the odds ``once * again^(n - 2)``: the share of repeats outside the run, and the
    share of those that were followed by one more.
    """
    same = np.diff(values) == 0
    _, starts, sizes = np.unique(np.append(0, np.cumsum(~same)), return_index=True, return_counts=True)
    for start, size in zip(starts[sizes > 2].tolist(), sizes[sizes > 2].tolist(), strict=True):
        repeats = int(same.sum()) - (size - 1)
        followed = int((same[1:] & same[:-1]).sum()) - (size - 2)
        elsewhere = len(same) - (size - 1)
        share = repeats / max(elsewhere, 1)
        if elsewhere < _MIN_STEPS or share >= usual_repeats:
            continue
        once = max(share, _repeat_odds(values), 1 / len(same))
        odds = once * max(once, (followed + once) / (repeats + 1)) ** (size - 2)
        is_longest = int((sizes >= size).sum()) == 1
        yield _Run(start, size, odds, len(same) * odds, start + size == len(values), is_longest)


def _find_copies(
    series: Sequence[MacroSeries], thresholds: MacroQualityParams
) -> tuple[Counter[Release], Violations]:
    """Find exact repeats in monthly and quarterly series whose decimals and steps make one unlikely."""
    per_release: Counter[Release] = Counter()
    violations: Violations = {}
    for one in series:
        if one.variable.frequency == "daily" or len(repeats := _repeats(one)) == 0:
            continue
        if (odds := _repeat_odds(one.value)) < thresholds.max_repeat_odds:
            for index in repeats:
                per_release[_release(one, index)] += 1
                violations[int(one.label[index])] = Violation(
                    "copied",
                    f"{one.value[index]:g} repeats the value before to the last digit (odds {odds:.1e}, "
                    f"limit {thresholds.max_repeat_odds:g})",
                )
    return per_release, violations


def _find_further_copies(
    series: Sequence[MacroSeries], per_release: Counter[Release], thresholds: MacroQualityParams
) -> Violations:
    """Find the other repeats of releases in which several series are copies."""
    violations: Violations = {}
    for one in series if per_release else ():
        for index in _repeats(one):
            if (n := per_release[_release(one, index)]) >= thresholds.min_copies:
                violations[int(one.label[index])] = Violation(
                    "copied",
                    f"{one.value[index]:g} repeats the value before, as {n} {one.variable.country} series "
                    f"do in this period that never should (limit {thresholds.min_copies})",
                )
    return violations


def _repeats(series: MacroSeries) -> np.ndarray:
    """Return the indices that repeat the value before; none if at least half of the series does."""
    repeats = np.diff(series.value) == 0
    are_rare = repeats.any() and repeats.mean() < _MAX_REPEAT_SHARE
    return np.flatnonzero(repeats) + 1 if are_rare else np.empty(0, dtype=int)


def _repeat_odds(values: np.ndarray) -> float:
    """Return the chance that two values in a row agree by rounding: last digit over median step."""
    steps = np.abs(np.diff(values))
    moves = steps[steps > 0]
    return min(_last_digit(values) / float(np.median(moves)), 1.0) if len(moves) else 1.0


def _last_digit(values: np.ndarray) -> float:
    """Return the unit of the last decimal of nearly all values; a bad value may have more decimals."""
    scaled = (values * 10.0**n for n in range(_MAX_DECIMALS))
    decimals = (n for n, v in enumerate(scaled) if (np.abs(v - np.rint(v)) < 1e-6).mean() >= _DECIMALS_SHARE)
    return float(10.0 ** -next(decimals, _MAX_DECIMALS))


def _release(series: MacroSeries, index: int) -> Release:
    return series.variable.country, str(series.source[index]), int(series.period[index])
