"""Each recipient gets each message once, whatever another recipient does, whoever drains, whoever dies."""

import json
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from dosvotos.commands.main import cli
from dosvotos.database.connection import connect, reading, writing
from dosvotos.database.outbox import LATE_AFTER, LEASE, add_message, is_due, late_messages, waiting_messages
from dosvotos.database.tables import outbox
from dosvotos.errors import NotificationError
from dosvotos.notifications.drain import GIVE_UP_AFTER, send_notifications
from dosvotos.notifications.recipients import Message, Recipient, read_recipients
from dosvotos.notifications.sending import Sent, send
from dosvotos.promotion.notify import DISPATCH, NOTIFICATION, URLS_VARIABLE, Notification, announce
from dosvotos.refusals import StoredText
from dosvotos.signing.relying_party import PUBLIC_URL_VARIABLE
from tests.migrated import copy_migrated
from tests.notifications.receivers import (
    ACCEPTS,
    FAILURES,
    SECRET,
    answering_with,
    fail_in_every_way,
    mend,
    webhook,
)
from tests.sources.local_server import LocalServer, serving

NOW = datetime.now(UTC)
HALT = Notification(event="HALT", instrument="USD/COP.SIM", person="ana", note="the drawdown is too deep")
KINDS = (NOTIFICATION, DISPATCH)


def tell(engine, told: Notification = HALT, at: datetime = NOW) -> None:
    with writing(engine) as connection:
        announce(connection, told, at)


def waiting(engine) -> dict[str, object]:
    with reading(engine) as connection:
        return {row.subject: row for row in waiting_messages(connection, kinds=(DISPATCH,))}


class Remembering:
    """A sender that remembers what each recipient was sent, and fails for those it is told to."""

    def __init__(self, failing: dict[str, Sent] | None = None) -> None:
        self.sent: list[tuple[str, str]] = []
        self.tried: list[str] = []
        self.failing = failing or {}

    def __call__(self, recipient: Recipient, message: Message, now: datetime) -> Sent:
        self.tried.append(recipient.scheme)
        result = self.failing.get(recipient.scheme, Sent())
        if result.problem is None:
            self.sent.append((recipient.scheme, message.id))
        return result


def recipients(*schemes: str) -> list[Recipient]:
    return [Recipient(n, f"{scheme}://token{n}/abcdef12") for n, scheme in enumerate(schemes, start=1)]


@pytest.mark.slow
def test_a_receiver_that_fails_in_every_way_gets_each_message_exactly_once(tmp_path):
    """Web hooks and Apprise at once: a healthy one neither waits for one that is dead, silent, slow,
    endless, gone or refuses, nor hears again because of it; those that are mended get what waited, once.
    """
    engine, server = connect(f"sqlite:///{copy_migrated(tmp_path / 'dosvotos.db')}"), LocalServer()
    fail_in_every_way(server)
    endless = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b"x" * 2**20
    with ExitStack() as running:
        base = running.enter_context(serving(server))
        silent = running.enter_context(answering_with())
        huge = running.enter_context(answering_with(*endless, for_ever=True))
        server.answer("/apprise", ACCEPTS)
        mendable = [webhook(base, path) for path in FAILURES]
        hopeless = [
            webhook("http://127.0.0.1:9", "dead"),
            webhook(f"http://127.0.0.1:{silent}", "silent"),
            webhook("http://no-such-host.invalid", "name"),
            webhook(base, "tls").replace("webhook://", "webhooks://"),
            f"json://127.0.0.1:{huge}/{SECRET}",
            f"nonsense://{SECRET}",
        ]
        healthy = [webhook(base, "accepts"), base.replace("http", "json") + "/apprise"]
        addresses = [*healthy, *mendable, *hopeless]
        found = [Recipient(n, address) for n, address in enumerate(addresses, start=1)]
        tell(engine)
        hang = {webhook(base, "slow"), hopeless[1], hopeless[4]}

        def patient(recipient: Recipient, message: Message, now: datetime) -> Sent:
            """Wait no longer than needed for those that hang; the others have time, on a busy machine too."""
            return send(recipient, message, now, 4.0 if addresses[recipient.position - 1] in hang else 90.0)

        told = send_notifications(engine, found, NOW, patient)
        assert sum(line.endswith(": 1 sent") for line in told) == 2, told
        assert len(server.called("/accepts")) == len(server.called("/apprise")) == 1
        rows = waiting(engine)
        assert set(rows) == {recipient.id for recipient in found[2:]}
        assert all(row.problem and SECRET not in row.problem for row in rows.values())
        assert not any(SECRET in line for line in told)
        limited = rows[found[2 + list(FAILURES).index("limited")].id]
        assert limited.next_try_at - NOW >= timedelta(seconds=600)
        n_calls = {path: len(server.called(f"/{path}")) for path in FAILURES}
        mend(server)
        later = max(row.next_try_at for row in rows.values())
        send_notifications(engine, found[2 : 2 + len(FAILURES)], later, send)
        assert set(waiting(engine)) == {recipient.id for recipient in found[2 + len(FAILURES) :]}
        for path in ("accepts", "apprise"):
            assert len(server.called(f"/{path}")) == 1, path
        for path in FAILURES:
            ids = {call.headers["Webhook-Id"] for call in server.called(f"/{path}")}
            assert len(server.called(f"/{path}")) == n_calls[path] + 1 and len(ids) == 1, path


def test_two_processes_that_drain_at_once_send_each_message_once_to_each_recipient(engine):
    """The second begins while the first is sending; then both together, over many messages."""
    sends, found = Remembering(), recipients("slack", "tgram", "mailto")
    for n in range(4):
        tell(engine, HALT.model_copy(update={"person": f"ana{n}"}))
    drains = [threading.Thread(target=send_notifications, args=(engine, found, NOW, sends)) for _ in range(3)]
    for drain in drains:
        drain.start()
    for drain in drains:
        drain.join()
    send_notifications(engine, found, NOW + timedelta(hours=2), sends)
    assert len(sends.sent) == len(set(sends.sent)) == 12 and waiting(engine) == {}


def test_a_dead_recipient_holds_up_its_own_messages_in_their_order_and_nobody_else_s(engine):
    sends, found = Remembering({"slack": Sent(StoredText("is dead"))}), recipients("slack", "tgram")
    for n in range(3):
        tell(engine, HALT.model_copy(update={"person": f"ana{n}"}), NOW - timedelta(seconds=3 - n))
    told = send_notifications(engine, found, NOW, sends)
    assert told == ["recipient 1 (slack): is dead; 3 tried again later", "recipient 2 (tgram): 3 sent"]
    assert sends.tried.count("slack") == 1
    send_notifications(engine, found, NOW + timedelta(seconds=5), sends)
    assert sends.tried.count("slack") == 1, "it is left alone until its next try is due"
    sends.failing.clear()
    send_notifications(engine, found, NOW + timedelta(minutes=1), sends)
    by_recipient = {scheme: [m for s, m in sends.sent if s == scheme] for scheme in ("slack", "tgram")}
    assert by_recipient["slack"] == by_recipient["tgram"] and len(set(by_recipient["slack"])) == 3


def test_a_process_that_dies_while_it_sends_leaves_the_message_to_the_next_one(engine):
    def dies(recipient: Recipient, message: Message, now: datetime) -> Sent:
        raise KeyboardInterrupt

    sends, found = Remembering(), recipients("slack")
    tell(engine)
    with pytest.raises(KeyboardInterrupt):
        send_notifications(engine, found, NOW, dies)
    send_notifications(engine, found, NOW + LEASE / 2, sends)
    assert sends.sent == []
    send_notifications(engine, found, NOW + LEASE + timedelta(seconds=5), sends)
    assert len(sends.sent) == 1 and waiting(engine) == {}


def test_old_messages_are_given_up_and_a_late_first_recipient_is_not_flooded(engine):
    sends, found = Remembering({"slack": Sent(StoredText("is dead"))}), recipients("slack")
    tell(engine, at=NOW - GIVE_UP_AFTER - timedelta(days=1))
    assert send_notifications(engine, found, NOW, sends) == [] and sends.tried == []
    tell(engine)
    send_notifications(engine, found, NOW, sends)
    assert len(waiting(engine)) == 1
    send_notifications(engine, found, NOW + GIVE_UP_AFTER + timedelta(hours=1), sends)
    assert waiting(engine) == {} and sends.sent == []
    with reading(engine) as connection:
        problems = connection.execute(select(outbox.c.problem).where(outbox.c.problem.is_not(None)))
        assert [problem.split()[0] for (problem,) in problems] == ["older", "given"]


def test_a_row_of_another_version_holds_up_nobody(engine):
    """One that is no notification and one that is no dispatch say so and are done."""
    sends, found = Remembering(), recipients("slack")
    with writing(engine) as connection:
        for kind, subject in ((NOTIFICATION, "x"), (DISPATCH, found[0].id)):
            add_message(connection, kind, subject, {"event": "HALT", "unknown": 1}, NOW)
    tell(engine)
    send_notifications(engine, found, NOW, sends)
    assert len(sends.sent) == 1 and waiting(engine) == {}
    with reading(engine) as connection:
        problems = connection.execute(select(outbox.c.problem).where(outbox.c.problem.is_not(None)))
        assert all("another version" in problem for (problem,) in problems)


def test_without_recipients_messages_wait_for_who_has_some(engine, monkeypatch):
    tell(engine)
    assert send_notifications(engine, [], NOW) == []
    sends = Remembering()
    send_notifications(engine, recipients("slack"), NOW, sends)
    assert len(sends.sent) == 1
    tell(engine)
    send_notifications(engine, recipients("slack"), NOW, Remembering({"slack": Sent(StoredText("is dead"))}))
    other = Remembering()
    send_notifications(engine, recipients("tgram"), NOW + timedelta(minutes=1), other)
    assert other.sent == [], "what was made for one recipient is not sent to another"
    (row,) = waiting(engine).values()
    assert "not among" in row.problem and row.next_try_at > NOW + timedelta(minutes=1)


def test_what_waits_too_long_is_late_and_only_what_can_be_sent_here_is_due(engine):
    tell(engine)
    with reading(engine) as connection:
        assert late_messages(connection, KINDS, NOW + LATE_AFTER) == []
        (late,) = late_messages(connection, KINDS, NOW + LATE_AFTER + timedelta(seconds=1))
        assert late_messages(connection, (), NOW + timedelta(days=1)) == []
    assert (late.kind, late.subject, late.attempts) == (NOTIFICATION, "HALT USD/COP.SIM", 0)
    assert is_due(engine, NOW, KINDS) and not is_due(engine, NOW, ()) and not is_due(engine, NOW, ("other",))


def test_a_message_keeps_its_id_and_two_messages_never_share_one(engine):
    sends = Remembering()
    for _ in range(2):
        tell(engine)
    send_notifications(engine, recipients("slack", "tgram"), NOW, sends)
    ids = [message_id for scheme, message_id in sends.sent if scheme == "slack"]
    assert len(set(ids)) == 2 and {i for s, i in sends.sent if s == "tgram"} == set(ids)
    with writing(engine) as connection:
        connection.execute(update(outbox).where(outbox.c.kind == DISPATCH).values(done_at=None))
    again = Remembering()
    send_notifications(engine, recipients("slack"), NOW + LEASE * 2, again)
    assert [message_id for _, message_id in again.sent] == ids


def test_recipients_are_named_without_their_address_and_a_bad_one_is_refused_without_repeating_it():
    address = "slack://T00000000/B00000000/abcDEFghiJKL"
    (recipient,) = read_recipients({URLS_VARIABLE: f" {address}\n{address} "})
    assert recipient.name == "recipient 1 (slack)" and recipient.id.startswith("slack ")
    assert not any(part in recipient.id for part in ("T00000000", "abcDEF"))
    assert Recipient(2, address).id == recipient.id != Recipient(1, address + "M").id
    assert read_recipients({}) == []
    with pytest.raises(NotificationError, match="address 2 of 2") as refused:
        read_recipients({URLS_VARIABLE: f"{address} hush-hush-hush"})
    assert "hush" not in str(refused.value)


def test_an_address_of_the_app_that_is_none_is_told_and_nothing_is_sent(monkeypatch):
    monkeypatch.setenv(PUBLIC_URL_VARIABLE, "https://ana:hushhush@votes.example.com")
    message = Message.of(1, HALT, NOW)
    sent = send(Recipient(1, webhook("http://127.0.0.1:9", "in")), message, NOW)
    assert PUBLIC_URL_VARIABLE in str(sent.problem) and "hushhush" not in str(sent.problem)


@pytest.mark.slow
def test_the_command_sends_what_waits_as_its_receiver_reads_it(tmp_path, monkeypatch):
    """From the outbox through a process of its own to a web hook, which gets text, facts and our link."""
    url, server = f"sqlite:///{copy_migrated(tmp_path / 'dosvotos.db')}", LocalServer()
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", url)
    monkeypatch.setenv(PUBLIC_URL_VARIABLE, "https://votes.example.com")
    monkeypatch.setattr("dosvotos.commands.outbox.is_installed", lambda: False)
    server.answer("/in", ACCEPTS)
    tell(connect(url))
    with serving(server) as base:
        monkeypatch.setenv(URLS_VARIABLE, webhook(base, "in"))
        first, second = (CliRunner().invoke(cli, ["notify", "drain"]) for _ in range(2))
    assert first.output == "recipient 1 (webhook): 1 sent\n" and second.output == ""
    (call,) = server.called()
    body = json.loads(call.body)
    assert body["type"] == "HALT" and body["data"]["person"] == "ana"
    assert body["data"]["text"].splitlines() == [
        "[SIM] Signals halted by ana: USD/COP.SIM",
        "USD/COP.SIM",
        "the drawdown is too deep",
        "https://votes.example.com/production",
    ]
