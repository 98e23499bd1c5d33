import datetime as dt
import json
from zoneinfo import ZoneInfo

import pytest

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.providers.suameca import fetch
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, Reply, client_of, payload

PATH = "/estadisticas-economicas-back/rest/estadisticaEconomicaRestService/consultaInformacionSerie"
BOGOTA = ZoneInfo("America/Bogota")
GOOD_DAY = "2026-01-14"


def request(series="241", frequency="daily", start="2026-01-13"):
    return SeriesRequest(series, frequency, dt.date.fromisoformat(start), dt.date(2026, 1, 21))


def midnight(day, zone=BOGOTA):
    return int(dt.datetime.fromisoformat(day).replace(tzinfo=zone).timestamp() * 1000)


def record(rows=None, frequency="Diaria", **changes):
    rows = {GOOD_DAY: 8.851} if rows is None else rows
    data = [[midnight(day), value] for day, value in (rows.items() if isinstance(rows, dict) else rows)]
    stated = {
        "id": 241, "nombre": "Indicador Bancario de Referencia (IBR) overnight, nominal",
        "unidad": "Porcentaje", "descripcionPeriodicidad": frequency, "fuente": "Banco de la República",
        "isSerie": "SI", "data": data,
    }  # fmt: skip
    return {key: value for key, value in {**stated, **changes}.items() if value is not ...}


def ask(*replies, of=None, **changes):
    server = LocalServer()
    server.answer(PATH, *(each if isinstance(each, Reply) else Reply(each) for each in replies))
    with client_of("suameca", server, **changes) as client:
        return fetch(of or request(), client), server


def values(series):
    return [(str(day), value) for day, value in series.observations.itertuples(index=False)]


def refusal(*replies, of=None, kind=SourceError, **changes):
    with pytest.raises(kind) as caught:
        ask(*replies, of=of, **changes)
    return str(caught.value)


def test_the_sample_answer_is_dated_by_midnights_in_bogota_and_a_null_is_left_out():
    series, server = ask(json.loads(payload("suameca_241.json")))
    assert values(series) == [("2026-01-13", 8.848), ("2026-01-14", 8.851), ("2026-01-15", 8.852)]
    assert series.description == (
        "241; Indicador Bancario de Referencia (IBR) overnight, nominal; Porcentaje; Diaria; "
        "Banco de la República"
    )
    assert [call.query for call in server.calls] == [{"idSerie": "241"}]


def test_the_sample_of_a_page_id_says_that_it_is_no_series():
    message = refusal(json.loads(payload("suameca_empty_list.json")), of=request("414001", "quarterly"))
    assert "suameca 414001: no such series; the number of a page of the portal" in message
    assert "listarSeriesXCategoria" in message


@pytest.mark.parametrize(
    "reply", [[], [{"idPeriodicidad": 0, "valor": 0.0, "isSerie": "NO", "tieneHijos": "NO"}]]
)
def test_an_unknown_number_is_refused_at_once_though_its_status_is_200(reply):
    server = LocalServer()
    server.answer(PATH, Reply(reply))
    with client_of("suameca", server) as client, pytest.raises(SourceError, match="no such series"):
        fetch(request("99999999"), client)
    assert len(server.calls) == 1


def test_only_what_was_asked_for_is_kept_and_future_days_are_left_to_the_caller():
    rows = {"1992-08-03": 20.0, "2026-01-12": 1.0, "2026-01-13": 2.0, "2026-01-30": 3.0}
    assert values(ask([record(rows)])[0]) == [("2026-01-13", 2.0), ("2026-01-30", 3.0)]


@pytest.mark.parametrize("day", ["2025-11-01", "2025-11-30", "2025-11-15"])
def test_a_month_stands_at_its_first_day_wherever_the_portal_dates_it(day):
    series, _ = ask(
        [record({day: 123.4}, "Mensual", id=234)], of=request("234", "monthly", start="2025-11-20")
    )
    assert values(series) == [("2025-11-01", 123.4)]


@pytest.mark.parametrize("day", ["2025-07-01", "2025-09-01", "2025-09-30"])
def test_a_quarter_stands_at_its_first_day_wherever_the_portal_dates_it(day):
    of = request("15133", "quarterly", start="2025-08-01")
    series, _ = ask([record({day: 2901.5}, "Trimestral", id=15133)], of=of)
    assert values(series) == [("2025-07-01", 2901.5)]


def test_a_month_with_two_values_is_refused_and_one_that_is_said_twice_is_not():
    of = request("234", "monthly", start="2025-10-01")
    twice = [record({"2025-11-01": 1.5, "2025-11-30": 1.6}, "Mensual", id=234)]
    assert "2025-11-01 stands twice, with 1.5 and with 1.6" in refusal(twice, of=of)
    alike = [record({"2025-11-01": 1.5, "2025-11-15": None, "2025-11-30": 1.5}, "Mensual", id=234)]
    assert values(ask(alike, of=of)[0]) == [("2025-11-01", 1.5)]


def test_the_record_of_the_asked_frequency_is_taken_among_several():
    several = [record({GOOD_DAY: 1.0}, "Mensual"), record({GOOD_DAY: 2.0}, "Diaria"), record(id=242)]
    assert values(ask(several)[0]) == [(GOOD_DAY, 2.0)]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ([record(frequency="Mensual")], "expected one daily series of this number, found \\[\\(241, 'Ind"),
        ([record(id=242)], "expected one daily series of this number, found \\[\\(242"),
        ([record(), record({GOOD_DAY: 9.9})], "expected one daily series"),
        ([record(data=...)], "form has changed: data: Field required"),
        ([record(descripcionPeriodicidad=...)], "form has changed: descripcionPeriodicidad: Field required"),
        ([record(nombre="")], "form has changed: nombre"),
        ([record({GOOD_DAY: "8,851"})], "form has changed: data.0.1"),
        ([record({GOOD_DAY: True})], "form has changed: data.0.1"),
        ([record({GOOD_DAY: float("nan")})], "form has changed: data.0.1"),
        ([record(data=[["2026-01-14", 8.8]])], "form has changed: data.0.0"),
        ([record(data=[[midnight(GOOD_DAY), 8.8, 1]])], "form has changed: data.0"),
        (
            [record(data=[[midnight(GOOD_DAY, dt.UTC), 8.8]])],
            "expected midnights in Bogota, found 2026-01-13",
        ),
        ([record(data=[[10**18, 8.8]])], "10{18} milliseconds since 1970 are no date"),
        ([7], "form has changed"),
    ],
)
def test_another_form_is_refused_with_what_was_found(reply, told):
    with pytest.raises(SourceError, match=f"^suameca 241: .*{told}"):
        ask(reply)


@pytest.mark.parametrize("rows", [{}, {GOOD_DAY: None}, {"2019-01-02": 4.25}])
def test_a_series_without_a_value_since_the_start_may_come_later(rows):
    assert "no value since 2026-01-13" in refusal([record(rows)], kind=NotPublishedError)


GOOD = Reply([record()])
HTML = Reply("<!doctype html><html><app-root></app-root></html>", content_type="text/html;charset=UTF-8")


@pytest.mark.parametrize(
    "fault",
    [
        Reply("slow down", 429, "text/plain", {"Retry-After": "0"}),
        Reply("<html>Tomcat</html>", 500, "text/html"),
        Reply([record()], delay=0.12),
        Reply([record()], cut_at=60),
        Reply(json.dumps([record()])[:90]),
        HTML,
        Reply({"mensaje": "Error al consultar los datos"}),
    ],
    ids=["429", "500", "timeout", "cut off", "half document", "page with 200", "error with 200"],
)
def test_what_may_pass_is_asked_again(fault):
    series, server = ask(fault, GOOD, timeout_seconds=0.06)
    assert values(series) == [(GOOD_DAY, 8.851)]
    assert len(server.calls) == 2


def test_what_does_not_pass_is_told():
    assert "answered with a web page instead of data" in refusal(HTML)
    assert "Error al consultar" in refusal({"mensaje": "Error al consultar los datos"})
    assert "status 403" in refusal(Reply("no", 403))
