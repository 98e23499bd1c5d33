"""What a provider is asked for, and what it returns: one series over a range of dates."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

import pandas as pd

from dosvotos.contracts.acquisition import Frequency


class SeriesRequest(NamedTuple):
    """One series over a range of observation dates; a monthly or quarterly date is its period's first day."""

    series: str
    """The provider's own name of the series."""
    frequency: Frequency
    start: date
    end: date
    batch: tuple[str, ...] = ()
    """All series this run asks of the provider, this one included; some answer several a call."""


class FetchedSeries(NamedTuple):
    """A provider's answer."""

    observations: pd.DataFrame
    """observation_date (date), value (float, provider's unit, finite) and, where the provider dates its
    vintages, vintage (ISO date): unique, in time order, nothing filled in."""
    description: str
    """All the provider says about the series: name, unit, currency."""


def build_series(
    observations: Iterable[tuple[date, float | None]], description: str, vintages: Iterable[str] | None = None
) -> FetchedSeries:
    """Build an answer from dated values, in time order; an observation without a value is left out."""
    frame = pd.DataFrame(list(observations), columns=["observation_date", "value"])
    if vintages is not None:
        frame["vintage"] = list(vintages)
    frame["value"] = frame["value"].astype(float)
    keys = [name for name in ("observation_date", "vintage") if name in frame]
    kept = frame.dropna(subset=["value"]).sort_values(keys, kind="stable", ignore_index=True)
    return FetchedSeries(kept, description)
