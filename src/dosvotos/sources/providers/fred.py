"""FRED and ALFRED, Federal Reserve Bank of St. Louis: needs a key, and the user's consent to its terms.

Monthly and quarterly series come with every vintage, dated by the day it was published; daily series with
their current values. FRED takes its key in the URL only; the client keeps URLs out of messages and logs.
"""

import math
from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Final

from pydantic import BaseModel, Field

from dosvotos.contracts.acquisition import Frequency
from dosvotos.errors import SourceError
from dosvotos.sources.http import Model, ProviderClient, Response, RetryableError, parse_model
from dosvotos.sources.providers.dates import parse_date
from dosvotos.sources.providers.parsing import deduplicate, parse_number
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

KEY_VARIABLE: Final = "FRED_API_KEY"
PAGE: Final = 100_000
"""Most rows of one answer."""
_MISSING: Final = frozenset({"."})
_LETTER: Final[Mapping[Frequency, str]] = {"daily": "D", "monthly": "M", "quarterly": "Q"}
_MAX_EMPTY_DAYS: Final[Mapping[Frequency, int]] = {"daily": 30, "monthly": 180, "quarterly": 300}
"""A longer range without any row is an error, not a delay of publication."""


class _Description(BaseModel):
    id: str
    title: str
    units: str
    frequency: str
    frequency_short: str
    seasonal_adjustment: str = ""


class _Catalog(BaseModel):
    seriess: list[_Description]


class _Observation(BaseModel):
    realtime_start: str
    date: str
    value: str


class _Page(BaseModel):
    units: str
    count: int
    offset: int
    limit: int = Field(ge=1)
    observations: list[_Observation]


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch values in FRED's unit; the series is FRED's id, such as ``CPIAUCSL``.

    Each value of a monthly or quarterly series has its vintage, the day FRED first had it, and each revision
    is a row of its own; vintages after ``request.end`` are left out.

    Notes
    -----
    FRED allows 2,000 vintages a call, and a long series has more. No value is known before its period begins,
    so vintages are requested from ``request.start``: a series revised every week reaches the limit after 38
    years, which FRED reports as an error.
    """
    context = f"fred {request.series}"
    described = _describe(request, client)
    day_of = partial(parse_date, written="YYYY-MM-DD", context=context)
    dated = [(day_of(row.date), day_of(row.realtime_start), row) for row in _rows(request, client)]
    if not dated and (request.end - request.start).days > _MAX_EMPTY_DAYS[request.frequency]:
        raise SourceError(f"{context}: no observation from {request.start} to {request.end}")
    values = [(day, known, _value(row, f"{context} {day}")) for day, known, row in dated]
    if request.frequency == "daily":
        return build_series(deduplicate([(day, value) for day, _, value in values], context), described)
    vintages: dict[tuple[date, date], float | None] = {}
    for day, known, value in values:
        if known <= day:
            raise SourceError(f"{context}: the value of {day} is dated {known}, not after its period began")
        if vintages.setdefault((day, known), value) != value:
            twice = f"{day} stands twice in the vintage of {known}"
            raise SourceError(f"{context}: {twice}, with different values")
    kept = {key: value for key, value in vintages.items() if key[1] <= request.end}
    observations = [(day, value) for (day, _), value in kept.items()]
    return build_series(observations, described, [f"{known}" for _, known in kept])


def _describe(request: SeriesRequest, client: ProviderClient) -> str:
    """Title, unit and frequency that FRED states, checked against the request."""
    context = f"fred {request.series}"
    catalog = _ask("/fred/series", _Catalog, {}, request.series, client)
    if len(catalog.seriess) != 1 or catalog.seriess[0].id != request.series:
        raise SourceError(f"{context}: asked for one series, found {[found.id for found in catalog.seriess]}")
    found = catalog.seriess[0]
    if found.frequency_short != _LETTER[request.frequency]:
        raise SourceError(f"{context}: expected a {request.frequency} series, found {found.frequency!r}")
    named = (("id", found.id), ("title", found.title), ("units", found.units), ("frequency", found.frequency))
    parts = [*(f"{name} {stated}" for name, stated in named), found.seasonal_adjustment]
    return "; ".join(filter(None, parts))


def _rows(request: SeriesRequest, client: ProviderClient) -> list[_Observation]:
    params = {"observation_start": f"{request.start}", "observation_end": f"{request.end}", "units": "lin"}
    if request.frequency != "daily":
        params |= {"realtime_start": f"{request.start}", "realtime_end": "9999-12-31"}
    rows: list[_Observation] = []
    count: int | None = None
    while count is None or len(rows) < count:
        paging = {"limit": f"{PAGE}", "offset": f"{len(rows)}", "sort_order": "asc"}
        page = _ask("/fred/series/observations", _Page, {**params, **paging}, request.series, client)
        if (page.units, page.offset) != ("lin", len(rows)):
            raise SourceError(
                f"fred {request.series}: asked for units 'lin' from row {len(rows)}, "
                f"found {page.units!r} from row {page.offset}"
            )
        count = page.count
        rows += page.observations
    return rows


def _ask(
    path: str, model: type[Model], params: Mapping[str, str], series: str, client: ProviderClient
) -> Model:
    query = {"series_id": series, "file_type": "json", **params, "api_key": client.require_key(KEY_VARIABLE)}
    return client.get(path, partial(_parse, model, series), query, read_refusal=partial(_refusal, series))


def _parse(model: type[Model], series: str, response: Response) -> Model:
    content = response.json()
    if (refusal := _refusal(series, content)) is not None:
        raise refusal
    parsed = parse_model(content, model, f"fred {series}")
    if isinstance(parsed, _Page):
        announced = min(parsed.limit, parsed.count - parsed.offset)
        if len(parsed.observations) != announced:
            raise RetryableError(f"announced {announced} rows and sent {len(parsed.observations)}")
    return parsed


def _refusal(series: str, content: object) -> Exception | None:
    """The error that a body states; None if it states none."""
    if not isinstance(content, dict) or "error_code" not in content:
        return None
    code, message = content["error_code"], str(content.get("error_message", "no message"))
    if code == 429 or (isinstance(code, int) and code >= 500):
        return RetryableError(f"answered with code {code}: {message}")
    hint = f"; check {KEY_VARIABLE}" if "api_key" in message else ""
    return SourceError(f"fred {series}: code {code}: {message}{hint}")


def _value(row: _Observation, where: str) -> float | None:
    value = parse_number(row.value, _MISSING, where)
    if value is not None and not math.isfinite(value):
        raise SourceError(f"{where}: expected a finite number, found {row.value!r}")
    return value
