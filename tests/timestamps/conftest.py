"""Sound markets for tests of timestamps."""

import datetime as dt

import pandas as pd
import pytest

from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.simulation.market import simulate_market


@pytest.fixture(scope="package")
def sample(variables) -> pd.DataFrame:
    """A simulated year of whole sessions."""
    params = SampleMarketParams(seed=4, start=dt.date(2020, 1, 2), edge=0.0)
    return simulate_market(params, variables, pd.Timestamp("2021-01-15 23:00", tz="UTC")).bars


@pytest.fixture(scope="package")
def real(shared_data) -> pd.DataFrame:
    """The real bars, among them one day's pre-market."""
    return pd.read_parquet(shared_data / "usdcop_5m.parquet")
