import datetime as dt
import json

import pytest

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.providers import datos_gov_co
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, Reply, client_of, payload

PATH = "/resource/32sa-8pi3.json"


def request(start="2026-01-08", end="2026-01-15", series="32sa-8pi3:valor"):
    return SeriesRequest(series, "daily", dt.date.fromisoformat(start), dt.date.fromisoformat(end))


def row(in_force="2026-01-16", rate="3688.46", **changes):
    stated = {"vigenciadesde": f"{in_force}T00:00:00.000", "unidad": "COP", "valor": rate}
    return {key: value for key, value in {**stated, **changes}.items() if value is not ...}


def ask(*replies, of=None, key=None):
    server = LocalServer()
    server.answer(
        PATH, *(each if isinstance(each, Reply) or callable(each) else Reply(each) for each in replies)
    )
    with client_of("datos_gov_co", server, key) as client:
        return datos_gov_co.fetch(of or request(), client), server


def values(series):
    return [(str(day), value) for day, value in series.observations.itertuples(index=False)]


def test_the_sample_rates_are_dated_by_their_session_the_day_before_they_come_into_force():
    series, server = ask(json.loads(payload("socrata_trm.json")))
    friday, thursday = dt.date(2026, 1, 9), dt.date(2026, 1, 15)
    assert (friday.weekday(), thursday.weekday()) == (4, 3)  # in force from a Saturday, and from a Friday
    assert values(series) == [(str(friday), 3671.17), (str(thursday), 3688.46)]
    assert series.description == "32sa-8pi3 valor COP"
    assert server.calls[0].query == {
        "$select": "vigenciadesde,unidad,valor",
        "$where": "vigenciadesde between '2026-01-09T00:00:00' and '2026-01-16T00:00:00'",
        "$order": "vigenciadesde",
        "$limit": "50000",
        "$offset": "0",
    }


def test_the_sample_of_an_unknown_column_is_told():
    with pytest.raises(SourceError, match=r"status 400: .*No such column: fecha"):
        ask(Reply(payload("socrata_error_400.json"), 400), of=request(series="32sa-8pi3:fecha"))


def test_the_session_is_the_one_whose_trades_the_rate_averages(shared_data):
    import pandas as pd

    records = {"2020-03-20": 4153.91, "2022-11-05": 5061.21}  # two peaks, by their first day in force
    bars = pd.read_parquet(shared_data / "usdcop_5m.parquet", columns=["timestamp", "close"])
    days = bars["timestamp"].dt.tz_convert("America/Bogota").dt.date
    series, _ = ask([row(day, str(rate)) for day, rate in records.items()], of=request("2020-01-01"))
    for day, rate in series.observations.itertuples(index=False):
        assert rate == pytest.approx(bars["close"][days == day].mean(), rel=0.002)


def test_tomorrows_row_is_todays_session():
    series, _ = ask([row("2026-01-16")], of=request(end="2026-01-15"))
    assert values(series) == [("2026-01-15", 3688.46)]


def test_pages_are_asked_until_one_is_not_full(monkeypatch):
    monkeypatch.setattr(datos_gov_co, "_PAGE", 2)
    days = ["2026-01-09", "2026-01-10", "2026-01-14", "2026-01-15", "2026-01-16"]

    def page(call):
        first = int(call.query["$offset"])
        return Reply([row(day, str(4000 + i)) for i, day in enumerate(days)][first : first + 2])

    series, server = ask(page)
    assert [call.query["$offset"] for call in server.calls] == ["0", "2", "4"]
    assert [value for _, value in values(series)] == [4000.0, 4001.0, 4002.0, 4003.0, 4004.0]


def test_a_full_last_page_is_followed_by_an_empty_one(monkeypatch):
    monkeypatch.setattr(datos_gov_co, "_PAGE", 1)
    series, server = ask([row()], [])
    assert len(values(series)) == 1 and len(server.calls) == 2


def test_a_key_travels_in_a_header_only():
    _, server = ask([row()], key="s3cret")
    call = server.calls[0]
    assert call.headers["X-App-Token"] == "s3cret"
    assert "s3cret" not in str((call.path, call.query))
    assert "X-App-Token" not in ask([row()])[1].calls[0].headers


def test_a_row_without_a_rate_is_left_out():
    assert values(ask([row("2026-01-15", ...), row()])[0]) == [("2026-01-15", 3688.46)]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ([row(unidad="USD"), row("2026-01-15")], "expected one stated unidad, found \\['COP', 'USD'\\]"),
        ([row(unidad=...)], "expected one stated unidad, found \\['None'\\]"),
        ([row(valor=...)], "expected a column 'valor', found \\['unidad', 'vigenciadesde'\\]"),
        ([row(vigenciadesde=..., fecha="x")], "expected rows with vigenciadesde, found"),
        ([row(vigenciadesde="16/01/2026")], "expected a time such as .*, found '16/01/2026'"),
        ([row(rate="3.688,46")], "2026-01-15: expected a number, found '3.688,46'"),
        ([row(rate="NaN")], "expected a finite number on 2026-01-15"),
        ([row(), row(rate="3689")], "2026-01-15 stands twice, with 3688.46 and with 3689.0"),
    ],
)
def test_another_form_is_refused_with_what_was_found(reply, told):
    with pytest.raises(SourceError, match=f"^datos_gov_co 32sa-8pi3:valor.*{told}"):
        ask(reply)


def test_a_range_without_rows_may_come_later():
    with pytest.raises(NotPublishedError, match="no rate from 2026-01-08 to 2026-01-15"):
        ask([])


def test_an_error_with_status_200_is_asked_again():
    busy = {"error": True, "message": "Query timed out"}
    series, server = ask(busy, [row()])
    assert len(values(series)) == 1 and len(server.calls) == 2
    with pytest.raises(SourceError, match="Query timed out"):
        ask(busy)
