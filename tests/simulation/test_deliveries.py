"""A delivery that is another thing than it says is refused: every kind, in every market, at every length."""

import datetime as dt

import pandas as pd
import pytest

from dosvotos.errors import DataError
from dosvotos.simulation.hazards.deliveries import DELIVERIES
from dosvotos.simulation.market import simulate_market
from tests.simulation.market_factory import VARIABLES, params
from tests.simulation.test_hazards_found import check

NOW = pd.Timestamp("2024-06-28 23:00", tz="UTC")
NAMED = {
    "inverted": "inverted",
    "eurcop": "EUR/COP",
    "gbpcop": "GBP/COP",
    "usdmxn": "USD/MXN",
    "usdclp": "USD/CLP",
    "usdbrl": "USD/BRL",
    "thousandth": "a thousandth",
    "hundredfold": "a hundred times",
    "redenomination": "new pesos",
    "turns_into_eurcop": "EUR/COP",
}


def test_each_kind_has_its_name():
    assert list(NAMED) == list(DELIVERIES)


@pytest.mark.parametrize("start", [dt.date(2024, 6, 20), dt.date(2024, 4, 1)])
def test_every_kind_is_refused_by_name_and_the_clean_market_is_not(start):
    clean = simulate_market(params(0.0, 25, start), VARIABLES, NOW)
    assert not len(check(*clean, NOW).findings)
    for kind, spoil in DELIVERIES.items():
        with pytest.raises(DataError, match="not pesos a dollar") as refused:
            check(spoil(clean.bars), clean.macro, NOW)
        assert NAMED[kind] in str(refused.value) and "the daily spot" in str(refused.value)
