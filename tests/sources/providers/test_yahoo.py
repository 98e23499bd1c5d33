import datetime as dt
import json
import logging
import threading
import warnings
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.acquisition import LiveParams
from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.base import BAR_COLUMNS
from dosvotos.sources.http import Client
from dosvotos.sources.providers import yahoo
from dosvotos.sources.providers.yahoo import fetch, fetch_bars
from dosvotos.sources.series import SeriesRequest
from tests.checked_market import check_delivery
from tests.sources.tls import serving_tls
from tests.sources.web import Reply, Web, client_of, live_params, payload, serving

CHART = "/v8/finance/chart/"
LONDON, NEW_YORK = "Europe/London", "America/New_York"
UNKNOWN = {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def epoch(text: str, zone: str = "UTC") -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def session(start: str, end: str, zone: str) -> dict:
    """Yahoo's current trading period, with the blocks before and after."""
    times = {"start": epoch(start, zone), "end": epoch(end, zone), "timezone": "X", "gmtoffset": 0}
    return {name: dict(times) for name in ("pre", "regular", "post")}


def chart(rows: dict[int, float | None], symbol="COP=X", interval="5m", zone=LONDON, **meta) -> dict:
    """A chart answer with the closes at their epochs; open = close, high and low one away."""
    stated = {
        "currency": "COP",
        "symbol": symbol,
        "exchangeName": "CCY",
        "fullExchangeName": "CCY",
        "instrumentType": "CURRENCY",
        "regularMarketTime": max(rows, default=0),
        "exchangeTimezoneName": zone,
        "longName": "USD/COP",
        "dataGranularity": interval,
        "validRanges": ["1d", "5d"],
    }
    closes = list(rows.values())

    def away(distance: float) -> list[float | None]:
        return [None if close is None else close + distance for close in closes]

    quote = {
        "open": closes,
        "high": away(1.0),
        "low": away(-1.0),
        "close": closes,
        "volume": [0] * len(closes),
    }
    result = {
        "meta": {name: value for name, value in {**stated, **meta}.items() if value is not None},
        "indicators": {"quote": [quote if rows else {}], "adjclose": [{"adjclose": closes}]},
        **({"timestamp": list(rows)} if rows else {}),
    }
    return {"chart": {"result": [result], "error": None}}


def five_minutes(*labels: str, day: str = "2026-01-15", first: float = 3680.0) -> dict[int, float | None]:
    return {epoch(f"{day}T{label}"): first + i for i, label in enumerate(labels)}


def days(zone: str, **closes: float | None) -> dict[int, float | None]:
    """Closes by day of January 2026 (d14=..., or d15_1659=... for a live row), at the exchange's midnight."""
    found = {}
    for name, close in closes.items():
        day, _, clock = name[1:].partition("_")
        clock = clock or "0000"
        found[epoch(f"2026-01-{day}T{clock[:2]}:{clock[2:]}:{'07' if '_' in name else '00'}", zone)] = close
    return found


@pytest.fixture
def web() -> Web:
    return Web()


def bars_of(web, start="2026-01-15 13:00", end="2026-01-15 18:00", **changes) -> pd.DataFrame:
    with client_of("yahoo", web, **changes) as client:
        return fetch_bars("COP=X", utc(start), utc(end), client)


def closes_of(web, symbol="DX-Y.NYB", start="2026-01-05", end="2026-01-15", **changes):
    request = SeriesRequest(symbol, "daily", dt.date.fromisoformat(start), dt.date.fromisoformat(end))
    with client_of("yahoo", web, **changes) as client:
        return fetch(request, client)


def dollar_index(rows, **meta) -> Reply:
    stated = {"currency": "USD", "instrumentType": "INDEX", "longName": "US Dollar Index", **meta}
    return Reply(chart(rows, "DX-Y.NYB", "1d", NEW_YORK, **stated))


def by_day(series) -> dict[int, float]:
    frame = series.observations
    return {day.day: value for day, value in zip(frame["observation_date"], frame["value"], strict=True)}


# ---- bars


def test_the_sample_answer_becomes_three_bars_without_the_null_one(web):
    web.answer(CHART + "COP=X", Reply(payload("yahoo_chart_5m.json")))
    bars = bars_of(web)
    assert list(bars["timestamp"]) == [utc(f"2026-01-15 13:{minute}") for minute in ("00", "05", "15")]
    assert bars.iloc[1].tolist()[1:] == [3680.2, 3682.4, 3679.1, 3681.1, 0.0]
    pd.testing.assert_frame_equal(check_delivery(bars.assign(source="yahoo")).bars[list(BAR_COLUMNS)], bars)


def test_one_call_asks_the_clients_own_address_and_nothing_else(web):
    web.answer(CHART + "COP=X", Reply(chart(five_minutes("13:00", "13:05"))))
    with client_of("yahoo", web) as client:
        fetch_bars("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)
        assert client.calls == 1
    (call,) = web.calls  # no cookie, no crumb, no time zone asked
    assert call.query == {
        "period1": str(epoch("2026-01-15T13:00")),
        "period2": str(epoch("2026-01-15T18:00")),
        "interval": "5m",
        "includePrePost": "true",
        "events": "div,splits,capitalGains",
    }
    assert "Chrome" in call.headers["User-Agent"]
    assert "Cookie" not in call.headers


def test_a_mirrors_path_is_kept(web):
    web.answer("/mirror" + CHART + "COP=X", Reply(chart(five_minutes("13:00", "13:05"))))
    with serving(web) as base_url, Client("yahoo", live_params(f"{base_url}/mirror")) as client:
        assert len(fetch_bars("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)) == 2


def test_a_start_out_of_yahoos_reach_becomes_59_days_before_the_end(web):
    web.answer(CHART + "COP=X", Reply(chart(five_minutes("13:00"))))
    bars_of(web, start="2020-01-01")
    assert web.calls[0].query["period1"] == str(epoch("2025-11-17T18:00"))


def test_a_bar_that_has_not_closed_or_was_not_asked_for_is_left_out(web):
    web.answer(CHART + "COP=X", Reply(chart(five_minutes("12:55", "13:00", "13:05", "13:10"))))
    assert [f"{t:%H:%M}" for t in bars_of(web, end="2026-01-15 13:10")["timestamp"]] == ["13:00", "13:05"]
    assert [f"{t:%H:%M}" for t in bars_of(web, end="2026-01-15 13:09:59")["timestamp"]] == ["13:00"]


@pytest.mark.parametrize(
    ("live", "kept"),
    [
        ("13:12:07", ["13:00", "13:05"]),  # lies in the bar of 13:10, which yfinance alters
        ("13:12:00", ["13:00", "13:05", "13:10"]),  # kept apart by yfinance: off the grid
        ("13:17:07", ["13:00", "13:05", "13:10"]),  # the bar of 13:15 is not there yet
    ],
)
def test_yahoos_live_row_is_no_bar_and_changes_none(web, live, kept):
    rows = five_minutes("13:00", "13:05", "13:10")
    web.answer(CHART + "COP=X", Reply(chart({**rows, **five_minutes(live, first=9999.0)})))
    bars = bars_of(web)
    assert [f"{t:%H:%M}" for t in bars["timestamp"]] == kept
    assert bars["close"].tolist() == list(rows.values())[: len(kept)]
    assert bars["high"].max() < 9000


def test_a_live_row_in_the_hour_that_comes_twice_is_placed(web):
    day = "2026-10-25"  # London leaves summer time at 01:00 UTC
    rows = {**five_minutes("01:00", "01:05", day=day), **five_minutes("01:07:09", day=day, first=9999.0)}
    web.answer(CHART + "COP=X", Reply(chart(rows)))
    bars = bars_of(web, f"{day} 00:00", f"{day} 12:00")
    assert list(bars["timestamp"]) == [utc(f"{day} 01:00")]


def test_a_bar_without_one_of_its_prices_is_left_out(web):
    content = chart(five_minutes("13:00", "13:05", "13:10"))
    content["chart"]["result"][0]["indicators"]["quote"][0]["low"][1] = None
    web.answer(CHART + "COP=X", Reply(content))
    assert [f"{t:%H:%M}" for t in bars_of(web)["timestamp"]] == ["13:00", "13:10"]


def test_a_bar_of_zeros_is_handed_on_for_the_checks_to_refuse(web):
    content = chart(five_minutes("13:00", "13:05", "13:10"))
    for values in content["chart"]["result"][0]["indicators"]["quote"][0].values():
        values[1] = 0.0
    web.answer(CHART + "COP=X", Reply(content))
    checked = check_delivery(bars_of(web).assign(source="yahoo"))
    assert checked.findings.query("severity == 'quarantined'")["rule"].tolist() == ["impossible_price"]
    assert [f"{t:%H:%M}" for t in checked.bars["timestamp"]] == ["13:00", "13:10"]


def test_a_range_without_trades_is_no_bar_and_a_long_one_is_refused(web):
    web.answer(CHART + "COP=X", Reply(chart({})))
    bars = bars_of(web, "2026-01-17", "2026-01-18")
    assert (len(bars), list(bars.columns)) == (0, list(BAR_COLUMNS))
    assert str(bars["timestamp"].dtype) == "datetime64[us, UTC]"
    with pytest.raises(
        SourceError, match=r"yahoo COP=X 5m: no row in the range asked; is the symbol still traded"
    ):
        bars_of(web, "2026-01-01", "2026-01-18")


def test_a_range_shorter_than_a_bar_costs_no_call(web):
    assert bars_of(web, "2026-01-15 13:00", "2026-01-15 13:04").empty
    assert web.calls == []


# ---- daily closes


def test_the_sample_days_are_dated_by_the_exchange(web):
    web.answer(CHART + "DX-Y.NYB", Reply(payload("yahoo_chart_1d.json")))
    series = closes_of(web)
    assert by_day(series) == {13: 99.13, 14: 99.05}
    assert series.states == "symbol DX-Y.NYB; type INDEX; currency USD; exchange CCY"


def test_days_are_asked_for_with_room_for_every_time_zone(web):
    web.answer(CHART + "DX-Y.NYB", dollar_index(days(NEW_YORK, d14=99.05, d15=99.2)))
    closes_of(web, start="2026-01-05", end="2026-01-15")
    query = web.calls[0].query
    assert (int(query["period1"]), int(query["period2"])) == (epoch("2026-01-04"), epoch("2026-01-16"))
    assert query["interval"] == "1d"


def test_what_yahoo_says_is_stated(web):
    web.answer(CHART + "DX-Y.NYB", dollar_index(days(NEW_YORK, d14=99.05, d15=99.2)))
    assert closes_of(web).states == (
        "symbol DX-Y.NYB; type INDEX; currency USD; exchange CCY; name US Dollar Index"
    )


def test_closes_are_not_adjusted(web):
    content = chart(days(NEW_YORK, d13=10.0, d14=11.0), "DX-Y.NYB", "1d", NEW_YORK)
    content["chart"]["result"][0]["indicators"]["adjclose"][0]["adjclose"] = [5.0, 5.5]
    web.answer(CHART + "DX-Y.NYB", Reply(content))
    assert by_day(closes_of(web)) == {13: 10.0, 14: 11.0}


@pytest.mark.parametrize(("symbol", "path"), [("^VIX", "%5EVIX"), ("KC=F", "KC=F"), ("CL=F", "CL=F")])
def test_symbols_travel_as_yahoo_knows_them(web, symbol, path):
    rows = days(NEW_YORK, d13=-37.63, d14=11.0)
    web.answer(CHART + path, Reply(chart(rows, symbol, "1d", NEW_YORK, currency="USX")))
    series = closes_of(web, symbol)
    assert by_day(series) == {13: -37.63, 14: 11.0}  # prices below zero are prices
    assert f"symbol {symbol}; type CURRENCY; currency USX" in series.states


def test_summer_time_does_not_move_a_day(web):
    midnights = [epoch(f"2026-07-{day}T00:00", LONDON) for day in (13, 14, 15)]  # 23:00 UTC of the day before
    web.answer(
        CHART + "MXN=X", Reply(chart(dict(zip(midnights, (18.1, 18.2, 18.3), strict=True)), "MXN=X", "1d"))
    )
    frame = closes_of(web, "MXN=X", "2026-07-13", "2026-07-20").observations
    assert [f"{day}" for day in frame["observation_date"]] == ["2026-07-13", "2026-07-14", "2026-07-15"]


def test_a_day_that_begins_at_23_is_the_next_one(web):
    rows = {epoch("2026-01-12T23:00", NEW_YORK): 1.5, epoch("2026-01-14T00:00", NEW_YORK): 1.6}
    web.answer(CHART + "DX-Y.NYB", dollar_index(rows))
    assert by_day(closes_of(web)) == {13: 1.5, 14: 1.6}


CLOSES = {"d14": 99.1, "d15": 99.2}


@pytest.mark.parametrize(
    ("traded", "period", "closed"),
    [
        pytest.param(
            "2026-01-15T13:00", ("2026-01-15T09:30", "2026-01-15T16:00"), False, id="in the session"
        ),
        pytest.param("2026-01-15T16:00", ("2026-01-15T09:30", "2026-01-15T16:00"), True, id="at its end"),
        pytest.param("2026-01-15T15:59", ("2026-01-15T09:30", "2026-01-15T16:00"), False, id="just before"),
        pytest.param(
            "2026-01-15T15:59", ("2026-01-16T09:30", "2026-01-16T16:00"), True, id="next session named"
        ),
        pytest.param(
            "2026-01-15T08:00", ("2026-01-15T09:30", "2026-01-15T16:00"), False, id="before the open"
        ),
        pytest.param("2026-01-15T16:00", ("2026-01-14T09:30", "2026-01-14T16:00"), False, id="stale session"),
        pytest.param(
            "2026-01-16T00:01", ("2026-01-16T00:00", "2026-01-16T23:59"), True, id="traded the day after"
        ),
        pytest.param(
            "2026-01-14T16:00", ("2026-01-15T09:30", "2026-01-15T16:00"), False, id="not traded that day"
        ),
        pytest.param("2026-01-15T13:00", None, False, id="no session stated"),
        pytest.param(None, ("2026-01-15T09:30", "2026-01-15T16:00"), False, id="no trade stated"),
    ],
)
def test_the_last_day_asked_for_counts_once_yahoo_says_its_session_is_over(web, traded, period, closed):
    meta = {
        "regularMarketTime": traded and epoch(traded, NEW_YORK),
        "currentTradingPeriod": period and session(*period, NEW_YORK),
    }
    web.answer(CHART + "DX-Y.NYB", dollar_index(days(NEW_YORK, **CLOSES), **meta))
    assert by_day(closes_of(web, end="2026-01-15")) == ({14: 99.1, 15: 99.2} if closed else {14: 99.1})


def test_a_day_before_the_last_one_asked_for_is_over(web):
    meta = {
        "regularMarketTime": epoch("2026-01-15T13:00", NEW_YORK),  # on a Friday, say, of a Sunday's run
        "currentTradingPeriod": session("2026-01-15T00:00", "2026-01-15T23:59", NEW_YORK),
    }
    web.answer(CHART + "DX-Y.NYB", dollar_index(days(NEW_YORK, **CLOSES), **meta))
    assert by_day(closes_of(web, end="2026-01-17")) == {14: 99.1, 15: 99.2}


def test_the_live_row_of_a_day_replaces_the_day_and_is_left_out_while_it_is_open(web):
    rows = days(NEW_YORK, d14=99.1, d15=99.2, d15_1300=98.7)
    open_day = {"currentTradingPeriod": session("2026-01-15T09:30", "2026-01-15T16:00", NEW_YORK)}
    web.answer(CHART + "DX-Y.NYB", dollar_index(rows, **open_day))
    assert by_day(closes_of(web, end="2026-01-15")) == {14: 99.1}
    assert by_day(closes_of(web, end="2026-01-16")) == {14: 99.1, 15: 98.7}


def test_a_last_trade_at_22_does_not_become_the_next_days_close(web):
    rows = {**days(LONDON, d15=18.1, d16=18.2), epoch("2026-01-16T22:00:30", LONDON): 18.3}
    web.answer(CHART + "MXN=X", Reply(chart(rows, "MXN=X", "1d")))
    assert by_day(closes_of(web, "MXN=X", end="2026-01-18")) == {15: 18.1, 16: 18.2}


def test_days_outside_the_range_and_future_ones_are_left_out(web):
    rows = days(NEW_YORK, d02=97.0, d05=98.0, d15=99.2, d30=50.0)
    web.answer(CHART + "DX-Y.NYB", dollar_index(rows, regularMarketTime=epoch("2026-01-16T10:00", NEW_YORK)))
    assert by_day(closes_of(web, end="2026-01-15")) == {5: 98.0, 15: 99.2}


@pytest.mark.parametrize("rows", [{}, days(NEW_YORK, d15=99.2), days(NEW_YORK, d14=None)])
def test_no_closed_day_means_not_published(web, rows):
    web.answer(CHART + "DX-Y.NYB", dollar_index(rows))
    with pytest.raises(NotPublishedError, match=r"yahoo DX-Y.NYB.*: no (close|row)"):
        closes_of(web)


# ---- faults


def test_an_unknown_symbol_is_an_error_and_no_empty_table(web):
    web.answer(CHART + "*", Reply(UNKNOWN, status=404))
    with pytest.raises(SourceError, match=r"^yahoo DX-Y.NYB 1d: Not Found: No data found$"):
        closes_of(web)
    with pytest.raises(SourceError, match=r"^yahoo COP=X 5m: Not Found: No data found$"):
        bars_of(web)
    assert len(web.calls) == 2


def test_the_sample_refusal_is_understood(web):
    web.answer(CHART + "COP=X", Reply(payload("yahoo_error_404.json"), status=404))
    with pytest.raises(SourceError, match="Not Found: No data found, symbol may be delisted"):
        bars_of(web)


@pytest.mark.parametrize(
    ("status", "content", "found"),
    [
        (
            422,
            {"chart": {"result": None, "error": {"code": "Unprocessable Entity", "description": "60 days"}}},
            "60 days",
        ),
        (
            401,
            {"finance": {"result": None, "error": {"code": "Unauthorized", "description": "Invalid Crumb"}}},
            "Crumb",
        ),
        (200, UNKNOWN, "Not Found: No data found"),
        (404, "nothing here", r"not there \(404\)"),
        (302, "", "status 302"),
    ],
)
def test_a_refusal_is_told_in_yahoos_words_and_not_asked_again(web, status, content, found):
    web.answer(CHART + "COP=X", Reply(content, status=status, headers={"Location": "/consent"}))
    with pytest.raises(SourceError, match=found):
        bars_of(web)
    assert len(web.calls) == 1  # no second try, no consent form


GOOD = chart(five_minutes("13:00", "13:05"))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Reply("Too Many Requests\r\n", 429, "text/plain"), id="429"),
        pytest.param(Reply("busy", status=503), id="503"),
        pytest.param(Reply(UNKNOWN, status=500), id="500 that reads like a refusal"),
        pytest.param(
            Reply({"chart": {"result": None, "error": {"code": "Internal Server Error", "description": ""}}}),
            id="an error with status 200",
        ),
        pytest.param(Reply("<html>Will be right back</html>", content_type="text/html"), id="HTML"),
        pytest.param(Reply(GOOD, cut_at=200), id="half a page"),
        pytest.param(Reply(json.dumps(GOOD)[:-40]), id="half a document"),
    ],
)
def test_what_may_pass_is_tried_again(web, fault):
    web.answer(CHART + "COP=X", fault, Reply(GOOD))
    assert len(bars_of(web)) == 2
    assert len(web.calls) == 2


def test_a_timeout_is_tried_again(web):
    web.answer(CHART + "COP=X", Reply(GOOD, delay=0.4), Reply(GOOD))
    assert len(bars_of(web, timeout_seconds=0.15, attempts=4)) == 2


def test_a_pause_longer_than_the_longest_ends_the_tries_at_once(web):
    web.answer(CHART + "COP=X", Reply("Too Many Requests", 429, headers={"Retry-After": "600"}))
    with pytest.raises(SourceError, match=r"yahoo COP=X 5m: .*429.*; asks to wait 600 s"):
        bars_of(web)
    assert len(web.calls) == 1


def test_tries_are_bounded_and_each_costs_a_call(web):
    web.answer(CHART + "COP=X", Reply("busy", status=503))
    with (
        client_of("yahoo", web, attempts=3) as client,
        pytest.raises(SourceError, match="status 503: 'busy'"),
    ):
        fetch_bars("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)
    assert (client.calls, len(web.calls)) == (3, 3)


def test_the_days_budget_holds(web):
    with serving(web) as base_url:
        tree = live_params(base_url).model_dump(mode="json")
        tree["providers"]["yahoo"]["calls_per_day"] = 1
        web.answer(CHART + "COP=X", Reply(GOOD))
        with Client("yahoo", LiveParams.model_validate(tree)) as client:
            fetch_bars("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)
            with pytest.raises(SourceError, match="made the 1 calls allowed a day"):
                fetch_bars("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)
    assert len(web.calls) == 1


def test_an_answer_is_never_remembered_between_clients(web):
    for close in (3680.0, 3690.0):
        web.answer(CHART + "COP=X", Reply(chart(five_minutes("13:00", first=close))))
        assert bars_of(web)["close"].tolist() == [close]


def test_an_answer_too_large_is_given_up(web, monkeypatch):
    monkeypatch.setattr(yahoo, "MAX_BYTES", 1_000)
    web.answer(CHART + "COP=X", Reply(chart(five_minutes("13:00", "13:05"), padding="x" * 5_000)))
    with pytest.raises(SourceError, match=r"yahoo COP=X 5m: .*[Mm]aximum file size"):
        bars_of(web)


def changed(**changes) -> dict:
    content = chart(five_minutes("13:00", "13:05", "13:10"))
    result = content["chart"]["result"][0]
    for name, value in changes.items():
        place, _, key = name.rpartition("__")
        target = {"": result, "meta": result["meta"], "quote": result["indicators"]["quote"][0]}[place]
        target[key] = value
    return content


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({}, "form has changed: chart"),
        ({"chart": {"result": []}}, "form has changed: chart.result"),
        ({"chart": {"result": None, "error": None}}, "form has changed: chart.result"),
        (changed(indicators={}), "form has changed: chart.result.0.indicators.quote"),
        (changed(meta={}), "form has changed: chart.result.0.meta.symbol"),
        (changed(meta__symbol="EURCOP=X"), "the answer is about EURCOP=X 5m"),
        (changed(meta__dataGranularity="1h"), "the answer is about COP=X 1h"),
        (changed(meta__exchangeTimezoneName="Mars/Olympus"), "'Mars/Olympus' is no time zone"),
        (changed(timestamp=["2026-01-15"] * 3), "form has changed: chart.result.0.timestamp.0"),
        (changed(timestamp=[1768482000000] * 3), "form has changed: chart.result.0.timestamp.0"),
        (changed(timestamp=[1768482000] * 2), "2 times, but 3 values of open"),
        (changed(quote__close=[3680.0, 3681.0]), "3 times, but 2 values of close"),
        (changed(quote__close=["3,680.1"] * 3), "form has changed: close.0"),
        (changed(quote__close=["3680.1"] * 3), "form has changed: close.0"),
        (changed(quote__close=[float("inf"), 1.0, 1.0]), "expected a finite number"),
        (
            changed(timestamp=[1768482000, 1768482000, 1768482300]),
            "stands twice, with 3680.0 and with 3681.0",
        ),
    ],
)
def test_a_changed_form_is_refused(web, content, found):
    web.answer(CHART + "COP=X", Reply(content))
    with pytest.raises(SourceError, match=r"^yahoo COP=X 5m: ") as raised:
        bars_of(web)
    assert found in str(raised.value)
    assert len(web.calls) == 1


def test_what_yfinance_cannot_read_is_an_error(web):
    content = chart(days(NEW_YORK, d13=1.0, d14=2.0), "DX-Y.NYB", "1d", NEW_YORK)
    del content["chart"]["result"][0]["indicators"]["adjclose"][0]["adjclose"]
    web.answer(CHART + "DX-Y.NYB", Reply(content))
    with pytest.raises(
        SourceError, match=r"yahoo DX-Y.NYB 1d: yfinance cannot read the answer: KeyError: 'adjclose'"
    ):
        closes_of(web)


def test_two_closes_of_one_day_are_refused_unless_they_agree(web):
    rows = {**days(NEW_YORK, d13=1.0), epoch("2026-01-13T09:30", NEW_YORK): 2.0, **days(NEW_YORK, d14=3.0)}
    web.answer(CHART + "DX-Y.NYB", dollar_index(rows))
    with pytest.raises(SourceError, match=r"stands twice, with 1\.0 and with 2\.0"):
        closes_of(web)
    rows = {epoch("2026-01-12T23:00", NEW_YORK): 1.0, **days(NEW_YORK, d13=2.0, d14=3.0)}
    web.answer(CHART + "DX-Y.NYB", dollar_index(rows))
    with pytest.raises(SourceError, match=r"stands twice, with 1\.0 and with 2\.0"):
        closes_of(web)
    rows[epoch("2026-01-13T00:00", NEW_YORK)] = 1.0
    web.answer(CHART + "DX-Y.NYB", dollar_index(rows))
    assert by_day(closes_of(web)) == {13: 1.0, 14: 3.0}


# ---- what yfinance would do by itself


def test_nothing_is_written_and_nothing_is_logged(web, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    caplog.set_level(logging.INFO)
    web.answer(CHART + "COP=X", Reply(GOOD))
    web.answer(CHART + "DX-Y.NYB", Reply(UNKNOWN, status=404))
    before = set(threading.enumerate())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bars_of(web)
    with pytest.raises(SourceError):
        closes_of(web)
    assert list(tmp_path.rglob("*")) == []
    assert [
        record.name for record in caplog.records if "yf" in record.name or "yahoo" in record.message
    ] == []
    assert {thread for thread in threading.enumerate() if thread not in before and not thread.daemon} == set()


def test_bars_agree_with_the_raw_answer(web):
    rng = np.random.default_rng(5)
    labels = pd.date_range("2026-01-12 00:00", "2026-01-16 21:55", freq="5min", tz="UTC")
    closes = np.round(3680 + rng.standard_normal(len(labels)).cumsum(), 4)
    missing = rng.random(len(labels)) < 0.1
    rows = {
        int(label.timestamp()): None if gone else float(close)
        for label, close, gone in zip(labels, closes, missing, strict=True)
    }
    web.answer(CHART + "COP=X", Reply(chart(rows)))
    bars = bars_of(web, "2026-01-12", "2026-01-17")
    assert list(bars["timestamp"]) == list(labels[~missing])
    np.testing.assert_array_equal(bars["close"], closes[~missing])


# ---- TLS


def test_certificates_are_judged_by_the_systems_store(tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    asked = ("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"))
    with (
        serving_tls(tmp_path, json.dumps(GOOD).encode()) as (base_url, authority),
        Client("yahoo", live_params(base_url, attempts=1)) as client,
    ):
        with pytest.raises(SourceError, match="CertificateVerifyError"):
            fetch_bars(*asked, client)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert len(fetch_bars(*asked, client)) == 2
