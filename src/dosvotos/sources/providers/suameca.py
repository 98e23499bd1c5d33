"""Banco de la Republica, SUAMECA: the undocumented service of its statistics portal, the full history a call.

A wrong id is answered with status 200 too: the id of a page of the portal with an empty list, an unknown one
with a record whose ``isSerie`` is ``NO``.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt

from dosvotos.contracts.acquisition import Frequency
from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.http import ProviderClient, Response, RetryableError, parse_model
from dosvotos.sources.providers.dates import period_start
from dosvotos.sources.providers.parsing import deduplicate, normalize_text
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

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


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch values in the series' own unit; the series is its number, not that of its page on the portal.

    A monthly or quarterly value is dated by its period's first day, whichever day of it the portal uses.
    """
    context = f"suameca {request.series}"
    records = client.get(_PATH, partial(_records, context=context), {"idSerie": request.series})
    record = _chosen(records, request, context)
    start = datetime.combine(period_start(request.start, request.frequency), time.min, _BOGOTA)
    since = (start - _EPOCH) // timedelta(milliseconds=1)
    valued = [(at, value) for at, value in record.data if value is not None and at >= since]
    if not valued:
        raise NotPublishedError(f"{context}: no value since {request.start}")
    dated = [(period_start(_day(at, context), request.frequency), value) for at, value in valued]
    stated = [str(record.id), record.name, record.unit, record.frequency, record.origin]
    return build_series(deduplicate(dated, context), "; ".join(filter(None, stated)))


def _records(response: Response, context: str) -> list[_Record]:
    found = response.json()
    if not isinstance(found, list):
        raise RetryableError(f"answered with {str(found)[:120]!r} instead of a list of series")
    if not found or any(isinstance(item, dict) and item.get("isSerie") == "NO" for item in found):
        raise SourceError(
            f"{context}: no such series; the number of a page of the portal is not that of its series, which "
            "the portal's service listarSeriesXCategoria lists"
        )
    return [parse_model(item, _Record, context) for item in found]


def _chosen(records: Sequence[_Record], request: SeriesRequest, context: str) -> _Record:
    stated, same = _STATED[request.frequency], [r for r in records if str(r.id) == request.series]
    fitting = [record for record in same if normalize_text(record.frequency).startswith(stated)]
    if len(fitting) != 1:
        found = [(record.id, record.name, record.frequency) for record in records]
        raise SourceError(f"{context}: expected one {request.frequency} series of this number, found {found}")
    return fitting[0]


def _day(milliseconds: int, context: str) -> date:
    try:
        local = (_EPOCH + timedelta(milliseconds=milliseconds)).astimezone(_BOGOTA)
    except OverflowError as error:
        raise SourceError(f"{context}: {milliseconds} milliseconds since 1970 are no date") from error
    if local.time() != time.min:
        raise SourceError(f"{context}: expected midnights in Bogota, found {local.isoformat()}")
    return local.date()
