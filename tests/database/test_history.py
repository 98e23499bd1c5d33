"""The hash of what was read: values, publication and vintages count, the moment of fetching does not."""

from datetime import timedelta

import pandas as pd
import pytest

from dosvotos.contracts.experiment import SCHEMA
from dosvotos.database.history import history_hash
from dosvotos.market.features import MarketHistory

TIMES = pd.date_range("2026-01-05 13:00", periods=3, freq="5min", tz="UTC")
BARS = pd.DataFrame({"close": [4000.0, 4001.0, 4002.0]}, index=TIMES)
MACRO = pd.DataFrame(
    {
        "variable": "dxy", "observation_date": [day.date() for day in TIMES], "published_at": TIMES,
        "fetched_at": TIMES, "value": [100.0, 101.0, 102.0], "vintage": "current", "source": "cboe",
    }
)  # fmt: skip


def hashed(macro: pd.DataFrame, schema: int = SCHEMA) -> str:
    return history_hash(MarketHistory(BARS, macro), schema)


def test_the_same_values_fetched_again_give_the_same_hash():
    again = MACRO.assign(fetched_at=MACRO["fetched_at"] + timedelta(days=30))
    assert hashed(again) == hashed(MACRO)
    assert hashed(again, schema=1) != hashed(MACRO, schema=1) != hashed(MACRO), "as contracts of schema 1 say"


@pytest.mark.parametrize(
    "change",
    [
        {"value": [100.0, 101.0, 102.5]},
        {"published_at": TIMES + timedelta(minutes=1)},
        {"vintage": "2026-01-06"},
        {"variable": "vix"},
    ],
)
def test_other_values_publication_or_vintages_give_another(change):
    assert hashed(MACRO.assign(**change)) != hashed(MACRO)
