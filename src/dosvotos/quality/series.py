"""Macro series for the rules that compare a value with its neighbours: one value a day, month or quarter."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable

STORED: Final = -1
_POWER_TOLERANCE: Final = 0.1
"""Distance in log10 within which a ratio counts as a power of ten."""
MONTHS_PER_PERIOD: Final = {"monthly": 1, "quarterly": 3}

Variables = Mapping[str, MacroVariable]


class Violation(NamedTuple):
    """A rule that a row violates, and the sentence about it."""

    rule: str
    detail: str


Violations = dict[int, Violation]
"""Violation by row label."""


class MacroSeries(NamedTuple):
    """New and stored values of one variable in time order; arrays of shape (n_periods,), values finite."""

    name: str
    variable: MacroVariable
    period: np.ndarray
    """Days, months or quarters since 1970."""
    value: np.ndarray
    label: np.ndarray
    """Label of the row under check; STORED where the value was stored before."""
    source: np.ndarray

    def log_steps(self) -> np.ndarray:
        """Return each step's absolute log ratio, shape (n_periods - 1,); NaN where `log_ratio` is."""
        return log_ratio(self.value[1:], self.value[:-1])

    def first_day(self, index: int) -> np.datetime64:
        """Return the first day of the period at an index."""
        return cast(np.datetime64, first_days(self.period[[index]], self.variable.frequency)[0])


def iter_series(
    rows: pd.DataFrame, variables: Variables, period: pd.Series, stored: pd.DataFrame
) -> Iterator[MacroSeries]:
    """Yield the series of each variable in `rows`; a row replaces the stored value of its period.

    Parameters
    ----------
    rows : DataFrame
        variable, value, source; each period of a variable once.
    variables : mapping of MacroVariable by name
    period : Series of int, by the index of `rows`
    stored : DataFrame
        As `latest_stored` returns it.
    """
    new = rows[["variable", "value", "source"]].assign(period=period[rows.index], label=rows.index)
    history = stored.loc[stored["variable"].isin(rows["variable"]), ["variable", "value", "source", "period"]]
    both = pd.concat([new, history.assign(label=STORED)] if len(history) else [new])
    both = both.drop_duplicates(["variable", "period"]).sort_values(["variable", "period"])
    for name, part in both.groupby("variable"):
        columns = (part[column].to_numpy() for column in ("period", "value", "label", "source"))
        yield MacroSeries(str(name), variables[str(name)], *columns)


def latest_stored(known: pd.DataFrame | None, variables: Variables) -> pd.DataFrame:
    """Return the last stored row of each period with its ``period``, by variable and period."""
    if known is None or known.empty:
        return pd.DataFrame({"variable": [], "value": [], "source": [], "period": []})
    stored = known[known["variable"].isin(list(variables))].reset_index(drop=True)
    key = ["variable", "period"]
    latest = stored.assign(period=period_of_rows(stored, variables)).drop_duplicates(key, keep="last")
    return latest.sort_values(key, ignore_index=True)


def period_of_rows(rows: pd.DataFrame, variables: Variables) -> pd.Series:
    """Return the period number of each row's observation_date, by its variable's frequency."""
    days = rows["observation_date"].to_numpy("datetime64[D]")
    frequency = rows["variable"].map({name: v.frequency for name, v in variables.items()}).to_numpy()
    numbers = np.zeros(len(rows), dtype=np.int64)
    for each in pd.unique(frequency):
        numbers[frequency == each] = period_numbers(days[frequency == each], each)
    return pd.Series(numbers, index=rows.index)


def period_numbers(days: np.ndarray, frequency: str) -> np.ndarray:
    """Return the days, months or quarters since 1970 that dates (datetime64[D]) lie in."""
    if frequency == "daily":
        return days.astype(np.int64)
    return days.astype("datetime64[M]").astype(np.int64) // MONTHS_PER_PERIOD[frequency]


def first_days(numbers: np.ndarray, frequency: str) -> np.ndarray:
    """Return the first day (datetime64[D]) of periods given by number."""
    if frequency == "daily":
        return numbers.astype("datetime64[D]")
    months = numbers * MONTHS_PER_PERIOD[frequency]
    return months.astype("datetime64[M]").astype("datetime64[D]")


def log_ratio(value: Any, neighbour: Any) -> np.ndarray:
    """Return the absolute log ratio of two values; NaN where their signs differ or one is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.abs(np.log(value / neighbour))
    return np.where(np.isfinite(size), size, np.nan)


def power_of_ten(value: Any, neighbour: Any) -> np.ndarray:
    """Return n where a value is about 10^n times its neighbour, n not 0; else 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.log10(np.asarray(value) / np.asarray(neighbour))
    nearest = np.rint(np.where(np.isfinite(power), power, 0.0))
    return np.where(np.abs(power - nearest) <= _POWER_TOLERANCE, nearest, 0.0)


def format_ratio(value: float, neighbour: float) -> str:
    """Write how many times its neighbour a value is."""
    ratio = value / neighbour
    return f"{ratio:,.2f} times" if ratio >= 1 else f"1/{1 / ratio:,.2f} of"
