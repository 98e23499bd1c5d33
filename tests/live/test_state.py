"""L1 follows the database: whatever comes, its row is the batch's over all that is known."""

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.features import FINANCING_SOURCES, MACRO_SOURCES
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.live.state import Market, follow
from dosvotos.market.calendar import BAR, in_session
from dosvotos.market.features import SOURCES, MarketHistory, market_features
from tests.conftest import parameters_of
from tests.live.markets import simulated
from tests.proposal_fixtures import INSTRUMENT

FEED = "market"
DXY, FED_FUNDS = MACRO_SOURCES["dxy"], FINANCING_SOURCES["fed_funds"]
MINUTE = pd.Timedelta(minutes=1)


class Desk(NamedTuple):
    """A market of which the database holds the first part."""

    bars: pd.DataFrame
    macro: pd.DataFrame
    table: BarTable
    macros: MacroTables
    start: int
    """Place of the first bar not stored yet, the 31st of a session."""

    def store_bars(self, rows: pd.DataFrame, now: pd.Timestamp) -> None:
        self.table.store(rows.reset_index(), FEED, now)

    def store_macro(self, rows: pd.DataFrame, now: pd.Timestamp) -> None:
        self.macros.store(rows, FEED, now)

    def closed(self, place: int) -> pd.Timestamp:
        return self.bars.index[place] + BAR

    def value(self, variable: str, day: str, published: pd.Timestamp, value: float) -> pd.DataFrame:
        """One further observation."""
        row = self.macro[self.macro["variable"] == variable].iloc[[-1]]
        date = pd.Timestamp(day).date()
        return row.assign(observation_date=[date], published_at=published, value=value, vintage="current")


@pytest.fixture(scope="module")
def market(variables):
    """The last twenty sessions, and of macro what features need and one variable that they do not."""
    bars, macro = simulated(variables)
    behind = macro["variable"].isin([*SOURCES, next(name for name in variables if name not in SOURCES)])
    recent = macro["published_at"] > bars.index[0] - pd.Timedelta(days=420)
    return bars.iloc[-20 * 60 :], macro[behind & recent]


@pytest.fixture
def desk(engine, market) -> Desk:
    bars, macro = market
    start = len(bars) - 10 * 60 + 30
    made = Desk(bars, macro, BarTable(engine, INSTRUMENT), MacroTables(engine, INSTRUMENT), start)
    now = made.closed(start - 1)
    made.store_bars(bars.iloc[:start], now)
    made.store_macro(macro[macro["published_at"] <= now], now)
    return made


class Ticker:
    """Ticks with a restart between each: only bytes are handed on."""

    def __init__(self, desk: Desk, clock: str, caplog) -> None:
        self.desk, self.clock, self.caplog = desk, clock, caplog
        self.saved: bytes | None = None
        self.parameters = parameters_of(inference={"clock": clock})

    def tick(self, now: pd.Timestamp) -> bool:
        """Compare one tick with the batch; whether it had to rebuild."""
        self.caplog.clear()
        desk, wall = self.desk, self.clock == "wall"
        market = Market(desk.table, desk.macros, FEED, now, wall)
        with self.caplog.at_level(logging.INFO, "dosvotos.live.state"):
            stream, self.saved = follow(self.saved, self.parameters, market)
        bars = desk.table.as_of(FEED, now)
        bars = bars[in_session(pd.DatetimeIndex(bars.index))]
        macro = desk.macros.as_of(FEED, now, as_fetched=wall)
        batch = market_features(MarketHistory(bars, macro), self.parameters.macro_variables.variables)
        np.testing.assert_array_equal(stream.row, batch.iloc[-1].to_numpy())
        assert stream.closed == (batch.index[-1] + BAR).value // 1000
        return "rebuilds" in self.caplog.text


@pytest.mark.parametrize("clock", ["market", "wall"])
def test_ticks_over_new_late_and_revised_data_with_a_restart_between_each(desk, clock, caplog):
    ticker, place = Ticker(desk, clock, caplog), desk.start
    now = desk.closed(place - 1)
    assert ticker.tick(now)
    assert not ticker.tick(now)
    for n_bars in (1, 1, 3, 90):  # the last of them over a session's end, with its news
        place, before = place + n_bars, now
        now = desk.closed(place - 1)
        desk.store_bars(desk.bars.iloc[place - n_bars : place], now)
        known = desk.macro["published_at"]
        desk.store_macro(desk.macro[(known > before) & (known <= now)], now)
        assert not ticker.tick(now)

    hole = desk.bars.iloc[place : place + 1]  # one bar late by three
    place += 4
    now = desk.closed(place - 1)
    desk.store_bars(desk.bars.iloc[place - 3 : place], now)
    assert not ticker.tick(now)
    desk.store_bars(hole, now + MINUTE)
    assert not ticker.tick(now + MINUTE)

    revised = desk.bars.iloc[[place - 40]].assign(close=lambda rows: rows["close"] * 1.001)
    desk.store_bars(revised, now + 2 * MINUTE)
    assert not ticker.tick(now + 2 * MINUTE)

    day = str(now.date())
    desk.store_macro(desk.value(DXY, day, now - pd.Timedelta(hours=2), 99.0), now + 3 * MINUTE)
    assert not ticker.tick(now + 3 * MINUTE)
    desk.store_macro(desk.value(DXY, day, now - pd.Timedelta(hours=2), 97.0), now + 4 * MINUTE)
    assert not ticker.tick(now + 4 * MINUTE)
    now = desk.closed(place)
    desk.store_bars(desk.bars.iloc[[place]], now)
    assert not ticker.tick(now)

    ancient = desk.bars.iloc[[100]].assign(close=lambda rows: rows["close"] * 1.001)
    desk.store_bars(ancient, now + MINUTE)
    assert ticker.tick(now + MINUTE)
    dated = desk.value(FED_FUNDS, "2022-12-01", now - pd.Timedelta(days=9), 4.0)
    desk.store_macro(dated.assign(vintage="2023-01-03", frequency="monthly"), now + 2 * MINUTE)
    assert ticker.tick(now + 2 * MINUTE)
    place += 2
    now = desk.closed(place - 1)
    desk.store_bars(desk.bars.iloc[[place - 1]], now)
    assert ticker.tick(now) == (clock == "wall")  # fetched after the last close: new only to this bar
    assert not ticker.tick(now)


def test_a_tick_reads_only_what_is_new(desk, caplog, monkeypatch):
    ticker = Ticker(desk, "market", caplog)
    ticker.tick(desk.closed(desk.start - 1))
    read = []
    rows = BarTable.rows

    def counting(table, *asked):
        found = rows(table, *asked)
        read.append(len(found))
        return found

    now = desk.closed(desk.start)
    desk.store_bars(desk.bars.iloc[[desk.start]], now)
    monkeypatch.setattr(BarTable, "rows", counting)
    market = Market(desk.table, desk.macros, FEED, now, False)
    follow(ticker.saved, ticker.parameters, market)
    assert read == [1]


def test_rows_that_came_with_an_earlier_date_of_storing_are_found(desk, caplog):
    ticker = Ticker(desk, "market", caplog)
    now = desk.closed(desk.start + 5)
    desk.store_bars(desk.bars.iloc[desk.start + 3 : desk.start + 5], now)
    ticker.tick(now)
    desk.store_bars(desk.bars.iloc[[desk.start]], now - MINUTE)
    assert ticker.tick(now + MINUTE)


def test_going_back_in_time_another_market_or_a_damaged_state_rebuild(desk, caplog):
    ticker = Ticker(desk, "market", caplog)
    now = desk.closed(desk.start - 1)
    ticker.tick(now + MINUTE)
    assert ticker.tick(now)
    kept = ticker.saved
    ticker.clock = "wall"
    assert ticker.tick(now)
    ticker.clock, ticker.saved = "market", kept[:-3] + b"abc"
    assert ticker.tick(now)
    assert "not the one its hash names" in caplog.text or "not readable" in caplog.text
    assert not ticker.tick(now)


def test_an_empty_database_gives_an_empty_stream_and_then_a_full_one(engine, market, caplog):
    empty = Desk(*market, BarTable(engine, INSTRUMENT), MacroTables(engine, INSTRUMENT), 0)
    now = empty.closed(119)
    stream, saved = follow(None, parameters_of(), Market(empty.table, empty.macros, FEED, now, False))
    assert stream.closed == -np.inf
    empty.store_bars(empty.bars.iloc[:120], now)
    ticker = Ticker(empty, "market", caplog)
    ticker.saved = saved
    ticker.tick(now)
