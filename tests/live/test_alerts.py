"""Alerts reach people once when they begin and once when they are over, and no bar waits for it."""

import time
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from threading import Event, Thread

import pytest

from dosvotos.database.connection import connect, reading
from dosvotos.database.outbox import waiting_messages
from dosvotos.live.alerts import REMINDS_AFTER, AnnouncedAlerts, Announcement, Announcer
from dosvotos.promotion.notify import NOTIFICATION, URLS_VARIABLE, Notification, write_text

NOW = datetime(2026, 11, 30, 14, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def announcements() -> SimpleQueue[Announcement]:
    return SimpleQueue()


def headlines(engine) -> list[str]:
    with reading(engine) as connection:
        rows = waiting_messages(connection, kinds=(NOTIFICATION,))
    return [write_text(Notification.model_validate(row.payload)).headline for row in rows]


def test_an_alert_that_flaps_in_its_figures_is_announced_once_an_hour_and_when_it_is_over(
    engine, announcements, clock
):
    alerts = AnnouncedAlerts("USD/COP.SIM", announcements, clock)
    for minute in range(0, 130, 5):
        clock.now = NOW + timedelta(minutes=minute)
        alerts.raise_alert("CLOCK_SKEW", f"the clock is +{minute} s off")
    alerts.clear("CLOCK_SKEW")
    alerts.clear("CLOCK_SKEW")
    announcer = Announcer(engine, announcements, lambda: None, clock)
    announcer.step()
    begun, over = "[SIM] Alert CLOCK_SKEW: USD/COP.SIM", "[SIM] Alert CLOCK_SKEW is over: USD/COP.SIM"
    assert headlines(engine) == [begun] * (1 + int(timedelta(minutes=125) / REMINDS_AFTER)) + [over]
    with reading(engine) as connection:
        assert waiting_messages(connection)[0].created_at == NOW, "when it happened, not when it was written"


def test_alerts_wait_for_a_database_that_is_away_and_lose_nothing(
    engine, announcements, clock, tmp_path, caplog
):
    (tmp_path / "none.db").mkdir()
    alerts, away = AnnouncedAlerts("USD/COP", announcements, clock), connect(f"sqlite:///{tmp_path}/none.db")
    alerts.raise_alert("DATABASE_DOWN", "it is away")
    announcer = Announcer(away, announcements, lambda: None, clock)
    announcer.step()
    assert "sent later" in caplog.text
    alerts.clear("DATABASE_DOWN")
    announcer._engine = engine
    announcer.step()
    assert headlines(engine) == ["Alert DATABASE_DOWN: USD/COP", "Alert DATABASE_DOWN is over: USD/COP"]


def test_the_outbox_is_drained_only_where_something_is_due_and_targets_are_stated(
    engine, announcements, clock, monkeypatch
):
    drains: list[int] = []
    monkeypatch.setattr("dosvotos.promotion.notify.find_spec", lambda name: None)
    announcer = Announcer(engine, announcements, lambda: drains.append(1), clock)
    AnnouncedAlerts("USD/COP", announcements, clock).raise_alert("BAR_SOURCE", "does not answer")
    monkeypatch.delenv(URLS_VARIABLE, raising=False)
    announcer.step()
    assert drains == []
    monkeypatch.setenv(URLS_VARIABLE, "json://127.0.0.1:9/")
    announcer.step()
    assert drains == [1]


def test_raising_an_alert_waits_for_nothing_while_the_announcer_hangs(
    engine, announcements, clock, monkeypatch
):
    """A drain that hangs holds up the announcer's thread; the loop's alerts go on."""
    monkeypatch.setenv(URLS_VARIABLE, "json://127.0.0.1:9/")
    began, over, stop = Event(), Event(), Event()

    def hangs() -> None:
        began.set()
        over.wait(60)

    alerts, announcer = (
        AnnouncedAlerts("USD/COP", announcements, clock),
        Announcer(engine, announcements, hangs, clock),
    )
    alerts.raise_alert("FIRST", "something")
    stop.set()
    thread = Thread(target=announcer.run, args=(stop,), daemon=True)
    thread.start()
    assert began.wait(60)
    started = time.perf_counter()
    for n in range(100):
        alerts.raise_alert(f"CODE_{n}", "something")
    assert time.perf_counter() - started < 1 and thread.is_alive()
    over.set()
    thread.join(60)
    assert not thread.is_alive() and announcements.qsize() == 100
