"""What others see of a loop: heartbeat, metrics, systemd's watchdog, JSON logs, the service level."""

import json
import logging
import socket
import threading
import time
import urllib.request
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from prometheus_client import generate_latest

from dosvotos.commands.json_log import JsonLines, log_to
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.errors import DatabaseError
from dosvotos.live import systemd
from dosvotos.live.clock import MarketClock, WallClock
from dosvotos.live.controls import ACTIVE, Control
from dosvotos.live.heartbeat import Heartbeat
from dosvotos.live.metrics import LiveMetrics, Observed
from dosvotos.live.runner import run
from dosvotos.live.schedule import bars_closed
from dosvotos.live.service import ServiceDay, service_days
from dosvotos.live.signals import Standing
from tests.live.receiver import receiving
from tests.live.signal_rows import BAR, OPENED, signal_row
from tests.live.test_delivery import wait_for
from tests.proposal_fixtures import INSTRUMENT

NOW = OPENED + BAR + timedelta(seconds=3)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_a_watcher_elsewhere_is_called_after_each_row_and_delays_none(caplog):
    with receiving() as receiver:
        heartbeat = Heartbeat(f"{receiver.url}/secret-of-ours")
        heartbeat.take(signal_row(0, None, reason_code="LOOP_DOWN"))
        receiver.answers.clear()
        began = time.monotonic()
        for number in range(3):
            heartbeat.take(signal_row(number))
        assert time.monotonic() - began < 0.5
        receiver.answers.set()
        wait_for(lambda: len(receiver.calls) == 3)
        receiver.statuses = [503]
        for number in range(2):
            heartbeat.take(signal_row(number))
        wait_for(lambda: len(receiver.calls) == 5)
        heartbeat.close()
        assert {call.method for call in receiver.calls} == {"GET"}
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("dosvotos")]
    assert messages == ["DOSVOTOS_HEARTBEAT_URL: answered with status 503"]  # once, not at each row
    assert "secret-of-ours" not in "".join(messages)


def test_a_watcher_that_is_not_there_is_one_warning(caplog):
    heartbeat = Heartbeat("http://127.0.0.1:9/x")
    for number in range(3):
        heartbeat.take(signal_row(number))
    heartbeat.close()
    assert [r.getMessage() for r in caplog.records if r.name.startswith("dosvotos")] == [
        "DOSVOTOS_HEARTBEAT_URL: ConnectError"
    ]


class Seen:
    """What metrics read, as a test sets it."""

    def __init__(self) -> None:
        self.standing: Standing | None = Standing(ACTIVE, 7)
        self.alerts: list[str] = []

    def read_standing(self) -> Standing:
        if self.standing is None:
            raise DatabaseError("database: down")
        return self.standing

    def metrics(self) -> LiveMetrics:
        return LiveMetrics(
            Observed(
                INSTRUMENT, lambda: NOW, CalendarParams, self.read_standing, lambda: 4, lambda: self.alerts
            )
        )


def figures(metrics: LiveMetrics) -> dict[str, float]:
    """Each sample by name and labels, those of the instrument left out."""
    lines = generate_latest(metrics.registry).decode().replace(f'instrument="{INSTRUMENT}"', "").splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {
        name.replace("{}", "").replace(",,", ",").replace("{,", "{").replace(",}", "}"): float(value)
        for name, _, value in pairs
    }


def test_metrics_count_rows_and_say_what_holds_now():
    seen = Seen()
    metrics = seen.metrics()
    for row in (signal_row(latency_ms=3.0, feature_hash="f", macro_late=("dxy",)), signal_row(1, None)):
        metrics.on_row(row)
    metrics.on_delivery("webhook", "failed")
    seen.standing, seen.alerts = Standing(Control("HALTED", "a person"), 8), ["CLOCK_SKEW"]
    found = figures(metrics)
    assert found['dosvotos_rows_total{reason="",status="SIGNAL"}'] == 1
    assert found['dosvotos_rows_total{reason="NO_BAR",status="NO_SIGNAL"}'] == 1
    assert found["dosvotos_inference_seconds_sum"] == pytest.approx(0.003)
    assert found["dosvotos_bar_to_row_seconds_count"] == 1
    assert found["dosvotos_bar_to_row_seconds_sum"] == 3.0
    assert found['dosvotos_bar_to_row_seconds_bucket{le="2.0"}'] == 0
    assert found['dosvotos_bar_to_row_seconds_bucket{le="3.0"}'] == 1
    assert found["dosvotos_macro_late"] == 1
    assert found['dosvotos_deliveries_total{consumer="webhook",outcome="failed"}'] == 1
    assert found['dosvotos_alerts_open{code="CLOCK_SKEW"}'] == 1
    assert found["dosvotos_bars_scheduled_24h"] == 20  # those that closed from 13:05 to 14:40
    now = {"epoch": 8, "halted": 1, "reducing": 0, "outbox_waiting": 4, "database_up": 1}
    assert {name: found[f"dosvotos_{name}"] for name in now} == now
    seen.standing = None
    without = figures(metrics)
    assert without["dosvotos_database_up"] == 0 and "dosvotos_epoch" not in without


def test_metrics_answer_on_loopback_alone_and_end_when_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    close = Seen().metrics().serve(port)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"dosvotos_epoch" in answer.read()
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", port))
        other.listen()
    with socket.socket() as elsewhere:
        elsewhere.bind(("127.0.0.2", port))  # the port is taken on one address, not on all
    close()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_bars_closed_are_those_of_the_calendar():
    friday, monday = datetime(2026, 11, 27, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC)
    assert bars_closed(CalendarParams(), friday, monday) == 60
    assert bars_closed(CalendarParams(), monday, OPENED) == 19  # 13:05 to 14:35
    assert bars_closed(CalendarParams(), monday, OPENED + timedelta(seconds=-1)) == 18


@pytest.fixture
def systemd_socket(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield made


def test_systemd_is_told_where_it_asked_and_its_absence_is_a_warning(systemd_socket, monkeypatch, caplog):
    systemd.notify(systemd.READY)
    assert systemd_socket.recv(64) == b"READY=1"
    monkeypatch.setenv("NOTIFY_SOCKET", "@dosvotos-nobody-listens")
    systemd.notify(systemd.ALIVE)
    assert "NOTIFY_SOCKET: WATCHDOG=1 was not told" in caplog.text
    monkeypatch.delenv("NOTIFY_SOCKET")
    caplog.clear()
    systemd.notify(systemd.ALIVE)
    assert not caplog.records


@pytest.mark.parametrize("of_market", [False, True])
def test_the_watchdog_hears_of_a_loop_that_waits_long(of_market):
    stop = threading.Event()
    clock = MarketClock(OPENED, 1.0, stop) if of_market else WallClock(stop)
    turns = []

    def on_turn() -> None:
        turns.append(time.monotonic())
        if len(turns) == 4:
            stop.set()

    loop = SimpleNamespace(step=lambda: clock.now() + timedelta(minutes=4), bar=None, housekeep=lambda: None)
    clock.sleep_until = lambda moment: None  # its chunk of a second is over
    run(loop, None, clock, stop, on_turn)
    assert len(turns) == 4


def test_a_json_log_is_one_object_a_line_and_hides_secrets(tmp_path):
    file, logger = tmp_path / "logs" / "live.jsonl", logging.getLogger("dosvotos.test_json_log")
    before = list(logging.getLogger().handlers)
    log_to(file)
    (handler,) = set(logging.getLogger().handlers) - set(before)
    try:
        logger.warning("bar %s:\nat %s", 1, "https://ana:canary-1@x.test/?token=canary-2")
        try:
            raise ValueError("postgresql://desk:canary-3@db/x")
        except ValueError:
            logger.exception("a defect")
        handler.maxBytes = 1
        logger.warning("after the rotation")
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    lines = [json.loads(line) for line in file.with_name("live.jsonl.1").read_text().splitlines()]
    assert [line["level"] for line in lines] == ["WARNING", "ERROR"]
    assert lines[0]["message"].startswith("bar 1:\nat https://***@x.test/")
    assert "ValueError" in lines[1]["traceback"]
    assert json.loads(file.read_text())["message"] == "after the rotation"
    assert "canary" not in json.dumps(lines)
    assert isinstance(handler.formatter, JsonLines) and datetime.fromisoformat(lines[0]["time"]).tzinfo


def row(opened: datetime, reason: str | None = None, spooled: bool = False) -> SimpleNamespace:
    status = "SIGNAL" if reason is None else "NO_SIGNAL"
    return SimpleNamespace(timestamp=opened, status=status, reason_code=reason, spooled=spooled)


def test_the_service_level_counts_scheduled_bars_whatever_rows_there_are():
    friday, monday = date(2026, 11, 27), date(2026, 11, 30)
    first = datetime(2026, 11, 27, 13, tzinfo=UTC)
    rows = [row(first + n * BAR) for n in range(57)]
    rows[3] = row(rows[3].timestamp, "NO_BAR")
    rows[4] = row(rows[4].timestamp, "NO_BAR")
    rows[9] = row(rows[9].timestamp, spooled=True)
    rows.append(row(first + timedelta(hours=12)))  # off the calendar
    start = datetime(2026, 11, 30, 13, tzinfo=UTC)
    rows += [row(start), row(start + BAR)]
    days = service_days(rows, CalendarParams(), first, monday, start + 2 * BAR + timedelta(seconds=1))
    assert days == [
        ServiceDay(friday, 60, 54, {"no row": 3, "NO_BAR": 2, "spooled": 1}),
        ServiceDay(monday, 2, 2, {}),  # the second's deadline is to come, but it has its row
    ]
    (later,) = service_days(rows, CalendarParams(), first + 56 * BAR, friday, start)
    # the loop's first row was that of the 57th bar; the last one's deadline is Monday's first close
    assert later == ServiceDay(friday, 3, 1, {"no row": 2})
    assert days[0].level == 0.9 and ServiceDay(monday, 0, 0, {}).level == 1.0
