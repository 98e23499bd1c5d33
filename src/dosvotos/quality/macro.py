"""Quality rules for macro observations: each is kept as it came, or quarantined; none is repaired."""

from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.quality_thresholds import MacroQualityParams
from dosvotos.market.calendar import closed_days_around
from dosvotos.quality.findings import CheckedRows, QualityCheck, require_columns
from dosvotos.quality.level_shifts import LEVEL_SHIFT, find_level_violations, segment_series, step_q99
from dosvotos.quality.repeated_values import find_repeat_violations
from dosvotos.quality.series import (
    STORED,
    MacroSeries,
    Variables,
    Violations,
    format_ratio,
    iter_series,
    latest_stored,
    log_ratio,
    period_of_rows,
    power_of_ten,
)

_COLUMNS: Final = ("variable", "observation_date", "value", "vintage", "source")
_REVISION_WINDOW: Final = 5
"""Stored values whose median a revision is compared with."""
_NEAR_ZERO: Final = 0.5
"""Up to which a series may come so close to zero that one is a value."""
_SOURCE_WINDOW: Final = 60
_MIN_SOURCE_WINDOW: Final = 20
_VOLATILITY_RATIO: Final = 3.0
_GAP_UNITS: Final = {"daily": "business day(s)", "monthly": "month(s)", "quarterly": "quarter(s)"}


def check_macro(
    observations: pd.DataFrame,
    variables: Variables,
    thresholds: MacroQualityParams,
    as_of: pd.Timestamp,
    known: pd.DataFrame | None = None,
) -> CheckedRows:
    """Quarantine the observations that violate a rule, and report anomalies among the others.

    Parameters
    ----------
    observations : DataFrame
        variable, observation_date (datetime.date), value, vintage, source; in any order, duplicates and NaN
        values allowed.
    variables : mapping of MacroVariable by name
    thresholds : MacroQualityParams
    as_of : Timestamp, timezone-aware
        What counts as now.
    known : DataFrame or None
        Observations stored before, same columns; of several rows of one period the last counts. They are
        compared with, never checked.

    Returns
    -------
    CheckedRows
        Kept observations by variable and date, one a period, values finite. Each input row is kept, or has
        one quarantined finding, or one of rule ``duplicate_agrees``. Checking the kept rows again
        quarantines nothing.

    Raises
    ------
    DataError
        For missing columns.
    """
    require_columns("macro", observations, _COLUMNS)
    order = ["variable", "observation_date", "vintage", "source", "value"]
    rows = observations.sort_values(order, kind="stable", ignore_index=True)
    check = QualityCheck.of_macro(rows)
    _quarantine_unknown(check, variables)
    period, stored = period_of_rows(check.rows, variables), latest_stored(known, variables)
    _check_single_rows(check, variables, period, stored, as_of)
    while True:
        every_series = list(iter_series(check.rows, variables, period, stored))
        violations = find_level_violations(every_series, thresholds)
        violations = violations or find_repeat_violations(every_series, thresholds)
        if not violations:
            break
        _quarantine_violations(check, violations)
    for series in every_series:
        _report_level_shifts(check, series, thresholds)
        _report_source_changes(check, series)
        _report_gaps(check, series, thresholds)
        _report_dates(check, series)
    return check.result()


# ---- rules of a single observation


def _check_single_rows(
    check: QualityCheck, variables: Variables, period: pd.Series, stored: pd.DataFrame, as_of: pd.Timestamp
) -> None:
    _quarantine_not_finite(check)
    _quarantine_future(check, variables, as_of)
    _quarantine_out_of_range(check, variables, stored)
    _quarantine_zeros(check)
    _resolve_duplicates(check, period)
    _quarantine_rewrites(check, variables, period, stored)


def _quarantine_unknown(check: QualityCheck, variables: Variables) -> None:
    unknown = ~check.rows["variable"].isin(list(variables)).to_numpy()
    detail = [f"{name} is no variable of macro_variables.yml" for name in check.rows["variable"][unknown]]
    check.quarantine("unknown_variable", unknown, detail)


def _quarantine_not_finite(check: QualityCheck) -> None:
    """Quarantine values that are NaN or infinite; NaN before a variable's first value is padding."""
    value = check.rows["value"].to_numpy(float)
    finite = pd.Series(np.isfinite(value), index=check.rows.index)
    has_begun = finite.groupby(check.rows["variable"]).cummax().to_numpy(bool)
    padding = np.isnan(value) & ~has_begun
    not_finite = ~np.isfinite(value) & ~padding
    detail = ["no value, and none before: a table's empty cell"] * padding.sum()
    check.quarantine("padding", padding, detail)
    detail = [f"a value must be a finite number, was {v}" for v in value[not_finite]]
    check.quarantine("not_finite", not_finite[~padding], detail)


def _quarantine_future(check: QualityCheck, variables: Variables, as_of: pd.Timestamp) -> None:
    """Quarantine values of days and periods that have not begun in the zone of their publication."""
    zones = check.rows["variable"].map({name: v.publication.zone for name, v in variables.items()})
    today = zones.map({zone: as_of.tz_convert(zone).date() for zone in zones.unique()})
    future = (check.rows["observation_date"] > today).to_numpy(bool)
    detail = [f"lies after today, {day}" for day in today[future]]
    check.quarantine("future", future, detail)


def _quarantine_out_of_range(check: QualityCheck, variables: Variables, stored: pd.DataFrame) -> None:
    """Quarantine values outside their variable's range, under its own rule if a decimal point was lost."""
    value = check.rows["value"].to_numpy(float)
    low, high = (_limit_of_rows(check.rows, variables, bound) for bound in ("expected_min", "expected_max"))
    outside = (value < low) | (value > high)
    if not outside.any():
        return
    neighbour = _values_in_range_beside(check.rows, outside, stored)
    slip = outside & (power_of_ten(value, neighbour) != 0)
    other = outside & ~slip
    detail = [
        f"{v:g} lies outside [{lo:g}, {hi:g}] and is {format_ratio(v, n)} the {n:g} beside it: a decimal "
        "point lost"
        for v, lo, hi, n in zip(value[slip], low[slip], high[slip], neighbour[slip], strict=True)
    ]
    check.quarantine("decimal_slip", slip, detail)
    detail = [
        f"{v:g} lies outside [{lo:g}, {hi:g}]"
        for v, lo, hi in zip(value[other], low[other], high[other], strict=True)
    ]
    check.quarantine("out_of_range", other[~slip], detail)


def _quarantine_zeros(check: QualityCheck) -> None:
    """Quarantine zeros where all other values are far above: a program's mark for no value."""
    value = check.rows["value"].to_numpy(float)
    others = check.rows["value"].where(value != 0).groupby(check.rows["variable"])
    lowest = others.transform("min").to_numpy(float)
    zero = (value == 0) & (lowest > _NEAR_ZERO)
    detail = [f"0 stands for no value: the others are at least {low:g}" for low in lowest[zero]]
    check.quarantine("zero", zero, detail)


def _values_in_range_beside(rows: pd.DataFrame, outside: np.ndarray, stored: pd.DataFrame) -> np.ndarray:
    """Return each row's nearest earlier value in range, else the nearest later, else the last stored one."""
    name = rows["variable"]
    in_range = rows["value"].where(~outside).groupby(name)
    last_stored = name.map(stored.groupby("variable")["value"].last())
    return in_range.ffill().fillna(in_range.bfill()).fillna(last_stored).to_numpy(float)


def _resolve_duplicates(check: QualityCheck, period: pd.Series) -> None:
    """Keep one row a period: by early date in it, late vintage, source name, low value."""
    rows = check.rows.assign(period=period[check.rows.index])
    key = ["variable", "period"]
    by_vintage = rows.sort_values("vintage", ascending=False, kind="stable")
    ordered = by_vintage.sort_values("observation_date", kind="stable")
    is_duplicate = rows.index.isin(ordered.index[ordered.duplicated(key)])
    kept = ordered.drop_duplicates(key).set_index(key).reindex(pd.MultiIndex.from_frame(rows[key]))
    agrees = is_duplicate & (rows["value"].to_numpy(float) == kept["value"].to_numpy(float))
    disagrees = is_duplicate & ~agrees
    agreeing = _describe_duplicates(rows, kept, agrees, "repeats")
    check.remove_duplicates("duplicate_agrees", agrees, agreeing)
    disagreeing = _describe_duplicates(rows, kept, disagrees, "differs from")
    check.quarantine("duplicate_disagrees", disagrees[~agrees], disagreeing)


def _describe_duplicates(rows: pd.DataFrame, kept: pd.DataFrame, chosen: np.ndarray, verb: str) -> list[str]:
    columns = kept[["value", "observation_date", "vintage", "source"]][chosen].itertuples(index=False)
    return [
        f"{value:g} {verb} {kept_value:g} of {day}, vintage {vintage}, from {source}, which is kept"
        for value, (kept_value, day, vintage, source) in zip(rows["value"][chosen], columns, strict=True)
    ]


# ---- rules of an observation among its neighbours


def _quarantine_rewrites(
    check: QualityCheck, variables: Variables, period: pd.Series, stored: pd.DataFrame
) -> None:
    """Quarantine revisions beyond the step ratio from the median of the values stored around their date."""
    if stored.empty:
        return
    by_variable = stored.groupby("variable")["value"]
    median = by_variable.transform(lambda v: v.rolling(_REVISION_WINDOW, center=True, min_periods=1).median())
    median_by_period = median.set_axis(pd.MultiIndex.from_frame(stored[["variable", "period"]]))
    keys = pd.MultiIndex.from_arrays([check.rows["variable"], period[check.rows.index]])
    before, value = median_by_period.reindex(keys).to_numpy(float), check.rows["value"].to_numpy(float)
    limit = _limit_of_rows(check.rows, variables, "max_step_ratio")
    rewrites = (before > 0) & (value > 0) & (log_ratio(value, before) > np.log(limit))
    detail = [
        f"{v:g} is {format_ratio(v, b)} the {b:g} stored around this date (at most {r:g} times): another "
        "history"
        for v, b, r in zip(value[rewrites], before[rewrites], limit[rewrites], strict=True)
    ]
    check.quarantine("rewrites_history", rewrites, detail)


def _quarantine_violations(check: QualityCheck, violations: Violations) -> None:
    for rule in sorted({violation.rule for violation in violations.values()}):
        labels = [label for label, violation in violations.items() if violation.rule == rule]
        violates = check.rows.index.isin(labels)
        detail = [violations[label].detail for label in check.rows.index[violates]]
        check.quarantine(rule, violates, detail)


# ---- reports about the kept observations


def _report_level_shifts(check: QualityCheck, series: MacroSeries, thresholds: MacroQualityParams) -> None:
    for segment in segment_series(series, thresholds):
        if segment.rule == LEVEL_SHIFT:
            value = series.value[segment.start]
            _report(check, series, LEVEL_SHIFT, segment.start, value, segment.detail)


def _report_source_changes(check: QualityCheck, series: MacroSeries) -> None:
    """Report changes of source that come with a jump beyond the 99% step or with another volatility."""
    changes = np.flatnonzero(series.source[1:] != series.source[:-1]) + 1
    if len(changes) == 0 or (q99 := step_q99(series)) == 0:
        return
    steps = series.log_steps()
    for index in changes.tolist():
        before = steps[max(index - 1 - _SOURCE_WINDOW, 0) : index - 1]
        after = steps[index : index + _SOURCE_WINDOW]
        jump = steps[index - 1] / q99
        if jump > 1 or _volatility_differs(before, after):
            detail = (
                f"{series.value[index]:g} from {series.source[index]} follows {series.value[index - 1]:g} "
                f"from {series.source[index - 1]}: a step of {jump:.1f} of the series' usual largest, median "
                f"steps {np.nanmedian(before):.2%} before and {np.nanmedian(after):.2%} after"
            )
            _report(check, series, "source_change", index, series.value[index], detail)


def _volatility_differs(before: np.ndarray, after: np.ndarray) -> bool:
    """Tell whether one median step is more than three times the other; false with few steps."""
    if min(len(before), len(after)) < _MIN_SOURCE_WINDOW:
        return False
    low, high = sorted((np.nanmedian(before), np.nanmedian(after)))
    return bool(high > _VOLATILITY_RATIO * low)


def _report_gaps(check: QualityCheck, series: MacroSeries, thresholds: MacroQualityParams) -> None:
    """Report missing business days, months or quarters between two values."""
    frequency = series.variable.frequency
    missing = np.diff(series.period) - 1
    if frequency == "daily":
        days = series.period.astype("datetime64[D]")
        closed = closed_days_around(days, series.variable.publication.zone)
        missing = np.busday_count(days[:-1] + 1, days[1:], holidays=closed)
    for index in np.flatnonzero(missing >= getattr(thresholds.gap, frequency)).tolist():
        first, last = series.first_day(index), series.first_day(index + 1)
        detail = f"{missing[index]} {_GAP_UNITS[frequency]} missing between {first} and {last}"
        _report(check, series, "gap", index + 1, missing[index], detail)


def _report_dates(check: QualityCheck, series: MacroSeries) -> None:
    """Report each daily value of a weekend, and periods that are not dated on their first day."""
    new = np.flatnonzero(series.label != STORED)
    days = pd.DatetimeIndex(check.rows["observation_date"][series.label[new]])
    if series.variable.frequency == "daily":
        on_weekend = days.dayofweek >= 5
        for index, day in zip(new[on_weekend].tolist(), days[on_weekend], strict=True):
            detail = f"{series.value[index]:g} of {day:%Y-%m-%d}, a {day:%A}"
            _report(check, series, "weekend", index, series.value[index], detail)
    elif (later := days.day != 1).any():
        what = f"{later.sum()} value(s) are not dated on their period's first day"
        detail = f"{what}, first {days[later][0]:%Y-%m-%d}"
        _report(check, series, "period_date", int(new[later][0]), later.sum(), detail)


def _report(
    check: QualityCheck, series: MacroSeries, rule: str, index: int, value: float, detail: str
) -> None:
    at = pd.Timestamp(series.first_day(index)).tz_localize("UTC")
    check.report(rule, series.name, at, value, detail, str(series.source[index]))


def _limit_of_rows(rows: pd.DataFrame, variables: Variables, field: str) -> np.ndarray:
    """Return a limit of each row's variable, by its field's name; NaN where the variable has none."""
    limits = {name: getattr(variable, field) for name, variable in variables.items()}
    return rows["variable"].map(limits).to_numpy(float)
