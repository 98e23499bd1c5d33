"""A delivery of which most bars contradict themselves is another table than it says."""

import pandas as pd
import pytest

from dosvotos.errors import DataError
from tests.checked_market import check_delivery
from tests.simulation.market_factory import market


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """Three sessions with ranges."""
    some = market(0.0, 25).bars.iloc[:180].reset_index(drop=True).assign(source="files")
    return some.assign(high=some["high"] + 1.0, low=some["low"] - 1.0)


@pytest.mark.parametrize("swap", [("high", "low"), ("high", "open"), ("low", "close"), ("open", "volume")])
def test_columns_in_each_other_s_place_refuse_the_delivery(bars, swap):
    spoilt = bars.rename(columns=dict(zip(swap, swap[::-1], strict=True)))
    with pytest.raises(
        DataError, match=r"\d+ of 180 bars contradict themselves.*a column stands in another's"
    ):
        check_delivery(bars=spoilt)


def test_single_bars_that_contradict_themselves_are_put_aside_alone(bars):
    spoilt = bars.copy()
    spoilt.loc[:79, ["high", "low"]] = bars.loc[:79, ["low", "high"]].to_numpy()
    checked = check_delivery(bars=spoilt)
    assert len(checked.bars) == 100
    assert set(checked.findings["rule"]) >= {"close_outside_range"}
