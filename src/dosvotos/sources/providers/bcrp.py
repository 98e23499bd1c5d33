"""Banco Central de Reserva del Peru, BCRPData's API: daily series as JSON.

The answer names its series but repeats no code, and its order is the bank's own: each code is asked alone.
"""

from functools import partial
from typing import Annotated, Final

from pydantic import BaseModel, Field

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.http import ProviderClient, Response, parse_model
from dosvotos.sources.providers.bcrp_days import daily_path, parse_days
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_PATH: Final = "/estadisticas/series/api/{code}/json/{start}/{end}/esp"


class _Name(BaseModel):
    name: Annotated[str, Field(min_length=1)]


class _Config(BaseModel):
    title: str = ""
    series: list[_Name]


class _Period(BaseModel):
    name: str
    values: list[str | None]


class _Reply(BaseModel):
    config: _Config
    periods: list[_Period]


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch daily values in the series' own unit, which its name states; the series is its code."""
    context = f"bcrp {request.series}"
    reply = client.get(daily_path(_PATH, request, context), partial(_parse, context=context))
    if not reply.periods:
        raise NotPublishedError(f"{context}: no day from {request.start} to {request.end}")
    observations = parse_days(((period.name, period.values) for period in reply.periods), context)
    names = dict.fromkeys([reply.config.series[0].name, reply.config.title])
    return build_series(observations, "; ".join(names))


def _parse(response: Response, context: str) -> _Reply:
    reply = parse_model(response.json(), _Reply, context)
    names = [series.name for series in reply.config.series]
    if len(names) != 1:
        raise SourceError(f"{context}: expected one series, found {names}; check the code")
    return reply
