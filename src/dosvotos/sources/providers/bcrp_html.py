"""Banco Central de Reserva del Peru, BCRPData's page of a daily series: its table, for when the API fails."""

from typing import Any, Final, NamedTuple

from dosvotos.errors import SourceError
from dosvotos.sources.http import Answer, Client, TryAgainError
from dosvotos.sources.providers.dates import short_day
from dosvotos.sources.providers.parsing import once
from dosvotos.sources.series import Series, SeriesRequest, number, series_of

_PATH: Final = "/estadisticas/series/diarias/resultados/{code}/html/{start}/{end}/"
_MISSING: Final = frozenset({"n.d."})


class _Page(NamedTuple):
    headings: str
    rows: list[tuple[str, list[str]]]
    """The day as written, and the texts of the value cells beside it."""


def fetch(request: SeriesRequest, client: Client) -> Series:
    """Values in the series' own unit; the series is its code.

    Raises
    ------
    SourceError
    """
    what = f"bcrp_html {request.series}"
    if request.frequency != "daily":
        raise SourceError(f"{what}: read as a daily series only, not as a {request.frequency} one")
    path = _PATH.format(code=request.series, start=request.start, end=request.end)
    page = client.get(path, _page)
    observations = []
    for written, values in page.rows:
        day = short_day(written, what)
        if len(values) != 1:
            raise SourceError(f"{what}: expected one value a day, found {values} on {day}")
        observations.append((day, number(values[0], _MISSING, f"{what} {day}")))
    return series_of(once(observations, what), page.headings)


def _page(answer: Answer) -> _Page:
    """The table's rows; a page without one, or that breaks off within it, may be whole next time."""
    from lxml import etree, html

    markup = answer.content.lower()
    if not markup.strip() or markup.count(b"<table") != markup.count(b"</table>"):
        raise TryAgainError(f"answered with half a page of {len(markup):,} bytes")
    try:
        document = html.document_fromstring(answer.content)
    except (etree.LxmlError, ValueError) as error:
        raise TryAgainError(f"answered with what is no page: {error}") from error
    rows = [
        (_text(day), [_text(cell) for cell in day.xpath("../td[contains(@class, 'dato')]")])
        for day in document.xpath("//td[contains(@class, 'periodo')]")
    ]
    if not rows:
        raise TryAgainError("answered with a page without a table of days")
    headings = map(_text, document.xpath("//title | //caption | //th"))
    return _Page("; ".join(filter(None, dict.fromkeys(headings))), rows)


def _text(element: Any) -> str:
    return " ".join(element.text_content().split())
