"""L1 in memory: whatever was stored meanwhile, a bar's features are those of all rows known at the time."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from dosvotos.database.market_data import StoredMarket
from dosvotos.live.market import LiveMarket
from dosvotos.live.schedule import BarSchedule
from dosvotos.live.state import MarketView, rebuild
from dosvotos.market.calendar import REGULAR
from tests.conftest import parameters_of
from tests.proposal_fixtures import INSTRUMENT

SECOND = timedelta(seconds=1)


class Stored:
    """A stored market whose last two sessions come bar by bar, and a market in memory that follows."""

    def __init__(self, engine, market, clock: str) -> None:
        self.bars, self.macro = market
        self.parameters = parameters_of(inference={"clock": clock})
        self.tables = StoredMarket(engine, INSTRUMENT, "market").tables
        self.next = len(self.bars) - 120
        self.schedule = BarSchedule(REGULAR)
        self.bar = self.schedule.at(self.bars.index[self.next].to_pydatetime())
        then = self.bar.opened - timedelta(hours=12)
        self.tables[0].store(self.bars.iloc[: self.next].reset_index(), then)
        self.tables[1].store(self.macro[self.macro["published_at"] <= pd.Timestamp(then)], then)
        self.market = LiveMarket(self.parameters, *self.tables)

    @property
    def now(self):
        return self.bar.close + 2 * SECOND

    def store_bar(self, offset: int = 0, factor: float = 1.0, at=None) -> None:
        row = self.bars.iloc[[self.next + offset]].reset_index()
        prices = {name: row[name] * factor for name in ("open", "high", "low", "close")}
        self.tables[0].store(row.assign(**prices), at or self.now)

    def take(self, prepared: bool) -> None:
        """Take the bar and compare it with features computed from all rows; go on to the next."""
        live = self.market.features_at(self.bar, self.now)
        as_fetched = self.parameters.inference.clock == "wall"
        view = MarketView(*self.tables, self.now, as_fetched, self.bar.opened)
        stream, _ = rebuild(self.parameters, view)
        np.testing.assert_array_equal(live.market, stream.row[:13])
        assert live.timestamp == self.bar.opened
        self.bar, self.next = self.schedule.after(self.bar.opened), self.next + 1
        if prepared:
            self.market.prepare(self.now - 10 * SECOND)


@pytest.fixture(params=["market", "wall"])
def stored(engine, thirty_sessions, request) -> Stored:
    return Stored(engine, thirty_sessions, request.param)


def test_bars_values_and_revisions_in_any_order_make_the_batch_s_rows(stored, caplog):
    rng = np.random.default_rng(8)
    unseen = stored.macro[
        stored.macro["published_at"] > pd.Timestamp(stored.bar.opened - timedelta(hours=12))
    ]
    events = rng.permutation(
        ["", "", "revise", "macro", "early", "restart", "backdated", "missing", "", "macro"]
    )
    for event in events:
        if event == "revise":
            stored.store_bar(-2, 1.0007)
        elif event == "macro" and len(unseen):
            chosen, unseen = unseen.iloc[:7], unseen.iloc[7:]
            stored.tables[1].store(chosen, stored.now)
        elif event == "restart":
            stored.market = LiveMarket(stored.parameters, *stored.tables, stored.market.save())
        elif event == "backdated":
            stored.store_bar(-40, 1.0002, stored.now - timedelta(minutes=20))
        elif event == "missing":
            assert stored.market.features_at(stored.bar, stored.now) is None
            stored.bar, stored.next = stored.schedule.after(stored.bar.opened), stored.next + 1
        stored.store_bar(at=stored.now - SECOND if event == "early" else None)
        stored.take(prepared=bool(rng.random() < 0.5))


def test_a_bar_reads_no_more_than_what_was_stored_since(stored, monkeypatch):
    for _ in range(3):
        stored.store_bar()
        stored.take(prepared=False)
    monkeypatch.setattr(stored.market, "_catch_up", lambda view: pytest.fail("all rows were counted"))
    for _ in range(3):
        stored.store_bar()
        live = stored.market.features_at(stored.bar, stored.now)
        assert live is not None and live.timestamp == stored.bar.opened
        stored.bar, stored.next = stored.schedule.after(stored.bar.opened), stored.next + 1


def test_a_later_bar_that_is_there_already_is_not_seen(stored):
    stored.store_bar()
    stored.store_bar(1)
    stored.take(prepared=False)
    stored.take(prepared=False)


def test_what_a_restart_saves_goes_on_with_the_same_bits(stored):
    for _ in range(8):
        stored.store_bar()
        stored.take(prepared=False)
        stored.market = LiveMarket(stored.parameters, *stored.tables, stored.market.save())
