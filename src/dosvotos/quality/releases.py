"""When the next observation of a variable is to be published, and which are overdue."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import cast

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import Frequency, MacroVariable, PublicationRule
from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.market.calendar import closed_days_around, published_at
from dosvotos.quality.series import MONTHS_PER_PERIOD


def next_observation(last: date, frequency: Frequency, rule: PublicationRule) -> date:
    """Give the date of the observation after one, by the business days of the rule's zone."""
    day = np.datetime64(last, "D")
    if frequency == "daily":
        closed = closed_days_around(np.array([day]), rule.zone)
        following = np.busday_offset(day, 1, roll="backward", holidays=closed)
    else:
        following = (day.astype("datetime64[M]") + MONTHS_PER_PERIOD[frequency]).astype("datetime64[D]")
    return cast(date, following.astype(object))


def next_release(last: date, variable: MacroVariable) -> pd.Timestamp:
    """Give the moment at which the observation after `last` is published by the variable's rule (UTC)."""
    following = next_observation(last, variable.frequency, variable.publication)
    return published_at([following], variable.publication)[0]


class Releases:
    """The rules of the variables behind features, asked bar by bar.

    Parameters
    ----------
    variables : mapping of MacroVariable by full name
    """

    def __init__(self, variables: Mapping[str, MacroVariable]) -> None:
        self._variables = {name: variables[name] for name in MACRO_SOURCES.values()}
        self._next: dict[tuple[str, int], pd.Timestamp] = {}

    def overdue(self, last: Mapping[str, int], moment: datetime) -> tuple[str, ...]:
        """Name the variables whose next observation was due by `moment`, given the last (days since 1970).

        A variable without any is not late but missing.
        """
        names = (name for name in self._variables if name in last)
        return tuple(name for name in names if self._due_at(name, last[name]) <= moment)

    def _due_at(self, name: str, day: int) -> pd.Timestamp:
        if (name, day) not in self._next:
            last = np.datetime64(day, "D").astype(object)
            self._next = {k: v for k, v in self._next.items() if k[0] != name}
            self._next[name, day] = next_release(last, self._variables[name])
        return self._next[name, day]
