from datetime import date

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.features import FEATURE_VARIABLES, MACRO_SOURCES, MARKET_FEATURES, SOURCES_BY_FEATURE
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.market.missing import count_reasons, missing_reasons

DAYS = scheduled_sessions(date(2024, 1, 2), date(2024, 1, 19))
START = np.datetime64("2022-12-01")


def bars(days: np.ndarray = DAYS) -> pd.DataFrame:
    times = pd.DatetimeIndex([time for day in days for time in session_bar_times(day)])
    close = 4000 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 5e-4, len(times))))
    return pd.DataFrame({"open": close, "high": close, "low": close, "close": close}, index=times)


def series(name: str, days: np.ndarray) -> pd.DataFrame:
    """A value a day, published at 22:00 UTC."""
    return pd.DataFrame(
        {
            "variable": name,
            "observation_date": days.astype(object),
            "published_at": pd.DatetimeIndex(days).tz_localize("UTC") + pd.Timedelta(hours=22),
            "value": 100 + np.random.default_rng(1).normal(0, 1, len(days)).cumsum(),
        }
    )


def macro(**changed: np.ndarray) -> pd.DataFrame:
    weekdays = np.arange(START, np.datetime64("2024-01-20"))
    weekdays = weekdays[np.is_busday(weekdays)]
    return pd.concat(
        [series(name, changed.get(short, weekdays)) for short, name in FEATURE_VARIABLES.items()]
    )


def reasons_of(variables, **changed: np.ndarray) -> pd.DataFrame:
    history = MarketHistory(bars(), macro(**changed))
    return missing_reasons(market_features(history, variables), history, variables)


def weekdays(first: str, last: str) -> np.ndarray:
    days = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    return days[np.is_busday(days)]


def test_the_first_bars_lack_what_looks_back_further_than_they(variables):
    counts = count_reasons(reasons_of(variables))
    assert counts == {
        "log_ret_5m: warm_up": 1, "log_ret_1h: warm_up": 12, "log_ret_4h: warm_up": 48,
        "rsi_9: warm_up": 9, "atr_pct: warm_up": 10, "adx_14: warm_up": 27,
    }  # fmt: skip


def test_a_series_that_begins_late_is_unpublished_then_too_short(variables):
    # the first value of 9 January is out at 22:00 UTC, after that day's session: six sessions see nothing
    counts = count_reasons(reasons_of(variables, vix=weekdays("2024-01-09", "2024-01-19")))
    seen_by_none = int((np.datetime64("2024-01-09") >= DAYS).sum()) * 60
    name = MACRO_SOURCES["vix"]
    assert counts[f"vix_z: unpublished {name}"] == seen_by_none
    assert counts[f"vix_z: too_short {name}"] == len(DAYS) * 60 - seen_by_none


def test_a_change_needs_two_values(variables):
    counts = count_reasons(reasons_of(variables, usdmxn=weekdays("2024-01-09", "2024-01-19")))
    assert counts[f"usdmxn_change_1d: too_short {MACRO_SOURCES['usdmxn']}"] == 60  # the 10th alone


def test_a_series_that_stops_ages_out_at_its_limit(variables):
    stopped = weekdays("2022-12-01", "2024-01-09")
    limit = variables[MACRO_SOURCES["brent"]].ffill_max_days
    expires = pd.Timestamp("2024-01-09 22:00", tz="UTC") + pd.Timedelta(days=limit)
    beyond = int((bars().index + pd.Timedelta(minutes=5) > expires).sum())
    counts = count_reasons(reasons_of(variables, brent=stopped))
    assert beyond > 0 and counts[f"brent_change_1d: aged_out {MACRO_SOURCES['brent']}"] == beyond


def test_values_too_far_apart_leave_a_change_undefined(variables):
    holed = np.concatenate([weekdays("2022-12-01", "2024-01-02"), weekdays("2024-01-10", "2024-01-19")])
    reasons = reasons_of(variables, brent=holed)
    found = reasons.loc["2024-01-11", "brent_change_1d"]
    assert set(found) == {f"undefined {MACRO_SOURCES['brent']}"}


def test_a_spread_names_the_leg_that_lacks(variables):
    late = weekdays("2024-01-09", "2024-01-19")
    both = set(reasons_of(variables, col10y=late, ust10y=late)["rate_spread"]) - {""}
    second = set(reasons_of(variables, ust10y=late)["rate_spread"]) - {""}
    assert both == {f"unpublished {MACRO_SOURCES['col10y']}"}
    assert second == {f"unpublished {MACRO_SOURCES['ust10y']}"}


@pytest.mark.parametrize("short", list(MACRO_SOURCES))
def test_every_missing_feature_has_a_reason_and_no_other(variables, short):
    history = MarketHistory(bars(), macro(**{short: weekdays("2023-11-01", "2024-01-05")}))
    features = market_features(history, variables)
    reasons = missing_reasons(features, history, variables)
    pd.testing.assert_frame_equal(reasons != "", features[list(MARKET_FEATURES)].isna())
    touched = [name for name, sources in SOURCES_BY_FEATURE.items() if short in sources]
    assert all((reasons[name] != "").any() for name in touched)
