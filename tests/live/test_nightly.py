"""What was served is computed again after the session; a bit that differs is found and told."""

from datetime import date

import numpy as np
import pytest
from sqlalchemy import Connection, Update, insert, select, text, update

from dosvotos.database.append_only import renew_guards
from dosvotos.database.connection import reading, writing
from dosvotos.database.live_limits import add_account, shadow_lapse, standing_trips
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.registry import production_rows
from dosvotos.database.tables import inference_features_5m, oos_trials, usdcop_m5_ohlcv
from dosvotos.live.nightly import NightlyCheck
from dosvotos.live.parity import check_served
from dosvotos.live.performance import claim_of, judge_shadows
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.promotion.tripwires import Lapses, library_lock
from tests.live.limited_desk import ON_SQLITE, SHORT
from tests.live.live_desk import LiveDesk
from tests.live.production_models import approve
from tests.proposal_fixtures import INSTRUMENT


def checked(desk: LiveDesk) -> list[str]:
    rows = desk.rows()
    report = check_served(desk.engine, desk.parameters, rows[0].timestamp, rows[-1].timestamp)
    assert report.rows == sum(row.feature_hash is not None for row in rows)
    return [f"{one.field}" for one in report.differences]


@pytest.fixture
def served(make_desk) -> LiveDesk:
    """Bars that were late, missing and revised, and a value of macro that came in between."""
    desk = make_desk(live=1)
    opens = list(desk.market.index[desk.first : desk.first + 8])
    desk.vendor.delays, desk.vendor.missing = {opens[1]: 200.0, opens[2]: 350.0}, {opens[4]}
    desk.vendor.revisions = {opens[5]: (desk.market["close"][opens[5]] * 1.0004, 400.0)}
    desk.run(10)
    return desk


CHANGES = {
    "signal": (trading_signals, lambda value: 1 - value),
    "confidence": (trading_signals, lambda value: value + 1e-12),
    "position": (trading_signals, lambda value: value + 0.5),
    "rsi_9": (inference_features_5m, lambda value: value * (1 + 1e-15)),
    "close": (usdcop_m5_ohlcv, lambda value: value * 1.0001),
}


def test_what_was_served_comes_out_again_and_a_bit_that_was_changed_is_found(served):
    assert checked(served) == []
    row = served.rows()[7]
    check = NightlyCheck(served.engine, served.parameters, served.clock, served.alerts)
    for field, (table, change) in CHANGES.items():
        one = (table.c.timestamp == row.timestamp) & (table.c.instrument == INSTRUMENT)
        with reading(served.engine) as connection:
            kept = connection.execute(select(table.c[field]).where(one)).scalars().first()
        change_row(served, update(table).where(one).values({field: change(kept)}))
        assert checked(served)[0] == {"close": "log_ret_5m"}.get(field, field)
        check.run(row.timestamp.date())
        assert served.alerts.open["PARITY"].startswith("bar 20")
        change_row(served, update(table).where(one).values({field: kept}))
    check.run(row.timestamp.date())
    assert served.alerts.open == {}


def change_row(desk: LiveDesk, change: Update) -> None:
    """Carry out what the table's triggers refuse."""
    with writing(desk.engine) as connection:
        _unguard(connection, change.table.name)
        connection.execute(change)
        renew_guards(connection)


def _unguard(connection, table: str) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text(f"DROP TRIGGER {table}_no_update"))
    else:
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_no_update"))


@ON_SQLITE
def test_the_loop_checks_a_session_once_it_is_over(make_desk):
    desk, seen = make_desk(live=2, short=True), []
    desk.loop._ports = desk.loop._ports._replace(after_session=seen.append)
    for _ in range(9):
        desk.run(1)
        desk.loop.housekeep()
    days = [row.timestamp.date() for row in desk.rows()]
    assert seen == sorted(set(days))[:-1] and len(seen) == 2


def write_returns(connection: Connection, approval_id: int, days: np.ndarray, returns: np.ndarray) -> None:
    """Write an account of one bar a session."""
    for day, equity in zip(days, 100_000 * np.cumprod(1 + returns), strict=True):
        at = session_bar_times(day)[-1].to_pydatetime()
        add_account(connection, {
            "approval_id": approval_id, "timestamp": at, "instrument": INSTRUMENT, "price": 4000.0,
            "units": 0.0, "equity": equity, "peak": equity, "resumed_peak": equity, "resumed_by": 0,
        })  # fmt: skip


@ON_SQLITE
@pytest.mark.parametrize(
    ("gap", "level", "production_trips", "ended"),
    [
        (0.0, 0.05, [], None),
        (6.0, 0.05, [("WORSE_THAN_SHADOW", "REDUCING")], None),
        (-6.0, 0.05, [], "earned less than production over 250 sessions; of equal models at most 5% are"),
        (-3.0, 0.05, [], None),
        (-3.0, 0.4, [], "of equal models at most 40% are"),
    ],
)
def test_a_shadow_apart_from_production_trips_one_of_the_two_at_the_rate_its_reviewer_signed(
    make_desk, gap, level, production_trips, ended
):
    """250 sessions on which both trade, the shadow's Sharpe ratio of the difference as stated."""
    desk, rng = make_desk(live=1), np.random.default_rng(8)
    lapses = Lapses(
        max_drawdown=1.0, max_age_days=9999, claim_level=level, contract="c" * 64, library_lock=library_lock()
    )
    shadow = approve(
        desk.engine, desk.folder / "bundles", SHORT, version="1.0.1", stage="shadow", lapses=lapses
    )
    days = scheduled_sessions(date(2023, 1, 3), date(2024, 2, 1))[:250]
    noise = rng.normal(size=250)
    differences = 0.004 * ((noise - noise.mean()) / noise.std(ddof=1) + gap / np.sqrt(245))
    own = 0.005 * rng.normal(size=250)
    with writing(desk.engine) as connection:
        write_returns(connection, 1, days, own)
        write_returns(connection, 2, days, own + differences)
    check = NightlyCheck(desk.engine, desk.parameters, desk.clock, desk.alerts)
    for _ in range(2):
        check.run(days[-1].astype(object))
    with reading(desk.engine) as connection:
        trips = [(row.rule, row.state) for row in standing_trips(connection, INSTRUMENT)]
        why, (judged,) = shadow_lapse(connection, 2), judge_shadows(connection, INSTRUMENT)
    assert trips == production_trips and (why is None) == (ended is None)
    assert "NIGHTLY_ERROR" not in desk.alerts.open
    assert ("LIMIT WORSE_THAN_SHADOW" in desk.alerts.open) == bool(production_trips)
    if ended is not None:
        assert ended in why and why == judged.lapsed
        assert desk.alerts.open["SHADOW_LAPSED"].startswith(f"{shadow.model_id}: it earned less")
    assert judged.verdict is None if production_trips else judged.verdict.level == level


@ON_SQLITE
@pytest.mark.parametrize(("live_sharpe", "side"), [(3.0, None), (-6.0, "worse")])
def test_live_returns_worse_than_claimed_reduce_and_count_once(make_desk, live_sharpe, side):
    """A claim of Sharpe 3 over 250 sessions, then 250 live ones."""
    desk, rng = make_desk(live=1), np.random.default_rng(5)
    days = scheduled_sessions(date(2023, 1, 3), date(2024, 2, 1))[:250]
    with writing(desk.engine) as connection:
        model = production_rows(connection, INSTRUMENT).model
        claimed = 0.006 * (rng.normal(size=250) + 3 / np.sqrt(245))
        look = {
            "instrument": INSTRUMENT, "feed": "f", "experiment_name": "demo",
            "model_hash": model.model_hash, "account_digest": "a" * 64, "opened_at": desk.clock.now(),
            "window_start": date(2022, 1, 3), "window_end": date(2022, 12, 30),
            "daily_returns": {str(i): float(v) for i, v in enumerate(claimed)},
        }  # fmt: skip
        connection.execute(insert(oos_trials).values(look))
        claim = claim_of(connection, model)
        noise = rng.normal(size=250)
        returns = claim.spread * ((noise - noise.mean()) / noise.std(ddof=1) + live_sharpe / np.sqrt(245))
        write_returns(connection, 1, days, returns)
    check = NightlyCheck(desk.engine, desk.parameters, desk.clock, desk.alerts)
    for _ in range(2):
        check.run(days[-1].astype(object))
    with reading(desk.engine) as connection:
        trips = [(row.rule, row.state) for row in standing_trips(connection, INSTRUMENT)]
    assert trips == ([] if side is None else [("WORSE_THAN_CLAIMED", "REDUCING")])
    assert ("LIMIT WORSE_THAN_CLAIMED" in desk.alerts.open) == (side is not None)
    assert "NIGHTLY_ERROR" not in desk.alerts.open
