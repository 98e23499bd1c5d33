import datetime as dt
import json
import logging
import traceback

import pandas as pd
import pytest

from dosvotos.errors import SourceError
from dosvotos.sources.providers import fred
from dosvotos.sources.providers.fred import fetch
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, ReceivedRequest, Reply, client_of, payload

CANARY = "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ry42"
ABOUT, ROWS = "/fred/series", "/fred/series/observations"
BAD_KEY = {
    "error_code": 400,
    "error_message": "Bad Request.  The value for variable api_key is not registered.",
}
UNKNOWN = {"error_code": 400, "error_message": "Bad Request.  The series does not exist."}


def about(series: str, frequency: str = "Monthly", **changes) -> dict:
    described = {
        "id": series,
        "title": "Consumer Price Index for All Urban Consumers: All Items in U.S. City Average",
        "units": "Index 1982-1984=100",
        "frequency": frequency,
        "frequency_short": frequency[0],
        "seasonal_adjustment": "Seasonally Adjusted",
        "last_updated": "2026-01-13 07:38:02-06",
    }
    return {"realtime_start": "2026-01-13", "seriess": [{**described, **changes}]}


def row(day: str, value: str, known: str = "2026-01-13") -> dict:
    return {"realtime_start": known, "realtime_end": "9999-12-31", "date": day, "value": value}


def rows(*found: dict, count: int | None = None, offset: int = 0, **changes) -> dict:
    head = {
        "units": "lin",
        "count": len(found) if count is None else count,
        "offset": offset,
        "limit": 100_000,
    }
    return {**head, "observations": list(found), **changes}


CPI = (
    row("2025-08-01", "323.364", "2025-09-11"),
    row("2025-09-01", "324.368", "2025-10-24"),
    row("2025-08-01", "323.370", "2025-10-24"),
    row("2025-10-01", ".", "2025-12-18"),
    row("2025-11-01", "325.031", "2025-12-18"),
)


@pytest.fixture
def server() -> LocalServer:
    made = LocalServer()
    made.answer(ABOUT, lambda call: Reply(about(call.query["series_id"])))
    made.answer(ROWS, Reply(rows(*CPI)))
    return made


def fetched(server, series="CPIAUCSL", frequency="monthly", start="2025-08-01", end="2026-01-16", **changes):
    request = SeriesRequest(series, frequency, dt.date.fromisoformat(start), dt.date.fromisoformat(end))
    with client_of("fred", server, CANARY, **changes) as client:
        return fetch(request, client)


def daily(server, *found: dict, **changes):
    server.answer(ABOUT, Reply(about("DGS10", "Daily", units="Percent", title="10-Year Constant Maturity")))
    server.answer(ROWS, Reply(rows(*found)))
    return fetched(server, "DGS10", "daily", **{"start": "2026-01-12", "end": "2026-01-16", **changes})


# ---- monthly and quarterly: every vintage


def test_each_revision_is_a_row_dated_by_the_day_it_became_known(server):
    frame = fetched(server).observations
    assert frame.astype(str).to_numpy().tolist() == [
        ["2025-08-01", "323.364", "2025-09-11"],
        ["2025-08-01", "323.37", "2025-10-24"],
        ["2025-09-01", "324.368", "2025-10-24"],
        ["2025-11-01", "325.031", "2025-12-18"],
    ]
    assert isinstance(frame["observation_date"][0], dt.date)


def test_what_was_known_on_each_day_can_be_read_off_the_vintages(server):
    frame = fetched(server).observations

    def known(day: str) -> dict[str, float]:
        seen = frame[frame["vintage"] <= day].drop_duplicates("observation_date", keep="last")
        return {
            f"{date:%m}": value for date, value in zip(seen["observation_date"], seen["value"], strict=True)
        }

    assert known("2025-09-10") == {}
    assert known("2025-10-23") == {"08": 323.364}
    assert known("2025-10-24") == {"08": 323.370, "09": 324.368}
    assert known("2025-12-18") == {"08": 323.370, "09": 324.368, "11": 325.031}


def test_vintages_are_asked_from_the_first_period_on(server):
    fetched(server)
    assert server.called(ROWS)[0].query == {
        "series_id": "CPIAUCSL",
        "file_type": "json",
        "observation_start": "2025-08-01",
        "observation_end": "2026-01-16",
        "units": "lin",
        "realtime_start": "2025-08-01",
        "realtime_end": "9999-12-31",
        "limit": "100000",
        "offset": "0",
        "sort_order": "asc",
        "api_key": CANARY,
    }


def test_a_vintage_after_the_range_was_not_known_in_it(server):
    assert list(fetched(server, end="2025-10-23").observations["value"]) == [323.364]


def test_a_value_dated_before_its_period_began_is_refused(server):
    server.answer(ROWS, Reply(rows(row("2025-08-01", "323.364", "2025-08-01"))))
    with pytest.raises(
        SourceError, match="the value of 2025-08-01 is dated 2025-08-01, not after its period began"
    ):
        fetched(server)


def test_a_vintage_that_holds_two_values_is_refused(server):
    server.answer(ROWS, Reply(rows(CPI[0], {**CPI[0], "value": "324"})))
    with pytest.raises(SourceError, match="2025-08-01 stands twice in the vintage of 2025-09-11"):
        fetched(server)


def test_too_many_vintages_are_told_in_freds_own_words(server):
    message = (
        "Bad Request.  There are 2605 vintage dates in the specified real-time period. This exceeds the "
        "maximum number of vintage dates allowed for this file type (2000)."
    )
    server.answer(ROWS, Reply({"error_code": 400, "error_message": message}, status=400))
    with pytest.raises(SourceError, match=r"fred CPIAUCSL: code 400: .* 2605 vintage dates"):
        fetched(server)


# ---- daily: as it stands


def test_a_daily_series_comes_without_vintages_and_without_missing_days(server):
    series = daily(server, row("2026-01-12", "4.18"), row("2026-01-13", "."), row("2026-01-14", "4.15"))
    assert series.observations.to_dict("list") == {
        "observation_date": [dt.date(2026, 1, 12), dt.date(2026, 1, 14)],
        "value": [4.18, 4.15],
    }
    assert "realtime_start" not in server.called(ROWS)[0].query


def test_the_sample_answer_is_read(server):
    server.answer(ABOUT, Reply(about("CPIAUCSL", "Daily")))
    server.answer(ROWS, Reply(payload("fred_observations.json")))
    frame = fetched(server, frequency="daily", start="2025-07-01").observations
    assert list(frame["value"]) == [322.132, 323.364, 324.368, 325.031]
    assert frame["observation_date"].iloc[-1] == dt.date(2025, 11, 1)


def test_a_day_that_stands_twice_is_refused_unless_it_says_the_same(server):
    assert len(daily(server, row("2026-01-12", "4.18"), row("2026-01-12", "4.18")).observations) == 1
    with pytest.raises(SourceError, match=r"2026-01-12 stands twice, with 4\.18 and with 4\.2"):
        daily(server, row("2026-01-12", "4.18"), row("2026-01-12", "4.20"))


# ---- what FRED states


def test_name_units_and_frequency_are_stated(server):
    assert fetched(server).description == (
        "id CPIAUCSL; title Consumer Price Index for All Urban Consumers: All Items in U.S. City Average; "
        "units Index 1982-1984=100; frequency Monthly; Seasonally Adjusted"
    )


def test_another_series_or_frequency_is_refused(server):
    server.answer(ABOUT, Reply(about("CPILFESL")))
    with pytest.raises(SourceError, match=r"fred CPIAUCSL: asked for one series, found \['CPILFESL'\]"):
        fetched(server)
    server.answer(ABOUT, Reply(about("CPIAUCSL", "Quarterly")))
    with pytest.raises(SourceError, match="expected a monthly series, found 'Quarterly'"):
        fetched(server)
    assert server.called(ROWS) == []


# ---- pages


def paged(found: list[dict]):
    def answering(call: ReceivedRequest) -> Reply:
        offset, limit = int(call.query["offset"]), int(call.query["limit"])
        return Reply(rows(*found[offset : offset + limit], count=len(found), offset=offset, limit=limit))

    return answering


@pytest.mark.parametrize(("size", "calls"), [(1, 5), (2, 3), (4, 2), (5, 1), (6, 1)])
def test_pages_are_put_together(server, monkeypatch, size, calls):
    monkeypatch.setattr(fred, "PAGE", size)
    server.answer(ROWS, paged(list(CPI)))
    assert list(fetched(server).observations["value"]) == [323.364, 323.370, 324.368, 325.031]
    assert len(server.called(ROWS)) == calls


def test_fewer_rows_than_announced_are_half_an_answer(server):
    server.answer(ROWS, Reply(rows(*CPI[:2], count=5)), Reply(rows(*CPI)))
    assert len(fetched(server).observations) == 4
    server.answer(ROWS, Reply(rows(*CPI[:2], count=5)))
    with pytest.raises(SourceError, match="announced 5 rows and sent 2"):
        fetched(server)


def test_another_page_than_asked_is_refused(server):
    server.answer(ROWS, Reply(rows(CPI[0], count=6, offset=5)))
    with pytest.raises(SourceError, match="asked for units 'lin' from row 0, found 'lin' from row 5"):
        fetched(server)


def test_a_long_range_without_rows_is_refused_and_a_short_one_is_empty(server):
    server.answer(ROWS, Reply(rows()))
    assert fetched(server, start="2025-12-01").observations.empty
    with pytest.raises(SourceError, match="fred CPIAUCSL: no observation from 2025-01-01 to 2026-01-16"):
        fetched(server, start="2025-01-01")


# ---- refusals


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BAD_KEY, r"fred CPIAUCSL: code 400: .*not registered\.; check FRED_API_KEY$"),
        (UNKNOWN, r"fred CPIAUCSL: code 400: .*The series does not exist\.$"),
    ],
)
def test_a_refusal_is_told_in_freds_words(server, error, message, status):
    server.answer(ABOUT, Reply(error, status=status))
    with pytest.raises(SourceError, match=message):
        fetched(server)
    assert len(server.calls) == 1


def test_the_sample_refusal_names_the_key(server):
    server.answer(ABOUT, Reply(payload("fred_error_400.json"), status=400))
    with pytest.raises(SourceError, match="check FRED_API_KEY"):
        fetched(server)


def test_without_a_key_nothing_is_asked(server):
    request = SeriesRequest("DGS10", "daily", dt.date(2026, 1, 12), dt.date(2026, 1, 16))
    with client_of("fred", server) as client, pytest.raises(SourceError, match="set FRED_API_KEY"):
        fetch(request, client)
    assert server.calls == []


@pytest.mark.parametrize(
    "fault",
    [
        Reply({"error_code": 429, "error_message": "Too Many Requests.  Exceeded Rate Limit"}, status=429),
        Reply({"error_code": 500, "error_message": "Internal Server Error"}),
        Reply("busy", status=503),
        Reply("<html>maintenance</html>", content_type="text/html"),
        Reply(json.dumps(rows(*CPI))[:-20]),
    ],
)
def test_what_may_pass_is_tried_again(server, fault):
    server.answer(ROWS, fault, Reply(rows(*CPI)))
    assert len(fetched(server).observations) == 4
    assert len(server.called(ROWS)) == 2


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"observations": []}, "form has changed: units"),
        ([], "form has changed"),
        (rows(*CPI, limit=0), "form has changed: limit"),
        (rows({"date": "2025-08-01", "value": "1"}), "form has changed: observations.0.realtime_start"),
        (rows(row("2025-08-01", 323.3)), "form has changed: observations.0.value"),
        (rows(*CPI, units="pc1"), "asked for units 'lin' from row 0, found 'pc1'"),
        (rows(row("08/01/2025", "1")), "expected a date YYYY-MM-DD, found '08/01/2025'"),
        (rows(row("2025-08-01", "1", "soon")), "expected a date YYYY-MM-DD, found 'soon'"),
        (rows(row("2025-08-01", "n/a")), "expected a number, found 'n/a'"),
        (rows(row("2025-08-01", "inf")), "fred CPIAUCSL 2025-08-01: expected a "),
    ],
)
def test_a_changed_form_is_refused(server, changed, found):
    server.answer(ROWS, Reply(changed))
    with pytest.raises(SourceError, match=r"^fred CPIAUCSL") as raised:
        fetched(server)
    assert found in str(raised.value)
    assert len(server.called(ROWS)) == 1


def echo(status: int, form: str):
    """Error pages repeat the address they were asked for, and FRED's address holds the key."""
    return lambda call: Reply(form.replace("ADDRESS", f"{call.path}?{call.query}"), status)


@pytest.mark.parametrize(
    "fault",
    [
        echo(400, '{"error_code": 400, "error_message": "ADDRESS"}'),
        echo(200, '{"error_code": 400, "error_message": "ADDRESS"}'),
        echo(200, '{"error_code": 500, "error_message": "ADDRESS"}'),
        echo(200, '{"seriess": [{"id": "ADDRESS"}]}'),
        echo(403, "ADDRESS"),
        echo(404, "ADDRESS"),
        echo(429, "ADDRESS"),
        echo(503, "ADDRESS"),
        echo(200, "<html>ADDRESS"),
        echo(200, "ADDRESS"),
        Reply(about("CPIAUCSL"), delay=0.4),
        Reply(about("CPIAUCSL"), cut_at=20),
        Reply("moved", 301, headers={"Location": f"/other?api_key={CANARY}"}),
    ],
)
def test_the_key_is_in_no_message_and_no_log(server, caplog, fault):
    for name in ("", "httpx", "httpcore", "stamina"):
        caplog.set_level(logging.DEBUG, name)
    server.answer(ABOUT, fault)
    with pytest.raises(SourceError) as raised:
        fetched(server, timeout_seconds=0.1 if isinstance(fault, Reply) and fault.delay else 2.0)
    assert server.calls[0].query["api_key"] == CANARY
    shown = [*traceback.format_exception(raised.value), *(f"{record.__dict__}" for record in caplog.records)]
    assert not [line for line in shown if CANARY in line]


def test_two_series_cost_two_calls_each_and_an_equal_question_none(server):
    with client_of("fred", server, CANARY) as client:
        frames = [
            fetch(
                SeriesRequest(name, "monthly", dt.date(2025, 8, 1), dt.date(2026, 1, 16)), client
            ).observations
            for name in ("CPIAUCSL", "CPILFESL", "CPIAUCSL")
        ]
    assert len(server.calls) == 4
    pd.testing.assert_frame_equal(frames[0], frames[2])
