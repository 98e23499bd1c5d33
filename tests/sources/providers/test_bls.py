import datetime as dt
import json

import pytest

from dosvotos.errors import SourceError
from dosvotos.sources.providers.bls import fetch
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, Reply, client_of, payload

PATH = "/publicAPI/v1/timeseries/data/"
CPI, CORE, RATE = "CUSR0000SA0", "CUSR0000SA0L1E", "LNS14000000"
IDS = (CPI, CORE, RATE)
USED_UP = (
    "Request could not be serviced, as the daily threshold for total number of requests allocated to "
    "the user has been reached."
)


def request(series=CPI, start="2025-01-01", end="2026-01-15", batch=IDS, frequency="monthly"):
    return SeriesRequest(series, frequency, dt.date.fromisoformat(start), dt.date.fromisoformat(end), batch)


def row(period="M11", value="325.031", year="2025"):
    return {"year": year, "period": period, "periodName": "", "value": value, "footnotes": [{}]}


def said_of(rows_by_id, message=(), status="REQUEST_SUCCEEDED"):
    series = [{"seriesID": name, "data": rows} for name, rows in rows_by_id.items()]
    return {"status": status, "responseTime": 9, "message": list(message), "Results": {"series": series}}


def failed(*message, status="REQUEST_NOT_PROCESSED", results=None):
    return {"status": status, "responseTime": 0, "message": list(message), "Results": results or {}}


def ask(server, *requests):
    with client_of("bls", server) as client:
        return [fetch(each, client) for each in requests or [request()]]


def answering(*replies):
    server = LocalServer()
    server.answer(PATH, *(each if callable(each) else Reply(each) for each in replies))
    return server


def bodies(server):
    return [json.loads(call.body) for call in server.calls]


def values(series):
    return [(str(day), value) for day, value in series.observations.itertuples(index=False)]


def refusal(*replies, of=None):
    server = answering(*replies)
    with pytest.raises(SourceError) as caught:
        ask(server, of or request())
    return str(caught.value), len(server.calls)


def test_the_sample_answer_leaves_out_the_month_that_was_never_published():
    server = answering(json.loads(payload("bls_v1.json")))
    (series,) = ask(server, request(batch=()))
    assert values(series) == [("2025-09-01", 324.368), ("2025-11-01", 325.031)]
    assert series.description == CPI


def test_the_sample_of_a_used_up_day_says_so_and_is_not_asked_again():
    message, calls = refusal(json.loads(payload("bls_error.json")))
    assert "bls: the calls a day without a key are used up; run again tomorrow" in message
    assert calls == 1


@pytest.mark.parametrize("results", [{}, [], None])
def test_a_used_up_day_is_told_whatever_stands_in_its_results(results):
    message, calls = refusal({**failed(USED_UP), "Results": results})
    assert "used up; run again tomorrow: Request could not be serviced" in message
    assert calls == 1


def test_siblings_share_one_call():
    server = answering(said_of({CPI: [row()], CORE: [row(value="331.1")], RATE: [row(value="4.5")]}))
    answers = ask(server, *(request(name) for name in IDS))
    assert [values(each) for each in answers] == [[("2025-11-01", v)] for v in (325.031, 331.1, 4.5)]
    assert bodies(server) == [{"seriesid": [CPI, CORE, RATE], "startyear": "2025", "endyear": "2026"}]


def test_a_long_range_is_asked_in_windows_of_ten_years():
    def of_its_years(call):
        asked = json.loads(call.body)
        return Reply(said_of({CPI: [row("M01", year=asked["endyear"]), row("M01", year=asked["startyear"])]}))

    server = answering(of_its_years)
    (series,) = ask(server, request(start="2003-05-01", batch=(CPI,)))
    windows = [(body["startyear"], body["endyear"]) for body in bodies(server)]
    assert windows == [("2003", "2012"), ("2013", "2022"), ("2023", "2026")]
    assert [str(day)[:4] for day, _ in values(series)] == ["2003", "2012", "2013", "2022", "2023", "2026"]


def test_more_than_25_series_are_asked_in_several_calls():
    names = tuple(f"LNS{n:08d}" for n in range(30))
    server = answering(lambda call: Reply(said_of({n: [row()] for n in json.loads(call.body)["seriesid"]})))
    ask(server, *(request(name, batch=names) for name in names))
    assert [body["seriesid"] for body in bodies(server)] == [list(names[:25]), list(names[25:])]


def test_averages_of_a_year_are_no_observations():
    (series,) = ask(answering(said_of({CPI: [row("M13", "322.1"), row("M12", "326.03")]})))
    assert values(series) == [("2025-12-01", 326.03)]


def test_quarters_start_with_their_first_month():
    server = answering(said_of({CPI: [row("Q05", "9"), row("Q04", "4"), row("Q01", "1")]}))
    (series,) = ask(server, request(frequency="quarterly"))
    assert values(series) == [("2025-01-01", 1.0), ("2025-10-01", 4.0)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("A01")], "bls CUSR0000SA0: expected a monthly period, found 'A01' in 2025"),
        ([row("Q01")], "expected a monthly period, found 'Q01'"),
        ([row(value="(x)")], "bls CUSR0000SA0 2025-11-01: expected a number, found '(x)'"),
        ([row(year="25")], "the answer's form has changed: Results.series.0.data.0.year"),
        (
            [{"year": "2025", "period": "M11"}],
            "form has changed: Results.series.0.data.0.value: Field required",
        ),
        ([row(value="1"), row(value="2")], "2025-11-01 stands twice, with 1.0 and with 2.0"),
        ([], "no observation in 2025-2026, and no message why"),
    ],
)
def test_a_changed_answer_is_refused(rows, said):
    message, calls = refusal(said_of({CPI: rows}))
    assert said in message
    assert calls == 1


def test_an_answer_without_the_series_is_refused_with_what_came():
    message, _ = refusal(said_of({CORE: [row()]}))
    assert "bls CUSR0000SA0: expected this series once in the answer, found ['CUSR0000SA0L1E']" in message


def test_an_unknown_series_is_told_though_the_status_says_success():
    answer = said_of({CPI: [row()], CORE: []}, [f"Series does not exist for Series {CORE}"])
    message, _ = refusal(answer, of=request(CORE))
    assert f"bls {CORE}: Series does not exist for Series {CORE}; check the id" in message
    assert values(ask(answering(answer))[0]) == [
        ("2025-11-01", 325.031)
    ]  # its name starts like the unknown one


def test_an_unknown_sibling_that_spoils_the_call_does_not_spoil_the_others():
    server = answering(failed(f"Series does not exist for Series {CORE}"), said_of({CPI: [row()]}))
    assert values(ask(server)[0]) == [("2025-11-01", 325.031)]
    assert bodies(server)[1]["seriesid"] == [CPI]


def test_a_call_that_is_refused_even_alone_ends():
    message, calls = refusal(failed("Invalid Series for Series X"), failed("Invalid Series for Series Y"))
    assert "bls CUSR0000SA0: REQUEST_NOT_PROCESSED: ['Invalid Series for Series Y']" in message
    assert calls == 2


def test_a_year_without_data_yet_is_no_error_where_the_answer_says_so():
    server = answering(said_of({CPI: []}, [f"No Data Available for Series {CPI} Year: 2026"]))
    (series,) = ask(server, request(start="2026-01-01"))
    assert series.observations.empty


@pytest.mark.parametrize("status", ["REQUEST_FAILED", "REQUEST_FAILED_INVALID_PARAMETERS", "REQUEST_NEW"])
def test_a_failure_with_status_200_is_told(status):
    message, calls = refusal(failed("Invalid parameters: startyear", status=status))
    assert f"bls: {status}: Invalid parameters: startyear" in message
    assert calls == 1


@pytest.mark.parametrize(
    "fault", [Reply(failed(status="REQUEST_FAILED_OVER_CAPACITY")), Reply('{"status": "REQUEST_SUC')]
)
def test_a_busy_service_and_half_an_answer_are_asked_again(fault):
    server = LocalServer()
    server.answer(PATH, fault, Reply(said_of({CPI: [row()]})))
    assert values(ask(server)[0]) == [("2025-11-01", 325.031)]
