"""What Yahoo refuses, breaks or changes, and what yfinance would do about it by itself."""

import json
import logging
import threading
import warnings

import pytest

from dosvotos.contracts.acquisition import LiveParams
from dosvotos.errors import SourceError
from dosvotos.sources.http import ProviderClient
from dosvotos.sources.providers import yahoo
from dosvotos.sources.providers.yahoo import fetch_bars
from tests.sources.local_server import Reply, client_of, live_params, payload, serving
from tests.sources.local_tls_server import serving_tls
from tests.sources.providers.yahoo_charts import (
    CHART,
    NEW_YORK,
    UNKNOWN,
    bars_of,
    by_day,
    chart,
    closes_of,
    days,
    dollar_index,
    epoch,
    five_minutes,
    utc,
)


def test_an_unknown_symbol_is_an_error_and_no_empty_table(server):
    server.answer(CHART + "*", Reply(UNKNOWN, status=404))
    with pytest.raises(SourceError, match=r"^yahoo DX-Y.NYB 1d: Not Found: No data found$"):
        closes_of(server)
    with pytest.raises(SourceError, match=r"^yahoo COP=X 5m: Not Found: No data found$"):
        bars_of(server)
    assert len(server.calls) == 2


def test_the_sample_refusal_is_understood(server):
    server.answer(CHART + "COP=X", Reply(payload("yahoo_error_404.json"), status=404))
    with pytest.raises(SourceError, match="Not Found: No data found, symbol may be delisted"):
        bars_of(server)


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
def test_a_refusal_is_told_in_yahoos_words_and_not_asked_again(server, status, content, found):
    server.answer(CHART + "COP=X", Reply(content, status=status, headers={"Location": "/consent"}))
    with pytest.raises(SourceError, match=found):
        bars_of(server)
    assert len(server.calls) == 1  # no second try, no consent form


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
def test_what_may_pass_is_tried_again(server, fault):
    server.answer(CHART + "COP=X", fault, Reply(GOOD))
    assert len(bars_of(server)) == 2
    assert len(server.calls) == 2


def test_a_timeout_is_tried_again(server):
    server.answer(CHART + "COP=X", Reply(GOOD, delay=0.4), Reply(GOOD))
    assert len(bars_of(server, timeout_seconds=0.15, attempts=4)) == 2


def test_a_pause_longer_than_the_longest_ends_the_tries_at_once(server):
    server.answer(CHART + "COP=X", Reply("Too Many Requests", 429, headers={"Retry-After": "600"}))
    with pytest.raises(SourceError, match=r"yahoo COP=X 5m: .*429.*; asks to wait 600 s"):
        bars_of(server)
    assert len(server.calls) == 1


def test_tries_are_bounded_and_each_costs_a_call(server):
    server.answer(CHART + "COP=X", Reply("busy", status=503))
    with (
        client_of("yahoo", server, attempts=3) as client,
        pytest.raises(SourceError, match="status 503: 'busy'"),
    ):
        fetch_bars("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)
    assert (client.calls, len(server.calls)) == (3, 3)


def test_the_days_budget_holds(server):
    with serving(server) as base_url:
        tree = live_params(base_url).model_dump(mode="json")
        tree["providers"]["yahoo"]["calls_per_day"] = 1
        server.answer(CHART + "COP=X", Reply(GOOD))
        with ProviderClient("yahoo", LiveParams.model_validate(tree)) as client:
            fetch_bars("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)
            with pytest.raises(SourceError, match="made the 1 calls allowed a day"):
                fetch_bars("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"), client)
    assert len(server.calls) == 1


def test_an_answer_is_never_remembered_between_clients(server):
    for close in (3680.0, 3690.0):
        server.answer(CHART + "COP=X", Reply(chart(five_minutes("13:00", first=close))))
        assert bars_of(server)["close"].tolist() == [close]


def test_an_answer_too_large_is_given_up(server, monkeypatch):
    monkeypatch.setattr(yahoo, "MAX_BYTES", 1_000)
    server.answer(CHART + "COP=X", Reply(chart(five_minutes("13:00", "13:05"), padding="x" * 5_000)))
    with pytest.raises(SourceError, match=r"yahoo COP=X 5m: .*[Mm]aximum file size"):
        bars_of(server)


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
def test_a_changed_form_is_refused(server, content, found):
    server.answer(CHART + "COP=X", Reply(content))
    with pytest.raises(SourceError, match=r"^yahoo COP=X 5m: ") as raised:
        bars_of(server)
    assert found in str(raised.value)
    assert len(server.calls) == 1


def test_what_yfinance_cannot_read_is_an_error(server):
    content = chart(days(NEW_YORK, d13=1.0, d14=2.0), "DX-Y.NYB", "1d", NEW_YORK)
    del content["chart"]["result"][0]["indicators"]["adjclose"][0]["adjclose"]
    server.answer(CHART + "DX-Y.NYB", Reply(content))
    with pytest.raises(
        SourceError, match=r"yahoo DX-Y.NYB 1d: yfinance cannot read the answer: KeyError: 'adjclose'"
    ):
        closes_of(server)


def test_two_closes_of_one_day_are_refused_unless_they_agree(server):
    rows = {**days(NEW_YORK, d13=1.0), epoch("2026-01-13T09:30", NEW_YORK): 2.0, **days(NEW_YORK, d14=3.0)}
    server.answer(CHART + "DX-Y.NYB", dollar_index(rows))
    with pytest.raises(SourceError, match=r"stands twice, with 1\.0 and with 2\.0"):
        closes_of(server)
    rows = {epoch("2026-01-12T23:00", NEW_YORK): 1.0, **days(NEW_YORK, d13=2.0, d14=3.0)}
    server.answer(CHART + "DX-Y.NYB", dollar_index(rows))
    with pytest.raises(SourceError, match=r"stands twice, with 1\.0 and with 2\.0"):
        closes_of(server)
    rows[epoch("2026-01-13T00:00", NEW_YORK)] = 1.0
    server.answer(CHART + "DX-Y.NYB", dollar_index(rows))
    assert by_day(closes_of(server)) == {13: 1.0, 14: 3.0}


# ---- what yfinance would do by itself


def test_nothing_is_written_and_nothing_is_logged(server, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    caplog.set_level(logging.INFO)
    server.answer(CHART + "COP=X", Reply(GOOD))
    server.answer(CHART + "DX-Y.NYB", Reply(UNKNOWN, status=404))
    before = set(threading.enumerate())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bars_of(server)
    with pytest.raises(SourceError):
        closes_of(server)
    assert list(tmp_path.rglob("*")) == []
    assert [
        record.name for record in caplog.records if "yf" in record.name or "yahoo" in record.message
    ] == []
    assert {thread for thread in threading.enumerate() if thread not in before and not thread.daemon} == set()


# ---- TLS


def test_certificates_are_judged_by_the_systems_store(tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    asked = ("COP=X", utc("2026-01-15 13:00"), utc("2026-01-15 18:00"))
    with (
        serving_tls(tmp_path, json.dumps(GOOD).encode()) as (base_url, authority),
        ProviderClient("yahoo", live_params(base_url, attempts=1)) as client,
    ):
        with pytest.raises(SourceError, match="CertificateVerifyError"):
            fetch_bars(*asked, client)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert len(fetch_bars(*asked, client)) == 2
