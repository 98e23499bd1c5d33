"""The sample market as a vendor: it goes on past what is stored, by the loop's own clock."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.database.market_data import StoredMarket
from dosvotos.live.intake import MacroStore, SourceAnswer
from dosvotos.market.calendar import BAR
from dosvotos.simulation.market import SimulatedMarket, simulate_market
from dosvotos.sources.checks import add_published_at

_AHEAD: Final = timedelta(days=60)
"""How far the market is simulated at once; no value depends on it."""
_ASKED_AGAIN: Final = timedelta(days=40)
"""How far back values are delivered again: a month and more, for those of months."""


class SampleVendor:
    """Bars and macro values of the simulated market, as they become known.

    Parameters
    ----------
    params : SampleMarketParams
    variables : mapping of MacroVariable by full name
    """

    name = "sample"

    def __init__(self, params: SampleMarketParams, variables: Mapping[str, MacroVariable]) -> None:
        self._params, self._variables = params, variables
        self._until: datetime | None = None
        self._market = SimulatedMarket(pd.DataFrame(), pd.DataFrame())

    def bars(self, since: datetime, now: datetime) -> SourceAnswer:
        """Give the bars opened at or after `since` and closed by `now`."""
        self._simulate(now)
        bars = self._market.bars
        shown = (bars["timestamp"] >= pd.Timestamp(since)) & (bars["timestamp"] + BAR <= pd.Timestamp(now))
        return SourceAnswer(bars[shown].assign(source="sample"))

    def observations(self, since: datetime, now: datetime) -> pd.DataFrame:
        """Give the values published after `since` and by `now`, as a source delivers them."""
        self._simulate(now)
        macro = self._market.macro
        shown = (macro["published_at"] > pd.Timestamp(since)) & (macro["published_at"] <= pd.Timestamp(now))
        return macro[shown].drop(columns=["published_at", "frequency"])

    def _simulate(self, now: datetime) -> None:
        if self._until is None or now > self._until:
            self._until, self._market = now + _AHEAD, self._simulated(now + _AHEAD)

    def _simulated(self, until: datetime) -> SimulatedMarket:
        market = simulate_market(self._params, self._variables, pd.Timestamp(until))
        named = market.macro.assign(vintage="simulated", source="sample")
        return SimulatedMarket(market.bars, add_published_at(named, self._variables))


class SampleMacro:
    """The sample market's values, stored as they are published.

    Parameters
    ----------
    vendor : SampleVendor
    parameters : Parameters
    stored : StoredMarket
    """

    def __init__(self, vendor: SampleVendor, parameters: Parameters, stored: StoredMarket) -> None:
        self._vendor, self._origin = vendor, stored.feed
        self._store = MacroStore(parameters, stored)

    def fetch(self, names: tuple[str, ...], now: datetime) -> None:
        """Store all that was published of late; what is stored already stays."""
        observations = self._vendor.observations(now - _ASKED_AGAIN, now)
        self._store.store(observations, "sample", self._origin, now)
