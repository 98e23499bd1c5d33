"""A macro variable's course: one value a day, month or quarter, those to judge among those already stored."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import MacroVariable

STORED: Final = -1
_NEAR_TEN: Final = 0.1
"""Distance in log10 within which a ratio counts as a power of ten."""

Verdicts = dict[int, tuple[str, str]]
"""Rule and sentence by the label of a row."""


class Line(NamedTuple):
    """One variable in order of time; arrays of shape (n_periods,), values finite."""

    name: str
    variable: MacroVariable
    period: np.ndarray
    """Days, months or quarters since 1970."""
    value: np.ndarray
    label: np.ndarray
    """Label of the judged row, STORED where the value was stored before."""
    source: np.ndarray

    def log_steps(self) -> np.ndarray:
        """Size of each step's log ratio, shape (n_periods - 1,); NaN where a sign changes or a value is 0."""
        return log_ratio(self.value[1:], self.value[:-1])

    def first_day(self, place: int) -> np.datetime64:
        """First day of the period at a place."""
        unit, n = {"daily": ("D", 1), "monthly": ("M", 1), "quarterly": ("M", 3)}[self.variable.frequency]
        day: np.datetime64 = (self.period[place] * n).astype(f"datetime64[{unit}]").astype("datetime64[D]")
        return day


def make_lines(
    rows: pd.DataFrame, variables: Mapping[str, MacroVariable], period: pd.Series, stored: pd.DataFrame
) -> Iterator[Line]:
    """Lay judged rows and stored values together, a line a judged variable; a row hides its stored value.

    Parameters
    ----------
    rows : DataFrame
        variable, value, source, each period once.
    variables : mapping of MacroVariable by name
    period : Series of int, by the index of `rows`
    stored : DataFrame
        As `latest_stored` returns it.
    """
    judged = rows[["variable", "value", "source"]].assign(period=period[rows.index], label=rows.index)
    history = stored.loc[stored["variable"].isin(rows["variable"]), ["variable", "value", "source", "period"]]
    both = pd.concat([judged, history.assign(label=STORED)] if len(history) else [judged])
    both = both.drop_duplicates(["variable", "period"]).sort_values(["variable", "period"])
    for name, line in both.groupby("variable"):
        columns = (line[column].to_numpy() for column in ("period", "value", "label", "source"))
        yield Line(str(name), variables[str(name)], *columns)


def latest_stored(known: pd.DataFrame | None, variables: Mapping[str, MacroVariable]) -> pd.DataFrame:
    """Stored values with their period, the last row of each period, in order."""
    if known is None or known.empty:
        return pd.DataFrame({"variable": [], "value": [], "source": [], "period": []})
    stored = known[known["variable"].isin(list(variables))].reset_index(drop=True)
    latest = stored.assign(period=periods(stored, variables)).drop_duplicates(
        ["variable", "period"], keep="last"
    )
    return latest.sort_values(["variable", "period"], ignore_index=True)


def periods(rows: pd.DataFrame, variables: Mapping[str, MacroVariable]) -> pd.Series:
    """Day, month or quarter since 1970 that each observation_date lies in, by its variable's frequency."""
    days = rows["observation_date"].to_numpy("datetime64[D]")
    months = days.astype("datetime64[M]").astype(int)
    frequency = rows["variable"].map({name: v.frequency for name, v in variables.items()}).to_numpy()
    is_daily, is_monthly = frequency == "daily", frequency == "monthly"
    period = np.select([is_daily, is_monthly], [days.astype(int), months], months // 3)
    return pd.Series(period, index=rows.index)


def log_ratio(value: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Size of the log ratio of two values; NaN where their signs differ or one is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size: np.ndarray = np.abs(np.log(value / beside))
    return np.where(np.isfinite(size), size, np.nan)


def power_of_ten(value: Any, beside: Any) -> np.ndarray:
    """Exponent of a value that is about a power of ten times the one beside it, else 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.log10(np.asarray(value) / np.asarray(beside))
    nearest = np.rint(np.where(np.isfinite(power), power, 0.0))
    return np.where(np.abs(power - nearest) <= _NEAR_TEN, nearest, 0.0)


def times(value: float, beside: float) -> str:
    """Say how many times the one the other is."""
    ratio = value / beside
    return f"{ratio:,.2f} times" if ratio >= 1 else f"1/{1 / ratio:,.2f} of"
