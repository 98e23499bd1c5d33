"""The rules of macro observations: one is kept as it came or put aside with its reason, never repaired."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.parameters import MacroQualityParams
from dosvotos.errors import DataError
from dosvotos.market.calendar import closed_days_around
from dosvotos.quality.findings import REPORTED, Judged, Sieve
from dosvotos.quality.levels import LEVEL_SHIFT, cut, judge_levels, usual_step
from dosvotos.quality.lines import (
    STORED,
    Line,
    Verdicts,
    latest_stored,
    log_ratio,
    make_lines,
    periods,
    power_of_ten,
    times,
)
from dosvotos.quality.repeats import judge_repeats

_COLUMNS: Final = ("variable", "observation_date", "value", "vintage", "source")
_AROUND: Final = 5
"""Stored values whose median a revision is measured against."""
_REGIME: Final = 60
_REGIME_MIN: Final = 20
_REGIME_RATIO: Final = 3.0


def judge_macro(
    observations: pd.DataFrame,
    variables: Mapping[str, MacroVariable],
    thresholds: MacroQualityParams,
    as_of: pd.Timestamp,
    known: pd.DataFrame | None = None,
) -> Judged:
    """Put aside the observations that break a rule, and report what is odd about the others.

    Parameters
    ----------
    observations : DataFrame
        variable, observation_date (datetime.date), value, vintage, source; in any order, an observation as
        often as it came.
    variables : mapping of MacroVariable by name
    thresholds : MacroQualityParams
    as_of : Timestamp, timezone-aware
        What counts as now.
    known : DataFrame or None
        Observations stored before, same columns; of several rows of one period the last counts. They are
        compared with, never judged.

    Returns
    -------
    Judged
        Kept observations by variable and date, one a period. Each row of the input is kept, or has one
        quarantined finding, or one of rule ``duplicate_agrees``. Judging what was kept takes out nothing
        more.

    Raises
    ------
    DataError
        For missing columns.
    """
    rows = _in_order(observations)
    sieve = Sieve(rows, rows["variable"], pd.to_datetime(rows["observation_date"]).dt.tz_localize("UTC"))
    _take_out_unknown(sieve, variables)
    period = periods(sieve.rows, variables)
    stored = latest_stored(known, variables)
    _take_out_not_finite(sieve)
    _take_out_future(sieve, variables, as_of)
    _take_out_of_range(sieve, variables, stored)
    _resolve_duplicates(sieve, period)
    _take_out_rewrites(sieve, variables, period, stored)
    while True:
        lines = list(make_lines(sieve.rows, variables, period, stored))
        verdicts = judge_levels(lines, thresholds) or judge_repeats(lines, thresholds)
        if not verdicts:
            break
        _take_out(sieve, verdicts)
    for line in lines:
        _report_level_shifts(sieve, line, thresholds)
        _report_source_changes(sieve, line)
        _report_gaps(sieve, line, thresholds)
        _report_odd_dates(sieve, line)
    return sieve.judged()


def _in_order(observations: pd.DataFrame) -> pd.DataFrame:
    if missing := [name for name in _COLUMNS if name not in observations.columns]:
        raise DataError(f"macro: column(s) {missing} are missing, found {list(observations.columns)}")
    order = ["variable", "observation_date", "vintage", "source", "value"]
    return observations.sort_values(order, kind="stable", ignore_index=True)


# ---- what an observation says by itself


def _take_out_unknown(sieve: Sieve, variables: Mapping[str, MacroVariable]) -> None:
    unknown = ~sieve.rows["variable"].isin(list(variables)).to_numpy()
    said = [f"{name} is no variable of macro_variables.yml" for name in sieve.rows["variable"][unknown]]
    sieve.take_out("unknown_variable", unknown, sieve.rows["value"], said)


def _take_out_not_finite(sieve: Sieve) -> None:
    """Put aside what is no number; empty cells before a variable's first value are a table's padding."""
    value = sieve.rows["value"].to_numpy(float)
    finite = pd.Series(np.isfinite(value), index=sieve.rows.index)
    begun = finite.groupby(sieve.rows["variable"]).cummax().to_numpy(bool)
    padding = np.isnan(value) & ~begun
    broken = ~np.isfinite(value) & ~padding
    sieve.take_out(
        "padding",
        padding,
        sieve.rows["value"],
        ["no value, and none before: a table's empty cell"] * padding.sum(),
    )
    said = [f"a value must be a finite number, was {v}" for v in value[broken]]
    sieve.take_out("not_finite", broken[~padding], sieve.rows["value"], said)


def _take_out_future(sieve: Sieve, variables: Mapping[str, MacroVariable], as_of: pd.Timestamp) -> None:
    """Put aside values of days and periods that have not begun where they are published."""
    zones = sieve.rows["variable"].map({name: v.publication.zone for name, v in variables.items()})
    today = zones.map({zone: as_of.tz_convert(zone).date() for zone in zones.unique()})
    future = (sieve.rows["observation_date"] > today).to_numpy(bool)
    said = [f"lies after today, {day}" for day in today[future]]
    sieve.take_out("future", future, sieve.rows["value"], said)


def _take_out_of_range(sieve: Sieve, variables: Mapping[str, MacroVariable], stored: pd.DataFrame) -> None:
    """Put aside values outside their variable's range; a lost decimal point is called by its name."""
    value = sieve.rows["value"].to_numpy(float)
    low, high = (_by_variable(sieve.rows, variables, bound) for bound in ("expected_min", "expected_max"))
    outside = (value < low) | (value > high)
    if not outside.any():
        return
    name = sieve.rows["variable"]
    sound = sieve.rows["value"].where(~outside).groupby(name)
    last_stored = name.map(stored.groupby("variable")["value"].last())
    beside = sound.ffill().fillna(sound.bfill()).fillna(last_stored).to_numpy(float)
    slip = outside & (power_of_ten(value, beside) != 0)
    other = outside & ~slip
    said_slip = [
        f"{v:g} lies outside [{lo:g}, {hi:g}] and is {times(v, b)} the {b:g} beside it: a decimal point lost"
        for v, lo, hi, b in zip(value[slip], low[slip], high[slip], beside[slip], strict=True)
    ]
    said_other = [
        f"{v:g} lies outside [{lo:g}, {hi:g}]"
        for v, lo, hi in zip(value[other], low[other], high[other], strict=True)
    ]
    sieve.take_out("decimal_slip", slip, sieve.rows["value"], said_slip)
    sieve.take_out("out_of_range", other[~slip], sieve.rows["value"], said_other)


def _resolve_duplicates(sieve: Sieve, period: pd.Series) -> None:
    """Of the rows of one period keep the first by: early date in it, late vintage, source name, low value."""
    rows = sieve.rows.assign(period=period[sieve.rows.index])
    key = ["variable", "period"]
    ordered = rows.sort_values("vintage", ascending=False, kind="stable").sort_values(
        "observation_date", kind="stable"
    )
    loses = rows.index.isin(ordered.index[ordered.duplicated(key)])
    winner = ordered.drop_duplicates(key).set_index(key).reindex(pd.MultiIndex.from_frame(rows[key]))
    agrees = loses & (rows["value"].to_numpy(float) == winner["value"].to_numpy(float))
    differs = loses & ~agrees

    def say(chosen: np.ndarray, verb: str) -> list[str]:
        columns = (
            rows["value"],
            winner["value"],
            winner["observation_date"],
            winner["vintage"],
            winner["source"],
        )
        return [
            f"{value:g} {verb} {kept:g} of {day}, vintage {vintage}, from {source}, which is kept"
            for value, kept, day, vintage, source in zip(
                *(c.to_numpy()[chosen] for c in columns), strict=True
            )
        ]

    said_agrees, said_differs = say(agrees, "repeats"), say(differs, "differs from")
    sieve.take_out("duplicate_agrees", agrees, sieve.rows["value"], said_agrees, REPORTED)
    sieve.take_out("duplicate_disagrees", differs[~agrees], sieve.rows["value"], said_differs)


# ---- what it says beside others


def _take_out_rewrites(
    sieve: Sieve, variables: Mapping[str, MacroVariable], period: pd.Series, stored: pd.DataFrame
) -> None:
    """Put aside revisions beyond the step ratio, against the median of what is stored around their date."""
    if stored.empty:
        return
    by_variable = stored.groupby("variable")["value"]
    around = by_variable.transform(lambda v: v.rolling(_AROUND, center=True, min_periods=1).median())
    history = around.set_axis(pd.MultiIndex.from_frame(stored[["variable", "period"]]))
    keys = pd.MultiIndex.from_arrays([sieve.rows["variable"], period[sieve.rows.index]])
    was, value = history.reindex(keys).to_numpy(float), sieve.rows["value"].to_numpy(float)
    limit = _by_variable(sieve.rows, variables, "max_step_ratio")
    broken = (was > 0) & (value > 0) & (log_ratio(value, was) > np.log(limit))
    said = [
        f"{v:g} is {times(v, w)} the {w:g} stored around this date (at most {r:g} times): another history"
        for v, w, r in zip(value[broken], was[broken], limit[broken], strict=True)
    ]
    sieve.take_out("rewrites_history", broken, sieve.rows["value"], said)


def _take_out(sieve: Sieve, verdicts: Verdicts) -> None:
    for rule in sorted({rule for rule, _ in verdicts.values()}):
        broken = sieve.rows.index.isin([label for label, (found, _) in verdicts.items() if found == rule])
        said = [verdicts[label][1] for label in sieve.rows.index[broken]]
        sieve.take_out(rule, broken, sieve.rows["value"], said)


# ---- what the kept observations look like


def _report_level_shifts(sieve: Sieve, line: Line, thresholds: MacroQualityParams) -> None:
    for stretch in cut(line, thresholds):
        if stretch.rule == LEVEL_SHIFT:
            _report(sieve, line, LEVEL_SHIFT, stretch.start, line.value[stretch.start], stretch.detail)


def _report_source_changes(sieve: Sieve, line: Line) -> None:
    """Report a change of source that comes with an unusual jump or with other usual steps."""
    changes = np.flatnonzero(line.source[1:] != line.source[:-1]) + 1
    if len(changes) == 0 or (usual := usual_step(line)) == 0:
        return
    steps = line.log_steps()
    for place in changes.tolist():
        before, after = steps[max(place - 1 - _REGIME, 0) : place - 1], steps[place : place + _REGIME]
        jump = steps[place - 1] / usual
        if jump > 1 or _regimes_differ(before, after):
            detail = (
                f"{line.value[place]:g} from {line.source[place]} follows {line.value[place - 1]:g} from "
                f"{line.source[place - 1]}: a step of {jump:.1f} of the series' usual largest, median steps "
                f"{np.nanmedian(before):.2%} before and {np.nanmedian(after):.2%} after"
            )
            _report(sieve, line, "source_change", place, line.value[place], detail)


def _regimes_differ(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether the median steps on two sides are several times apart."""
    if min(len(before), len(after)) < _REGIME_MIN:
        return False
    calm, lively = sorted((np.nanmedian(before), np.nanmedian(after)))
    return bool(lively > _REGIME_RATIO * calm)


def _report_gaps(sieve: Sieve, line: Line, thresholds: MacroQualityParams) -> None:
    """Report stretches of missing business days, months or quarters between two values."""
    frequency = line.variable.frequency
    missing = np.diff(line.period) - 1
    if frequency == "daily":
        days = line.period.astype("datetime64[D]")
        closed = closed_days_around(days, line.variable.publication.zone)
        missing = np.busday_count(days[:-1] + 1, days[1:], holidays=closed)
    unit = {"daily": "business day(s)", "monthly": "month(s)", "quarterly": "quarter(s)"}[frequency]
    for place in np.flatnonzero(missing >= getattr(thresholds.gap, frequency)).tolist():
        first, last = line.first_day(place), line.first_day(place + 1)
        detail = f"{missing[place]} {unit} missing between {first} and {last}"
        _report(sieve, line, "gap", place + 1, missing[place], detail)


def _report_odd_dates(sieve: Sieve, line: Line) -> None:
    """Report each daily value of a weekend, and that a series' periods are not dated on their first day."""
    places = np.flatnonzero(line.label != STORED)
    days = pd.DatetimeIndex(sieve.rows["observation_date"][line.label[places]])
    if line.variable.frequency == "daily":
        odd = days.dayofweek >= 5
        for place, day in zip(places[odd].tolist(), days[odd], strict=True):
            detail = f"{line.value[place]:g} of {day:%Y-%m-%d}, a {day:%A}"
            _report(sieve, line, "weekend", place, line.value[place], detail)
    elif (odd := days.day != 1).any():
        detail = (
            f"{odd.sum()} value(s) are not dated on their period's first day, first {days[odd][0]:%Y-%m-%d}"
        )
        _report(sieve, line, "period_date", int(places[odd][0]), odd.sum(), detail)


def _report(sieve: Sieve, line: Line, rule: str, place: int, value: float, detail: str) -> None:
    at = pd.Timestamp(line.first_day(place)).tz_localize("UTC")
    sieve.report(rule, line.name, at, value, detail, str(line.source[place]))


def _by_variable(rows: pd.DataFrame, variables: Mapping[str, MacroVariable], field: str) -> np.ndarray:
    """A figure of each row's variable, NaN where it has none."""
    figures = {name: getattr(variable, field) for name, variable in variables.items()}
    return rows["variable"].map(figures).to_numpy(float)
