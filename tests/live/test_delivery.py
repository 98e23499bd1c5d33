"""Signals on their way: after the commit, in time, once a consumer, signed, and never when overtaken."""

import json
import re
import resource
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from dosvotos.contracts.delivery import DeliveryParams
from dosvotos.database.connection import reading
from dosvotos.database.signals import find_signal
from dosvotos.errors import DatabaseError, DeliveryError, ParameterError
from dosvotos.live.controls import ACTIVE, Control
from dosvotos.live.courier import Courier
from dosvotos.live.delivered import DeliveredSignal, delivered
from dosvotos.live.delivery import SignalDeliveries, SignalDelivery, SignalFile, Webhook, consumers_of
from dosvotos.live.signals import Standing
from tests.conftest import ROOT
from tests.live.receiver import receiving
from tests.live.signal_rows import BAR, OPENED, signal_row
from tests.proposal_fixtures import INSTRUMENT

SECRET = "5f0c" * 16
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Desk:
    """A consumer that fails when told to, in a market where a test decides what holds and what time it is."""

    name = "desk"

    def __init__(self) -> None:
        self.last, self.got, self.fails = 0, [], 0
        self.time = OPENED + BAR + 2 * SECOND
        self.holds: Standing | Exception = Standing(ACTIVE, 2)
        self.outcomes: list[str] = []
        outcome = lambda name, what: self.outcomes.append(what)  # noqa: E731
        self.delivery = SignalDelivery(self, 250_000.0, self.standing, lambda: self.time, outcome)

    def send(self, signal: DeliveredSignal) -> None:
        if self.fails:
            self.fails -= 1
            raise DeliveryError("desk: away")
        self.got.append(signal)
        self.last = signal.sequence

    def standing(self) -> Standing:
        if isinstance(self.holds, Exception):
            raise self.holds
        return self.holds


def test_a_signal_says_what_a_consumer_needs_and_sequences_rise_with_bars():
    first, second = (delivered(signal_row(n, -1.0), 250_000.0) for n in (0, 1))
    assert (first.target, first.notional_usd, first.epoch, first.model_id) == (-1.0, -250_000.0, 2, "demo_1")
    assert (first.bar, first.valid_until) == (OPENED, OPENED + 2 * BAR)
    assert first.simulated and first.instrument == "USD/COP.SIM"
    assert second.sequence == first.sequence + 1
    assert not delivered(signal_row(instrument="USD/COP"), 1.0).simulated
    assert str(delivered(signal_row(0, 0.0), 250_000.0).notional_usd) == "0.0"


def test_a_failure_is_tried_again_with_the_same_sequence_and_a_success_never():
    desk, row = Desk(), signal_row()
    desk.fails = 7
    pauses = [desk.delivery.hand_over(row) for _ in range(8)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, None]
    assert [one.sequence for one in desk.got] == [delivered(row, 1.0).sequence]
    assert desk.delivery.hand_over(row) is None and len(desk.got) == 1
    desk.fails = 1
    assert desk.delivery.hand_over(signal_row(1)) == 1  # counted anew
    assert desk.outcomes == ["failed"] * 7 + ["delivered", "failed"]


def test_nothing_goes_out_after_valid_until_however_often_it_was_tried():
    desk, row = Desk(), signal_row()
    desk.fails = 100
    tried = 0
    while (pause := desk.delivery.hand_over(row)) is not None:
        tried += 1
        desk.time += timedelta(seconds=pause)
    assert desk.time > row.valid_until >= desk.time - timedelta(seconds=30) and tried > 5
    assert desk.outcomes[-1] == "withheld" and desk.got == []
    desk.fails, desk.time = 0, row.valid_until
    assert desk.delivery.hand_over(row) is None and len(desk.got) == 1  # the moment itself is in time


HALTED, REDUCING = Control("HALTED", "a person"), Control("REDUCING", "a limit")


@pytest.mark.parametrize(
    ("row", "holds", "goes_out"),
    [
        (signal_row(target=1.0), Standing(HALTED, 2), False),
        (signal_row(target=0.0, position=1.0, reason_code="HALTED"), Standing(HALTED, 2), True),
        (signal_row(target=0.0, reason_code="HALTED", epoch=0), Standing(HALTED, 2), True),
        (signal_row(target=1.0), Standing(ACTIVE, 3), False),
        (signal_row(target=0.0), Standing(ACTIVE, 3), True),
        (signal_row(target=1.0), Standing(REDUCING, 2), False),
        (signal_row(target=1.0, position=1.0), Standing(REDUCING, 2), True),
        (signal_row(target=-1.0, position=1.0), Standing(REDUCING, 2), False),
        (signal_row(target=0.0, position=1.0), Standing(REDUCING, 2), True),
    ],
)
def test_a_signal_that_something_has_overtaken_stays_here(row, holds, goes_out):
    desk = Desk()
    desk.holds = holds
    assert desk.delivery.hand_over(row) is None
    assert [len(desk.got), desk.outcomes] == ([1, ["delivered"]] if goes_out else [0, ["withheld"]])


def test_while_nobody_knows_what_holds_nothing_goes_out():
    desk, row = Desk(), signal_row()
    desk.holds = DatabaseError("database: down")
    assert desk.delivery.hand_over(row) == 1 and desk.got == []
    desk.holds = Standing(ACTIVE, 2)
    assert desk.delivery.hand_over(row) is None and len(desk.got) == 1


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    patience = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.002)


def test_only_signals_that_did_not_wait_on_disk_are_taken():
    desk = Desk()
    out = SignalDeliveries([desk.delivery])
    for row in (signal_row(0, None), signal_row(1, spooled=True), signal_row(2)):
        out.take(row)
    out.close()
    assert [one.bar for one in desk.got] == [OPENED + 2 * BAR]


def test_a_receiver_that_hangs_delays_nobody_and_one_that_breaks_ends_nothing():
    release, got = threading.Event(), []

    def hand_over(thing: int) -> None:
        if thing == 0:
            release.wait(10)
        if thing == 1:
            raise RuntimeError("a defect")
        got.append(thing)

    courier = Courier("test", hand_over)
    began = time.monotonic()
    for thing in range(3):
        courier.take(thing)
    assert time.monotonic() - began < 0.5 and got == []
    release.set()
    courier.close()
    assert got == [0, 2]


def test_a_newer_thing_takes_the_place_of_one_that_is_to_be_tried_again():
    tries = []

    def hand_over(thing: str) -> float | None:
        tries.append(thing)
        return 0.005 if thing == "old" else None

    courier = Courier("test", hand_over)
    courier.take("old")
    wait_for(lambda: tries.count("old") >= 3)
    courier.take("new")
    wait_for(lambda: "new" in tries)
    n_tries = len(tries)
    time.sleep(0.05)
    courier.close()
    assert tries[-1] == "new" and len(tries) == n_tries


def is_genuine() -> Callable[[dict[str, str], bytes, str], bool]:
    """The receiver's check as docs/live.md prints it."""
    page = (ROOT / "docs/live.md").read_text()
    (code,) = re.findall(r"```python\n(import hashlib.*?)```", page, re.DOTALL)
    names: dict = {}
    exec(code, names)
    return names["is_genuine"]


def test_a_post_is_verified_by_the_documented_lines_and_no_altered_one_is(tmp_path):
    check = is_genuine()
    with receiving() as receiver:
        webhook = Webhook(DeliveryParams(webhook=receiver.url), SECRET, tmp_path / "mark")
        webhook.send(delivered(signal_row(), 250_000.0))
    (call,) = receiver.calls
    stamp = call.headers["Dosvotos-Timestamp"]
    assert check(call.headers, call.body, SECRET)
    assert DeliveredSignal.model_validate_json(call.body) == delivered(signal_row(), 250_000.0)
    assert not check(call.headers, call.body.replace(b"250000", b"950000"), SECRET)
    assert not check(call.headers, call.body, SECRET[:-1] + "0")
    assert not check(call.headers | {"Dosvotos-Timestamp": str(int(stamp) + 1)}, call.body, SECRET)
    old = Webhook(DeliveryParams(webhook=receiver.url), SECRET, tmp_path / "mark", lambda: float(stamp) - 301)
    assert not check(old.headers(call.body), call.body, SECRET)


def test_any_answer_but_success_is_a_failure_and_no_redirect_is_followed(tmp_path, caplog):
    mark = tmp_path / "out" / "mark"
    with receiving() as receiver:
        receiver.statuses = [500, 302, 404, 204]
        webhook = Webhook(DeliveryParams(webhook=receiver.url), SECRET, mark)
        for status in (500, 302, 404):
            with pytest.raises(DeliveryError, match=f"^webhook: answered with status {status}$"):
                webhook.send(delivered(signal_row(), 1.0))
        assert webhook.last == 0 and not mark.exists()
        webhook.send(delivered(signal_row(), 1.0))
        assert {call.path for call in receiver.calls} == {"/signals"}
    with pytest.raises(DeliveryError, match=r"^webhook: ConnectError$"):
        webhook.send(delivered(signal_row(1), 1.0))
    again = Webhook(DeliveryParams(webhook=receiver.url), SECRET, mark)
    assert again.last == webhook.last == delivered(signal_row(), 1.0).sequence
    mark.write_text("no number")
    assert Webhook(DeliveryParams(webhook=receiver.url), SECRET, mark).last == 0
    assert SECRET not in caplog.text


def test_a_file_has_each_signal_once_through_restarts_and_cut_lines(tmp_path):
    file = tmp_path / "out" / "signals.jsonl"
    signals = [delivered(signal_row(n), 1.0) for n in range(4)]
    SignalFile(file).send(signals[0])
    again = SignalFile(file)
    assert again.last == signals[0].sequence
    again.send(signals[1])
    with file.open("a") as opened:
        opened.write('{"instrument": "USD/CO')
    cut = SignalFile(file)
    assert cut.last == signals[1].sequence
    cut.send(signals[2])
    cut.send(signals[3])
    lines = file.read_text().splitlines()
    assert [json.loads(line)["sequence"] for line in lines if line.endswith("}")] == [
        s.sequence for s in signals
    ]
    assert len(lines) == 5 and SignalFile(file).last == signals[3].sequence


def test_a_full_disk_leaves_the_file_whole_and_the_signal_to_be_tried_again(tmp_path):
    file = tmp_path / "signals.jsonl"
    signals, consumer = [delivered(signal_row(n), 1.0) for n in range(2)], SignalFile(file)
    consumer.send(signals[0])
    whole, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (10, 0):
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + room, limits[1]))
        try:
            with pytest.raises(DeliveryError, match=r"signals\.jsonl: "):
                consumer.send(signals[1])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert file.read_bytes() == whole and consumer.last == signals[0].sequence
    consumer.send(signals[1])
    assert len(file.read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://desk.example/signals", "must be https"),
        ("ftp://desk.example", "must be https"),
        ("https://user:password@desk.example", "no name, password or query"),
        ("https://desk.example/?token=1", "no name, password or query"),
    ],
)
def test_an_address_is_encrypted_and_holds_no_secret(url, problem):
    with pytest.raises(ValueError, match=problem):
        DeliveryParams(webhook=url)


def test_a_webhook_needs_a_secret_of_the_environment(tmp_path):
    params = DeliveryParams(webhook="https://desk.example/signals", jsonl=str(tmp_path / "x.jsonl"))
    for secret in (None, "short"):
        with pytest.raises(ParameterError, match="DOSVOTOS_WEBHOOK_SECRET of at least 32 characters"):
            consumers_of(params, secret, tmp_path)
    assert [one.name for one in consumers_of(params, SECRET, tmp_path)] == ["jsonl", "webhook"]
    assert consumers_of(DeliveryParams(), None, tmp_path) == []


def test_what_a_loop_delivers_is_committed_and_a_lost_database_delivers_nothing(make_desk, monkeypatch):
    desk, consumer = make_desk(live=1), Desk()
    book = desk.loop._ports.book
    assert book.newest() is None
    consumer.delivery = SignalDelivery(consumer, 1.0, book.standing, desk.clock.now)

    def told(record) -> None:
        desk.written.append(record)
        if record.status == "SIGNAL" and not record.spooled:
            with reading(desk.engine) as connection:  # another connection sees it: it is committed
                assert find_signal(connection, INSTRUMENT, record.timestamp) is not None
            consumer.delivery.hand_over(record)

    desk.loop._ports = desk.loop._ports._replace(on_row=told)
    desk.run(4)
    assert [one.bar for one in consumer.got] == [row.timestamp for row in desk.rows()]
    assert book.newest() == desk.written[-1]
    desk.controls.halt_file.write_text("a person")
    desk.run(3)
    assert len(consumer.got) == 5
    assert (consumer.got[-1].target, consumer.got[-1].reason_code) == (0.0, "HALTED")
    desk.controls.halt_file.unlink()
    desk.run(1)
    assert len(consumer.got) == 6 and consumer.got[-1].reason_code is None

    def down(*args, **settings):
        raise DatabaseError("database: down")

    for name in ("state_before", "control", "store_missed"):
        monkeypatch.setattr(type(book), name, down)
    desk.controls.halt_file.write_text("a person, with the database down")
    desk.run(1)
    assert desk.written[-1].signal == 0.0 and desk.written[-1].spooled
    assert len(consumer.got) == 6


def test_base_delivers_to_nobody(parameters):
    assert parameters.delivery == DeliveryParams()
