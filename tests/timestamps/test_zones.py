"""Every timestamp lands on its true instant, or the file is refused with counts."""

import datetime as dt
import re

import numpy as np
import pandas as pd
import pytest

from dosvotos.errors import DataError
from dosvotos.market.calendar import BAR, BOGOTA, session_dates
from dosvotos.sources.files import read_folder
from dosvotos.timestamps import zones
from dosvotos.timestamps.delivery import Delivery
from dosvotos.timestamps.parsing import parse_timestamps
from dosvotos.timestamps.resolve import ResolvedTimestamps, resolve_bars, resolve_timestamps

FIVE_HOURS = pd.Timedelta(hours=5)


@pytest.fixture(params=["sample", pytest.param("real", marks=pytest.mark.slow)])
def market(request) -> pd.DataFrame:
    return request.getfixturevalue(request.param)


def resolve(timestamps: pd.Series, close: pd.Series, timezone: str | None, mixed) -> ResolvedTimestamps:
    clock = parse_timestamps(timestamps, timezone, "bars")
    return resolve_timestamps(Delivery(clock, BAR, "open", timezone, "bars"), close, mixed)


def days_of(bars: pd.DataFrame) -> np.ndarray:
    return bars["timestamp"].dt.tz_convert(BOGOTA).dt.date.to_numpy()


def all_tagged_utc(bars: pd.DataFrame, n_local_days: int, n_days_with_both: int) -> pd.DataFrame:
    """All timestamps say +00:00; some days are Bogota wall clock, and some of these hold UTC bars as well."""
    rng = np.random.default_rng(1)
    days = days_of(bars)
    local = rng.choice(np.unique(days[-len(days) // 5 :]), n_local_days, replace=False)
    local = np.append(local, dt.date(2026, 1, 8))  # the real market's day with a pre-market
    true = bars.assign(true=bars["timestamp"])
    again = true[np.isin(days, local[:n_days_with_both]) & (rng.random(len(bars)) < 0.3)]
    again = again.assign(close=again["close"] + np.where(rng.random(len(again)) < 0.17, 3.0, 0.0))
    true.loc[np.isin(days, local), "timestamp"] -= FIVE_HOURS
    return pd.concat([true, again]).sort_values("timestamp", ignore_index=True)


def naive_with_two_meanings(bars: pd.DataFrame) -> pd.DataFrame:
    """UTC until a moment inside a session, Bogota from then on and on most of one earlier day."""
    true = bars.assign(true=bars["timestamp"])
    days = days_of(bars)
    last_days = np.unique(days)[-30:]
    change = pd.Timestamp(last_days[5], tz=BOGOTA) + pd.Timedelta(hours=11, minutes=25)
    local = (bars["timestamp"] >= change).to_numpy().copy()
    local[np.flatnonzero(days == last_days[1])[:42]] = True
    wall = true["timestamp"].dt.tz_localize(None)
    return true.assign(timestamp=wall.where(~local, wall - FIVE_HOURS))


def as_file(bars: pd.DataFrame, folder) -> pd.DataFrame:
    day = [dt.date(2025, 6, 30)]
    macro = pd.DataFrame({"variable": "volt_vix_usa_d_vix", "observation_date": day, "value": [16.0]})
    macro.to_parquet(folder / "macro_daily.parquet")
    bars.drop(columns="true").to_csv(folder / "usdcop_5m.csv", index=False)
    return bars


def test_a_file_tagged_utc_throughout_that_is_partly_wall_clock_lands_right(market, tmp_path):
    file = as_file(all_tagged_utc(market, n_local_days=20, n_days_with_both=12), tmp_path)
    n_local = int((file["true"] - file["timestamp"] == FIVE_HOURS).sum())
    n_twice = int(file["true"].duplicated().sum())
    with pytest.raises(DataError, match=r"data_acquisition\.mixed_timezone=detect") as refused:
        read_folder(tmp_path)
    assert f"{n_local:,} of {len(file):,} timestamps stated to be UTC are America/Bogota" in str(
        refused.value
    )
    assert f"12 day(s) hold both, {n_twice:,} instant(s) have a bar under both with" in str(refused.value)
    assert "closes up to 3.00 apart" in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path / 'usdcop_5m.csv'}: ")
    read = read_folder(tmp_path, mixed_timezone="detect")
    assert (read.bars["timestamp"] == file["true"]).all()
    assert (read.bars["close"] == file["close"]).all()


def test_naive_timestamps_that_change_their_meaning_land_right(market, tmp_path):
    file = as_file(naive_with_two_meanings(market), tmp_path)
    n_local = int((file["true"].dt.tz_localize(None) - file["timestamp"] == FIVE_HOURS).sum())
    with pytest.raises(DataError, match="mixed_timezone=detect") as refused:
        read_folder(tmp_path)
    assert f"{len(file) - n_local:,} as UTC" in str(refused.value)
    assert f"{n_local:,} as America/Bogota" in str(refused.value)
    read = read_folder(tmp_path, mixed_timezone="detect")
    assert (read.bars["timestamp"] == file["true"]).all()


@pytest.mark.parametrize("stated", ["UTC", BOGOTA])
def test_a_stated_zone_that_holds_for_a_part_only_is_refused_or_detected(sample, stated):
    file = naive_with_two_meanings(sample)
    with pytest.raises(DataError, match=rf"timestamps stated to be {stated} are .* wall clock"):
        resolve(file["timestamp"], file["close"], stated, "refuse")
    read = resolve(file["timestamp"], file["close"], stated, "detect")
    assert (read.instants == file["true"]).all()


def test_sound_timestamps_are_read_as_they_are_and_without_a_word(market):
    read = resolve(market["timestamp"], market["close"], None, "refuse")
    assert (read.instants == market["timestamp"]).all()
    assert read.note == ""
    local = market["timestamp"].dt.tz_convert(BOGOTA)
    assert (resolve(local, market["close"], None, "refuse").instants == market["timestamp"]).all()


@pytest.mark.parametrize("zone", ["UTC", BOGOTA, "America/New_York"])
def test_a_stated_zone_is_believed_where_the_sessions_agree(sample, zone):
    naive = sample["timestamp"].dt.tz_convert(zone).dt.tz_localize(None)
    read = resolve(naive, sample["close"], zone, "refuse")
    assert (read.instants == sample["timestamp"]).all()
    assert read.note == ""


@pytest.mark.parametrize("zone", ["UTC", BOGOTA])
def test_naive_timestamps_of_one_zone_are_refused_with_the_zone_to_state(sample, zone):
    naive = sample["timestamp"].dt.tz_convert(zone).dt.tz_localize(None)
    with pytest.raises(DataError, match=rf"{len(sample):,} as {zone} .*data_acquisition\.timezone={zone}$"):
        resolve(naive, sample["close"], None, "refuse")
    assert (resolve(naive, sample["close"], None, "detect").instants == sample["timestamp"]).all()


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Madrid"])
def test_a_third_zone_is_not_taken_for_a_mixture_of_the_two(sample, zone):
    """New York's summer sessions fill 09:00 to 13:55: as timestamps of Bogota and UTC they would be whole."""
    naive = sample["timestamp"].dt.tz_convert(zone).dt.tz_localize(None)
    with pytest.raises(DataError, match=rf"by the clock of {zone}.*data_acquisition\.timezone={zone}$"):
        resolve(naive, sample["close"], None, "detect")


@pytest.mark.parametrize("n_sessions", [5, 10])
def test_bogota_s_clock_stated_to_be_new_york_s_is_refused_where_the_latter_changes(sample, n_sessions):
    """Of the sessions one alone lies on the other side of the change, an hour off."""
    days = session_dates(pd.DatetimeIndex(sample["timestamp"]))
    for change, after in (("2020-03-08", 1), ("2020-11-01", n_sessions - 1)):
        index = np.searchsorted(np.unique(days), np.datetime64(change))
        chosen = np.unique(days)[index + after - n_sessions : index + after]
        window = sample[np.isin(days, chosen)].reset_index(drop=True)
        wrong = window["timestamp"].dt.tz_convert(BOGOTA).dt.tz_localize(None)
        with pytest.raises(DataError, match=r"1 of .* sessions .*data_acquisition\.timezone=America/Bogota$"):
            resolve_bars(
                window.assign(timestamp=wrong), "America/New_York", "refuse", "open", None, "usdcop_5m.csv"
            )
        right = window["timestamp"].dt.tz_convert("America/New_York").dt.tz_localize(None)
        read = resolve(right, window["close"], "America/New_York", "refuse")
        assert (read.instants == window["timestamp"]).all()


def around_the_clock(start: str, end: str, calm: float = 2e-4) -> pd.DataFrame:
    """A feed of all hours of weekdays, whose session is livelier."""
    times = pd.date_range(start, end, freq="5min", tz="UTC", inclusive="left", unit="us")
    times = times[times.tz_convert(BOGOTA).day_of_week < 5]
    hour = times.tz_convert(BOGOTA).hour
    std = np.where((hour >= 8) & (hour < 13), 6e-4, calm)
    moves = np.random.default_rng(3).normal(size=len(times)) * std
    return pd.DataFrame({"timestamp": times, "close": 4000 * np.exp(moves.cumsum())})


def test_a_feed_of_all_hours_is_read_by_its_livelier_window():
    feed = around_the_clock("2025-08-04", "2025-09-20")
    assert resolve(feed["timestamp"], feed["close"], None, "refuse").note == ""
    naive = feed["timestamp"].dt.tz_localize(None)
    utc = resolve(naive, feed["close"], None, "detect")
    assert (utc.instants == feed["timestamp"]).all()
    local = resolve(naive - FIVE_HOURS, feed["close"], None, "detect")
    assert (local.instants == feed["timestamp"]).all()


def test_a_feed_of_all_hours_may_end_before_its_session():
    feed = around_the_clock("2025-08-04", "2025-08-20 12:35")
    assert resolve(feed["timestamp"], feed["close"], None, "refuse").note == ""


def test_a_feed_of_all_hours_without_a_livelier_window_is_refused():
    feed = around_the_clock("2025-08-04", "2025-08-20", calm=6e-4)
    naive = feed["timestamp"].dt.tz_localize(None)
    with pytest.raises(DataError, match=rf"{len(feed):,} fit either zone; state it with"):
        resolve(naive, feed["close"], None, "detect")


def test_a_day_on_which_timestamps_stand_twice_with_other_prices_is_refused():
    feed = around_the_clock("2025-08-04", "2025-09-20")
    wall = feed["timestamp"].dt.tz_localize(None)
    wall = wall.where(feed["timestamp"] < pd.Timestamp("2025-09-03 16:25", tz="UTC"), wall - FIVE_HOURS)
    message = r"occur twice with different prices \(2025-09-03 to 2025-09-03\).*correct the file"
    with pytest.raises(DataError, match=message):
        resolve(wall, feed["close"], None, "detect")


def test_timestamps_with_and_without_a_zone_in_one_file_are_refused():
    timestamps = pd.Series(["2025-07-01T13:00:00+00:00", "2025-07-01 13:05:00"])
    message = "1 timestamps carry a zone and 1 do not, first '2025-07-01 13:05:00'"
    with pytest.raises(DataError, match=re.escape(message)):
        resolve(timestamps, pd.Series([4000.0, 4001.0]), None, "refuse")


def test_a_zone_stated_for_timestamps_that_carry_one_is_refused(sample):
    with pytest.raises(DataError, match="timezone 'UTC' is for timestamps without a zone"):
        resolve(sample["timestamp"], sample["close"], "UTC", "refuse")


def test_a_stamp_that_a_zone_s_clock_shows_twice_is_refused():
    timestamps = pd.Series(pd.to_datetime(["2025-11-02 01:30:00"]))
    with pytest.raises(DataError, match="does not exist once in America/New_York"):
        resolve(timestamps, pd.Series([4000.0]), "America/New_York", "refuse")


@pytest.mark.parametrize("stamp", ["yesterday", "2025-13-01T00:00:00+00:00"])
def test_what_is_no_timestamp_is_refused(stamp):
    with pytest.raises(DataError, match=rf"^bars: timestamp: .*{stamp[:10]}.*; write 2025-07-01T13:00:00"):
        resolve(pd.Series([stamp]), pd.Series([4000.0]), None, "refuse")


def one_stamp_in_both(bars: pd.DataFrame, n_days: int, revised: float, seed: int = 3) -> pd.DataFrame:
    """Late days are Bogota wall clock tagged UTC, each with one bar again under its UTC label."""
    rng = np.random.default_rng(seed)
    days = days_of(bars)
    local = rng.choice(np.unique(days[-len(days) // 5 :]), n_days, replace=False)
    true = bars.assign(true=bars["timestamp"])
    again = pd.concat([true[days == day].sample(1, random_state=seed) for day in local])
    again = again.assign(
        close=again["close"] + rng.choice([-1, 1], n_days) * rng.exponential(revised, n_days)
    )
    true.loc[np.isin(days, local), "timestamp"] -= FIVE_HOURS
    return pd.concat([true, again]).sort_values("timestamp", ignore_index=True)


@pytest.mark.parametrize("revised", [0.0, 2.0])
def test_one_stamp_that_agrees_in_both_zones_loses_no_session(market, revised):
    """Of 16 such days, about 940 bars, all but one a day were read five hours early and quarantined."""
    file = one_stamp_in_both(market, 16, revised)
    read = resolve(file["timestamp"], file["close"], None, "detect")
    assert (read.instants == file["true"]).all()
    assert "16 day(s) hold both, 16 instant(s) have a bar under both" in read.note


def test_days_whose_prices_tell_nothing_are_read_without_loss_and_stated(sample):
    """Besides 16 days with one stamp in both, a calm one half and half whose one was revised by 5 COP."""
    rows = np.flatnonzero(days_of(sample) == dt.date(2020, 6, 3))
    bars = sample.copy()
    bars.loc[rows, "close"] = 3600.0 + 0.3 * (np.arange(60) % 2)
    again = bars.iloc[[rows[30]]].assign(close=3605.0)
    file = one_stamp_in_both(bars, 16, 0.0)
    file.loc[file["true"].isin(bars["timestamp"].iloc[rows[30:]]), "timestamp"] -= FIVE_HOURS
    file = pd.concat([file, again.assign(true=again["timestamp"])]).sort_values(
        "timestamp", ignore_index=True
    )
    read = resolve(file["timestamp"], file["close"], None, "detect")
    assert (read.instants == file["true"]).all()
    said = "prices of 1 day(s) with both do not tell one zone from two (2020-06-03): read as two zones"
    assert said in read.note


@pytest.mark.parametrize("stated", ["UTC", BOGOTA])
@pytest.mark.parametrize("defect", ["none", "shuffled", "repeated", "off session", "a day missing"])
def test_where_no_stamp_fits_another_zone_the_days_are_not_judged_and_would_say_the_same(
    sample, monkeypatch, stated, defect
):
    bars = sample.iloc[-60 * 20 :]
    wall = bars["timestamp"].dt.tz_convert(stated).dt.tz_localize(None)
    close, days = bars["close"].copy(), wall.dt.date
    if defect == "shuffled":
        wall = wall.sample(frac=1, random_state=1)
    elif defect == "repeated":  # with other closes, which contradict each other
        wall.iloc[-30:-15], close.iloc[-15:] = wall.iloc[-15:].to_numpy(), close.iloc[-15:] + 50
    elif defect == "off session":
        wall.iloc[:7] = wall.iloc[:7].dt.normalize() + pd.Timedelta(hours=22)
    elif defect == "a day missing":
        wall = wall[days != days.iloc[400]]
    clock = parse_timestamps(wall, stated, "bars")
    quick = zones.read_zones(wall, close[wall.index], clock, "refuse", "bars")
    monkeypatch.setattr(zones, "_infer_zones", (judge := Judge(zones._infer_zones)))
    again = zones.read_zones(wall, close[wall.index], clock, "refuse", "bars")
    assert judge.n_calls == 0
    monkeypatch.setattr(zones, "_reach_other_session", lambda *_: True)
    slow = zones.read_zones(wall, close[wall.index], clock, "refuse", "bars")
    assert judge.n_calls == 1
    assert quick.note == again.note == slow.note == ""
    np.testing.assert_array_equal(quick.zones, slow.zones)


class Judge:
    """Counts the calls of a function."""

    def __init__(self, function) -> None:
        self.function, self.n_calls = function, 0

    def __call__(self, *arguments):
        self.n_calls += 1
        return self.function(*arguments)
