"""What a provider is asked for and what it gives back, and the parsing that providers share."""

import unicodedata
from collections.abc import Collection, Iterable
from datetime import date
from typing import Final, NamedTuple

import pandas as pd

from dosvotos.contracts.acquisition import Frequency
from dosvotos.errors import SourceError

SPANISH_MONTHS: Final = ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic")


class SeriesRequest(NamedTuple):
    """One series over a range of observation dates; a monthly or quarterly date is its period's first day."""

    series: str
    """The provider's own name."""
    frequency: Frequency
    start: date
    end: date
    siblings: tuple[str, ...] = ()
    """All series this run asks of the provider, this one included: what one call can answer together."""


class Series(NamedTuple):
    """A provider's answer."""

    observations: pd.DataFrame
    """observation_date (date), value (float, provider's unit, finite) and, where the provider dates its
    vintages, vintage (ISO date): unique and in time order, nothing filled in."""
    states: str
    """All the provider says about the series: name, unit, currency."""


def series_of(
    observations: Iterable[tuple[date, float | None]], states: str, vintages: Iterable[str] | None = None
) -> Series:
    """Collect an answer; an observation without a value is left out."""
    frame = pd.DataFrame(list(observations), columns=["observation_date", "value"])
    if vintages is not None:
        frame["vintage"] = list(vintages)
    frame["value"] = frame["value"].astype(float)
    keys = [name for name in ("observation_date", "vintage") if name in frame]
    return Series(frame.dropna(subset=["value"]).sort_values(keys, kind="stable", ignore_index=True), states)


def number(raw: object, missing: Collection[str], what: str) -> float | None:
    """Read a number as a provider writes it, None for its own sign of a missing value.

    Raises
    ------
    SourceError
        If it is neither; `what` names the place.
    """
    if raw is None:
        return None
    text = str(raw).strip()
    if text == "" or text in missing:
        return None
    try:
        return float(text.replace("_", "?"))  # Python reads 1_000 as a number
    except ValueError as error:
        raise SourceError(f"{what}: expected a number, found {text!r}") from error


def plain(text: str) -> str:
    """Text without accents, case and repeated spaces, for comparing names."""
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).casefold().split())


def spanish_month(name: str, what: str) -> int:
    """Month 1 to 12 from a Spanish name or its first three letters ("Set" is September).

    Raises
    ------
    SourceError
    """
    start = plain(name)[:3]
    start = {"set": "sep"}.get(start, start)
    if start not in SPANISH_MONTHS:
        raise SourceError(f"{what}: expected a Spanish month, found {name!r}")
    return SPANISH_MONTHS.index(start) + 1
