import datetime as dt

import pytest

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.providers.us_treasury import fetch
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, Reply, client_of, payload

PATH = "/resource-center/data-chart-center/interest-rates/daily-treasury-rates.csv/{}/all"
OLD = 'Date,"1 Mo","2 Yr","10 Yr"\n12/31/2025,3.74,3.47,4.18\n12/30/2025,3.71,3.45,4.14\n'
NEW = (
    'Date,"1 Mo","1.5 Month","2 Yr","10 Yr"\n01/05/2026,3.70,3.71,3.46,4.17\n01/02/2026,3.72,3.72,N/A,4.19\n'
)


def request(series="10 Yr", start="2025-12-31", end="2026-01-05"):
    return SeriesRequest(series, "daily", dt.date.fromisoformat(start), dt.date.fromisoformat(end))


def csv(text, **changes):
    return Reply(text, content_type="text/csv", **changes)


def ask(server, *requests, **changes):
    with client_of("us_treasury", server, **changes) as client:
        return [fetch(each, client) for each in requests or [request()]]


def serving(**years):
    server = LocalServer()
    for year, replies in years.items():
        server.answer(PATH.format(year[1:]), *(replies if isinstance(replies, list) else [replies]))
    return server


def values(series):
    return [(str(day), value) for day, value in series.observations.itertuples(index=False)]


def refusal(server, *requests, error=SourceError, **changes):
    with pytest.raises(error) as caught:
        ask(server, *requests, **changes)
    return str(caught.value)


def test_the_sample_answer_gives_its_two_days_in_time_order():
    server = serving(y2026=csv(payload("treasury_par_yields.csv").decode()))
    two, ten = ask(server, *(request(tenor, "2026-01-01", "2026-01-15") for tenor in ("2 Yr", "10 Yr")))
    assert values(two) == [("2026-01-14", 3.51), ("2026-01-15", 3.56)]
    assert values(ten) == [("2026-01-14", 4.15), ("2026-01-15", 4.17)]
    assert len(server.calls) == 1
    assert server.calls[0].query == {
        "type": "daily_treasury_yield_curve", "field_tdr_date_value": "2026", "page": "", "_format": "csv",
    }  # fmt: skip


def test_two_years_are_joined_though_their_columns_stand_elsewhere():
    server = serving(y2025=csv(OLD), y2026=csv(NEW))
    two, ten = ask(server, request("2 Yr"), request("10 Yr"))
    assert values(two) == [("2025-12-31", 3.47), ("2026-01-05", 3.46)]  # N/A is left out
    assert values(ten) == [("2025-12-31", 4.18), ("2026-01-02", 4.19), ("2026-01-05", 4.17)]
    assert [call.path for call in server.calls] == [PATH.format(2025), PATH.format(2026)]


def test_it_states_the_curve_and_the_column():
    (series,) = ask(serving(y2025=csv(OLD), y2026=csv(NEW)))
    assert series.description == "Treasury par yield curve (daily_treasury_yield_curve), 10 Yr"


def test_only_the_years_of_the_range_are_asked():
    server = serving(y2025=csv(OLD))
    ask(server, request(start="2025-12-30", end="2025-12-31"))
    assert [call.path for call in server.calls] == [PATH.format(2025)]


def test_a_tenor_issued_within_the_range_has_no_earlier_observation():
    (series,) = ask(serving(y2025=csv(OLD), y2026=csv(NEW)), request("1.5 Month"))
    assert values(series) == [("2026-01-02", 3.72), ("2026-01-05", 3.71)]


@pytest.mark.parametrize("nothing_yet", [Reply("", 404, "text/plain"), csv(NEW.splitlines()[0]), csv("")])
def test_a_year_that_has_only_begun_may_have_no_file_yet(nothing_yet):
    (series,) = ask(serving(y2025=csv(OLD), y2026=nothing_yet), request(end="2026-01-02"))
    assert values(series) == [("2025-12-31", 4.18)]


def test_later_in_the_year_its_file_must_have_days():
    server = serving(y2025=csv(OLD), y2026=csv(NEW.splitlines()[0]))
    assert "the file of 2026 has no day" in refusal(server, request(end="2026-01-12"))
    refusal(serving(y2025=csv(OLD)), request(end="2026-01-12"), error=NotPublishedError)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("10 Yr", "10 Year"),
            "us_treasury 10 Yr in 2026: expected one column '10 Yr', found columns ['Date',",
        ),
        (("1.5 Month", "10 Yr"), "expected one column '10 Yr'"),
        (("Date", "NEW_DATE"), "expected a table that starts with 'Date', found ['NEW_DATE',"),
        (("01/05/2026", "2026-01-05"), "expected a date MM/DD/YYYY, found '2026-01-05'"),
        (("01/05/2026", "15/01/2026"), "expected a date MM/DD/YYYY, found '15/01/2026'"),
        (("01/05/2026", "12/31/2025"), "the file of 2026 holds 2025-12-31"),
        (("4.17", "four"), "10 Yr 2026-01-05: expected a number, found 'four'"),
        (("4.17", "nan"), "expected a finite number on 2026-01-05, found nan"),
        (("01/02/2026", "01/05/2026"), "2026-01-05 stands twice, with 4.17 and with 4.19"),
    ],
)
def test_a_changed_file_is_refused(change, said):
    assert said in refusal(serving(y2025=csv(OLD), y2026=csv(NEW.replace(*change))))


def test_a_repetition_that_says_the_same_is_kept_once():
    server = serving(y2025=csv(OLD), y2026=csv(NEW + NEW.splitlines()[1] + "\n"))
    assert len(ask(server)[0].observations) == 3


def test_an_unknown_tenor_is_refused_with_the_known_ones():
    said = refusal(serving(y2025=csv(OLD), y2026=csv(NEW)), request("11 Yr"))
    assert "us_treasury 11 Yr: no such column up to 2026, found ['Date', '1 Mo'" in said


def test_a_day_ahead_of_the_range_is_left_to_the_caller():
    (series,) = ask(serving(y2026=csv(NEW)), request(start="2026-01-01", end="2026-01-02"))
    assert values(series)[-1] == ("2026-01-05", 4.17)


@pytest.mark.parametrize(
    "fault",
    [
        Reply("slow down", 429, "text/plain", {"Retry-After": "0"}),
        Reply("", 503, "text/plain"),
        csv(NEW, delay=0.12),
        csv(NEW, cut_at=60),
        Reply("<!DOCTYPE html><html>Scheduled maintenance</html>", 200, "text/html"),
        Reply("<html>Scheduled maintenance</html>", 200, "text/csv"),
        csv(NEW[:-12]),
    ],
    ids=["429", "503", "timeout", "connection cut", "maintenance page", "page as csv", "half a table"],
)
def test_what_may_pass_is_asked_again(fault):
    server = serving(y2025=csv(OLD), y2026=[fault, csv(NEW)])
    (series,) = ask(server, timeout_seconds=0.06)
    assert values(series)[-1] == ("2026-01-05", 4.17)
    assert len(server.called(PATH.format(2026))) == 2


def test_what_does_not_pass_ends_with_what_came():
    said = refusal(serving(y2025=csv(OLD), y2026=Reply("<html>gone</html>", 200, "text/html")))
    assert "us_treasury" in said
    assert "a web page instead of data: '<html>gone</html>'" in said
