"""L1 catches up with the database: whatever comes, its row is the batch's over all that is known."""

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.features import FINANCING_SOURCES, MACRO_SOURCES
from dosvotos.database.market_data import BarTable, MacroTables, StoredMarket
from dosvotos.live.state import MarketView, catch_up
from dosvotos.market.calendar import BAR, in_session
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.market.features.definition import VARIABLES
from dosvotos.market.microseconds import moment_to_microseconds
from tests.conftest import parameters_of
from tests.live.markets import simulated
from tests.proposal_fixtures import INSTRUMENT

FEED = "market"
DXY, FED_FUNDS = MACRO_SOURCES["dxy"], FINANCING_SOURCES["fed_funds"]
MINUTE = pd.Timedelta(minutes=1)


class MarketFeeder(NamedTuple):
    """A simulated market that tests store part by part."""

    bars: pd.DataFrame
    macro: pd.DataFrame
    table: BarTable
    macros: MacroTables
    start: int
    """Index of the first bar not stored at the start, the 31st of a session."""

    def store_bars(self, rows: pd.DataFrame, now: pd.Timestamp) -> None:
        self.table.store(rows.reset_index(), now)

    def store_macro(self, rows: pd.DataFrame, now: pd.Timestamp) -> None:
        self.macros.store(rows, now)

    def close_time(self, index: int) -> pd.Timestamp:
        return self.bars.index[index] + BAR

    def observation(self, variable: str, day: str, published: pd.Timestamp, value: float) -> pd.DataFrame:
        """One further observation."""
        row = self.macro[self.macro["variable"] == variable].iloc[[-1]]
        date = pd.Timestamp(day).date()
        return row.assign(observation_date=[date], published_at=published, value=value, vintage="current")


@pytest.fixture(scope="module")
def market(variables):
    """The last twenty sessions, and of macro what features need and one variable that they do not."""
    bars, macro = simulated(variables)
    used = macro["variable"].isin([*VARIABLES, next(name for name in variables if name not in VARIABLES)])
    recent = macro["published_at"] > bars.index[0] - pd.Timedelta(days=420)
    return bars.iloc[-20 * 60 :], macro[used & recent]


@pytest.fixture
def feeder(engine, market) -> MarketFeeder:
    bars, macro = market
    start = len(bars) - 10 * 60 + 30
    feeder = MarketFeeder(bars, macro, *StoredMarket(engine, INSTRUMENT, FEED).tables, start)
    now = feeder.close_time(start - 1)
    feeder.store_bars(bars.iloc[:start], now)
    feeder.store_macro(macro[macro["published_at"] <= now], now)
    return feeder


class Ticker:
    """Ticks with a restart between each: only bytes are handed on."""

    def __init__(self, feeder: MarketFeeder, clock: str, caplog) -> None:
        self.feeder, self.clock, self.caplog = feeder, clock, caplog
        self.saved: bytes | None = None
        self.parameters = parameters_of(inference={"clock": clock})

    def tick(self, now: pd.Timestamp) -> bool:
        """Compare one tick's row with the batch; return whether features were rebuilt."""
        self.caplog.clear()
        feeder, wall = self.feeder, self.clock == "wall"
        market = MarketView(feeder.table, feeder.macros, now, wall)
        with self.caplog.at_level(logging.INFO, "dosvotos.live.state"):
            stream, self.saved = catch_up(self.saved, self.parameters, market)
        bars = feeder.table.as_of(now)
        bars = bars[in_session(pd.DatetimeIndex(bars.index))]
        macro = feeder.macros.as_of(now, as_fetched=wall)
        batch = market_features(MarketHistory(bars, macro), self.parameters.macro_variables.variables)
        np.testing.assert_array_equal(stream.row, batch.iloc[-1].to_numpy())
        assert stream.last_close_time == moment_to_microseconds(batch.index[-1] + BAR)
        return "rebuilds" in self.caplog.text


@pytest.mark.parametrize("clock", ["market", "wall"])
def test_ticks_over_new_late_and_revised_data_with_a_restart_between_each(feeder, clock, caplog):
    ticker, index = Ticker(feeder, clock, caplog), feeder.start
    now = feeder.close_time(index - 1)
    assert ticker.tick(now)
    assert not ticker.tick(now)
    for n_bars in (1, 1, 3, 90):  # the last of them over a session's end, with what was published in between
        index, before = index + n_bars, now
        now = feeder.close_time(index - 1)
        feeder.store_bars(feeder.bars.iloc[index - n_bars : index], now)
        known = feeder.macro["published_at"]
        feeder.store_macro(feeder.macro[(known > before) & (known <= now)], now)
        assert not ticker.tick(now)

    hole = feeder.bars.iloc[index : index + 1]  # one bar late by three
    index += 4
    now = feeder.close_time(index - 1)
    feeder.store_bars(feeder.bars.iloc[index - 3 : index], now)
    assert not ticker.tick(now)
    feeder.store_bars(hole, now + MINUTE)
    assert not ticker.tick(now + MINUTE)

    revised = feeder.bars.iloc[[index - 40]].assign(close=lambda rows: rows["close"] * 1.001)
    feeder.store_bars(revised, now + 2 * MINUTE)
    assert not ticker.tick(now + 2 * MINUTE)

    day = str(now.date())
    feeder.store_macro(feeder.observation(DXY, day, now - pd.Timedelta(hours=2), 99.0), now + 3 * MINUTE)
    assert not ticker.tick(now + 3 * MINUTE)
    feeder.store_macro(feeder.observation(DXY, day, now - pd.Timedelta(hours=2), 97.0), now + 4 * MINUTE)
    assert not ticker.tick(now + 4 * MINUTE)
    now = feeder.close_time(index)
    feeder.store_bars(feeder.bars.iloc[[index]], now)
    assert not ticker.tick(now)

    ancient = feeder.bars.iloc[[100]].assign(close=lambda rows: rows["close"] * 1.001)
    feeder.store_bars(ancient, now + MINUTE)
    assert ticker.tick(now + MINUTE)
    dated = feeder.observation(FED_FUNDS, "2022-12-01", now - pd.Timedelta(days=9), 4.0)
    feeder.store_macro(dated.assign(vintage="2023-01-03", frequency="monthly"), now + 2 * MINUTE)
    assert ticker.tick(now + 2 * MINUTE)
    index += 2
    now = feeder.close_time(index - 1)
    feeder.store_bars(feeder.bars.iloc[[index - 1]], now)
    assert ticker.tick(now) == (clock == "wall")  # fetched after the last close: new only to this bar
    assert not ticker.tick(now)


def test_a_tick_reads_only_what_is_new(feeder, caplog, monkeypatch):
    ticker = Ticker(feeder, "market", caplog)
    ticker.tick(feeder.close_time(feeder.start - 1))
    read = []
    rows = BarTable.rows

    def counting(table, *asked):
        answer = rows(table, *asked)
        read.append(len(answer))
        return answer

    now = feeder.close_time(feeder.start)
    feeder.store_bars(feeder.bars.iloc[[feeder.start]], now)
    monkeypatch.setattr(BarTable, "rows", counting)
    market = MarketView(feeder.table, feeder.macros, now, False)
    catch_up(ticker.saved, ticker.parameters, market)
    assert read == [1]


def test_rows_stored_under_a_time_before_the_last_tick_cause_a_rebuild(feeder, caplog):
    ticker = Ticker(feeder, "market", caplog)
    now = feeder.close_time(feeder.start + 5)
    feeder.store_bars(feeder.bars.iloc[feeder.start + 3 : feeder.start + 5], now)
    ticker.tick(now)
    feeder.store_bars(feeder.bars.iloc[[feeder.start]], now - MINUTE)
    assert ticker.tick(now + MINUTE)


def test_an_earlier_as_of_another_scope_and_a_damaged_state_cause_a_rebuild(feeder, caplog):
    ticker = Ticker(feeder, "market", caplog)
    now = feeder.close_time(feeder.start - 1)
    ticker.tick(now + MINUTE)
    assert not ticker.tick(now)  # no row came between
    revised = feeder.bars.iloc[[feeder.start - 1]].assign(close=lambda rows: rows["close"] * 1.001)
    feeder.store_bars(revised, now + MINUTE)
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
    empty = MarketFeeder(*market, *StoredMarket(engine, INSTRUMENT, FEED).tables, 0)
    now = empty.close_time(119)
    stream, saved = catch_up(None, parameters_of(), MarketView(empty.table, empty.macros, now, False))
    assert stream.last_close_time == -np.inf
    empty.store_bars(empty.bars.iloc[:120], now)
    ticker = Ticker(empty, "market", caplog)
    ticker.saved = saved
    ticker.tick(now)
