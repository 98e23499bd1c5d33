import datetime as dt

import pytest

from dosvotos.errors import SourceError
from dosvotos.sources.providers.bcrp_html import fetch
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, Reply, client_of, payload

PAGES = "/estadisticas/series/diarias/resultados/*"


def request(frequency="daily"):
    return SeriesRequest("PD04715XD", frequency, dt.date(2026, 1, 29), dt.date(2026, 1, 30))


def page(*rows, before="", charset="utf-8"):
    cells = "".join(
        f'<tr><td class="periodo"><b>{day}</b></td>' + "".join(f'<td class="dato"> {v} </td>' for v in values)
        + "</tr>"
        for day, *values in rows
    )  # fmt: skip
    markup = (
        f'<!DOCTYPE html><html><head><meta charset="{charset}"><title>Diarias</title></head><body>{before}'
        f"<table class='series'><tr><th>Fecha</th><th>Índice EMBIG - Colombia</th></tr>{cells}</table></body>"
    )
    return Reply(markup.encode(charset), content_type="text/html; charset=" + charset)


def ask(*replies, of=None):
    server = LocalServer()
    server.answer(PAGES, *replies)
    with client_of("bcrp_html", server) as client:
        return fetch(of or request(), client), server


def values(series):
    return [(str(day), value) for day, value in series.observations.itertuples(index=False)]


def test_the_sample_page_is_read_and_not_refused_for_being_a_page():
    series, server = ask(Reply(payload("bcrp_table.html"), content_type="text/html"))
    assert values(series) == [("2026-01-29", 263.0)]
    assert series.description == ""
    assert server.calls[0].path == (
        "/estadisticas/series/diarias/resultados/PD04715XD/html/2026-01-29/2026-01-30/"
    )


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
def test_a_whole_page_is_read_in_its_own_encoding_and_states_its_headings(charset):
    menu = "<table><tr><td>Inicio</td></tr></table>"
    series, _ = ask(page(("30Ene26", "n.d."), ("29Set25", "252.5"), before=menu, charset=charset))
    assert values(series) == [("2025-09-29", 252.5)]
    assert series.description == "Diarias; Fecha; Índice EMBIG - Colombia"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("29Ene26", "263", "140"), "expected one value a day, found \\['263', '140'\\] on 2026-01-29"),
        (("29Ene26",), "expected one value a day, found \\[\\]"),
        (("29/01/26", "263"), "expected a day such as 30.Set.25 or 29Ene26, found '29/01/26'"),
        (("29Ene26", "1,263"), "expected a number, found '1,263'"),
    ],
)
def test_another_table_is_refused_with_what_was_found(row, told):
    with pytest.raises(SourceError, match=f"^bcrp_html PD04715XD.*{told}"):
        ask(page(row))


def test_a_day_with_two_values_is_refused():
    with pytest.raises(SourceError, match=r"2026-01-29 stands twice, with 263\.0 and with 264\.0"):
        ask(page(("29Ene26", "263"), ("29Ene26", "264")))


def test_a_monthly_series_is_not_read_as_days():
    with pytest.raises(SourceError, match="as a daily series only"):
        ask(page(("29Ene26", "263")), of=request("monthly"))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Reply(page(("29Ene26", "263")).content[:-20], content_type="text/html"), "half a page of"),
        (
            Reply("<html><body>En mantenimiento</body></html>", content_type="text/html"),
            "without a table of days",
        ),
        (Reply(" ", content_type="text/html"), "half a page of 1 bytes"),
        (Reply("<!-- only a comment -->", content_type="text/html"), "page"),
    ],
)
def test_half_a_page_or_another_one_is_asked_again_and_then_told(fault, told):
    series, server = ask(fault, page(("29Ene26", "263")))
    assert values(series) == [("2026-01-29", 263.0)] and len(server.calls) == 2
    with pytest.raises(SourceError, match=told):
        ask(fault)
