import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.errors import DataError
from dosvotos.market.calendar import SESSIONS_PER_YEAR
from dosvotos.market.drift import (
    FAST,
    LEVELS,
    DriftAlarms,
    _largest_sums,
    cusum,
    feature_drift,
    resampled_sessions,
    session_means,
)


def rows(seed: int, n_sessions: int, start: str = "2023-01-02", **shifted: float) -> pd.DataFrame:
    """Two bars a session; the mean of a session is normal with standard deviation 1."""
    days = pd.date_range(start, periods=n_sessions, tz="UTC")
    means = np.random.default_rng(seed).normal(0, 1, (n_sessions, len(MARKET_FEATURES)))
    halves = [
        pd.DataFrame(means + by, columns=list(MARKET_FEATURES), index=days + pd.Timedelta(hours=hour))
        for hour, by in ((14, -0.5), (15, 0.5))
    ]
    frame = pd.concat(halves).sort_index()
    return frame.assign(**{name: frame[name] + by for name, by in shifted.items()})


def by_feature(found):
    return {one.feature: one for one in found}


def test_the_sums_worked_by_hand():
    # allowance 1: up 2 - 1 = 1, then 1 + 3 - 1 = 3, NaN keeps 3, then 3 - 1.5 - 1 = 0.5; down 1.5 - 1 = 0.5
    assert cusum(np.array([2.0, 3.0, np.nan, -1.5, -4.0])).tolist() == [1.0, 3.0, 3.0, 0.5, 3.5]


@given(st.lists(st.floats(-6, 6), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_a_sum_is_the_largest_sum_of_a_run_up_to_now(values):
    x = np.array(values)
    for t, found in enumerate(cusum(x)):
        runs = [sum(side * v - 1 for v in x[s : t + 1]) for s in range(t + 1) for side in (1, -1)]
        assert found == pytest.approx(max(0.0, *runs), abs=1e-9)


def test_a_session_s_mean_is_that_of_its_known_bars():
    frame = rows(0, 3)
    frame.iloc[0, frame.columns.get_loc("rsi_9")] = np.nan
    means = session_means(frame)
    assert means.index.astype(str).tolist() == ["2023-01-02", "2023-01-03", "2023-01-04"]
    assert means["rsi_9"].iloc[0] == frame["rsi_9"].iloc[1]
    assert means["rsi_9"].iloc[1] == pytest.approx(frame["rsi_9"].iloc[2:4].mean())


def test_paths_keep_sessions_together_and_in_their_order():
    values = np.arange(50.0)[:, None] * [1.0, -1.0]
    paths = values[resampled_sessions(len(values), 30, 45, seed=1)]
    assert paths.shape == (45, 30, 2)
    np.testing.assert_array_equal(paths[..., 0], -paths[..., 1])
    steps = np.diff(paths[..., 0], axis=0) % 50
    inside = np.ones(44, dtype=bool)
    inside[[19, 39]] = False  # where one block ends and the next begins
    assert (steps[inside] == 1).all() and (steps[~inside] != 1).any()


@pytest.mark.parametrize("first", [0, 7, 39])
def test_the_largest_sums_of_paths_are_those_of_all_at_once(first):
    values = np.random.default_rng(3).normal(0, 2, (60, 3))
    values[5, 1] = np.nan
    paths = resampled_sessions(len(values), 11, 40, seed=2)
    at_once = cusum(values[paths])[first:].max(axis=0)
    np.testing.assert_array_equal(_largest_sums(values, paths, first), at_once)


def test_only_the_shifted_features_alarm_each_by_its_rule():
    train = rows(1, 300)
    found = by_feature(feature_drift(train, rows(2, 120, rsi_9=2.0, vix_z=8.0, dxy_z=-0.5)))
    assert tuple(found) == MARKET_FEATURES
    assert [name for name, one in found.items() if one.first_alarm] == ["rsi_9", "vix_z"]
    assert {one.rule for name, one in found.items() if name in LEVELS} == {"support"}
    assert found["rsi_9"].first_alarm <= "2023-01-21"  # within 20 sessions
    means, val = session_means(train)["vix_z"], session_means(rows(2, 120, vix_z=8.0))["vix_z"]
    beyond = (val.max() - means.max()) / means.std()
    assert found["vix_z"].statistic == pytest.approx(beyond)
    assert found["vix_z"].sessions_beyond == int(((val - means.max()) / means.std() > 4).sum())


def test_two_standard_deviations_are_caught_in_20_sessions_and_years_without_a_shift_are_quiet():
    alarms = DriftAlarms.fit(rows(3, 485))
    columns = list(MARKET_FEATURES)
    random = np.random.default_rng(4)
    caught = false = 0
    for _ in range(40):
        values = pd.DataFrame(random.normal(0, 1, (SESSIONS_PER_YEAR, 13)), columns=columns)
        quiet = alarms.judge(values.set_index(pd.date_range("2025-01-01", periods=len(values))))
        false += any(one.first_alarm for one in quiet)
        shifted = alarms.judge((values + 2.0).iloc[:20].set_index(pd.date_range("2025-01-01", periods=20)))
        caught += sum(one.first_alarm is not None for one in shifted if one.feature in FAST)
    assert caught >= 0.9 * 40 * len(FAST)
    assert false <= 2


def test_limits_of_a_persistent_feature_are_wider():
    frame = rows(5, 400)
    wave = np.repeat(np.sin(np.arange(400) / 15) * 1.4, 2)
    alarms = DriftAlarms.fit(frame.assign(adx_14=wave))
    limit = dict(zip(FAST, alarms.limit, strict=True))
    assert limit["adx_14"] > 15 and limit["rsi_9"] == 12.0


def test_sessions_without_a_feature_change_nothing():
    train, val = rows(6, 100), rows(7, 30, log_ret_1h=2.0)
    missing = val.index[10:20]
    holed = val.copy()
    holed.loc[missing, "log_ret_1h"] = np.nan
    without = by_feature(feature_drift(train, val.drop(missing)))["log_ret_1h"]
    assert by_feature(feature_drift(train, holed))["log_ret_1h"] == without
    unknown = by_feature(feature_drift(train, val.assign(embi_z=np.nan)))["embi_z"]
    assert (unknown.statistic, unknown.first_alarm, unknown.sessions_beyond) == (None, None, 0)


def test_a_short_train_has_no_alarms():
    assert feature_drift(rows(8, 39), rows(9, 30)) is None
    with pytest.raises(DataError, match="at least 40 sessions with all features, found 39"):
        DriftAlarms.fit(rows(8, 39))
