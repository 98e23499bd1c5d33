"""What every source gives passes the schema of its table; what breaks it is named by column."""

import datetime as dt
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from pandera.errors import SchemaErrors

from dosvotos.contracts.sample_market import Hazard
from dosvotos.readers.schemas import RAW_BARS, RAW_MACRO
from dosvotos.simulation.hazards import inject_hazards
from dosvotos.simulation.market import simulate_market
from dosvotos.sources.live import _no_bars, _no_observations
from dosvotos.sources.raw_market import BAR_COLUMNS, MACRO_COLUMNS
from tests.readers.tables import bars
from tests.simulation.market_factory import VARIABLES, params

DAY = dt.date(2025, 3, 20)


def macro(**changes):
    row = {"variable": "a", "observation_date": DAY, "value": 1.5, "vintage": "final", "source": "files"}
    return pd.DataFrame([{**row, **changes}])


def broken(schema, frame):
    with pytest.raises(SchemaErrors) as caught:
        schema.validate(frame, lazy=True)
    return set(caught.value.failure_cases["column"])


def test_a_schema_states_the_columns_of_its_table():
    assert set(RAW_BARS.columns) == {*BAR_COLUMNS, "source"}
    assert set(RAW_MACRO.columns) == {*MACRO_COLUMNS, "vintage", "source"}


def test_a_simulated_market_with_every_defect_and_an_empty_answer_pass():
    sample = params(0.0, 3, dt.date(2023, 7, 3))
    market = simulate_market(sample, VARIABLES, pd.Timestamp("2024-03-14 23:00", tz="UTC"))
    delivery = inject_hazards(market.bars, market.macro, get_args(Hazard), 3)
    assert len(delivery.defects) > 10
    RAW_BARS.validate(delivery.bars.assign(source="sample"))
    RAW_MACRO.validate(delivery.macro.assign(vintage="simulated", source="sample"))
    RAW_BARS.validate(_no_bars())
    RAW_MACRO.validate(_no_observations())


@pytest.mark.parametrize("volume", [0, 12, 1.5, np.nan])
def test_a_volume_may_be_absent_but_not_negative_or_text(volume):
    RAW_BARS.validate(bars().assign(volume=volume, source="files"))
    for wrong in (-1, "12"):
        assert broken(RAW_BARS, bars().assign(volume=wrong, source="files")) == {"volume"}


def test_a_price_is_a_number_and_a_day_is_a_date():
    assert broken(RAW_BARS, bars().assign(close=np.nan, source="files")) == {"close"}
    naive = bars()["timestamp"].dt.tz_localize(None)
    assert broken(RAW_BARS, bars().assign(timestamp=naive, source="files")) == {"timestamp"}
    RAW_MACRO.validate(macro(value=np.nan))
    assert broken(RAW_MACRO, macro(observation_date=dt.datetime(2025, 3, 20))) == {"observation_date"}
    assert broken(RAW_MACRO, macro(observation_date=None)) == {"observation_date"}
