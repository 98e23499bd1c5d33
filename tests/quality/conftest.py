"""Markets to check: a small one by hand, a simulated one, and the real one."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.simulation.market import SimulatedMarket, simulate_market
from tests.conftest import SHARED_DATA

NOW = pd.Timestamp("2026-07-08 23:00", tz="UTC")


@pytest.fixture(scope="session")
def bar_limits(parameters):
    return parameters.quality_thresholds.bars.model_copy(update={"doubtful": "quarantine"})


@pytest.fixture(scope="session")
def macro_limits(parameters):
    return parameters.quality_thresholds.macro


@pytest.fixture(scope="session")
def sample(variables) -> SimulatedMarket:
    """Two simulated years, without bars of the third's unfinished session."""
    params = SampleMarketParams(seed=4, start=dt.date(2020, 1, 2), edge=0.45)
    return simulate_market(params, variables, pd.Timestamp("2021-12-20 15:02", tz="UTC"))


@pytest.fixture(scope="session")
def real_bars(shared_data) -> pd.DataFrame:
    return pd.read_parquet(shared_data / "usdcop_5m.parquet").assign(source="files")


@pytest.fixture(scope="session")
def real_macro(shared_data) -> pd.DataFrame:
    names = (f"macro_{frequency}.parquet" for frequency in ("daily", "monthly", "quarterly"))
    series = pd.concat([pd.read_parquet(shared_data / name) for name in names], ignore_index=True)
    return series.assign(vintage="final", source="files")


@pytest.fixture(scope="session")
def real_variables(shared_data, variables) -> dict[str, MacroVariable]:
    """The variables with the ranges and step ratios of the shared facts."""
    facts = pd.read_csv(SHARED_DATA.parent / "facts" / "macro_variables.csv", index_col="variable")
    limits = facts[["expected_min", "expected_max", "max_step_ratio"]].astype(float).replace(np.nan, None)
    return {name: v.model_copy(update=limits.loc[name].to_dict()) for name, v in variables.items()}
