import datetime as dt
import gzip
import logging
import socketserver
import threading
import time
import traceback
from contextlib import contextmanager
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from dosvotos.contracts.acquisition import LiveParams
from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources import http
from dosvotos.sources.http import ProviderClient, Response, RetryableError, parse_model, retry_after_seconds
from tests.sources.local_server import ReceivedRequest, Reply, client_of, live_params, serving
from tests.sources.local_tls_server import serving_tls

CANARY = "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ry42"
GOOD = Reply({"value": 7})


def value_of(answer: Response) -> int:
    found: int = answer.json()["value"]
    return found


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Pauses between tries, which are noted instead of made."""
    noted: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=noted.append))
    return noted


@contextmanager
def limited_client(server, **limits):
    """A client with limits of its own."""
    with serving(server) as base_url:
        tree = live_params(base_url).model_dump(mode="json")
        tree["providers"]["cboe"].update(limits)
        with ProviderClient("cboe", LiveParams.model_validate(tree)) as client:
            yield client


# ---- what is asked and answered


def test_a_question_carries_its_query_and_headers_and_says_who_asks(server):
    server.answer("/data", GOOD)
    with client_of("cboe", server) as client:
        assert client.get("/data", value_of, {"id": "A&B"}, {"X-Token": "t"}) == 7
    call = server.calls[0]
    assert (call.method, call.query, call.headers["X-Token"]) == ("GET", {"id": "A&B"}, "t")
    assert call.headers["User-Agent"].startswith("dosvotos")


def test_a_post_carries_its_body_as_json(server):
    server.answer("/data", GOOD)
    with client_of("bls", server) as client:
        assert client.post("/data", value_of, {"ids": ["A"]}) == 7
    assert (server.calls[0].method, server.calls[0].body) == ("POST", b'{"ids":["A"]}')


def test_a_mirrors_path_is_kept(server):
    server.answer("/mirror/data", GOOD)
    with serving(server) as base_url, ProviderClient("cboe", live_params(f"{base_url}/mirror/")) as client:
        assert client.get("/data", value_of) == 7


def test_an_equal_question_is_asked_once(server):
    server.answer("/data", Reply({"value": 1}), Reply({"value": 2}), Reply({"value": 3}), Reply({"value": 4}))
    with client_of("cboe", server) as client:
        assert [client.get("/data", value_of, {"id": name}) for name in "ABA"] == [1, 2, 1]
        assert [client.post("/data", value_of, {"id": name}) for name in "ABA"] == [3, 4, 3]
    assert len(server.calls) == 4


def test_a_question_that_failed_is_not_asked_again(server):
    server.answer("/busy", Reply(status=503), Reply(status=503), GOOD)
    with client_of("cboe", server) as client:
        for _ in range(3):
            with pytest.raises(SourceError, match="503"):
                client.get("/busy", value_of)
            with pytest.raises(NotPublishedError):
                client.get("/nowhere", value_of)
    assert (len(server.called("/busy")), len(server.called("/nowhere"))) == (2, 1)


# ---- tries


@pytest.mark.parametrize(
    "fault",
    [
        *(
            pytest.param(Reply(status=status), id=str(status))
            for status in (408, 425, 429, 500, 502, 503, 504)
        ),
        pytest.param(Reply({"value": 7}, cut_at=5), id="half a page"),
        pytest.param(Reply('{"value": '), id="half a document"),
        pytest.param(Reply(""), id="nothing"),
        pytest.param(Reply("[" * 100_000), id="brackets without end"),
        pytest.param(Reply("{}", content_type="text/html; charset=utf-8"), id="HTML by its type"),
        pytest.param(Reply("\n <!DOCTYPE html><p>back soon"), id="HTML by its start"),
        pytest.param(Reply(b"\xef\xbb\xbf<HTML>back soon"), id="HTML after a byte order mark"),
        pytest.param(Reply(b'{"value": "\xff"}'), id="not UTF-8"),
        pytest.param(Reply(b"no gzip", headers={"Content-Encoding": "gzip"}), id="broken compression"),
    ],
)
def test_what_may_pass_is_tried_again(server, fault):
    server.answer("/data", fault, GOOD)
    with client_of("cboe", server) as client:
        assert client.get("/data", value_of) == 7
        assert (len(server.calls), client.calls) == (2, 2)


def test_a_timeout_is_tried_again(server):
    server.answer("/data", Reply(GOOD.body, delay=0.4), GOOD)
    with client_of("cboe", server, timeout_seconds=0.15, attempts=4) as client:
        assert client.get("/data", value_of) == 7
        assert client.calls >= 2


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (Reply("sorry", status=503), "answered with status 503: 'sorry'"),
        (Reply({"value": 7}, cut_at=5), "RemoteProtocolError"),
        (Reply("<html>back soon"), "answered with a web page instead of data: '<html>back soon'"),
        (Reply(b"\xef\xbb\xbf<HTML>back soon"), "answered with a web page instead of data"),
        (Reply('{"value": '), "answered with what is no JSON"),
        (Reply(GOOD.body, delay=0.15), "ReadTimeout"),
    ],
)
def test_tries_are_bounded_and_the_last_failure_is_told(server, fault, found):
    server.answer("/data", fault)
    with (
        client_of("cboe", server, attempts=3, timeout_seconds=0.05 if "Timeout" in found else 2.0) as client,
        pytest.raises(SourceError, match=r"^cboe /data: ") as raised,
    ):
        client.get("/data", value_of)
    assert found in str(raised.value)
    assert len(server.calls) == 3


def test_a_provider_that_is_not_there_is_told(server):
    with serving(server) as base_url:
        pass
    with ProviderClient("cboe", live_params(base_url)) as client:
        with pytest.raises(SourceError, match="cboe /data: ConnectError"):
            client.get("/data", value_of)
        assert client.calls == 2


@pytest.mark.parametrize("status", [302, 400, 401, 403, 410, 422, 501])
def test_what_will_not_pass_is_not_tried_again(server, status):
    server.answer("/data", Reply("no such thing", status=status), GOOD)
    with client_of("cboe", server) as client, pytest.raises(SourceError, match="no such thing") as raised:
        client.get("/data", value_of)
    assert not isinstance(raised.value, NotPublishedError)
    assert len(server.calls) == 1


def test_404_means_not_published(server):
    with (
        client_of("cboe", server) as client,
        pytest.raises(NotPublishedError, match=r"cboe /data: not there \(404\)"),
    ):
        client.get("/data", value_of)
    assert len(server.calls) == 1


def test_what_the_parser_refuses_is_not_tried_again(server):
    def refuse(_: Response) -> int:
        raise SourceError("cboe: expected a table")

    server.answer("/data", GOOD)
    with client_of("cboe", server) as client, pytest.raises(SourceError, match=r"^cboe: expected a table$"):
        client.get("/data", refuse)
    assert len(server.calls) == 1


def test_pauses_grow_with_jitter_up_to_the_longest(server, waits):
    server.answer("/*", Reply(status=503))
    with client_of("cboe", server, attempts=5, max_wait_seconds=3.0) as client:
        for i in range(6):
            with pytest.raises(SourceError):
                client.get(f"/{i}", value_of)
    rows = [waits[i : i + 4] for i in range(0, 24, 4)]
    assert len(waits) == 24  # no pause after the last try
    for tried in rows:
        for least, pause in zip([0.5, 1.0, 2.0, 3.0], tried, strict=True):
            assert least <= pause <= min(least + 1.0, 3.0)
    assert len({tried[0] for tried in rows}) > 1


# ---- Retry-After


def test_retry_after_sets_the_pause(server, waits):
    server.answer("/data", Reply(status=429, headers={"Retry-After": "7"}), Reply(status=503), GOOD)
    with client_of("cboe", server, attempts=3, max_wait_seconds=10.0) as client:
        assert client.get("/data", value_of) == 7
    assert waits[0] == 7.0
    assert 1.0 <= waits[1] <= 2.0


@pytest.mark.parametrize(
    ("asked", "told"), [("3600", "asks to wait 3600 s"), ("Fri, 01 Jan 2100 00:00:00 GMT", "asks to wait 2")]
)
def test_a_pause_longer_than_the_longest_ends_the_tries_at_once(server, waits, asked, told):
    server.answer("/data", Reply("slow down", status=429, headers={"Retry-After": asked}), GOOD)
    with (
        client_of("cboe", server, attempts=4, max_wait_seconds=60.0) as client,
        pytest.raises(SourceError, match="status 429: 'slow down'; " + told),
    ):
        client.get("/data", value_of)
    assert (len(server.calls), waits) == (1, [])


@pytest.mark.parametrize(
    ("asked", "date", "seconds"),
    [
        ("0", None, 0.0),
        (" 120 ", None, 120.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 +0000", 30.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:30 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", None, None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 -0000", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "today", None),
        ("soon", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("²", None, None),
        ("-5", None, None),
        (None, None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_against_the_answers_own_date(asked, date, seconds):
    headers = {"retry-after": asked, "date": date}
    assert (
        retry_after_seconds({name: value for name, value in headers.items() if value is not None}) == seconds
    )


moments = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC))


@settings(max_examples=50)
@given(moments, moments)
def test_a_date_to_wait_for_is_seconds_from_the_answers_date_and_never_negative(until, now):
    until, now = until.replace(microsecond=0), now.replace(microsecond=0)
    headers = {"retry-after": format_datetime(until, usegmt=True), "date": format_datetime(now, usegmt=True)}
    assert retry_after_seconds(headers) == max(0.0, (until - now).total_seconds())


# ---- what a provider says itself


def test_a_provider_may_say_in_the_body_why_it_refuses(server):
    def read_refusal(content: object) -> Exception | None:
        return SourceError("cboe: bad key") if content == {"error": "key"} else None

    server.answer("/key", Reply({"error": "key"}, status=404))
    server.answer("/other", Reply("other", status=403))
    with client_of("cboe", server) as client:
        with pytest.raises(SourceError, match=r"^cboe: bad key$") as raised:
            client.get("/key", value_of, read_refusal=read_refusal)
        with pytest.raises(SourceError, match="status 403: 'other'"):
            client.get("/other", value_of, read_refusal=read_refusal)
    assert not isinstance(raised.value, NotPublishedError)
    assert len(server.calls) == 2


def test_a_refusal_that_may_pass_is_tried_again_after_the_pause_asked_for(server, waits):
    def read_refusal(_: object) -> Exception:
        return RetryableError("credits used up")

    server.answer("/data", Reply(status=403, headers={"Retry-After": "2"}), GOOD)
    with client_of("cboe", server, max_wait_seconds=5.0) as client:
        assert client.get("/data", value_of, read_refusal=read_refusal) == 7
    assert waits == [2.0]


def test_a_fault_of_the_server_passes_whatever_its_body_says(server):
    server.answer("/data", Reply("key", status=500), GOOD)
    with client_of("cboe", server) as client:
        assert client.get("/data", value_of, read_refusal=lambda _: SourceError("bad key")) == 7


def test_an_answer_of_another_form_is_refused_with_its_first_difference():
    class Form(BaseModel):
        rows: list[int]

    assert parse_model({"rows": [1]}, Form, "cboe").rows == [1]
    with pytest.raises(
        SourceError, match=r"cboe VIX: the answer's form has changed: rows\.1: Input should be"
    ):
        parse_model({"rows": [1, "x"]}, Form, "cboe VIX")


# ---- size and time


@pytest.mark.parametrize("compressed", [False, True])
def test_an_answer_too_large_is_refused_before_it_is_whole(server, monkeypatch, compressed):
    monkeypatch.setattr(http, "MAX_BYTES", 10_000)
    body = gzip.compress(b" " * 5_000_000) if compressed else b" " * 20_000
    server.answer("/data", Reply(body, headers={"Content-Encoding": "gzip"} if compressed else {}))
    with client_of("cboe", server) as client, pytest.raises(SourceError, match="more than 10,000 bytes"):
        client.get("/data", value_of)
    assert len(server.calls) == 1


def test_an_answer_that_drips_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(http, "MAX_TIMEOUTS", 1)

    class Dripping(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(100):
                try:
                    self.wfile.write(b" ")
                except OSError:
                    return
                time.sleep(0.01)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        quick = live_params(f"http://127.0.0.1:{server.server_address[1]}", timeout_seconds=0.15, attempts=1)
        with (
            ProviderClient("cboe", quick) as client,
            pytest.raises(SourceError, match="still answering after 1 timeouts"),
        ):
            client.get("/data", value_of)
        server.shutdown()


# ---- rate limit and budget


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic_ns(self) -> int:
        return round(self.seconds * 1e9)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def test_no_minute_holds_more_calls_than_allowed(server, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("pyrate_limiter.clocks.monotonic_ns", clock.monotonic_ns)
    monkeypatch.setattr("pyrate_limiter.limiter.sleep", clock.sleep)
    made = []
    with limited_client(server, calls_per_minute=3) as client:
        for _ in range(10):
            client.acquire_call()
            made.append(clock.seconds)
            clock.sleep(1.0)
    assert made[:3] == [1_000.0, 1_001.0, 1_002.0]
    assert all(later - earlier >= 60 for earlier, later in zip(made, made[3:], strict=False))
    assert made[-1] < 1_000 + 3 * 62


def test_tries_wait_for_their_turn_too(server, waits, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("pyrate_limiter.clocks.monotonic_ns", clock.monotonic_ns)
    monkeypatch.setattr("pyrate_limiter.limiter.sleep", clock.sleep)
    server.answer("/data", Reply(status=503), GOOD)
    with limited_client(server, calls_per_minute=1) as client:
        assert client.get("/data", value_of) == 7
    assert clock.seconds >= 1_060


def test_a_run_makes_no_more_calls_than_allowed_a_day(server):
    server.answer("/*", GOOD)
    server.answer("/busy", Reply(status=503))
    with limited_client(server, calls_per_day=3) as client:
        assert client.get("/one", value_of) == 7
        with pytest.raises(SourceError, match="503"):
            client.get("/busy", value_of)
        for _ in range(2):
            with pytest.raises(
                SourceError, match="cboe: this run made the 3 calls allowed a day; run again later"
            ):
                client.get("/two", value_of)
        assert client.get("/one", value_of) == 7  # known already
    assert [call.path for call in server.calls] == ["/one", "/busy", "/busy"]


def test_a_client_starts_no_thread(server):
    before = set(threading.enumerate())
    with ProviderClient("cboe", live_params("http://127.0.0.1:1")) as client:
        client.acquire_call()
        assert set(threading.enumerate()) == before


# ---- keys


def test_a_missing_key_is_named():
    with (
        ProviderClient("fred", live_params("http://127.0.0.1:1")) as client,
        pytest.raises(SourceError, match="fred: needs a key; set FRED_API_KEY"),
    ):
        client.require_key("FRED_API_KEY")


def echo(status: int, content_type: str = "application/json"):
    """Answer with all that was asked, as an error page may."""

    def answering(call: ReceivedRequest) -> Reply:
        asked = f"no: {call.path}?{call.query} {call.headers}"
        return Reply(asked, status, content_type, {"Location": f"/moved?{call.query}", "Retry-After": "0"})

    return answering


FAULTS = {
    **{f"status {status}": echo(status) for status in (301, 400, 401, 403, 404, 410, 429, 500, 503)},
    "a web page": echo(200, "text/html"),
    "no JSON": echo(200),
    "half a page": Reply({"value": 7}, cut_at=3),
    "timeout": Reply(GOOD.body, delay=0.4),
    "not UTF-8": lambda call: Reply(f"{call.query}".encode() + b"\xff"),
    "a refusal": lambda call: Reply({"no": f"{call.query} {call.headers}"}, 422),
    "another form": lambda call: Reply({"error": f"{call.query}"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_message_and_no_log_shows_a_key(server, caplog, fault):
    class Form(BaseModel, extra="forbid"):
        value: int

    def parse(answer: Response) -> int:
        content = answer.json()
        if "error" in content:
            raise SourceError(f"fred: {content['error']}")
        return parse_model(content, Form, "fred").value

    def read_refusal(content: object) -> Exception | None:
        return SourceError(f"fred: {content!r}") if fault == "a refusal" else None

    for name in ("", "httpx", "httpcore", "stamina", "pyrate_limiter"):
        caplog.set_level(logging.DEBUG, name)
    server.answer("/data", FAULTS[fault])
    with client_of("fred", server, CANARY, timeout_seconds=0.1 if fault == "timeout" else 2.0) as client:
        with pytest.raises(SourceError) as raised:
            client.get(
                "/data", parse, {"api_key": CANARY}, {"Authorization": f"apikey {CANARY}"}, read_refusal
            )
        shown = [repr(client), *traceback.format_exception(raised.value)]
    shown += [f"{record.__dict__}" for record in caplog.records]
    assert server.calls[0].query["api_key"] == CANARY  # it was sent
    assert not [line for line in shown if CANARY in line]
    if fault in {"status 429", "status 500", "status 503", "no JSON", "a refusal"}:
        assert "***" in str(raised.value)  # the echo was there


def test_a_key_is_not_sent_on_to_where_a_redirect_points(server):
    server.answer("/data", Reply(status=302, headers={"Location": "/elsewhere"}))
    server.answer("/elsewhere", GOOD)
    with client_of("fred", server, CANARY) as client, pytest.raises(SourceError, match="status 302"):
        client.get("/data", value_of, {"api_key": CANARY})
    assert [call.path for call in server.calls] == ["/data"]
    with client_of("cboe", server) as client:
        assert client.get("/data", value_of) == 7


# ---- TLS


def test_certificates_are_judged_by_the_systems_store(tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with serving_tls(tmp_path, b'{"value": 7}') as (base_url, authority):
        with (
            ProviderClient("cboe", live_params(base_url, attempts=1)) as client,
            pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            client.get("/data", value_of)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        with ProviderClient("cboe", live_params(base_url, attempts=1)) as client:
            assert client.get("/data", value_of) == 7
