"""Banco Central de Reserva del Peru, BCRPData's API: JSON, daily series over a range of days.

The answer names its series but repeats no code, and its order is the bank's own: each code is asked alone.
"""

from functools import partial
from typing import Annotated, Final

from pydantic import BaseModel, Field, ValidationError

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.http import Answer, Client
from dosvotos.sources.providers.dates import short_day
from dosvotos.sources.providers.parsing import once
from dosvotos.sources.series import Series, SeriesRequest, number, series_of

_PATH: Final = "/estadisticas/series/api/{code}/json/{start}/{end}/esp"
_MISSING: Final = frozenset({"n.d."})


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


def fetch(request: SeriesRequest, client: Client) -> Series:
    """Values in the series' own unit, which its name states; the series is its code.

    Raises
    ------
    SourceError
    """
    what = f"bcrp {request.series}"
    if request.frequency != "daily":
        raise SourceError(f"{what}: read as a daily series only, not as a {request.frequency} one")
    path = _PATH.format(code=request.series, start=request.start, end=request.end)
    reply = client.get(path, partial(_reply, what=what))
    if not reply.periods:
        raise NotPublishedError(f"{what}: no day from {request.start} to {request.end}")
    dated = [(short_day(period.name, what), period.values[0]) for period in reply.periods]
    observations = [(day, number(raw, _MISSING, f"{what} {day}")) for day, raw in dated]
    name = reply.config.series[0].name
    return series_of(once(observations, what), "; ".join(dict.fromkeys([name, reply.config.title])))


def _reply(answer: Answer, what: str) -> _Reply:
    try:
        reply = _Reply.model_validate(answer.json())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SourceError(f"{what}: the answer's form has changed: {place}: {first['msg']}") from error
    names = [series.name for series in reply.config.series]
    if len(names) != 1:
        raise SourceError(f"{what}: expected one series, found {names}; check the code")
    if uneven := [period for period in reply.periods if len(period.values) != 1]:
        raise SourceError(f"{what}: expected one value a day, found {uneven[0].values} on {uneven[0].name}")
    return reply
