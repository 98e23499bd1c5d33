"""US Bureau of Labor Statistics, public API version 1: no key, 10 years and 25 series a call, 25 calls a day.

It says nothing about a series but its id: only version 2 has names and units.
"""

import re
from datetime import date
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, Field

from dosvotos.errors import SourceError
from dosvotos.sources.http import ProviderClient, Response, RetryableError, parse_model
from dosvotos.sources.providers.parsing import parse_observations
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_PATH: Final = "/publicAPI/v1/timeseries/data/"
_YEARS_A_CALL: Final = 10
_SERIES_A_CALL: Final = 25
_MISSING: Final = frozenset({"-"})
_SUCCEEDED: Final = "REQUEST_SUCCEEDED"
_BUSY: Final = "REQUEST_FAILED_OVER_CAPACITY"
_MONTHS: Final = {
    "monthly": {f"M{month:02d}": month for month in range(1, 13)},
    "quarterly": {f"Q{quarter:02d}": 3 * quarter - 2 for quarter in range(1, 5)},
}
_YEAR_AVERAGE: Final = frozenset({"M13", "Q05"})


class _Observation(BaseModel):
    year: str = Field(pattern=r"^\d{4}$")
    period: str
    value: str | None


class _Data(BaseModel):
    id: str = Field(alias="seriesID")
    data: list[_Observation]


class _Results(BaseModel):
    series: list[_Data] = []


class _Reply(BaseModel):
    status: str
    message: list[str] = []
    results: Annotated[_Results, BeforeValidator(lambda given: given or {})] = Field(alias="Results")


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch monthly or quarterly values in the series' own unit; the series is the BLS id."""
    context = f"bls {request.series}"
    ids = _ids_of_call(request)
    dated: list[tuple[date, str | None]] = []
    for first in range(request.start.year, request.end.year + 1, _YEARS_A_CALL):
        last = min(first + _YEARS_A_CALL - 1, request.end.year)
        for row in _rows(request.series, ids, client, (first, last)):
            if row.period not in _YEAR_AVERAGE:
                dated.append((_first_day(row, request, context), row.value))
    return build_series(parse_observations(dated, context, _MISSING), request.series)


def _ids_of_call(request: SeriesRequest) -> list[str]:
    """The up to 25 ids asked in one call with this one: the same for each, so that the call is made once."""
    ids = sorted({request.series, *request.batch})
    start = ids.index(request.series) // _SERIES_A_CALL * _SERIES_A_CALL
    return ids[start : start + _SERIES_A_CALL]


def _rows(series: str, ids: list[str], client: ProviderClient, years: tuple[int, int]) -> list[_Observation]:
    body = {"seriesid": list(ids), "startyear": str(years[0]), "endyear": str(years[1])}
    reply = client.post(_PATH, _reply, body)
    about_it = [text for text in reply.message if re.search(rf"(?<!\w){re.escape(series)}(?!\w)", text)]
    if unknown := list(filter(_is_unknown, about_it)):
        raise SourceError(f"bls {series}: {unknown[0]}; check the id")
    if reply.status != _SUCCEEDED:  # refused because of another id: ask for this one alone
        if len(ids) == 1:
            raise SourceError(f"bls {series}: {reply.status}: {reply.message}")
        return _rows(series, [series], client, years)
    found = [data for data in reply.results.series if data.id == series]
    if len(found) != 1:
        names = [data.id for data in reply.results.series]
        raise SourceError(f"bls {series}: expected this series once in the answer, found {names}")
    if not found[0].data and not about_it:
        raise SourceError(f"bls {series}: no observation in {years[0]}-{years[1]}, and no message why")
    return found[0].data


def _reply(response: Response) -> _Reply:
    reply = parse_model(response.json(), _Reply, "bls")
    message = "; ".join(reply.message)
    if reply.status == _BUSY:
        raise RetryableError(f"{_BUSY}: {message}")
    if reply.status != _SUCCEEDED and "threshold" in message:
        raise SourceError(f"bls: the calls a day without a key are used up; run again tomorrow: {message}")
    if reply.status != _SUCCEEDED and not any(map(_is_unknown, reply.message)):
        raise SourceError(f"bls: {reply.status}: {message or 'no message'}")
    return reply


def _is_unknown(message: str) -> bool:
    return "does not exist" in message or "Invalid Series" in message


def _first_day(row: _Observation, request: SeriesRequest, context: str) -> date:
    months, frequency = _MONTHS.get(request.frequency, {}), request.frequency
    if row.period not in months:
        raise SourceError(f"{context}: expected a {frequency} period, found {row.period!r} in {row.year}")
    return date(int(row.year), months[row.period], 1)
