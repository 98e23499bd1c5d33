"""Banco de la Republica, SUAMECA: the undocumented service of its statistics portal; all history each time.

A wrong id gets status 200 as well: an empty list for a page of the portal, a record that says it is no series
for a number that nobody knows.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError

from dosvotos.contracts.acquisition import Frequency
from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.http import Answer, Client, TryAgainError
from dosvotos.sources.providers.dates import first_of_period
from dosvotos.sources.providers.parsing import once
from dosvotos.sources.series import Series, SeriesRequest, plain, series_of

_PATH: Final = "/estadisticas-economicas-back/rest/estadisticaEconomicaRestService/consultaInformacionSerie"
_BOGOTA: Final = ZoneInfo("America/Bogota")
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_STATED: Final[dict[Frequency, str]] = {"daily": "diari", "monthly": "mensual", "quarterly": "trimestral"}


class _Record(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    id: int
    name: Annotated[str, Field(alias="nombre", min_length=1)]
    unit: Annotated[str | None, Field(alias="unidad")] = None
    frequency: Annotated[str, Field(alias="descripcionPeriodicidad")]
    origin: Annotated[str | None, Field(alias="fuente")] = None
    data: list[tuple[StrictInt, StrictFloat | None]]
    """Milliseconds since 1970 of a midnight in Bogota, and the value."""


def fetch(request: SeriesRequest, client: Client) -> Series:
    """Values in the series' own unit; the series is its number, not that of its page on the portal.

    A monthly or quarterly value stands at its period's first day, wherever in the period the portal dates it.

    Raises
    ------
    SourceError
        Also if another series or frequency is stated, or a period holds two values.
    """
    what = f"suameca {request.series}"
    records = client.get(_PATH, partial(_records, what=what), {"idSerie": request.series})
    record = _chosen(records, request, what)
    start = datetime.combine(first_of_period(request.start, request.frequency), time.min, _BOGOTA)
    since = (start - _EPOCH) // timedelta(milliseconds=1)
    valued = [(at, value) for at, value in record.data if value is not None and at >= since]
    if not valued:
        raise NotPublishedError(f"{what}: no value since {request.start}")
    dated = [(first_of_period(_day(at, what), request.frequency), value) for at, value in valued]
    stated = [str(record.id), record.name, record.unit, record.frequency, record.origin]
    return series_of(once(dated, what), "; ".join(filter(None, stated)))


def _records(answer: Answer, what: str) -> list[_Record]:
    found = answer.json()
    if not isinstance(found, list):
        raise TryAgainError(f"answered with {str(found)[:120]!r} instead of a list of series")
    if not found or any(isinstance(item, dict) and item.get("isSerie") == "NO" for item in found):
        raise SourceError(
            f"{what}: no such series; the number of a page of the portal is not that of its series, which "
            "the portal's service listarSeriesXCategoria lists"
        )
    try:
        return [_Record.model_validate(item) for item in found]
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SourceError(f"{what}: the answer's form has changed: {place}: {first['msg']}") from error


def _chosen(records: Sequence[_Record], request: SeriesRequest, what: str) -> _Record:
    same = [record for record in records if str(record.id) == request.series]
    fitting = [record for record in same if plain(record.frequency).startswith(_STATED[request.frequency])]
    if len(fitting) != 1:
        found = [(record.id, record.name, record.frequency) for record in records]
        raise SourceError(f"{what}: expected one {request.frequency} series of this number, found {found}")
    return fitting[0]


def _day(milliseconds: int, what: str) -> date:
    try:
        local = (_EPOCH + timedelta(milliseconds=milliseconds)).astimezone(_BOGOTA)
    except OverflowError as error:
        raise SourceError(f"{what}: {milliseconds} milliseconds since 1970 are no date") from error
    if local.time() != time.min:
        raise SourceError(f"{what}: expected midnights in Bogota, found {local.isoformat()}")
    return local.date()
