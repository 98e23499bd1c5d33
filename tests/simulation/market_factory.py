"""Simulated markets that tests share; each is simulated once a process."""

from datetime import date
from functools import cache

import pandas as pd

from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.market.calendar import published_at
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.simulation.market import FIRST_SESSION, SimulatedMarket, simulate_market
from tests.conftest import parameters_of

EDGE = 0.45
END = pd.Timestamp("2026-01-15 23:30", tz="UTC")
VARIABLES = parameters_of().macro_variables.variables
SPOT = "fxrt_spot_usdcop_col_d_usdcop"


def params(edge: float = EDGE, seed: int = 7, start: date = FIRST_SESSION) -> SampleMarketParams:
    return SampleMarketParams(seed=seed, start=start, edge=edge)


@cache
def market(edge: float = EDGE, seed: int = 7) -> SimulatedMarket:
    """Six years."""
    return simulate_market(params(edge, seed), VARIABLES, END)


def with_publication(macro: pd.DataFrame) -> pd.DataFrame:
    """Add ``published_at`` by each variable's rule."""
    parts = [
        rows.assign(published_at=published_at(list(rows["observation_date"]), VARIABLES[name].publication))
        for name, rows in macro.groupby("variable", sort=False)
    ]
    return pd.concat(parts)


@cache
def features() -> pd.DataFrame:
    """Market features of `market`."""
    shown = market(EDGE)
    history = MarketHistory(shown.bars.set_index("timestamp"), with_publication(shown.macro))
    return market_features(history, VARIABLES)
