"""Limits act by themselves, hold until an admin's RESUME, and an error while they are judged halts."""

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import update

from dosvotos.contracts.live_limits import LiveLimits, StatedLimits
from dosvotos.database.connection import reading, writing
from dosvotos.database.live_limits import account_rows, standing_trips
from dosvotos.database.live_tables import live_state
from dosvotos.errors import DecisionConflictError, ParameterError
from dosvotos.live.account import AccountBook, AccountTerms, LiveAccount
from dosvotos.live.limits import Approval, _lapsed
from dosvotos.market.accounting import Tape, run_account
from dosvotos.promotion.floors import refuse_looser
from dosvotos.promotion.gate_policy import packaged_policy
from dosvotos.promotion.live_acts import SwitchSignals, read_live_state
from dosvotos.promotion.transaction import carry_out
from dosvotos.promotion.tripwires import Lapses, library_lock
from tests.conftest import parameters_of
from tests.live.limit_faults import FAULTS, failed_open
from tests.live.limited_desk import FLIPPING, LONG, ON_SQLITE, set_limits
from tests.live.live_desk import LiveDesk
from tests.live.test_loop import Outage
from tests.proposal_fixtures import INSTRUMENT
from tests.team import WHY, now


def resume(engine) -> None:
    carry_out(engine, SwitchSignals("RESUME", INSTRUMENT, WHY), "bob", now())


def trips(engine) -> list[tuple[str, str]]:
    with reading(engine) as connection:
        return [(row.rule, row.state) for row in standing_trips(connection, INSTRUMENT)]


def twin_drawdown(desk: LiveDesk) -> np.ndarray:
    """Drawdown at the bars that came live, from the rows' targets by the backtest's account."""
    rows = desk.rows()
    times = [row.timestamp for row in rows]
    targets = np.array([np.nan if row.signal is None else row.signal for row in rows])
    held = [0.0]
    for target in targets:
        held.append(held[-1] if np.isnan(target) else target)
    close = desk.market["close"].reindex(times).to_numpy()
    padded = Tape(desk.market.index[[0]].append(desk.market.reindex(times).index), np.r_[close[0], close],
                  np.zeros(len(close) + 1))  # fmt: skip
    account = run_account(padded, np.r_[0.0, held[1:]], 0.00035, 100_000.0)
    equity = account.equity[1:-1]
    return 1 - equity / np.maximum.accumulate(np.r_[100_000.0, equity])[1:]


def test_a_drawdown_reduces_then_halts_at_the_bar_that_the_backtest_s_account_names(make_limited):
    desk = make_limited(LONG, reduce_at_drawdown=0.0001, halt_at_drawdown=0.001)
    desk.run(60, until=lambda: "DRAWDOWN" in desk.reasons())
    rows = desk.rows()
    halted_at = next(i for i, row in enumerate(rows) if row.reason_code == "DRAWDOWN")
    assert (rows[halted_at].signal, rows[halted_at - 1].signal) == (0.0, 1.0)
    desk.run(3)
    rows = desk.rows()
    found = twin_drawdown(desk)
    assert (found[:halted_at] < 0.001).all() and found[halted_at] >= 0.001
    assert [(row.status, row.reason_code) for row in rows[halted_at + 1 :]] == [("NO_SIGNAL", "DRAWDOWN")] * 3
    assert trips(desk.engine) == [("DRAWDOWN", "REDUCING"), ("DRAWDOWN", "HALTED")]
    assert desk.alerts.open["LIMIT DRAWDOWN"].startswith("drawdown 0.")
    assert "'dosvotos resume' ends it" in rows[-1].detail


def test_what_a_limit_holds_survives_a_restart_and_sql_and_ends_with_resume_alone(make_limited):
    desk = make_limited(LONG, reduce_at_drawdown=0.0005, halt_at_drawdown=0.001)
    desk.run(60, until=lambda: "DRAWDOWN" in desk.reasons())
    with writing(desk.engine) as connection:
        connection.execute(update(live_state).values(state="ACTIVE"))
    desk.restart()
    desk.run(2)
    assert desk.reasons()[-2:] == ["DRAWDOWN"] * 2
    for looser in ({"halt_at_drawdown": 0.2}, {"flips_an_hour": 9}):
        with pytest.raises(DecisionConflictError, match="cannot be loosened while a limit holds"):
            set_limits(desk.engine, **looser)
    set_limits(desk.engine, errors_an_hour=1)
    carry_out(desk.engine, SwitchSignals("HALT", INSTRUMENT, WHY), "bob", now())
    resume(desk.engine)
    desk.run(1)
    assert (desk.rows()[-1].signal, desk.reasons()[-1]) == (1.0, None)
    assert desk.alerts.open == {}
    with reading(desk.engine) as connection:
        assert read_live_state(connection, INSTRUMENT) == "ACTIVE"
        last = account_rows(connection, 1)[-1]
    assert last.resumed_peak == last.equity < last.peak
    set_limits(desk.engine, halt_at_drawdown=0.2)


@ON_SQLITE
def test_a_restart_at_every_bar_leaves_the_same_account(make_limited):
    desk = make_limited(LONG)
    for _ in range(6):
        desk.run(1)
        desk.restart()
    with reading(desk.engine) as connection:
        rows = account_rows(connection, 1)
    assert [row.timestamp for row in rows] == [row.timestamp for row in desk.rows()]
    drawdown = np.array([1 - row.equity / row.peak for row in rows])
    np.testing.assert_array_equal(drawdown[:-1], twin_drawdown(desk)[: len(drawdown) - 1])


@ON_SQLITE
def test_bars_that_no_model_saw_are_filled_in_order(make_limited, monkeypatch):
    desk = make_limited(LONG)
    desk.run(3)
    monkeypatch.setattr(desk.features, "features_at", lambda bar, now: 1 / 0)
    desk.run(2)
    monkeypatch.undo()
    desk.run(3)
    with reading(desk.engine) as connection:
        rows = account_rows(connection, 1)
    assert [row.timestamp for row in rows] == [row.timestamp for row in desk.rows()]
    np.testing.assert_array_equal([1 - row.equity / row.peak for row in rows][:-1], twin_drawdown(desk)[:7])


@ON_SQLITE
def test_reversals_reduce_at_the_one_that_reaches_the_limit(make_limited):
    desk = make_limited(FLIPPING, flips_an_hour=3)
    desk.run(6)
    assert [row.signal for row in desk.rows()] == [1.0, -1.0, 1.0, 0.0, 0.0, 0.0]
    assert desk.reasons() == [None] * 3 + ["REDUCING"] * 3
    assert trips(desk.engine) == [("FLIPS", "REDUCING")] and "LIMIT FLIPS" in desk.alerts.open
    resume(desk.engine)
    desk.run(3)
    assert [row.signal for row in desk.rows()[6:]] == [1.0, -1.0, 1.0]


@ON_SQLITE
def test_repeated_errors_halt_though_no_model_came_to_decide(make_limited):
    desk = make_limited(LONG)
    desk.run(1)
    patch = pytest.MonkeyPatch()
    patch.setattr(desk.features, "features_at", lambda bar, now: 1 / 0)
    desk.run(5)
    assert desk.reasons() == [None, "ERROR", "ERROR", "ERROR", "ERRORS", "ERRORS"]
    assert [row.signal for row in desk.rows()] == [1.0, None, None, None, 0.0, None]
    patch.undo()
    desk.run(1)
    assert desk.reasons()[-1] == "ERRORS"
    resume(desk.engine)
    desk.run(1)
    assert desk.rows()[-1].signal == 1.0


def test_an_error_while_limits_are_judged_halts_until_a_resume(make_limited):
    desk = make_limited(LONG)
    desk.run(2)
    for name, fault in FAULTS.items():
        with pytest.MonkeyPatch.context() as patch:
            fault(desk, patch.setattr)
            assert failed_open(desk, 1) == 0, name
        row = desk.rows()[-1]
        assert (row.signal, row.reason_code) == (
            0.0, "DRAWDOWN" if name == "no_number" else "LIMITS_UNKNOWN",
        ), name  # fmt: skip
        if name == "current_policy":
            desk.restart()
            assert failed_open(desk, 1) == 0
            assert desk.reasons()[-1] == "LIMITS_UNKNOWN"
        resume(desk.engine)
        if name != "no_account_table":
            desk.run(1)
            assert desk.rows()[-1].signal == 1.0, name


@ON_SQLITE
def test_a_halt_file_repeats_no_flat_row_of_a_limit_while_the_database_is_down(make_limited, monkeypatch):
    desk = make_limited(LONG)
    desk.run(2)
    with pytest.MonkeyPatch.context() as patch:
        FAULTS["current_policy"](desk, patch.setattr)
        desk.run(1)
    assert (desk.rows()[-1].signal, desk.reasons()[-1]) == (0.0, "LIMITS_UNKNOWN")
    Outage(monkeypatch).down = True
    desk.controls.halt_file.write_text("database and market are gone")
    desk.run(2)
    assert [(row.signal, row.reason_code) for row in desk.loop._ports.spool.rows] == [(None, "HALTED")] * 2


LAPSES = Lapses(max_drawdown=0.1, max_age_days=30, contract="c" * 64, library_lock=library_lock())


@pytest.mark.parametrize(
    ("equity", "days", "config", "lapses", "said"),
    [
        (91.0, 29, "c", LAPSES, None),
        (89.9, 29, "c", LAPSES, "drawdown 10.10% since it, at 10.00%"),
        (float("nan"), 29, "c", LAPSES, "drawdown \N{EN DASH} since it"),
        (91.0, 30, "c", LAPSES, "age 30 days, at 30"),
        (91.0, 29, "d", LAPSES, "contract dddddddddddd, was cccccccccccc"),
        (91.0, 29, "c", LAPSES.model_copy(update={"library_lock": "f" * 64}), "were ffffffffffff"),
        (1.0, 999, "d", None, None),
    ],
)
def test_an_approval_lapses_by_what_was_signed(equity, days, config, lapses, said):
    at = now()
    account = LiveAccount(at, 1.0, None, 0.0, equity, 100.0, equity, 3)
    book = AccountBook(INSTRUMENT, "feed", 1, AccountTerms(0.0, 100.0, False))
    approval = Approval(book, at, config * 64, lapses, None)
    found = list(_lapsed(account, approval, at + timedelta(days=days, hours=1)))
    if said is None:
        assert found == []
    else:
        assert (found[0].rule, found[0].state) == ("LAPSED", "HALTED") and said in found[0].detail


def test_an_experiment_may_only_be_stricter_than_the_house():
    stated = {"clock": "market", "limits": {"halt_at_drawdown": 0.2, "flips_an_hour": 2}}
    with pytest.raises(ParameterError, match=r"inference.limits.halt_at_drawdown: must be at most 0.15"):
        refuse_looser(parameters_of(inference=stated), packaged_policy())
    house = LiveLimits()
    tightened = house.tightened(StatedLimits(halt_at_drawdown=0.2, flips_an_hour=2))
    assert tightened == house.model_copy(update={"flips_an_hour": 2})
    assert parameters_of().inference.model_dump() == {"clock": "market"}
