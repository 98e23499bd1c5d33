"""Copy rule of macro series: two variables with the same values on the same dates."""

from typing import Final

import numpy as np
import pandas as pd

from dosvotos.quality.findings import CheckedRows, QualityCheck

COPIED_SERIES: Final = "copied_series"
_MIN_RUN: Final = 5
"""Dates in a row, of those that both have, on which the values are equal; true series have two."""
_MIN_VALUES: Final = 3
"""Different values among them: two rates may stand still on one."""


def check_copied_series(macro: CheckedRows, known: pd.DataFrame) -> CheckedRows:
    """Quarantine the values that two variables share date by date: one of them is not what it says.

    Parameters
    ----------
    macro : CheckedRows
        Rows that passed every other rule: variable, observation_date, value, source.
    known : DataFrame
        Observations stored before: variable, observation_date, value.

    Notes
    -----
    A variable whose shared values are stored already keeps them; otherwise both are out.
    """
    rows = macro.kept
    columns = ["variable", "observation_date", "value"]
    old = known[columns].drop_duplicates(["variable", "observation_date"], keep="last")
    new = rows[columns].assign(label=rows.index)
    every = pd.concat([new, old.assign(label=-1)] if len(old) else [new])
    every = every.drop_duplicates(["variable", "observation_date"])
    stored = pd.MultiIndex.from_frame(old)
    found: dict[int, str] = {}
    for one, other in _candidates(every):
        run = _equal_runs(every, one, other)
        both = [(name, run[run["variable"] == name]) for name in (one, other)]
        as_stored = [pd.MultiIndex.from_frame(own[columns]).isin(stored).all() for _, own in both]
        for (name, own), stands in zip(both, as_stored, strict=True):
            if not stands or all(as_stored):
                twin = other if name == one else one
                found |= dict.fromkeys(own["label"].tolist(), f"is that of {twin} on {len(own)} date(s)")
    found.pop(-1, None)
    if not found:
        return macro
    check = QualityCheck.of_macro(rows)
    out = rows[rows.index.isin(list(found))]
    why = "{:g} {}: one series stands under two names"
    detail = [why.format(v, found[i]) for i, v in zip(out.index.tolist(), out["value"], strict=True)]
    check.quarantine(COPIED_SERIES, rows.index.isin(out.index), detail)
    return macro.followed_by(check)


def _candidates(every: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the pairs of variables that share values on enough dates."""
    shared = every[every.duplicated(["observation_date", "value"], keep=False)]
    pairs = shared.merge(shared, on=["observation_date", "value"], suffixes=("", "_other"))
    counts = pairs[pairs["variable"] < pairs["variable_other"]].groupby(["variable", "variable_other"]).size()
    return [(str(one), str(other)) for one, other in counts.index[counts >= _MIN_RUN]]


def _equal_runs(every: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """Return the rows of both variables in runs of dates on which they are equal."""
    own = {name: every[every["variable"] == name].set_index("observation_date") for name in (one, other)}
    days = own[one].index.intersection(own[other].index).sort_values()
    value = own[one]["value"][days]
    same = (value == own[other]["value"][days]).to_numpy()
    run = np.cumsum(~same)
    in_run = value[same].groupby(run[same])
    long = (in_run.transform("size") >= _MIN_RUN) & (in_run.transform("nunique") >= _MIN_VALUES)
    dates = long.index[long]
    return pd.concat([part.loc[dates].reset_index() for part in own.values()])
