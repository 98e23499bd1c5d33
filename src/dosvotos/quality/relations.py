"""Relations between macro series: a fraction delivered for a percent, two series in each other's place."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.quality_thresholds import RelationParams
from dosvotos.quality.findings import CheckedRows, QualityCheck
from dosvotos.quality.series import Variables

FRACTION, SWAPPED, RELATION = "percent_fraction", "swapped", "relation"
SAMPLE: Final = "sample"
_PERCENT: Final = 100.0
_MOSTLY: Final = 0.5
"""Share of violating values above which the whole series is of the wrong kind."""
_MAX_AGE: Final = pd.Timedelta(days=40)
"""Up to which a value is compared with the last one of the other series."""


class _Related(NamedTuple):
    """Values of two series beside each other, by date of the first; arrays of shape (n_values,)."""

    ratio: np.ndarray
    violates: np.ndarray
    label: np.ndarray
    """Label of the row under check; NaN where the value was stored before."""
    against: np.ndarray
    """The same of the other series' last value."""


def check_relations(
    macro: CheckedRows, variables: Variables, relations: Iterable[RelationParams], known: pd.DataFrame
) -> CheckedRows:
    """Quarantine the values that stand to another series as no true one ever did.

    Parameters
    ----------
    macro : CheckedRows
        Rows that passed every other rule: variable, observation_date, value, source.
    variables : mapping of MacroVariable by name
    relations : iterable of RelationParams
    known : DataFrame
        Observations stored before: variable, observation_date, value.

    Notes
    -----
    Where a hundred times a percent puts the ratio right, the percent is a fraction; where the inverse does,
    the two are in each other's place, and both are out; if most values violate, all are. Any other violation
    is reported: it may be true. Relations that the sample market does not keep are not asked of it.
    """
    rows = macro.kept
    check = QualityCheck.of_macro(rows)
    simulated = bool((rows["source"] == SAMPLE).any())
    new, old = (dict(iter(part.groupby("variable"))) for part in (rows, known))
    for relation in relations:
        if simulated and not relation.simulated:
            continue
        one, other = (
            _series(new.get(name, rows[:0]), old.get(name, known[:0]))
            for name in (relation.variable, relation.against)
        )
        related = _relate(one, other, relation)
        if related.violates.any():
            _judge(check, related, relation, variables)
            new = dict(iter(check.rows.groupby("variable")))
    return macro.followed_by(check)


def _relate(one: pd.DataFrame, other: pd.DataFrame, relation: RelationParams) -> _Related:
    """Pair each value with the other series' last one; mark those outside in a window whose median is."""
    both = pd.merge_asof(one, other, on="day", suffixes=("", "_against"), tolerance=_MAX_AGE)
    usable = both[(both["value"] > 0) & (both["value_against"] > 0)]
    ratio = usable["value"] / usable["value_against"]
    median = ratio.rolling(relation.values).median()
    bad_window = ((median < relation.low) | (median > relation.high)).astype(float)
    in_bad_window = bad_window[::-1].rolling(relation.values, min_periods=1).max()[::-1] > 0
    outside = (ratio < relation.low) | (ratio > relation.high)
    found = ratio, outside & in_bad_window, usable["label"], usable["label_against"]
    return _Related(*(part.to_numpy() for part in found))


def _series(new: pd.DataFrame, old: pd.DataFrame) -> pd.DataFrame:
    """Return day, value and label of a variable's rows, delivered or stored, each day once."""
    columns = ["observation_date", "value", "label"]
    new, old = new.assign(label=new.index.astype(float))[columns], old.assign(label=np.nan)[columns]
    both = pd.concat([part for part in (new, old) if len(part)] or [new])
    both = both.drop_duplicates("observation_date")
    day = pd.to_datetime(both["observation_date"]).astype("datetime64[us]")
    return both.assign(day=day, value=both["value"].astype(float)).sort_values("day")


def _judge(check: QualityCheck, related: _Related, relation: RelationParams, variables: Variables) -> None:
    ratio = float(np.median(related.ratio[related.violates]))
    one, other = relation.variable, relation.against
    labels = {
        name: part[related.violates & np.isfinite(part)].astype(int)
        for name, part in ((one, related.label), (other, related.against))
    }
    beside = f"{one} is {ratio:.4g} times {other} (from {relation.low:g} to {relation.high:g} is true)"
    for name, mended in ((one, ratio * _PERCENT), (other, ratio / _PERCENT)):
        if _inside(mended, relation) and _may_be_fraction(check.rows.loc[labels[name]], variables[name]):
            rule, why, guilty = FRACTION, f"{name} is a fraction, not a percent", [name]
            break
    else:
        if not _inside(1 / ratio, relation):
            _report(check, labels[one], ratio, beside)
            return
        rule, why, guilty = SWAPPED, "the two are in each other's place", [one, other]
    of_series = check.rows["variable"].isin(guilty).to_numpy()
    wrong = check.rows.index.isin(np.concatenate([labels[name] for name in guilty]))
    out = of_series & (wrong | (related.violates.mean() > _MOSTLY))
    check.quarantine(rule, out, [f"{value:g}: {beside}: {why}" for value in check.rows["value"][out]])


def _may_be_fraction(rows: pd.DataFrame, variable: MacroVariable) -> bool:
    """Tell whether a hundred times these values of a percent are possible."""
    mended = rows["value"].median() * _PERCENT
    possible = bool(variable.expected_min <= mended <= variable.expected_max)
    return variable.unit.startswith("percent") and possible


def _report(check: QualityCheck, labels: np.ndarray, ratio: float, detail: str) -> None:
    if len(labels):
        first = check.rows.loc[labels[0]]
        at = pd.Timestamp(first["observation_date"]).tz_localize("UTC")
        check.report(RELATION, str(first["variable"]), at, ratio, detail, str(first["source"]))


def _inside(ratio: float, relation: RelationParams) -> bool:
    return relation.low <= ratio <= relation.high
