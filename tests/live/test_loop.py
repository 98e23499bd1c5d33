"""The loop, step by step: exactly one row a bar, in time or without a signal, whatever happens."""

import logging
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import update

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.parameters import CalendarException, CalendarParams
from dosvotos.database import connection as database
from dosvotos.database.connection import reading, writing
from dosvotos.database.quarantine import QuarantineTable
from dosvotos.database.tables import inference_features_5m, model_registry
from dosvotos.errors import DatabaseError
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.promotion.live_acts import SwitchSignals
from dosvotos.promotion.transaction import carry_out
from tests.live.imitated_vendor import ImitatedVendor
from tests.live.limited_desk import ON_SQLITE
from tests.live.live_desk import LiveDesk
from tests.live.production_models import approve
from tests.proposal_fixtures import INSTRUMENT, tiny_policy
from tests.team import WHY, now

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def check_one_row_a_bar(desk: LiveDesk) -> None:
    """Every scheduled bar between the first and the last row has exactly one; each is in time or silent."""
    rows = desk.rows()
    bar = desk.schedule.at(rows[0].timestamp)
    for row in rows:
        assert row.timestamp == bar.opened
        assert (row.status == "SIGNAL") == (row.signal is not None)
        assert row.valid_until == bar.deadline
        if row.signal is not None and not row.spooled:
            assert row.created_at <= row.valid_until
        bar = desk.schedule.after(bar.opened)


def opens(desk: LiveDesk, first: int, n: int = 1) -> list[pd.Timestamp]:
    """The bars that come live, by number."""
    return list(desk.market.index[desk.first + first : desk.first + first + n])


def test_a_bar_two_seconds_after_its_close_has_its_features_and_its_row(make_desk, variables):
    desk = make_desk(live=1)
    desk.run(1 + 8)
    rows = desk.rows()
    assert [row.timestamp for row in rows] == list(desk.market.index[-61:-52].to_pydatetime())
    assert {row.status for row in rows} == {"SIGNAL"}
    late = [(row.created_at - row.timestamp - 5 * MINUTE).total_seconds() for row in rows[1:]]
    assert late == [2.0] * 8
    batch = market_features(MarketHistory(desk.market, desk.macro), variables)[list(MARKET_FEATURES)]
    with reading(desk.engine) as connection:
        stored = connection.execute(
            inference_features_5m.select().order_by(inference_features_5m.c.timestamp)
        ).all()
    found = np.array([[getattr(row, name) for name in MARKET_FEATURES] for row in stored])
    np.testing.assert_array_equal(found, batch.to_numpy()[-61:-52])
    assert [row.position for row in rows[1:]] == [row.signal for row in rows[:-1]]
    check_one_row_a_bar(desk)


def test_bars_late_by_up_to_their_deadline_are_signalled_and_later_ones_never(make_desk):
    desk = make_desk(live=1)
    delays = [1, 3, 30, 120, 250, 290, 297, 301, 350, 400, 1]
    first = opens(desk, 0, len(delays))
    desk.vendor.delays = dict(zip(first, delays, strict=True))
    desk.run(1 + len(delays) + 2)
    reasons = dict(zip([row.timestamp for row in desk.rows()], desk.reasons(), strict=True))
    assert [reasons[opened] for opened in first] == [
        *[None] * 7, "NO_BAR", "NO_BAR", "NO_BAR", None,
    ]  # fmt: skip
    found = QuarantineTable(*desk.stored).as_of(desk.clock.now())
    assert list(found.loc[found["rule"] == "late_bar", "at"]) == first[7:10]
    check_one_row_a_bar(desk)


def test_a_missing_bar_has_its_row_and_the_next_ones_go_on(make_desk, variables):
    desk = make_desk(live=1)
    gone = opens(desk, 2, 2)
    desk.vendor.missing = set(gone)
    desk.run(1 + 6)
    assert desk.reasons() == [None, None, None, "NO_BAR", "NO_BAR", None, None]
    known = desk.market.drop(gone)
    batch = market_features(MarketHistory(known, desk.macro), variables)
    with reading(desk.engine) as connection:
        rows = connection.execute(inference_features_5m.select()).all()
    for row in rows:
        assert row.log_ret_1h == batch.loc[row.timestamp, "log_ret_1h"]
    check_one_row_a_bar(desk)


def test_the_last_bar_withheld_until_the_next_trade_is_signalled_the_next_morning(make_desk):
    desk = make_desk(live=2, short=True)
    desk.vendor.withholds_last = True
    desk.run(1 + 6)
    last = opens(desk, 5)[0]
    (row,) = (row for row in desk.rows() if row.timestamp == last)
    assert row.status == "SIGNAL"
    assert row.created_at > last + pd.Timedelta(hours=19)
    assert row.created_at <= row.valid_until == opens(desk, 6)[0] + 5 * MINUTE
    check_one_row_a_bar(desk)


def test_a_revised_bar_counts_from_when_it_came(make_desk, variables):
    desk = make_desk(live=1)
    wrong, right = opens(desk, 1)[0], desk.market["close"].iloc[desk.first + 1]
    desk.vendor.revisions = {wrong: (right * 1.0005, 600.0)}
    desk.run(1 + 6)
    with reading(desk.engine) as connection:
        rows = {row.timestamp: row for row in connection.execute(inference_features_5m.select())}
    as_first = desk.market.copy()
    as_first.loc[wrong, "close"] = right * 1.0005
    served = {True: market_features(MarketHistory(as_first, desk.macro), variables),
              False: market_features(MarketHistory(desk.market, desk.macro), variables)}  # fmt: skip
    for number in range(6):
        opened = opens(desk, number)[0]
        expected = served[number in (1, 2)].loc[opened, "log_ret_1h"]
        assert rows[opened].log_ret_1h == expected, number
    check_one_row_a_bar(desk)


def test_future_bars_and_bars_off_the_calendar_are_no_bars(make_desk):
    desk = make_desk(live=1)
    ahead = desk.market.iloc[[desk.first + 30]].reset_index()
    night = ahead.assign(timestamp=ahead["timestamp"] - pd.Timedelta(hours=8))
    desk.vendor.extra = pd.concat([ahead, night], ignore_index=True)
    desk.run(1 + 5)
    assert set(desk.reasons()) == {None}
    stored = desk.stored.tables[0].as_of(desk.clock.now())
    assert ahead["timestamp"].iloc[0] not in stored.index
    assert night["timestamp"].iloc[0] not in stored.index
    check_one_row_a_bar(desk)


def test_what_is_quarantined_reaches_no_feature(make_desk):
    desk = make_desk(live=1)
    bad = opens(desk, 2)[0]
    desk.vendor.revisions = {bad: (desk.market["close"].iloc[desk.first + 2] * 100, 1e9)}
    desk.run(1 + 4)
    assert desk.reasons()[3] == "NO_BAR"
    assert bad not in desk.stored.tables[0].as_of(desk.clock.now()).index


def test_a_loop_that_was_down_writes_the_rows_it_missed(make_desk):
    desk = make_desk(live=2)
    desk.run(1 + 2)
    assert desk.clock.now() == opens(desk, 2)[0] + 5 * MINUTE + 2 * SECOND
    desk.clock.time += timedelta(days=1, minutes=5)
    desk.restart()
    desk.run(59)
    missed = 58 + 3  # the rest of that session, and of the next all up to the bar just past its deadline
    assert desk.reasons() == [None] * 3 + ["LOOP_DOWN"] * missed + [None] * (len(desk.rows()) - 3 - missed)
    assert len(desk.rows()) >= 3 + missed
    check_one_row_a_bar(desk)


def test_two_loops_write_one_row_a_bar(make_desk):
    desk = make_desk(live=1)
    first = desk.loop
    second = desk.restart()
    for _ in range(6):
        due = max(first.step(), second.step())
        desk.clock.sleep_until(due)
    assert len(desk.rows()) == 6
    assert desk.reasons() == [None] * len(desk.rows())
    check_one_row_a_bar(desk)


@pytest.mark.parametrize("by", [timedelta(minutes=-20), timedelta(seconds=-3), timedelta(seconds=3)])
def test_a_clock_that_is_set_silences_its_bar_and_no_bar_twice(make_desk, by):
    desk = make_desk(live=1)
    desk.run(1 + 3)
    desk.clock.set(by)
    desk.run(3)
    assert desk.reasons() == [None, None, None, None, "CLOCK_JUMP", None, None]
    check_one_row_a_bar(desk)


def test_a_clock_set_forth_past_deadlines_leaves_no_bar_out(make_desk):
    desk = make_desk(live=1)
    desk.run(1 + 3)
    desk.clock.set(timedelta(minutes=22))
    desk.run(6)
    reasons = desk.reasons()
    assert reasons[4] == "CLOCK_JUMP" and set(reasons[5:]) <= {"LOOP_DOWN", "CLOCK_JUMP", None}
    assert reasons[-1] is None
    check_one_row_a_bar(desk)


@pytest.mark.parametrize(
    ("off", "code"), [(2.0, None), (-2.0, None), (2.1, "CLOCK_SKEW"), (-9.0, "CLOCK_SKEW")]
)
def test_a_clock_that_the_kernel_calls_wrong_gives_no_signal(make_desk, off, code):
    desk = make_desk(live=1)
    desk.clock.off = timedelta(seconds=off)
    desk.run(1)
    assert desk.reasons() == [code]


def test_a_clock_that_the_vendor_contradicts_gives_no_signal_and_nobody_knowing_is_an_alert(make_desk):
    desk = make_desk(live=1)
    desk.clock.known = False
    desk.run(2)
    assert desk.reasons() == [None, None]
    assert "CLOCK_UNKNOWN" in desk.alerts.open
    desk.vendor.server_ahead = timedelta(seconds=5)
    desk.run(1)
    assert desk.reasons()[-1] == "CLOCK_SKEW"
    assert "CLOCK_UNKNOWN" not in desk.alerts.open


def raises(error: Exception):
    def bars(since, now):
        raise error

    return bars


def answers(change):
    def of(vendor: ImitatedVendor):
        bars = vendor.bars

        def changed(since, now):
            answer = bars(since, now)
            return answer._replace(bars=change(answer.bars))

        return changed

    return of


PRICES = ("open", "high", "low", "close")
SHAPES = {
    "an error nobody named": lambda vendor: raises(ZeroDivisionError("a provider's parser")),
    "a column missing": answers(lambda bars: bars.drop(columns="close")),
    "times as text": answers(lambda bars: bars.assign(timestamp=bars["timestamp"].astype(str))),
    "prices as text": answers(lambda bars: bars.assign(close="4.100,50")),
    "no table at all": answers(lambda bars: None),
    "another pair": answers(lambda bars: bars.assign(**dict.fromkeys(PRICES, 1.08))),
}


@ON_SQLITE
@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_of_any_shape_is_a_missing_bar_and_three_of_them_change_the_source(make_desk, shape):
    desk = make_desk(live=2, short=True)
    desk.vendors.append(ImitatedVendor(desk.market, "second"))
    desk.restart()
    desk.run(1 + 3)
    desk.vendor.bars = SHAPES[shape](desk.vendor)
    desk.run(3)
    assert desk.reasons() == [None] * 4 + ["NO_BAR"] * 3
    desk.run(2)
    assert desk.reasons()[-2:] == [None] * 2 and "BAR_SOURCE" in desk.alerts.open
    assert all(100 < close < 10_000 for close in desk.stored.tables[0].as_of(desk.clock.now())["close"])


def test_one_source_a_session_and_the_next_one_from_the_next_session_on(make_desk):
    desk = make_desk(live=2, short=True)
    desk.vendors.append(ImitatedVendor(desk.market, "second"))
    desk.restart()
    desk.run(1 + 3)
    desk.vendor.failing = True
    desk.run(3)
    assert desk.reasons()[4:] == ["NO_BAR"] * 3
    assert desk.vendors[1].calls == 0
    desk.run(3)
    assert desk.reasons()[-3:] == [None] * 3
    sources = desk.stored.tables[0].as_of(desk.clock.now())["source"]
    assert set(sources[opens(desk, 6)[0] :]) == {"second"}
    assert "BAR_SOURCE" in desk.alerts.open


def test_a_promotion_is_served_from_the_next_bar(make_desk, tmp_path, caplog):
    desk = make_desk(live=1)
    desk.run(3)
    old = desk.rows()[-1].model_id
    new = approve(desk.engine, tmp_path / "bundles", tiny_policy(5), "1.1.0")
    with caplog.at_level(logging.INFO):
        desk.run(3)
    rows = desk.rows()
    assert [row.model_id for row in rows] == [old] * 3 + [new.model_id] * 3
    assert [row.epoch for row in rows] == [1] * 3 + [2] * 3
    assert f"Model reloaded: {old} -> {new.model_id}" in caplog.text
    assert rows[3].position == rows[2].signal
    assert rows[3].manifest_hash == new.bundle.manifest_hash


def test_a_promotion_between_decision_and_row_is_decided_again(make_desk, tmp_path, monkeypatch):
    desk = make_desk(live=1)
    desk.run(2)
    made = []
    current = desk.keeper.current

    def promote_after() -> object:
        served = current()
        if not made:
            made.append(approve(desk.engine, tmp_path / "bundles", tiny_policy(5), "1.1.0"))
        return served

    monkeypatch.setattr(desk.keeper, "current", promote_after)
    desk.run(1)
    assert desk.rows()[-1].model_id == made[0].model_id
    assert desk.rows()[-1].epoch == 2


def test_a_row_altered_by_sql_silences_the_loop_and_says_why(make_desk):
    desk = make_desk(live=1)
    desk.run(2)
    with writing(desk.engine) as connection:
        connection.execute(update(model_registry).values(norm_stats_hash="f" * 64))
    desk.run(2)
    assert desk.reasons() == [None, None, "MODEL_REFUSED", "MODEL_REFUSED"]
    assert "model_registry.norm_stats_hash is ffff" in desk.rows()[-1].detail
    assert "MODEL_REFUSED" in desk.alerts.open


@pytest.mark.parametrize("damage", ["flip", "delete", "add"])
def test_a_bundle_damaged_in_place_is_served_on_from_memory_and_a_restart_halts(make_desk, tmp_path, damage):
    desk = make_desk(live=1)
    desk.run(2)
    (folder,) = (path.parent for path in (tmp_path / "bundles").glob("*/manifest.json"))
    file = folder / "policy.safetensors"
    if damage == "flip":
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.chmod(0o644)
        file.write_bytes(bytes(content))
    elif damage == "delete":
        file.unlink()
    else:
        (folder / "more.txt").write_text("x")
    desk.keeper.recheck()
    assert "BUNDLE_DAMAGED" in desk.alerts.open
    desk.run(2)
    assert desk.reasons() == [None] * 4
    desk.restart()
    desk.run(1)
    assert desk.reasons()[-1] == "MODEL_REFUSED"


def test_a_halt_file_is_flat_at_the_next_bar_and_only_once(make_desk):
    desk = make_desk(live=1)
    desk.run(3)
    desk.controls.halt_file.write_text("a drill of the desk")
    desk.run(3)
    desk.restart()
    desk.run(1)
    desk.controls.halt_file.unlink()
    desk.run(1)
    rows = desk.rows()
    assert [(row.signal, row.reason_code) for row in rows[3:7]] == [
        (0.0, "HALTED"), (None, "HALTED"), (None, "HALTED"), (None, "HALTED"),
    ]  # fmt: skip
    assert rows[3].created_at <= rows[3].timestamp + timedelta(minutes=5, seconds=2)
    assert rows[-1].reason_code is None and rows[-1].position == 0.0


def test_a_halt_that_is_decided_is_flat_at_the_next_bar_and_only_once_until_resumed(make_desk):
    desk = make_desk(live=1)
    desk.run(3)
    carry_out(desk.engine, SwitchSignals("HALT", INSTRUMENT, WHY), "bob", now())
    desk.run(2)
    carry_out(desk.engine, SwitchSignals("RESUME", INSTRUMENT, WHY), "bob", now())
    desk.run(1)
    found = [(row.signal, row.reason_code) for row in desk.rows()[3:5]]
    assert found == [(0.0, "HALTED"), (None, "HALTED")]
    assert desk.rows()[-1].reason_code is None and desk.rows()[-1].position == 0.0


class Outage:
    """A database that is down while `down` is set."""

    def __init__(self, monkeypatch) -> None:
        self.down = False
        for name in ("live.signals", "live.keeper", "live.production", "database.market_data",
                     "live.intake", "database.quarantine", "database.stored_since"):  # fmt: skip
            module = f"dosvotos.{name}"
            for function in ("reading", "writing"):
                original = getattr(database, function)
                monkeypatch.setattr(f"{module}.{function}", self._unless_down(original), raising=False)

    def _unless_down(self, original):
        return lambda engine: self._refuse() or original(engine)

    def _refuse(self) -> None:
        if self.down:
            raise DatabaseError("database: connection refused")


@pytest.fixture
def outage(monkeypatch) -> Outage:
    return Outage(monkeypatch)


def test_rows_of_an_outage_are_written_later_marked_and_never_acted_on(make_desk, outage):
    desk = make_desk(live=1)
    desk.run(3)
    outage.down = True
    desk.run(2)
    assert len(desk.loop._ports.spool) == 2
    assert "DATABASE_DOWN" in desk.alerts.open
    outage.down = False
    desk.run(2)
    rows = desk.rows()
    assert [row.reason_code for row in rows] == [
        None,
        None,
        None,
        "DATABASE_DOWN",
        "DATABASE_DOWN",
        None,
        None,
    ]
    assert [row.spooled for row in rows] == [False] * 3 + [True] * 2 + [False] * 2
    assert rows[5].position == rows[2].signal
    assert "DATABASE_DOWN" not in desk.alerts.open
    check_one_row_a_bar(desk)


def test_an_outage_shorter_than_a_bar_costs_no_signal(make_desk, outage):
    desk = make_desk(live=1)
    desk.run(2)
    outage.down = True
    desk.run_until(desk.clock.now() + 3 * MINUTE)
    outage.down = False
    desk.run(1)
    assert desk.reasons() == [None] * 3
    check_one_row_a_bar(desk)


def test_a_halt_file_works_while_the_database_is_down(make_desk, outage):
    desk = make_desk(live=1)
    desk.run(3)
    outage.down = True
    desk.controls.halt_file.write_text("database and market are gone")
    desk.run(2)
    spooled = desk.loop._ports.spool.rows
    assert [(row.signal, row.reason_code) for row in spooled] == [(0.0, "HALTED"), (None, "HALTED")]
    desk.restart()
    outage.down = False
    desk.run(1)
    assert [row.signal for row in desk.rows()[3:]] == [0.0, None, None]
    assert [row.spooled for row in desk.rows()[3:]] == [True, True, False]
    check_one_row_a_bar(desk)


def test_a_defect_costs_the_bar_its_signal_and_not_its_row(make_desk, monkeypatch):
    desk = make_desk(live=1)
    desk.run(2)
    monkeypatch.setattr(desk.features, "features_at", lambda bar, now: 1 / 0)
    desk.run(2)
    monkeypatch.undo()
    desk.run(1)
    assert desk.reasons() == [None, None, "ERROR", "ERROR", None]
    assert desk.rows()[2].detail == "ZeroDivisionError: division by zero"
    check_one_row_a_bar(desk)


def test_an_exception_of_the_calendar_added_meanwhile_closes_its_session(make_desk):
    desk = make_desk(live=2, short=True)
    desk.run(1 + 4)
    day = opens(desk, 6)[0].tz_convert("America/Bogota").date()
    assert isinstance(day, date)
    closed = CalendarException(closed=True, reason="a day of mourning")
    desk.calendar = CalendarParams(exceptions={**desk.calendar.exceptions, day: closed})
    desk.loop.housekeep()
    desk.run(3)
    assert [row.timestamp.date() for row in desk.rows()[-3:-1]] == [opens(desk, 4)[0].date()] * 2
    assert desk.rows()[-1].timestamp.date() > day


def test_macro_that_is_older_than_its_rule_promises_is_named_in_the_row(make_desk, thirty_sessions):
    bars, macro = thirty_sessions
    dxy = "fxrt_index_dxy_usa_d_dxy"
    newest = macro["published_at"] > bars.index[-60] - pd.Timedelta(days=1)
    desk = make_desk(live=1, macro=macro[~newest | (macro["variable"] != dxy)])
    desk.run(3)
    assert [row.macro_late for row in desk.rows()] == [None, [dxy], [dxy]]
    assert desk.reasons() == [None] * 3
    desk.stored.tables[1].store(macro[newest & (macro["variable"] == dxy)], desk.clock.now())
    desk.run(1)
    assert desk.rows()[-1].macro_late is None
