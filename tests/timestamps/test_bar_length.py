"""Bars of other lengths are refused by name; 1-minute bars are aggregated when asked."""

import numpy as np
import pandas as pd
import pytest

from dosvotos.errors import DataError
from tests.timestamps.deliveries import aggregated, first_sessions, minutes, moved, resolve


@pytest.mark.parametrize(
    ("length", "name"),
    [
        ("10min", "10-minute bars: the median step of the timestamps is 00:10:00"),
        ("15min", "15-minute bars: .* 00:15:00"),
        ("30min", "30-minute bars: .* 00:30:00"),
        ("1h", r"60-minute bars \(hourly\): .* 01:00:00"),
        ("2h", "120-minute bars: .* 02:00:00"),
        ("1D", "daily bars: .* 1 day"),
        ("7D", "bars of 7 days: .* 7 day"),
    ],
)
@pytest.mark.parametrize("n_sessions", [6, 40])
def test_longer_bars_are_refused_by_name(sample, length, name, n_sessions):
    longer = aggregated(first_sessions(sample, n_sessions), length)
    if len(longer) < 2:
        pytest.skip("one bar has no length")
    with pytest.raises(DataError, match=rf"^usdcop_5m\.csv: {name}.*; deliver 5-minute bars$"):
        resolve(longer)


def test_four_hour_bars_of_all_hours_are_refused_by_name():
    times = pd.date_range("2025-08-04", "2025-08-20", freq="4h", tz="UTC")
    feed = pd.DataFrame({"timestamp": times, **dict.fromkeys(("open", "high", "low", "close"), 4000.0)})
    with pytest.raises(DataError, match="240-minute bars"):
        resolve(feed.assign(volume=0))


def test_every_twelfth_five_minute_bar_counts_as_hourly(sample):
    sampled = first_sessions(sample, 6)
    with pytest.raises(DataError, match=r"\(hourly\)"):
        resolve(sampled[sampled["timestamp"].dt.minute == 0])


@pytest.mark.parametrize("length", ["10min", "15min", "30min", "1h"])
def test_longer_bars_filled_up_to_a_five_minute_grid_are_refused(sample, length):
    bars = first_sessions(sample, 12)
    longer = aggregated(bars, length).set_index("timestamp")
    repeated = longer.reindex(bars["timestamp"], method="ffill").reset_index()
    count = int(pd.Timedelta(length) / pd.Timedelta(minutes=1))
    with pytest.raises(DataError, match=rf"{count}-minute bars spread over a five-minute grid"):
        resolve(repeated)
    on_line = bars["timestamp"].isin(longer.index)
    line = bars["close"].where(on_line).interpolate().round(2)
    interpolated = bars.assign(open=line, high=line, low=line, close=line)
    if length != "10min":  # of every second point on a line too few follow each other
        with pytest.raises(DataError, match=rf"{count}-minute bars spread"):
            resolve(interpolated)


@pytest.mark.parametrize("n_longer", [2, 3, 30])
def test_sessions_of_longer_bars_among_good_ones_are_refused_with_their_dates(sample, n_longer):
    good = first_sessions(sample, 2 * n_longer)
    longer = aggregated(first_sessions(sample, n_longer, skip=2 * n_longer), "15min")
    with pytest.raises(DataError, match=rf"15-minute bars in {n_longer} of {3 * n_longer} sessions \(20"):
        resolve(pd.concat([good, longer], ignore_index=True))


def test_one_session_of_one_minute_bars_is_refused(sample):
    bars = pd.concat([first_sessions(sample, 30), minutes(first_sessions(sample, 1, skip=30))])
    with pytest.raises(DataError, match="1-minute bars in 1 of 31 sessions"):
        resolve(bars.reset_index(drop=True))


def test_ticks_are_refused_as_irregular(sample):
    rng = np.random.default_rng(2)
    start = first_sessions(sample, 5)["timestamp"]
    ticks = pd.concat([start + pd.Timedelta(seconds=s) for s in rng.uniform(0, 300, 40)]).sort_values()
    prices = dict.fromkeys(("open", "high", "low", "close"), 4000 + rng.normal(size=len(ticks)).cumsum())
    with pytest.raises(DataError, match="ticks or bars of irregular length, about 00:00:0"):
        resolve(pd.DataFrame({"timestamp": ticks.array, **prices, "volume": 0}))


@pytest.mark.parametrize("share", [0.5, 0.2, 0.1])
def test_sparse_five_minute_bars_stay_five_minute_bars(sample, share):
    bars = first_sessions(sample, 40)
    sparse = bars[np.random.default_rng(5).random(len(bars)) < share].reset_index(drop=True)
    assert resolve(sparse).bars.equals(sparse)


def test_one_bar_a_session_at_another_hour_each_day_is_sparse_not_daily(sample):
    bars = first_sessions(sample, 6)
    sparse = bars.iloc[[3, 60 + 40, 120 + 20, 180 + 55, 240, 300 + 30]].reset_index(drop=True)
    assert resolve(sparse).bars.equals(sparse)


def test_one_minute_bars_are_refused_or_aggregated_when_asked(sample):
    bars = first_sessions(sample, 6)
    with pytest.raises(DataError, match=r"1-minute bars: .* 00:01:00.*data_acquisition\.resample=1min$"):
        resolve(minutes(bars))
    read = resolve(minutes(bars), resample="1min")
    for name in ("timestamp", "open", "high", "low"):
        assert (read.bars[name] == bars[name]).all()
    assert np.allclose(read.bars["close"], bars["close"], rtol=1e-14)
    assert (read.bars["volume"] == 1 + 2 + 3 + 4 + 5).all()
    assert read.note == "usdcop_5m.csv; 1,800 1-minute bars aggregated to 360 5-minute bars"


def test_a_quiet_minute_leaves_its_bucket_and_a_cut_one_is_left_out(sample):
    """1,800 minutes less one inside a bucket, two at the start and the last."""
    bars = first_sessions(sample, 6)
    read = resolve(minutes(bars).drop([0, 1, 503, 1799]), resample="1min")
    assert (read.bars["timestamp"] == bars["timestamp"].iloc[1:-1].to_numpy()).all()
    assert read.bars["volume"].iloc[99] == 1 + 2 + 3 + 5
    assert "1 of these hold fewer than five minutes and are kept as they are, first 2020-01-03" in read.note
    assert (
        "left out are those that the delivery's ends cut off: 2020-01-02 13:00 and 2020-01-10 17:55"
        in read.note
    )


def test_one_minute_labels_of_closes_move_by_one_minute(sample):
    bars = first_sessions(sample, 6)
    closes = moved(minutes(bars), minutes=1)
    with pytest.raises(DataError, match=r"labelled 13:00 in Bogota and none at 08:00.*bar_labels=close"):
        resolve(closes, resample="1min")
    read = resolve(closes, resample="1min", bar_labels="close")
    assert (read.bars["timestamp"] == bars["timestamp"]).all()


@pytest.mark.parametrize("length", ["5min", "15min", "1D"])
def test_a_lie_about_the_length_is_refused(sample, length):
    with pytest.raises(DataError, match=r"data_acquisition\.resample says 1min.*leave"):
        resolve(aggregated(first_sessions(sample, 6), length), resample="1min")


def test_a_missing_volume_stays_missing(sample):
    bars = minutes(first_sessions(sample, 2)).assign(volume=np.nan)
    assert resolve(bars, resample="1min").bars["volume"].isna().all()
