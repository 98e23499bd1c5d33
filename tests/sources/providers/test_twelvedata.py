import datetime as dt
import json
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.providers import twelvedata
from dosvotos.sources.providers.twelvedata import fetch, fetch_bars
from dosvotos.sources.raw_market import BAR_COLUMNS
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, ReceivedRequest, Reply, client_of, payload

CANARY = "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ry42"
PATH = "/time_series"
MINUTE_USED_UP = {
    "code": 429,
    "message": "You have run out of API credits for the current minute. 9 API credits were used, with the "
    "current limit being 8. Wait for the next minute or consider switching to a higher tier plan",
    "status": "error",
}
DAY_USED_UP = {
    "code": 429,
    "message": "You have run out of API credits for the day. 801 API credits were used, with the current "
    "limit being 800.",
    "status": "error",
}
NO_DATA = {
    "code": 400,
    "message": "No data is available on the specified dates. Try setting different start/end dates.",
    "status": "error",
}
BAD_KEY = {
    "code": 401,
    "message": f"**apikey** parameter {CANARY} is incorrect or not specified.",
    "status": "error",
}
BAD_SYMBOL = {
    "code": 404,
    "message": "**symbol** or **figi** parameter is missing or invalid.",
    "status": "error",
}


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def row(label: str, price: float = 3680.0, **changes) -> dict:
    prices = {"open": price, "high": price + 1, "low": price - 1, "close": price}
    return {"datetime": label, **{name: f"{value:.5f}" for name, value in prices.items()}, **changes}


def answer(*rows: dict, interval: str = "5min", symbol: str = "USD/COP", **meta) -> dict:
    stated = {
        "symbol": symbol,
        "interval": interval,
        "currency_base": "US Dollar",
        "currency_quote": "Colombian Peso",
        "type": "Physical Currency",
    }
    return {"meta": {**stated, **meta}, "values": list(rows), "status": "ok"}


def bars_of(server, start="2026-01-15 13:00", end="2026-01-15 18:00", **changes) -> pd.DataFrame:
    with client_of("twelvedata", server, CANARY, **changes) as client:
        return fetch_bars("USD/COP", utc(start), utc(end), client)


def series_of(server, start="2026-01-12", end="2026-01-16", symbol="USD/MXN", **changes):
    request = SeriesRequest(symbol, "daily", dt.date.fromisoformat(start), dt.date.fromisoformat(end))
    with client_of("twelvedata", server, CANARY, **changes) as client:
        return fetch(request, client)


# ---- bars


def test_the_sample_answer_becomes_three_bars_in_time_order(server):
    server.answer(PATH, Reply(payload("twelvedata_time_series.json")))
    bars = bars_of(server, "2026-01-15 08:00", "2026-01-15 13:00")  # the sample's labels, read as UTC
    assert list(bars["timestamp"]) == [utc(f"2026-01-15 12:{minute}") for minute in (45, 50, 55)]
    assert bars.iloc[0][["open", "high", "low", "close", "volume"]].tolist() == [
        3682.16602,
        3684.28830,
        3680.20671,
        3681.85470,
        0.0,
    ]
    assert list(bars.columns) == list(BAR_COLUMNS)
    assert str(bars["timestamp"].dtype) == "datetime64[us, UTC]"


def test_utc_is_asked_for_and_the_key_travels_in_a_header(server):
    server.answer(PATH, Reply(answer(row("2026-01-15 13:00:00"))))
    bars_of(server, "2026-01-15 13:00", "2026-01-15 18:02")
    call = server.calls[0]
    assert call.query == {
        "symbol": "USD/COP",
        "interval": "5min",
        "start_date": "2026-01-15 13:00:00",
        "end_date": "2026-01-15 17:55:00",  # the last bar that has closed by 18:02
        "timezone": "UTC",
        "outputsize": "5000",
        "order": "DESC",
    }
    assert call.headers["Authorization"] == f"apikey {CANARY}"


def market(labels: pd.DatetimeIndex):
    """A server that has a bar at each label and answers as Twelve Data does."""

    def answering(call: ReceivedRequest) -> Reply:
        inside = (labels >= call.query["start_date"]) & (labels <= call.query["end_date"])
        newest = labels[inside][::-1][: int(call.query["outputsize"])]
        if newest.empty:
            return Reply(NO_DATA, status=400)
        return Reply(answer(*(row(f"{label}", 4000 + label.hour) for label in newest)))

    return answering


GRID = pd.date_range("2026-01-15 13:00", periods=60, freq="5min")


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    present=st.lists(st.booleans(), min_size=60, max_size=60),
    first=st.integers(0, 59),
    last=st.integers(0, 59),
    page=st.integers(4, 20),
)
def test_pages_of_any_size_give_each_bar_of_the_range_once(monkeypatch, present, first, last, page):
    monkeypatch.setattr(twelvedata, "PAGE", page)
    server = LocalServer()
    labels = GRID[present]
    server.answer(PATH, market(labels))
    bars = bars_of(server, f"{GRID[first]}", f"{GRID[last] + pd.Timedelta(minutes=5)}")
    expected = labels[(labels >= GRID[first]) & (labels <= GRID[last])]
    assert list(bars["timestamp"].dt.tz_localize(None)) == list(expected)
    assert list(bars["close"]) == [4000.0 + label.hour for label in expected]
    assert len(server.calls) <= len(expected) // page + 1


def test_a_range_without_trades_is_no_bar_and_no_error(server):
    server.answer(PATH, Reply(NO_DATA, status=400))
    bars = bars_of(server, "2026-01-17 00:00", "2026-01-18 12:00")
    assert bars.empty
    assert list(bars.columns) == list(BAR_COLUMNS)
    assert str(bars["timestamp"].dtype) == "datetime64[us, UTC]"
    assert len(server.calls) == 1


def test_a_long_range_without_trades_is_refused(server):
    server.answer(PATH, Reply(NO_DATA))
    with pytest.raises(SourceError, match="twelvedata USD/COP 5min: no bar from 2026-01-01"):
        bars_of(server, "2026-01-01 00:00", "2026-01-15 00:00")


def test_a_range_too_short_for_a_closed_bar_costs_no_call(server):
    assert bars_of(server, "2026-01-15 13:00", "2026-01-15 13:04").empty
    assert server.calls == []


@pytest.mark.parametrize(
    "label",
    [
        "2026-01-15 12:55:00",
        "2026-01-15 18:00:00",
        "2026-01-15 13:02:00",
        "2026-01-15 08:00:00",
        "2026-02-15 13:00:00",
    ],
)
def test_a_label_off_the_grid_or_the_range_betrays_another_zone(server, label):
    server.answer(PATH, Reply(answer(row(label), row("2026-01-15 13:00:00"))))
    with pytest.raises(
        SourceError, match=f"from 2026-01-15 13:00:00 to 2026-01-15 17:55:00 UTC, found {label}"
    ):
        bars_of(server)


def test_a_bar_that_stands_twice_is_refused_unless_it_says_the_same(server):
    same = row("2026-01-15 13:00:00")
    server.answer(PATH, Reply(answer(same, same)))
    assert len(bars_of(server)) == 1
    server.answer(PATH, Reply(answer(same, row("2026-01-15 13:00:00", 3700.0))))
    with pytest.raises(SourceError, match=r"2026-01-15 13:00:00.* stands twice, with different prices"):
        bars_of(server)


def test_a_server_that_ignores_the_range_ends_in_an_error_not_in_a_loop(server, monkeypatch):
    monkeypatch.setattr(twelvedata, "PAGE", 2)
    server.answer(PATH, Reply(answer(row("2026-01-16 13:05:00"), row("2026-01-16 13:00:00"))))
    with pytest.raises(
        SourceError, match="asked for rows up to 2026-01-15 17:55:00, found none before 2026-01-16"
    ):
        bars_of(server)


# ---- daily values


def test_daily_closes_leave_out_the_day_that_may_be_open(server):
    days = [row(f"2026-01-{day}", 17 + day / 100) for day in (16, 15, 14)]
    server.answer(
        PATH, Reply(answer(*days, interval="1day", symbol="USD/MXN", currency_quote="Mexican Peso"))
    )
    series = series_of(server)
    assert series.observations.to_dict("list") == {
        "observation_date": [dt.date(2026, 1, 14), dt.date(2026, 1, 15)],
        "value": [17.14, 17.15],
    }
    assert series.description == (
        "symbol USD/MXN; type Physical Currency; currency_base US Dollar; currency_quote Mexican Peso"
    )
    query = server.calls[0].query
    assert (query["start_date"], query["end_date"]) == ("2026-01-12 00:00:00", "2026-01-16 00:00:00")
    assert "timezone" not in query


def test_a_future_day_is_given_back_for_the_caller_to_see(server):
    server.answer(
        PATH, Reply(answer(row("2027-01-01"), row("2026-01-15"), interval="1day", symbol="USD/MXN"))
    )
    assert list(series_of(server).observations["observation_date"]) == [
        dt.date(2026, 1, 15),
        dt.date(2027, 1, 1),
    ]


def test_daily_values_are_paged_too(server, monkeypatch):
    monkeypatch.setattr(twelvedata, "PAGE", 2)
    pages = [["2026-01-15", "2026-01-14"], ["2026-01-13", "2026-01-12"]]
    replies = [answer(*map(row, page), interval="1day", symbol="USD/MXN") for page in pages]
    server.answer(PATH, *map(Reply, replies), Reply(NO_DATA))
    assert len(series_of(server, start="2026-01-09").observations) == 4
    assert [call.query["end_date"][:10] for call in server.calls] == [
        "2026-01-16",
        "2026-01-13",
        "2026-01-11",
    ]


@pytest.mark.parametrize("reply", [NO_DATA, answer(row("2026-01-16"), interval="1day", symbol="USD/MXN")])
def test_no_closed_day_means_not_published(server, reply):
    server.answer(PATH, Reply(reply))
    with pytest.raises(NotPublishedError, match="twelvedata USD/MXN: no value from 2026-01-12 to 2026-01-16"):
        series_of(server)


def test_a_day_with_two_closes_is_refused(server):
    days = [row("2026-01-15", 17.1), row("2026-01-15", 17.2)]
    server.answer(PATH, Reply(answer(*days, interval="1day", symbol="USD/MXN")))
    with pytest.raises(SourceError, match=r"2026-01-15 stands twice, with 17\.1 and with 17\.2"):
        series_of(server)


# ---- refusals


@pytest.mark.parametrize("status", [200, 429])
def test_credits_of_the_minute_are_waited_for_and_those_of_the_day_are_not(server, status, monkeypatch):
    good = Reply(answer(row("2026-01-15 13:00:00")))
    server.answer(PATH, Reply(MINUTE_USED_UP, status=status), good)
    with pytest.raises(SourceError, match=r"credits of the minute are used up.*; asks to wait 60 s"):
        bars_of(server, max_wait_seconds=59.0)
    pauses = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=pauses.append))
    server.answer(PATH, Reply(MINUTE_USED_UP, status=status), good)
    assert len(bars_of(server, max_wait_seconds=60.0)) == 1
    assert pauses == [60.0]
    server.calls.clear()
    server.answer(PATH, Reply(DAY_USED_UP, status=status), good)
    with pytest.raises(SourceError, match="credits of the day are used up, run again tomorrow"):
        bars_of(server, max_wait_seconds=60.0)
    assert len(server.calls) == 1


@pytest.mark.parametrize("in_status", [True, False])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BAD_KEY, "twelvedata USD/COP: the key was refused, check TWELVEDATA_API_KEY: "),
        (BAD_SYMBOL, "twelvedata USD/COP: unknown symbol, or not in this key's plan: "),
        ({**BAD_SYMBOL, "code": 403}, "not in this key's plan, see TWELVEDATA_API_KEY"),
        (
            {**NO_DATA, "message": "start_date is malformed"},
            "twelvedata USD/COP: code 400: start_date is malformed",
        ),
    ],
)
def test_a_refusal_names_its_cause_whatever_its_status(server, error, message, in_status):
    server.answer(PATH, Reply(error, status=error["code"] if in_status else 200))
    with pytest.raises(SourceError) as raised:
        bars_of(server)
    assert message in str(raised.value)
    assert CANARY not in str(raised.value)
    assert not isinstance(raised.value, NotPublishedError)
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [("twelvedata_error_401.json", "TWELVEDATA_API_KEY"), ("twelvedata_error_404.json", "symbol")],
)
def test_the_sample_refusals_are_understood(server, name, message):
    body = payload(name)
    server.answer(PATH, Reply(body, status=json.loads(body)["code"]))
    with pytest.raises(SourceError, match=message):
        bars_of(server)


def test_without_a_key_nothing_is_asked(server):
    with (
        client_of("twelvedata", server) as client,
        pytest.raises(SourceError, match="set TWELVEDATA_API_KEY"),
    ):
        fetch_bars("USD/COP", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)
    assert server.calls == []


@pytest.mark.parametrize(
    "fault",
    [
        Reply({"code": 500, "message": "Internal server error", "status": "error"}),
        Reply("busy", status=503),
        Reply("<html>maintenance</html>", content_type="text/html"),
        Reply(answer(row("2026-01-15 13:00:00")), cut_at=100),
        Reply(json.dumps(answer(row("2026-01-15 13:00:00")))[:-30]),
    ],
)
def test_what_may_pass_is_tried_again(server, fault):
    server.answer(PATH, fault, Reply(answer(row("2026-01-15 13:00:00"))))
    assert len(bars_of(server)) == 1
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"status": "ok"}, "form has changed: meta"),
        ([1], "form has changed"),
        ({**answer(), "values": {}}, "form has changed: values"),
        ({**answer(), "status": "partial"}, "form has changed: status"),
        (answer(symbol="EUR/COP"), "the answer is about EUR/COP 5min"),
        (answer(interval="1h"), "the answer is about USD/COP 1h"),
        (answer({"time": "2026-01-15 13:00:00"}), "expected a datetime like %Y-%m-%d %H:%M:%S"),
        (answer(row("15/01/2026 13:00")), "expected a datetime like"),
        (answer(row("2026-01-15 13:00:00+00:00")), "expected a datetime like"),
        (answer(row("2026-01-15 13:00:00", close="3,680.1")), "close: expected a number, found '3,680.1'"),
        (answer(row("2026-01-15 13:00:00", close=None)), "close: expected a number, found None"),
        (answer(row("2026-01-15 13:00:00", high="NaN")), "high: expected a number, found 'NaN'"),
        (answer(row("2026-01-15 13:00:00", volume="-")), "volume: expected a number, found '-'"),
    ],
)
def test_a_changed_form_is_refused(server, changed, found):
    server.answer(PATH, Reply(changed))
    with pytest.raises(SourceError, match=r"^twelvedata USD/COP") as raised:
        bars_of(server)
    assert found in str(raised.value)
    assert len(server.calls) == 1
