"""A delivery whose labels are no bar opens is refused with what was found, or read by what is stated."""

import numpy as np
import pandas as pd
import pytest

from dosvotos.errors import DataError
from dosvotos.market.calendar import BOGOTA, session_dates
from dosvotos.timestamps.labels import find_shifted_sessions
from tests.timestamps.deliveries import first_sessions, misplaced, moved, naive, resolve


@pytest.mark.parametrize("n_sessions", [1, 6, 200])
def test_labels_of_closes_are_refused_unless_stated(sample, n_sessions):
    bars = first_sessions(sample, n_sessions)
    message = (
        rf"^usdcop_5m\.csv: {n_sessions} of {n_sessions} sessions .* have a bar labelled 13:00 in Bogota and "
        r"none at 08:00.*; state it with --params data_acquisition\.bar_labels=close$"
    )
    with pytest.raises(DataError, match=message):
        resolve(moved(bars, minutes=5))
    read = resolve(moved(bars, minutes=5), bar_labels="close")
    assert (read.bars["timestamp"] == bars["timestamp"]).all() and read.note == ""


@pytest.mark.parametrize("n_sessions", [1, 6, 200])
def test_closes_stated_of_labels_of_opens_are_refused(sample, n_sessions):
    message = (
        r"bar_labels says close, but .* labelled 08:00 in Bogota and none at 13:00.*; leave the parameter"
    )
    with pytest.raises(DataError, match=message):
        resolve(first_sessions(sample, n_sessions), bar_labels="close")


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (60, "run 09:00 to 13:55 in Bogota instead of 08:00 to 12:55, 60 min late"),
        (30, "run 08:30 to 13:25 in Bogota instead of 08:00 to 12:55, 30 min late"),
        (-30, "run 07:30 to 12:25 in Bogota instead of 08:00 to 12:55, 30 min early"),
        (120, "run 10:00 to 14:55 in Bogota instead of 08:00 to 12:55, 120 min late"),
        (-5, "run 07:55 to 12:50 in Bogota instead of 08:00 to 12:55, 5 min early"),
        (720, "run 20:00 to 00:55 in Bogota instead of 08:00 to 12:55, 720 min"),
        (1440, r"dates lie 1 day\(s\) late"),
        (-2880, r"dates lie 2 day\(s\) early"),
        (2, "360 of 360 timestamps lie between the marks of a 5-minute grid, all by 2 min"),
    ],
)
def test_a_delivery_with_all_labels_off_is_refused_with_the_distance(sample, by, said):
    with pytest.raises(DataError, match=said):
        resolve(moved(first_sessions(sample, 6), minutes=by))


@pytest.mark.parametrize("before", [pd.Timedelta(seconds=1), pd.Timedelta(milliseconds=1)])
def test_the_last_moment_of_a_bar_is_a_label_of_its_close(sample, before):
    bars = first_sessions(sample, 6)
    last_moments = moved(bars, minutes=5, microseconds=-before // pd.Timedelta(microseconds=1))
    with pytest.raises(DataError, match=r"lie between the marks .*bar_labels=close if they are the last"):
        resolve(last_moments)
    assert (resolve(last_moments, bar_labels="close").bars["timestamp"] == bars["timestamp"]).all()


@pytest.mark.parametrize("seconds", [1, 17, 240])
def test_labels_some_seconds_off_are_refused_whatever_is_stated(sample, seconds):
    off = moved(first_sessions(sample, 6), seconds=seconds)
    for labels in ("open", "close"):
        with pytest.raises(DataError, match=r"lie between the marks.*correct the file"):
            resolve(off, bar_labels=labels)


def test_a_stray_row_off_the_grid_is_left_to_the_rules_of_quality(sample):
    bars = first_sessions(sample, 6)
    bars.loc[7, "timestamp"] += pd.Timedelta(seconds=12)
    assert resolve(bars).bars.equals(bars)


@pytest.mark.parametrize("by", [5, 30, 60, -60, 120])
@pytest.mark.parametrize("part", [slice(0, 3), slice(3, 6), slice(1, 6, 2), slice(2, 4)])
def test_a_delivery_of_which_a_part_is_off_is_refused_and_no_parameter_is_advised(sample, by, part):
    bars = first_sessions(sample, 6)
    days = session_dates(pd.DatetimeIndex(bars["timestamp"]))
    chosen = np.isin(days, np.unique(days)[part])
    bars.loc[chosen, "timestamp"] += pd.Timedelta(minutes=by)
    for mixed in ("refuse", "detect"):
        with pytest.raises(DataError, match=r"of 6 sessions .*; the other \d do not; correct the file"):
            resolve(bars, mixed_timezone=mixed)


def test_summer_time_shifts_are_refused_with_the_clock_that_fits(sample):
    """New York's clock, written down without a zone and stated to be Bogota's: summer is an hour late."""
    for stated in (BOGOTA, "Europe/London"):
        with pytest.raises(DataError, match=r"sessions .*data_acquisition\.timezone=America/New_York$"):
            resolve(naive(sample, "America/New_York"), timezone=stated)


def test_one_shifted_session_among_good_ones_is_found_for_quarantine(sample):
    bars = first_sessions(sample, 20)
    for by in (5, 30, 60, 295):
        late = bars.copy()
        late.loc[600:659, "timestamp"] += pd.Timedelta(minutes=by)
        assert misplaced(late, bars["timestamp"]) == 0
        times = pd.DatetimeIndex(resolve(late).bars["timestamp"])
        (found,) = find_shifted_sessions(times, bars["close"].to_numpy())
        assert found.minutes_late == by and (np.sort(found.rows) == np.arange(600, 660)).all()


def test_a_shifted_session_beside_one_too_sparse_to_show_it_is_refused(sample):
    bars = first_sessions(sample, 6)
    bars.loc[120:239, "timestamp"] += pd.Timedelta(minutes=30)
    sparse = bars.drop(range(200, 240)).reset_index(drop=True)
    with pytest.raises(DataError, match=r"2 of 6 sessions .*, 30 min late; the other 4 do not; correct"):
        resolve(bars)
    with pytest.raises(DataError, match=r"1 of 6 sessions .*, 30 min late; the other 5 do not; correct"):
        resolve(sparse)


def test_a_session_of_two_clocks_is_not_taken_for_an_early_one(sample):
    """Its second half is labelled by Bogota's clock as UTC, so that labels run without a gap."""
    bars = first_sessions(sample, 20)
    n_early = 0
    for session in range(1, 19):
        mixed = bars.copy()
        mixed.loc[60 * session + 25 : 60 * session + 59, "timestamp"] -= pd.Timedelta(hours=5)
        times = pd.DatetimeIndex(mixed["timestamp"])
        n_early += len(find_shifted_sessions(times, bars["close"].to_numpy()))
    assert n_early <= 2


def test_a_feed_of_all_hours_and_one_with_a_longer_day_fit_any_label():
    times = pd.date_range("2025-08-04", "2025-08-23", freq="5min", tz="UTC")
    hour = times.tz_convert(BOGOTA).hour
    moves = np.where((hour >= 8) & (hour < 13), 6e-4, 2e-4) * np.random.default_rng(3).normal(size=len(times))
    close = 4000 * np.exp(moves.cumsum())
    feed = pd.DataFrame({"timestamp": times, "open": close, "high": close, "low": close, "close": close})
    feed["volume"] = 0
    assert resolve(feed).bars.equals(feed)
    long_day = feed[(hour >= 7) & (hour < 14)].reset_index(drop=True)
    assert resolve(long_day).bars.equals(long_day)


@pytest.mark.parametrize("n_bars", [1, 3, 13])
def test_a_session_in_progress_is_no_contradiction(sample, n_bars):
    bars = first_sessions(sample, 4).iloc[: 180 + n_bars]
    assert resolve(bars).bars.equals(bars)
    assert resolve(bars.iloc[180:]).bars.equals(bars.iloc[180:])
