import numpy as np
import pandas as pd
import pytest

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.http import ProviderClient
from dosvotos.sources.providers.yahoo import fetch_bars
from dosvotos.sources.raw_market import BAR_COLUMNS
from tests.checked_market import check_delivery
from tests.sources.local_server import Reply, client_of, live_params, payload, serving
from tests.sources.providers.yahoo_charts import (
    CHART,
    LONDON,
    NEW_YORK,
    bars_of,
    by_day,
    chart,
    closes_of,
    days,
    dollar_index,
    epoch,
    five_minutes,
    session,
    utc,
)

# ---- bars


def test_the_sample_answer_becomes_three_bars_without_the_null_one(server):
    server.answer(CHART + "COP=X", Reply(payload("yahoo_chart_5m.json")))
    bars = bars_of(server)
    assert list(bars["timestamp"]) == [utc(f"2026-01-15 13:{minute}") for minute in ("00", "05", "15")]
    assert bars.iloc[1].tolist()[1:] == [3680.2, 3682.4, 3679.1, 3681.1, 0.0]
    pd.testing.assert_frame_equal(check_delivery(bars.assign(source="yahoo")).bars[list(BAR_COLUMNS)], bars)


def test_one_call_asks_the_clients_own_address_and_nothing_else(server):
    server.answer(CHART + "COP=X", Reply(chart(five_minutes("13:00", "13:05"))))
    with client_of("yahoo", server) as client:
        fetch_bars("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)
        assert client.calls == 1
    (call,) = server.calls  # no cookie, no crumb, no time zone asked
    assert call.query == {
        "period1": str(epoch("2026-01-15T13:00")),
        "period2": str(epoch("2026-01-15T18:00")),
        "interval": "5m",
        "includePrePost": "true",
        "events": "div,splits,capitalGains",
    }
    assert "Chrome" in call.headers["User-Agent"]
    assert "Cookie" not in call.headers


def test_a_mirrors_path_is_kept(server):
    server.answer("/mirror" + CHART + "COP=X", Reply(chart(five_minutes("13:00", "13:05"))))
    with serving(server) as base_url, ProviderClient("yahoo", live_params(f"{base_url}/mirror")) as client:
        assert len(fetch_bars("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)) == 2


def test_a_start_out_of_yahoos_reach_becomes_59_days_before_the_end(server):
    server.answer(CHART + "COP=X", Reply(chart(five_minutes("13:00"))))
    bars_of(server, start="2020-01-01")
    assert server.calls[0].query["period1"] == str(epoch("2025-11-17T18:00"))


def test_a_bar_that_has_not_closed_or_was_not_asked_for_is_left_out(server):
    server.answer(CHART + "COP=X", Reply(chart(five_minutes("12:55", "13:00", "13:05", "13:10"))))
    assert [f"{t:%H:%M}" for t in bars_of(server, end="2026-01-15 13:10")["timestamp"]] == ["13:00", "13:05"]
    assert [f"{t:%H:%M}" for t in bars_of(server, end="2026-01-15 13:09:59")["timestamp"]] == ["13:00"]


@pytest.mark.parametrize(
    ("live", "kept"),
    [
        ("13:12:07", ["13:00", "13:05"]),  # lies in the bar of 13:10, which yfinance alters
        ("13:12:00", ["13:00", "13:05", "13:10"]),  # kept apart by yfinance: off the grid
        ("13:17:07", ["13:00", "13:05", "13:10"]),  # the bar of 13:15 is not there yet
    ],
)
def test_yahoos_live_row_is_no_bar_and_changes_none(server, live, kept):
    rows = five_minutes("13:00", "13:05", "13:10")
    server.answer(CHART + "COP=X", Reply(chart({**rows, **five_minutes(live, first=9999.0)})))
    bars = bars_of(server)
    assert [f"{t:%H:%M}" for t in bars["timestamp"]] == kept
    assert bars["close"].tolist() == list(rows.values())[: len(kept)]
    assert bars["high"].max() < 9000


def test_a_live_row_in_the_hour_that_comes_twice_is_placed(server):
    day = "2026-10-25"  # London leaves summer time at 01:00 UTC
    rows = {**five_minutes("01:00", "01:05", day=day), **five_minutes("01:07:09", day=day, first=9999.0)}
    server.answer(CHART + "COP=X", Reply(chart(rows)))
    bars = bars_of(server, f"{day} 00:00", f"{day} 12:00")
    assert list(bars["timestamp"]) == [utc(f"{day} 01:00")]


def test_a_bar_without_one_of_its_prices_is_left_out(server):
    content = chart(five_minutes("13:00", "13:05", "13:10"))
    content["chart"]["result"][0]["indicators"]["quote"][0]["low"][1] = None
    server.answer(CHART + "COP=X", Reply(content))
    assert [f"{t:%H:%M}" for t in bars_of(server)["timestamp"]] == ["13:00", "13:10"]


def test_a_bar_of_zeros_is_handed_on_for_the_checks_to_refuse(server):
    content = chart(five_minutes("13:00", "13:05", "13:10"))
    for values in content["chart"]["result"][0]["indicators"]["quote"][0].values():
        values[1] = 0.0
    server.answer(CHART + "COP=X", Reply(content))
    checked = check_delivery(bars_of(server).assign(source="yahoo"))
    assert checked.findings.query("severity == 'quarantined'")["rule"].tolist() == ["impossible_price"]
    assert [f"{t:%H:%M}" for t in checked.bars["timestamp"]] == ["13:00", "13:10"]


def test_a_range_without_trades_is_no_bar_and_a_long_one_is_refused(server):
    server.answer(CHART + "COP=X", Reply(chart({})))
    bars = bars_of(server, "2026-01-17", "2026-01-18")
    assert (len(bars), list(bars.columns)) == (0, list(BAR_COLUMNS))
    assert str(bars["timestamp"].dtype) == "datetime64[us, UTC]"
    with pytest.raises(
        SourceError, match=r"yahoo COP=X 5m: no row in the range asked; is the symbol still traded"
    ):
        bars_of(server, "2026-01-01", "2026-01-18")


def test_a_range_shorter_than_a_bar_costs_no_call(server):
    assert bars_of(server, "2026-01-15 13:00", "2026-01-15 13:04").empty
    assert server.calls == []


# ---- daily closes


def test_the_sample_days_are_dated_by_the_exchange(server):
    server.answer(CHART + "DX-Y.NYB", Reply(payload("yahoo_chart_1d.json")))
    series = closes_of(server)
    assert by_day(series) == {13: 99.13, 14: 99.05}
    assert series.description == "symbol DX-Y.NYB; type INDEX; currency USD; exchange CCY"


def test_days_are_asked_for_with_room_for_every_time_zone(server):
    server.answer(CHART + "DX-Y.NYB", dollar_index(days(NEW_YORK, d14=99.05, d15=99.2)))
    closes_of(server, start="2026-01-05", end="2026-01-15")
    query = server.calls[0].query
    assert (int(query["period1"]), int(query["period2"])) == (epoch("2026-01-04"), epoch("2026-01-16"))
    assert query["interval"] == "1d"


def test_what_yahoo_says_is_stated(server):
    server.answer(CHART + "DX-Y.NYB", dollar_index(days(NEW_YORK, d14=99.05, d15=99.2)))
    assert closes_of(server).description == (
        "symbol DX-Y.NYB; type INDEX; currency USD; exchange CCY; name US Dollar Index"
    )


def test_closes_are_not_adjusted(server):
    content = chart(days(NEW_YORK, d13=10.0, d14=11.0), "DX-Y.NYB", "1d", NEW_YORK)
    content["chart"]["result"][0]["indicators"]["adjclose"][0]["adjclose"] = [5.0, 5.5]
    server.answer(CHART + "DX-Y.NYB", Reply(content))
    assert by_day(closes_of(server)) == {13: 10.0, 14: 11.0}


@pytest.mark.parametrize(("symbol", "path"), [("^VIX", "%5EVIX"), ("KC=F", "KC=F"), ("CL=F", "CL=F")])
def test_symbols_travel_as_yahoo_knows_them(server, symbol, path):
    rows = days(NEW_YORK, d13=-37.63, d14=11.0)
    server.answer(CHART + path, Reply(chart(rows, symbol, "1d", NEW_YORK, currency="USX")))
    series = closes_of(server, symbol)
    assert by_day(series) == {13: -37.63, 14: 11.0}  # prices below zero are prices
    assert f"symbol {symbol}; type CURRENCY; currency USX" in series.description


def test_summer_time_does_not_move_a_day(server):
    midnights = [epoch(f"2026-07-{day}T00:00", LONDON) for day in (13, 14, 15)]  # 23:00 UTC of the day before
    server.answer(
        CHART + "MXN=X", Reply(chart(dict(zip(midnights, (18.1, 18.2, 18.3), strict=True)), "MXN=X", "1d"))
    )
    frame = closes_of(server, "MXN=X", "2026-07-13", "2026-07-20").observations
    assert [f"{day}" for day in frame["observation_date"]] == ["2026-07-13", "2026-07-14", "2026-07-15"]


def test_a_day_that_begins_at_23_is_the_next_one(server):
    rows = {epoch("2026-01-12T23:00", NEW_YORK): 1.5, epoch("2026-01-14T00:00", NEW_YORK): 1.6}
    server.answer(CHART + "DX-Y.NYB", dollar_index(rows))
    assert by_day(closes_of(server)) == {13: 1.5, 14: 1.6}


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
def test_the_last_day_asked_for_counts_once_yahoo_says_its_session_is_over(server, traded, period, closed):
    meta = {
        "regularMarketTime": traded and epoch(traded, NEW_YORK),
        "currentTradingPeriod": period and session(*period, NEW_YORK),
    }
    server.answer(CHART + "DX-Y.NYB", dollar_index(days(NEW_YORK, **CLOSES), **meta))
    assert by_day(closes_of(server, end="2026-01-15")) == ({14: 99.1, 15: 99.2} if closed else {14: 99.1})


def test_a_day_before_the_last_one_asked_for_is_over(server):
    meta = {
        "regularMarketTime": epoch("2026-01-15T13:00", NEW_YORK),  # on a Friday, say, of a Sunday's run
        "currentTradingPeriod": session("2026-01-15T00:00", "2026-01-15T23:59", NEW_YORK),
    }
    server.answer(CHART + "DX-Y.NYB", dollar_index(days(NEW_YORK, **CLOSES), **meta))
    assert by_day(closes_of(server, end="2026-01-17")) == {14: 99.1, 15: 99.2}


def test_the_live_row_of_a_day_replaces_the_day_and_is_left_out_while_it_is_open(server):
    rows = days(NEW_YORK, d14=99.1, d15=99.2, d15_1300=98.7)
    open_day = {"currentTradingPeriod": session("2026-01-15T09:30", "2026-01-15T16:00", NEW_YORK)}
    server.answer(CHART + "DX-Y.NYB", dollar_index(rows, **open_day))
    assert by_day(closes_of(server, end="2026-01-15")) == {14: 99.1}
    assert by_day(closes_of(server, end="2026-01-16")) == {14: 99.1, 15: 98.7}


def test_a_last_trade_at_22_does_not_become_the_next_days_close(server):
    rows = {**days(LONDON, d15=18.1, d16=18.2), epoch("2026-01-16T22:00:30", LONDON): 18.3}
    server.answer(CHART + "MXN=X", Reply(chart(rows, "MXN=X", "1d")))
    assert by_day(closes_of(server, "MXN=X", end="2026-01-18")) == {15: 18.1, 16: 18.2}


def test_days_outside_the_range_and_future_ones_are_left_out(server):
    rows = days(NEW_YORK, d02=97.0, d05=98.0, d15=99.2, d30=50.0)
    server.answer(
        CHART + "DX-Y.NYB", dollar_index(rows, regularMarketTime=epoch("2026-01-16T10:00", NEW_YORK))
    )
    assert by_day(closes_of(server, end="2026-01-15")) == {5: 98.0, 15: 99.2}


@pytest.mark.parametrize("rows", [{}, days(NEW_YORK, d15=99.2), days(NEW_YORK, d14=None)])
def test_no_closed_day_means_not_published(server, rows):
    server.answer(CHART + "DX-Y.NYB", dollar_index(rows))
    with pytest.raises(NotPublishedError, match=r"yahoo DX-Y.NYB.*: no (close|row)"):
        closes_of(server)


def test_bars_agree_with_the_raw_answer(server):
    rng = np.random.default_rng(5)
    labels = pd.date_range("2026-01-12 00:00", "2026-01-16 21:55", freq="5min", tz="UTC")
    closes = np.round(3680 + rng.standard_normal(len(labels)).cumsum(), 4)
    missing = rng.random(len(labels)) < 0.1
    rows = {
        int(label.timestamp()): None if gone else float(close)
        for label, close, gone in zip(labels, closes, missing, strict=True)
    }
    server.answer(CHART + "COP=X", Reply(chart(rows)))
    bars = bars_of(server, "2026-01-12", "2026-01-17")
    assert list(bars["timestamp"]) == list(labels[~missing])
    np.testing.assert_array_equal(bars["close"], closes[~missing])
