"""A tick after a retraction, after a hole and under a new exception gives the batch, to the last bit."""

import logging

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.connection import writing
from dosvotos.database.deliveries import Delivery, retract
from dosvotos.database.market_data import StoredMarket
from dosvotos.live.state import MarketView, catch_up
from dosvotos.market.calendar import BAR, in_session, session_dates
from dosvotos.market.features import MarketHistory, market_features
from tests.conftest import parameters_of
from tests.live.markets import simulated

MINUTE = pd.Timedelta(minutes=1)
REASON = "the vendor sent closes of another pair"


@pytest.fixture(scope="module")
def market(variables):
    return simulated(variables)


@pytest.fixture
def view(engine) -> MarketView:
    return MarketView(*StoredMarket(engine, "USD/COP.SIM", "sample-x").tables, None, False)


def tick(view: MarketView, parameters: Parameters, saved: bytes | None, now: pd.Timestamp):
    """The last row, the state to save, and the same row of the batch."""
    stream, saved = catch_up(saved, parameters, view._replace(now=now))
    bars = view.bars.as_of(now)
    bars = bars[in_session(pd.DatetimeIndex(bars.index), parameters.calendar)]
    history, variables = MarketHistory(bars, view.macro.as_of(now)), parameters.macro_variables.variables
    batch = market_features(history, variables, calendar=parameters.calendar).iloc[-1]
    np.testing.assert_array_equal(stream.row, batch.to_numpy())
    return batch, saved


def test_a_tick_after_a_retraction_rebuilds_and_sees_the_earlier_version_again(view, market, caplog):
    bars, macro = market
    parameters, now = parameters_of(), bars.index[-1] + BAR
    view.bars.store(bars.reset_index(), now)
    view.macro.store(macro[macro["published_at"] <= now], now)
    before, saved = tick(view, parameters, None, now)
    wrong = bars.iloc[-30:].assign(close=lambda rows: rows["close"] * 1.01).reset_index()
    delivery_id = view.bars.open_delivery(Delivery("files", "x", now + MINUTE, "a" * 64))
    view.bars.store(wrong, now + MINUTE, delivery_id)
    spoilt, saved = tick(view, parameters, saved, now + MINUTE)
    assert spoilt["atr_pct"] != before["atr_pct"]
    with writing(view.bars.engine) as connection:
        retract(connection, delivery_id, REASON, now + 2 * MINUTE)
    with caplog.at_level(logging.INFO, "dosvotos.live.state"):
        after, saved = tick(view, parameters, saved, now + 3 * MINUTE)
    assert "1 deliveries are retracted, at the last tick 0 were" in caplog.text
    pd.testing.assert_series_equal(after, before)
    caplog.clear()
    with caplog.at_level(logging.INFO, "dosvotos.live.state"):
        tick(view, parameters, saved, now + 4 * MINUTE)
    assert "rebuilds" not in caplog.text


def test_ticks_over_a_hole_leave_what_reaches_across_it_missing(view, market):
    bars, macro = market
    days = np.unique(session_dates(pd.DatetimeIndex(bars.index)))
    gone = np.isin(session_dates(pd.DatetimeIndex(bars.index)), days[-8:-3])
    kept, parameters, saved = bars[~gone], parameters_of(), None
    now = kept.index[-180] + BAR
    view.macro.store(macro[macro["published_at"] <= now], now)
    for i in (-180, -179, -168, -100, -36, -35, -1):
        now = kept.index[i] + BAR
        view.bars.store(kept.iloc[: len(kept) + i + 1].reset_index(), now)
        row, saved = tick(view, parameters, saved, now)
        since = i + 180
        missing = row[list(MARKET_FEATURES[:6])].isna().tolist()
        assert missing == [since < limit for limit in (1, 12, 48, 145, 145, 145)], i
    exceptions = {str(day): {"closed": True, "reason": "a strike"} for day in days[-8:-6]}
    row, _ = tick(view, parameters_of(calendar={"exceptions": exceptions}), saved, kept.index[-100] + BAR)
    assert row[list(MARKET_FEATURES[:6])].notna().all()
