from datetime import date

import numpy as np
import pandas as pd

from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.market.alignment import known_at, weekday_observations
from dosvotos.market.calendar import BAR, session_bar_times
from dosvotos.market.visibility import first_visible, staleness
from tests.market.test_missing import macro

BARS = pd.DatetimeIndex(
    [time for day in ("2024-07-02", "2024-07-03") for time in session_bar_times(np.datetime64(day))]
)


def values(*moments: str) -> pd.DataFrame:
    n = len(moments)
    days = [date(2024, 6, 26), date(2024, 6, 27), date(2024, 6, 28), date(2024, 7, 1)][:n]
    return pd.DataFrame(
        {
            "variable": MACRO_SOURCES["vix"],
            "observation_date": days,
            "published_at": pd.DatetimeIndex(moments, tz="America/Bogota").tz_convert("UTC"),
            "value": np.arange(float(n)),
        }
    )


def test_a_value_is_first_seen_by_the_bar_that_closes_at_or_after_its_publication():
    seen = first_visible(
        values("2024-07-02 08:05", "2024-07-02 08:10", "2024-07-02 08:10:01", "2024-07-02 20:00"), BARS
    )
    # a value out at the first bar's close was there before anything could be watched
    assert seen["slot"].tolist() == [1, 2, 0]
    assert seen["waited"].round(4).tolist() == [0.0, 0.0831, 12.0833]
    assert (seen["bar"] + BAR >= seen["published_at"]).all()
    before = BARS[BARS.get_indexer(pd.DatetimeIndex(seen["bar"])) - 1] + BAR
    assert (before < seen["published_at"]).all()


def test_what_comes_after_the_last_bar_is_seen_by_none():
    assert first_visible(values("2024-07-03 13:00:01"), BARS).empty


def test_ages_are_shares_of_the_limit(variables):
    limit = variables[MACRO_SOURCES["vix"]].ffill_max_days
    share = staleness(values("2024-06-28 13:00", "2024-07-02 10:00"), BARS, variables)["vix"]
    at = pd.Timestamp("2024-07-02 08:00", tz="America/Bogota")
    assert share[at] * limit == (3 * 24 + 19 + 5 / 60) / 24
    assert share[pd.Timestamp("2024-07-02 09:55", tz="America/Bogota")] == 0
    assert share[pd.Timestamp("2024-07-03 09:55", tz="America/Bogota")] * limit == 1


def test_a_share_above_one_is_a_missing_value(variables):
    observed = macro(brent=np.array(["2023-12-27", "2023-12-28"], dtype="datetime64[D]"))
    times = pd.DatetimeIndex(
        [t for d in ("2024-01-02", "2024-01-03") for t in session_bar_times(np.datetime64(d))]
    )
    share = staleness(observed, times, variables)
    for short, name in MACRO_SOURCES.items():
        rows, max_age_days = weekday_observations(observed, name), variables[name].ffill_max_days
        missing = np.isnan(known_at(rows, max_age_days, times + BAR).value)
        assert np.array_equal(missing, ~(share[short] <= 1).to_numpy())
    assert (share["brent"] > 1).any() and (share["brent"] <= 1).any()


def test_before_the_first_publication_there_is_no_age(variables):
    share = staleness(values("2024-07-02 10:00"), BARS, variables)
    assert share["vix"].isna().sum() == 23
    assert share["dxy"].isna().all()
