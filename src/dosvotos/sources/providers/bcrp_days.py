"""What both interfaces of BCRPData share: the range of days in the path, and days with one value each."""

from collections.abc import Iterable, Sequence
from typing import Final

from dosvotos.errors import SourceError
from dosvotos.sources.providers.dates import parse_short_day
from dosvotos.sources.providers.parsing import Observation, parse_observations
from dosvotos.sources.series import SeriesRequest

_MISSING: Final = frozenset({"n.d."})


def daily_path(template: str, request: SeriesRequest, context: str) -> str:
    """Fill `template` with the code, start and end of a request for a daily series."""
    if request.frequency != "daily":
        raise SourceError(f"{context}: read as a daily series only, not as a {request.frequency} one")
    return template.format(code=request.series, start=request.start, end=request.end)


def parse_days(rows: Iterable[tuple[str, Sequence[str | None]]], context: str) -> list[Observation]:
    """Parse rows of a day such as ``30.Set.25`` and its one value; ``n.d.`` is a missing one."""
    dated = []
    for written, values in rows:
        day = parse_short_day(written, context)
        if len(values) != 1:
            raise SourceError(f"{context}: expected one value a day, found {values} on {day}")
        dated.append((day, values[0]))
    return parse_observations(dated, context, _MISSING)
