import datetime as dt
import json

import pytest

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.providers.bcrp import fetch
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, Reply, client_of, payload

API = "/estadisticas/series/api/*"
NAME = "Diferencial de rendimientos del índice de bonos de mercados emergentes (EMBIG) - Colombia (pbs)"


def request(frequency="daily", batch=()):
    return SeriesRequest("PD04715XD", frequency, dt.date(2025, 9, 30), dt.date(2026, 1, 2), batch)


def reply(days=None, names=(NAME,), **changes):
    days = {"30.Set.25": "252"} if days is None else days
    periods = [{"name": day, "values": [v] if not isinstance(v, list) else v} for day, v in days.items()]
    config = {"title": NAME, "series": [{"name": name, "dec": "0"} for name in names]}
    return {"config": config, "periods": periods, **changes}


def ask(*replies, of=None):
    server = LocalServer()
    server.answer(API, *(each if isinstance(each, Reply) else Reply(each) for each in replies))
    with client_of("bcrp", server) as client:
        return fetch(of or request(), client), server


def values(series):
    return [(str(day), value) for day, value in series.observations.itertuples(index=False)]


def test_the_sample_answer_is_read_with_spanish_months_and_without_what_is_not_available():
    series, server = ask(json.loads(payload("bcrp_embi.json")))
    assert values(series) == [("2025-09-30", 252.0), ("2025-10-02", 255.0), ("2026-01-02", 261.0)]
    assert series.description == NAME
    assert server.calls[0].path == "/estadisticas/series/api/PD04715XD/json/2025-09-30/2026-01-02/esp"


def test_days_are_put_in_order_and_both_spellings_of_september_are_known():
    series, _ = ask(reply({"02.Oct.25": "255.5", "30.Sep.25": "252", "01.Oct.25": "n.d."}))
    assert values(series) == [("2025-09-30", 252.0), ("2025-10-02", 255.5)]


def test_a_code_is_asked_alone_since_the_answer_repeats_no_code():
    series, server = ask(reply(), of=request(batch=("PD04709XD", "PD04715XD")))
    assert values(series) == [("2025-09-30", 252.0)]
    assert [call.path.split("/")[4] for call in server.calls] == ["PD04715XD"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply(names=()), "expected one series, found \\[\\]; check the code"),
        (reply(names=("EMBIG - Peru", "EMBIG - Colombia")), "expected one series, found \\['EMBIG - Peru'"),
        (reply({"30.Set.25": ["252", "140"]}), "one value a day, found \\['252', '140'\\] on 2025-09-30"),
        (reply({"30.Set.25": "1,252"}), "2025-09-30: expected a number, found '1,252'"),
        (reply({"30.Set.25": "inf"}), "expected a finite number on 2025-09-30"),
        (reply({"Set.2025": "252"}), "expected a day such as 30.Set.25 or 29Ene26, found 'Set.2025'"),
        (reply({"30.Xxx.25": "252"}), "expected a Spanish month, found 'Xxx'"),
        (
            reply({"30.Set.25": "252", "30.Sep.25": "253"}),
            "2025-09-30 stands twice, with 252.0 and with 253.0",
        ),
        (reply(config={"titulo": NAME}), "form has changed: config.series: Field required"),
        (reply(periods=None), "form has changed: periods"),
        (reply({"30.Set.25": 252}), "form has changed: periods.0.values.0"),
    ],
)
def test_another_form_is_refused_with_what_was_found(answer, told):
    with pytest.raises(SourceError, match=f"^bcrp PD04715XD.*{told}"):
        ask(answer)


def test_a_range_without_days_may_come_later():
    with pytest.raises(NotPublishedError, match="no day from 2025-09-30 to 2026-01-02"):
        ask(reply({}))


def test_a_monthly_series_is_not_read_as_days():
    with pytest.raises(SourceError, match="as a daily series only, not as a monthly one"):
        ask(reply(), of=request("monthly"))


def test_a_page_where_data_were_asked_is_asked_again():
    series, server = ask(Reply("<html>mantenimiento</html>", content_type="text/html"), reply())
    assert len(values(series)) == 1 and len(server.calls) == 2
