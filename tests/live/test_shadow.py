"""Shadow models decide on production's bars, and no consumer of signals ever sees what they say."""

from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
from sqlalchemy import select, text, update

from dosvotos.database.connection import reading, writing
from dosvotos.database.live_limits import account_rows, add_account, standing_trips
from dosvotos.database.live_tables import shadow_signals
from dosvotos.database.signals import latest_signals
from dosvotos.database.tables import model_registry
from dosvotos.live.performance import judge_production, judge_shadows, production_returns
from dosvotos.promotion.tripwires import Lapses, library_lock
from tests.live.limited_desk import LONG, ON_SQLITE, SHORT
from tests.live.live_desk import LiveDesk
from tests.live.production_models import approve
from tests.proposal_fixtures import INSTRUMENT


@pytest.fixture
def desk(engine, tmp_path, thirty_sessions) -> LiveDesk:
    """A long model in production and a short one in shadow."""
    approve(engine, tmp_path / "bundles", LONG)
    approve(engine, tmp_path / "bundles", SHORT, version="1.0.1", stage="shadow")
    return LiveDesk(engine, tmp_path, thirty_sessions, live=2)


def shadow_rows(desk: LiveDesk) -> list:
    with reading(desk.engine) as connection:
        return list(connection.execute(select(shadow_signals).order_by(shadow_signals.c.timestamp)))


def test_a_shadow_has_a_row_and_an_account_a_bar_and_no_signal(desk):
    for _ in range(5):
        desk.run(1)
        desk.restart()
    rows, shadows = desk.rows(), shadow_rows(desk)
    assert [row.timestamp for row in shadows] == [row.timestamp for row in rows]
    assert [row.signal for row in rows] == [1.0] * 5 and [row.target for row in shadows] == [-1.0] * 5
    assert [row.position for row in shadows] == [0.0] + [-1.0] * 4
    assert {row.model_id for row in rows} != {row.model_id for row in shadows}
    with reading(desk.engine) as connection:
        accounts = [account_rows(connection, approval) for approval in (1, 2)]
        shown = latest_signals(connection, 100)
    assert [np.sign(row.units) for row in accounts[1]] == [0.0] + [-1.0] * 4
    up = [1 if b.price > a.price else -1 for a, b in pairwise(accounts[0][1:])]
    for own, sign in ((accounts[0], 1), (accounts[1], -1)):
        moved = [b.equity - a.equity for a, b in pairwise(own[1:])]
        assert [np.sign(move) for move in moved] == [sign * one for one in up]
    assert {row.model_id for row in shown} == {row.model_id for row in rows}


@ON_SQLITE
def test_what_is_wrong_with_a_shadow_is_an_alert_and_production_goes_on(desk):
    (shadow,) = (row.model_path for row in _models(desk) if row.stage == "shadow")
    with writing(desk.engine) as connection:
        connection.execute(
            update(model_registry).where(model_registry.c.model_path == shadow).values(manifest_hash="0" * 64)
        )
    desk.run(2)
    assert desk.reasons() == [None, None] and shadow_rows(desk) == []
    assert "approves another model or stage" in desk.alerts.open["SHADOW_REFUSED"]
    with writing(desk.engine) as connection:
        connection.execute(text("DROP TABLE shadow_signals"))
        connection.execute(
            update(model_registry)
            .where(model_registry.c.model_path == shadow)
            .values(manifest_hash=shadow.rpartition("/")[2])
        )
    desk.run(2)
    assert desk.reasons() == [None] * 4 and "SHADOW_ERROR" in desk.alerts.open


def test_a_shadow_whose_tripwire_is_reached_runs_no_more_and_production_goes_on(
    engine, tmp_path, thirty_sessions
):
    approve(engine, tmp_path / "bundles", LONG)
    lapses = Lapses(max_drawdown=0.0004, max_age_days=9999, contract="c" * 64, library_lock=library_lock())
    shadow = approve(engine, tmp_path / "bundles", SHORT, version="1.0.1", stage="shadow")
    desk = LiveDesk(engine, tmp_path, thirty_sessions, live=2)
    with reading(engine) as connection:
        (model,) = (row for row in _models(desk) if row.stage == "shadow")
    frozen = lapses.model_copy(update={"contract": model.config_hash})
    approve(engine, tmp_path / "bundles", SHORT, version="1.0.1", stage="shadow", lapses=frozen)
    desk.run(60, until=lambda: "SHADOW_LAPSED" in desk.alerts.open)
    desk.restart()
    desk.run(3)
    rows, shadows = desk.rows(), shadow_rows(desk)
    assert [row.reason_code for row in shadows] == [None] * (len(shadows) - 1) + ["LAPSED"]
    assert [row.timestamp for row in shadows] == [row.timestamp for row in rows][: len(shadows)]
    assert desk.reasons() == [None] * len(rows) and len(rows) == len(shadows) + 3
    with reading(engine) as connection:
        accounts, trips = account_rows(connection, 3), standing_trips(connection, INSTRUMENT)
    falls = [1 - row.equity / row.peak for row in accounts]
    assert max(falls[:-1]) < 0.0004 <= falls[-1] and trips == []
    assert desk.alerts.open["SHADOW_LAPSED"].startswith(f"{shadow.model_id}: drawdown 0.0")


def _models(desk: LiveDesk) -> list:
    with reading(desk.engine) as connection:
        return list(connection.execute(select(model_registry)))


@ON_SQLITE
def test_daily_returns_are_judged_by_session(desk):
    """Two sessions of two bars and one of one: worked by hand, for both accounts."""
    days = ("2023-02-06", "2023-02-06", "2023-02-07", "2023-02-07", "2023-02-08")
    marks = {1: (100.0, 101.0, 99.0, 90.9, 99.99), 2: (100.0, 99.0, 99.0, 108.9, 108.9)}
    with writing(desk.engine) as connection:
        for approval, equity in marks.items():
            for i, (day, worth) in enumerate(zip(days, equity, strict=True)):
                at = datetime.fromisoformat(f"{day}T1{4 + i % 2}:00:00+00:00")
                add_account(connection, {
                    "approval_id": approval, "timestamp": at, "instrument": INSTRUMENT, "price": 1.0,
                    "units": 0.0, "equity": worth, "peak": worth, "resumed_peak": worth, "resumed_by": 0,
                })  # fmt: skip
    with reading(desk.engine) as connection:
        live, (shadow,) = judge_production(connection, INSTRUMENT), judge_shadows(connection, INSTRUMENT)
        together = production_returns(connection, INSTRUMENT)
    np.testing.assert_allclose(together, [0.01, -0.1, 0.1], atol=1e-15)
    assert live.sessions == shadow.sessions == shadow.verdict.sessions == 3
    assert live.verdict is None, "no look at it has stored its returns"
    assert live.sharpe == pytest.approx(
        np.mean([0.01, -0.1, 0.1]) / np.std([0.01, -0.1, 0.1], ddof=1) * 245**0.5
    )
    assert shadow.verdict.side is None and shadow.verdict.sessions_needed > 490
