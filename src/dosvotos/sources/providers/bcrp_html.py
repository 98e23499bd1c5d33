"""Banco Central de Reserva del Peru, BCRPData's web page of a daily series: for when the API fails."""

from typing import Any, Final, NamedTuple

from dosvotos.sources.http import ProviderClient, Response, RetryableError
from dosvotos.sources.providers.bcrp_days import daily_path, parse_days
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_PATH: Final = "/estadisticas/series/diarias/resultados/{code}/html/{start}/{end}/"


class _Page(NamedTuple):
    headings: str
    rows: list[tuple[str, list[str]]]
    """The day as written, and the texts of the value cells beside it."""


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch daily values in the series' own unit; the series is its code."""
    context = f"bcrp_html {request.series}"
    page = client.get(daily_path(_PATH, request, context), _parse)
    return build_series(parse_days(page.rows, context), page.headings)


def _parse(response: Response) -> _Page:
    """The rows of the page's table; a page that is cut off, or has none, is worth another try."""
    from lxml import etree, html

    markup = response.content.lower()
    if not markup.strip() or markup.count(b"<table") != markup.count(b"</table>"):
        raise RetryableError(f"answered with half a page of {len(markup):,} bytes")
    try:
        document = html.document_fromstring(response.content)
    except (etree.LxmlError, ValueError) as error:
        raise RetryableError(f"answered with what is no page: {error}") from error
    rows = [
        (_text(day), [_text(cell) for cell in day.xpath("../td[contains(@class, 'dato')]")])
        for day in document.xpath("//td[contains(@class, 'periodo')]")
    ]
    if not rows:
        raise RetryableError("answered with a page without a table of days")
    headings = map(_text, document.xpath("//title | //caption | //th"))
    return _Page("; ".join(filter(None, dict.fromkeys(headings))), rows)


def _text(element: Any) -> str:
    return " ".join(element.text_content().split())
