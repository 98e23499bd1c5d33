"""datos.gov.co, Colombia's open data (Socrata): the official dollar rate, TRM.

The TRM averages a session's trades and is in force from the day after it until the next session: Friday's
from Saturday to Monday. An observation is dated by its session, the day before it comes into force; dated by
force, a Friday's rate would be a Saturday's. So the row in force tomorrow holds today's session.
"""

from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.http import ProviderClient, Response, RetryableError
from dosvotos.sources.providers.parsing import parse_observations
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_PAGE: Final = 50_000
_IN_FORCE: Final = "vigenciadesde"
_UNIT: Final = "unidad"
_LEAD: Final = timedelta(days=1)
_TIME: Final = "%Y-%m-%dT%H:%M:%S.%f"

_Row = dict[str, Any]


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch COP per USD by session; the series is ``RESOURCE:COLUMN``, the optional key an app token."""
    resource, _, column = request.series.partition(":")
    context = f"datos_gov_co {request.series}"
    rows = _rows(request, resource, column, client)
    if not rows:
        raise NotPublishedError(f"{context}: no rate from {request.start} to {request.end}")
    units = {row.get(_UNIT) for row in rows}
    if len(units) != 1 or None in units:
        raise SourceError(f"{context}: expected one stated {_UNIT}, found {sorted(map(str, units))}")
    if not any(column in row for row in rows):
        raise SourceError(f"{context}: expected a column {column!r}, found {sorted(rows[0])}")
    sessions = [(_session(row, context), row.get(column)) for row in rows]
    return build_series(parse_observations(sessions, context), f"{resource} {column} {units.pop()}")


def _rows(request: SeriesRequest, resource: str, column: str, client: ProviderClient) -> list[_Row]:
    first, last = request.start + _LEAD, request.end + _LEAD
    query = {
        "$select": f"{_IN_FORCE},{_UNIT},{column}",
        "$where": f"{_IN_FORCE} between '{first}T00:00:00' and '{last}T00:00:00'",
        "$order": _IN_FORCE,
        "$limit": str(_PAGE),
    }
    headers = {"X-App-Token": client.key} if client.key else None
    rows: list[_Row] = []
    while True:
        page = client.get(
            f"/resource/{resource}.json",
            partial(_page, context=f"datos_gov_co {request.series}"),
            {**query, "$offset": str(len(rows))},
            headers,
        )
        rows += page
        if len(page) < _PAGE:
            return rows


def _page(response: Response, context: str) -> list[_Row]:
    found = response.json()
    if not isinstance(found, list):
        raise RetryableError(f"answered with {str(found)[:120]!r} instead of rows")
    if odd := [row for row in found if not (isinstance(row, dict) and isinstance(row.get(_IN_FORCE), str))]:
        raise SourceError(f"{context}: expected rows with {_IN_FORCE}, found {odd[0]}")
    return found


def _session(row: _Row, context: str) -> date:
    try:
        in_force = datetime.strptime(row[_IN_FORCE], _TIME)
    except ValueError as error:
        raise SourceError(
            f"{context}: expected a time such as 2026-01-16T00:00:00.000, found {row[_IN_FORCE]!r}"
        ) from error
    return in_force.date() - _LEAD
