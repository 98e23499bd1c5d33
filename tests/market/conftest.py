"""A small simulated market that the tests of features and datasets share."""

from datetime import date

import pandas as pd
import pytest

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.market.features import MarketHistory
from dosvotos.simulation.market import simulate_market
from dosvotos.sources.checks import add_published_at

UNTIL = pd.Timestamp("2020-04-03 18:00", tz="UTC")


@pytest.fixture(scope="session")
def small_market(variables: dict[str, MacroVariable]) -> MarketHistory:
    """Three months of bars and what macro was published by their end."""
    return simulated_history(variables)


def simulated_history(variables: dict[str, MacroVariable]) -> MarketHistory:
    params = SampleMarketParams(seed=11, start=date(2020, 1, 2), edge=0.3)
    market = simulate_market(params, variables, UNTIL)
    macro = market.macro.assign(vintage="simulated", source="sample")
    return MarketHistory(market.bars.set_index("timestamp"), add_published_at(macro, variables))
