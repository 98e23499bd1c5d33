"""What both interfaces of BCRPData share: the range of days in the path, and days with one value each."""

from collections.abc import Iterable, Sequence
from typing import Final

from dosvotos.errors import SourceError
from dosvotos.sources.providers.dates import parse_short_day
from dosvotos.sources.providers.parsing import Observation, deduplicate, parse_number
from dosvotos.sources.series import SeriesRequest

_MISSING: Final = frozenset({"n.d."})


def daily_path(template: str, request: SeriesRequest, context: str) -> str:
    """Fill `template` with the request's code, start and end.

    Raises
    ------
    SourceError
        If the request is not for a daily series.
    """
    if request.frequency != "daily":
        raise SourceError(f"{context}: read as a daily series only, not as a {request.frequency} one")
    return template.format(code=request.series, start=request.start, end=request.end)


def parse_days(rows: Iterable[tuple[str, Sequence[str | None]]], context: str) -> list[Observation]:
    """Parse rows of a day such as ``30.Set.25`` and its one value, ``n.d.`` for a missing one.

    Raises
    ------
    SourceError
    """
    observations = []
    for written, values in rows:
        day = parse_short_day(written, context)
        if len(values) != 1:
            raise SourceError(f"{context}: expected one value a day, found {values} on {day}")
        observations.append((day, parse_number(values[0], _MISSING, f"{context} {day}")))
    return deduplicate(observations, context)
