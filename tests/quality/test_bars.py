from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.errors import DataError
from dosvotos.market.calendar import BAR, BOGOTA, session_bar_times
from dosvotos.quality.bars import bars_per_session, check_bars, flat_shares
from dosvotos.quality.findings import FINDING_COLUMNS, QUARANTINED, REPORTED
from tests.quality.conftest import NOW

DAYS = ("2025-07-01", "2025-07-02", "2025-07-03", "2025-07-04", "2025-07-07")
PRICES = ["open", "high", "low", "close"]
EVENING = pd.Timestamp("2025-07-07 17:00", tz=BOGOTA)


def market(days=DAYS, seed: int = 0, std: float = 5e-4) -> pd.DataFrame:
    """Whole sessions of a quiet random walk, source "a"."""
    rng = np.random.default_rng(seed)
    times = pd.DatetimeIndex(
        np.concatenate([session_bar_times(np.datetime64(day)) for day in days]), tz="UTC"
    )
    path = 4000 * np.exp(np.cumsum(rng.normal(0, std, len(times) + 1)))
    first, last = path[:-1], path[1:]
    wick = np.abs(rng.normal(0, 1, (2, len(times)))) * std / 2
    high, low = np.maximum(first, last) * (1 + wick[0]), np.minimum(first, last) * (1 - wick[1])
    columns = {"timestamp": times.as_unit("us"), "open": first, "high": high, "low": low, "close": last}
    return pd.DataFrame(columns).assign(volume=0, source="a")


def flat(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.assign(open=bars["close"], high=bars["close"], low=bars["close"])


def at(text: str) -> pd.Timestamp:
    """A moment on Bogota's clock."""
    return pd.Timestamp(text, tz=BOGOTA).tz_convert("UTC")


def put(bars: pd.DataFrame, moment: str, **values: float) -> pd.DataFrame:
    changed = bars.copy()
    changed.loc[changed["timestamp"] == at(moment), list(values)] = list(values.values())
    return changed


@pytest.fixture
def check(bar_limits):
    def _check(bars, as_of=EVENING, **limits):
        return check_bars(bars, bar_limits.model_copy(update=limits), as_of)

    return _check


def rules(checked, severity: str = QUARANTINED) -> dict[str, int]:
    found = checked.findings[checked.findings["severity"] == severity]
    return found["rule"].value_counts().to_dict()


# ---- what holds for any input


def test_clean_bars_are_kept_without_a_finding(check):
    checked = check(market())
    pd.testing.assert_frame_equal(checked.kept, market())
    assert checked.findings.empty
    assert tuple(checked.findings.columns) == FINDING_COLUMNS
    assert checked.findings["at"].dtype == "datetime64[us, UTC]"


DEFECTS = {
    "nan": lambda row: {**row, "close": np.nan},
    "negative": lambda row: {**row, "low": -1.0},
    "inside out": lambda row: {**row, "high": row["low"], "low": row["high"]},
    "spike": lambda row: {**row, **{name: row[name] * 1.01 for name in PRICES}},
    "wick": lambda row: {**row, "low": row["low"] * 0.985},
    "again": lambda row: row,
    "again elsewhere": lambda row: {
        **row,
        "source": "b",
        "close": row["close"] + 0.5,
        "high": row["high"] + 0.5,
    },
    "flat again": lambda row: {**row, "source": "b", **dict.fromkeys(PRICES, row["close"])},
    "five hours early": lambda row: {**row, "timestamp": row["timestamp"] - pd.Timedelta(hours=5)},
    "weekend": lambda row: {**row, "timestamp": row["timestamp"] + pd.Timedelta(days=4)},
    "off the grid": lambda row: {**row, "timestamp": row["timestamp"] + pd.Timedelta(minutes=1)},
    "tomorrow": lambda row: {**row, "timestamp": row["timestamp"] + pd.Timedelta(days=700)},
    "stale": lambda row: {**row, **dict.fromkeys(PRICES, 4000.0)},
}
REPLACES = {"nan", "negative", "inside out", "spike", "wick", "stale"}


@st.composite
def spoilt_markets(draw) -> pd.DataFrame:
    bars = market(DAYS[:3], seed=draw(st.integers(0, 5)))
    records = bars.to_dict("records")
    places = st.integers(0, len(records) - 1)
    for kind in draw(st.lists(st.sampled_from(sorted(DEFECTS)), max_size=12)):
        start = draw(places)
        for place in range(start, min(start + draw(st.sampled_from([1, 1, 1, 2, 20])), 180)):
            broken = DEFECTS[kind](records[place])
            if kind in REPLACES:
                records[place] = broken
            else:
                records.append(broken)
    return pd.DataFrame(records).astype({"timestamp": "datetime64[us, UTC]"})


def keys(rows: pd.DataFrame, time: str) -> Counter:
    return Counter(zip(rows[time], rows["source"], strict=True))


@settings(max_examples=15, deadline=None)
@given(bars=spoilt_markets(), order=st.integers(0, 100))
def test_each_bar_is_kept_as_it_came_or_has_one_finding(bar_limits, bars, order):
    checked = check_bars(bars, bar_limits, NOW)
    gone = checked.findings[
        (checked.findings["severity"] == QUARANTINED) | (checked.findings["rule"] == "duplicate_agrees")
    ]
    assert keys(checked.kept, "timestamp") + keys(gone, "at") == keys(bars, "timestamp")
    as_it_came = {tuple(row) for row in bars.itertuples(index=False)}
    assert all(tuple(row) in as_it_came for row in checked.kept.itertuples(index=False))
    assert checked.kept["timestamp"].is_monotonic_increasing
    assert checked.kept["timestamp"].is_unique

    shuffled = check_bars(bars.sample(frac=1, random_state=order), bar_limits, NOW)
    pd.testing.assert_frame_equal(shuffled.kept, checked.kept)
    pd.testing.assert_frame_equal(shuffled.findings, checked.findings)

    again = check_bars(checked.kept, bar_limits, NOW)
    pd.testing.assert_frame_equal(again.kept, checked.kept)
    assert again.quarantined.empty


def test_no_bars_at_all_are_checked_too(check):
    checked = check(market().iloc[:0])
    assert checked.kept.empty
    assert checked.findings.empty


def test_missing_columns_and_naive_stamps_are_refused(check):
    with pytest.raises(DataError, match=r"column\(s\) \['source'\] are missing"):
        check(market().drop(columns="source"))
    with pytest.raises(DataError, match="naive"):
        check(market().assign(timestamp=lambda b: b["timestamp"].dt.tz_localize(None)))


# ---- what a bar says by itself


@pytest.mark.parametrize(
    ("values", "rule", "said"),
    [
        ({"close": np.nan}, "impossible_price", "positive and finite"),
        ({"open": np.inf}, "impossible_price", "positive and finite"),
        ({"low": 0.0}, "impossible_price", "positive and finite"),
        ({"high": 3000.0}, "close_outside_range", "between low and high"),
        ({"low": 5000.0}, "close_outside_range", "between low and high"),
    ],
)
def test_impossible_prices_are_quarantined(check, values, rule, said):
    found = check(put(market(), "2025-07-02 09:00", **values)).quarantined
    assert found[["rule", "at", "source"]].values.tolist() == [[rule, at("2025-07-02 09:00"), "a"]]
    assert said in found["detail"].item()


def test_bars_off_session_and_on_closed_days_are_quarantined(check):
    moments = {
        "2025-07-01 07:55": "off_session",
        "2025-07-01 13:00": "off_session",
        "2025-07-02 09:01": "off_session",
        "2025-07-05 09:00": "closed_day",  # Saturday
        "2025-06-30 09:00": "closed_day",  # Saint Peter and Saint Paul
        "2025-12-31 09:00": "closed_day",  # the banks' closing day
    }
    strays = market().iloc[: len(moments)].assign(timestamp=[at(text) for text in moments])
    checked = check(pd.concat([market(), strays]), as_of=NOW)
    found = checked.quarantined.set_index("at")["rule"]
    assert found.to_dict() == {at(text): rule for text, rule in moments.items()}
    assert "opens at 09:01:00 Bogota" in checked.quarantined.set_index("at")["detail"][at("2025-07-02 09:01")]
    assert len(checked.kept) == len(market())


def test_a_bar_still_open_now_is_quarantined(check):
    checked = check(market(), as_of=at("2025-07-07 12:59"))
    assert checked.quarantined["at"].tolist() == [at("2025-07-07 12:55")]
    assert rules(checked) == {"not_closed": 1}
    assert rules(check(market(), as_of=at("2025-07-07 13:00"))) == {}


def test_bars_labelled_in_another_zone_are_named_as_such(check):
    wrong = market().assign(timestamp=lambda b: b["timestamp"] - pd.Timedelta(hours=5))
    checked = check(wrong)
    assert rules(checked) == {"off_session": 300}
    (said,) = checked.findings.loc[checked.findings["rule"] == "zone_label", "detail"]
    assert said.startswith("300 of 300 bars off session would lie in it if moved by +5 h")


@pytest.mark.parametrize(
    ("by", "said"), [(60, "09:00 to 13:55"), (5, "08:05 to 13:00"), (-30, "07:30 to 12:25")]
)
def test_one_session_labelled_early_or_late_is_quarantined_whole(check, by, said):
    bars = market()
    late = bars["timestamp"].dt.tz_convert(BOGOTA).dt.date.astype(str) == "2025-07-03"
    bars.loc[late, "timestamp"] += pd.Timedelta(minutes=by)
    checked = check(bars)
    assert rules(checked) == {"shifted_labels": 60}
    lateness = f"{abs(by)} min {'late' if by > 0 else 'early'}"
    detail = f"2025-07-03 runs {said} Bogota instead of 08:00 to 12:55: its labels lie {lateness}"
    assert set(checked.quarantined["detail"]) == {detail}
    assert len(checked.kept) == 240


# ---- duplicates


def test_of_bars_that_agree_one_stays_and_the_others_are_reported(check):
    twin = market().iloc[[70]].assign(source="b", close=lambda b: b["close"] - 0.01)
    checked = check(pd.concat([market(), twin, market().iloc[[70]]]))
    pd.testing.assert_frame_equal(checked.kept, market())
    assert rules(checked) == {}
    assert rules(checked, REPORTED) == {"duplicate_agrees": 2}


def test_of_bars_that_disagree_the_one_with_a_range_stays_then_the_preferred_source(check):
    bars = market()
    other = bars.iloc[[70]].assign(source="b", close=lambda b: b["close"] + 0.02)
    both = pd.concat([bars, other])
    assert check(both).kept.equals(bars)
    by_choice = check(both, preferred_sources=("b", "a"))
    assert by_choice.kept.iloc[70]["source"] == "b"
    assert rules(by_choice) == {"duplicate_disagrees": 1}
    assert by_choice.quarantined["source"].tolist() == ["a"]

    without_range = pd.concat([flat(bars).iloc[[70]].assign(close=3999.0), other])
    kept = check(without_range, preferred_sources=("a",)).kept
    assert kept["source"].tolist() == ["b"]


def test_a_broken_bar_never_wins_over_its_twin(check):
    broken = market().iloc[[70]].assign(source="0", close=np.nan)
    checked = check(pd.concat([broken, market()]))
    pd.testing.assert_frame_equal(checked.kept, market())
    assert rules(checked) == {"impossible_price": 1}


# ---- bad ticks and moves that are true


@pytest.mark.parametrize("size", [0.008, -0.008, 0.03])
@pytest.mark.parametrize("moment", ["2025-07-02 08:15", "2025-07-02 10:00", "2025-07-02 12:45"])
def test_a_close_that_leaves_and_comes_back_is_a_bad_tick(check, moment, size):
    base = flat(market())
    price = base.set_index("timestamp")["close"][at(moment)] * (1 + size)
    checked = check(put(base, moment, open=price, high=price, low=price, close=price))
    assert checked.quarantined[["rule", "at"]].values.tolist() == [["spike", at(moment)]]
    assert checked.quarantined["value"].item() == price


def test_two_bad_ticks_in_a_row_are_both_found(check):
    base = flat(market())
    bad = base["timestamp"].isin([at("2025-07-02 10:00"), at("2025-07-02 10:05")])
    base.loc[bad, PRICES] *= 0.98
    assert rules(check(base)) == {"spike": 2}


def test_bad_ticks_in_alternation_leave_the_good_ones_between(check):
    base = flat(market())
    bad = [at(f"2025-07-02 10:{minute:02d}") for minute in (0, 10, 20)]
    base.loc[base["timestamp"].isin(bad), PRICES] *= 0.99
    assert check(base).quarantined["at"].tolist() == bad


@pytest.mark.parametrize("moment", ["2025-07-01 09:00", "2025-07-02 08:00", "2025-07-04 12:55"])
def test_an_extreme_move_that_lasts_survives(check, moment):
    base = flat(market())
    base.loc[base["timestamp"] >= at(moment), PRICES] *= 1.067
    checked = check(base)
    pd.testing.assert_frame_equal(checked.kept, base)


def test_a_jump_after_a_stale_hour_survives_and_the_hour_is_reported(check):
    """As on 2020-03-09: the first hour carries the last price forward, then +6.7%."""
    base = flat(market())
    day = base["timestamp"] >= at("2025-07-03 08:00")
    stale = day & (base["timestamp"] < at("2025-07-03 09:00"))
    base.loc[day, PRICES] *= 1.067
    base.loc[stale, PRICES] = 3585.0
    checked = check(base)
    assert rules(checked) == {}
    assert rules(checked, REPORTED) == {"stale_run": 1, "flat_bars": 1}


def test_an_opening_gap_that_closes_within_minutes_survives(check):
    base = flat(market())
    opening = base["timestamp"].isin([at("2025-07-03 08:00"), at("2025-07-03 08:05")])
    base.loc[opening, PRICES] *= 1.01
    assert rules(check(base)) == {}


def test_a_move_over_a_hole_in_the_session_may_come_back(check):
    """Bars about an hour apart: what is a spike in five minutes is a swing in an hour."""
    base = flat(market())
    session = base["timestamp"].between(at("2025-07-02 08:00"), at("2025-07-02 13:00"))
    left = [at(f"2025-07-02 {clock}") for clock in ("08:00", "09:05", "10:00", "11:05", "12:00")]
    sparse = base[~session | base["timestamp"].isin(left)].copy()
    sparse.loc[sparse["timestamp"] == at("2025-07-02 10:00"), PRICES] *= 1.005
    assert rules(check(sparse)) == {}


@pytest.mark.parametrize("values", [{"low": 3700.0}, {"high": 4300.0}])
def test_a_wick_far_beyond_every_close_around_it_is_a_bad_tick(check, values):
    checked = check(put(market(), "2025-07-02 10:00", **values))
    assert checked.quarantined[["rule", "at"]].values.tolist() == [["wick", at("2025-07-02 10:00")]]
    assert checked.quarantined["value"].tolist() == list(values.values())


def test_small_spikes_are_left_alone_however_calm_the_market(check):
    calm = flat(market(std=2e-5))
    calm.loc[130, PRICES] *= 1.0028
    assert rules(check(calm)) == {}
    calm.loc[130, PRICES] *= 1.0004
    assert rules(check(calm)) == {"spike": 1}


# ---- quotes without a market


def test_a_session_whose_closes_stand_still_is_quarantined_whole(check):
    base = market()
    day = base["timestamp"].between(at("2025-07-03 08:00"), at("2025-07-03 13:00"))
    base.loc[day, PRICES] = 4000.0
    base.loc[base["timestamp"] == at("2025-07-03 12:55"), PRICES] = 4001.0
    checked = check(base)
    assert rules(checked) == {"flat_session": 60}
    assert rules(checked, REPORTED) == {"missing_session": 1}


def test_a_session_that_stands_still_so_far_may_move_yet(check):
    base = market()
    base.loc[240:253, PRICES] = [4000.0, 4001.0, 3999.0, 4000.0]
    now = at("2025-07-07 09:10")
    checked = check(base[base["timestamp"] + BAR <= now], as_of=now)
    assert rules(checked) == {}
    assert rules(checked, REPORTED) == {"stale_run": 1}


def test_the_longest_stale_run_of_each_session_is_reported(check):
    base = market()
    base.loc[100:105, PRICES] = 4000.0
    assert rules(check(base), REPORTED) == {}
    base.loc[100:111, PRICES] = 4000.0
    base.loc[200:216, PRICES] = 4000.0
    checked = check(base)
    assert rules(checked) == {}
    runs = checked.findings[checked.findings["rule"] == "stale_run"]
    assert runs["value"].tolist() == [12, 17]
    assert runs["at"].tolist() == base["timestamp"][[100, 200]].tolist()


def test_a_stale_run_ends_with_its_session(check):
    base = market()
    base.loc[114:125, PRICES] = 4000.0  # six bars before the night and six after it
    assert rules(check(base), REPORTED) == {}


def test_flat_bars_are_counted_by_source_and_never_quarantined(check):
    bars = pd.concat([market(DAYS[:2]), flat(market(DAYS[2:], seed=1)).assign(source="b")])
    checked = check(bars)
    assert rules(checked) == {}
    found = checked.findings.loc[checked.findings["rule"] == "flat_bars", ["source", "value"]]
    assert found.values.tolist() == [["b", 1.0]]
    assert flat_shares(checked.kept).to_dict() == {"a": 0.0, "b": 1.0}


# ---- coverage


def test_sparse_and_missing_sessions_are_reported_up_to_now(check):
    bars = market()
    thin = (bars["timestamp"] >= at("2025-07-02 08:00")) & (bars["timestamp"] < at("2025-07-02 09:05"))
    gone = bars["timestamp"].between(at("2025-07-03 08:00"), at("2025-07-04 13:00"))
    checked = check(bars[~thin & ~gone], as_of=at("2025-07-09 13:00"))
    found = checked.findings[["rule", "at", "value"]].values.tolist()
    assert found == [
        ["sparse_session", at("2025-07-02 08:00"), 47.0],
        ["missing_session", at("2025-07-03 08:00"), 2.0],
        ["missing_session", at("2025-07-08 08:00"), 2.0],
    ]


def test_a_session_still_open_is_not_missed(check):
    bars = market()
    now = at("2025-07-07 10:02")
    assert check(bars[bars["timestamp"] + BAR <= now], as_of=now).findings.empty


def test_bars_a_session_counts_scheduled_sessions_that_are_over():
    times = pd.DatetimeIndex(market().iloc[[0, 1, 120, 240]]["timestamp"])
    counts = bars_per_session(times, at("2025-07-07 12:59"))
    assert {f"{day:%m-%d}": n for day, n in counts.items()} == {
        "07-01": 2,
        "07-02": 0,
        "07-03": 1,
        "07-04": 0,
    }
    assert bars_per_session(times, at("2025-07-07 13:00")).tolist() == [2, 0, 1, 0, 1]
    assert bars_per_session(times[:0], at("2025-07-07 13:00")).empty


# ---- whole markets


def test_a_simulated_market_has_no_finding(sample, bar_limits):
    bars = sample.bars.assign(source="sample")
    checked = check_bars(bars, bar_limits, pd.Timestamp("2021-12-20 15:02", tz="UTC"))
    assert checked.findings.empty
    assert len(checked.kept) == len(bars)


def test_every_injected_defect_of_a_simulated_market_is_found_and_nothing_else(sample, bar_limits):
    bars = sample.bars.assign(source="sample").astype({"volume": float})
    rng = np.random.default_rng(0)
    slot = np.arange(len(bars)) % 60
    spots = rng.choice(np.flatnonzero((slot > 5) & (slot < 50))[::12], 400, replace=False)
    spikes, highs, lows, twice, early = np.split(spots, [150, 200, 250, 350])
    spoilt = bars.copy()
    spoilt.loc[spikes, PRICES] *= np.where(rng.random((150, 1)) < 0.5, 1.02, 0.98)
    spoilt.loc[highs, "high"] *= 1.06
    spoilt.loc[lows, "low"] *= 0.94
    other = bars.loc[twice].assign(
        source="z", close=lambda b: b["close"] + 1.0, high=lambda b: b["high"] + 1.0
    )
    moved = bars.loc[early].assign(timestamp=lambda b: b["timestamp"] - pd.Timedelta(hours=5))
    checked = check_bars(pd.concat([spoilt, other, moved]), bar_limits, NOW)
    found = checked.quarantined.groupby("rule")["at"].agg(set)
    planted = set(bars["timestamp"][spikes])
    assert found["spike"] <= planted
    assert len(found["spike"]) >= 0.9 * len(planted)  # 2% is no spike on the wildest days
    wicks = set(bars["timestamp"][highs]) | set(bars["timestamp"][lows])
    assert found["wick"] <= wicks and len(found["wick"]) >= 0.9 * len(wicks)
    assert found["duplicate_disagrees"] == set(other["timestamp"])
    assert found["off_session"] == set(moved["timestamp"])
    assert set(found.index) == {"spike", "wick", "duplicate_disagrees", "off_session"}


def test_a_negative_volume_is_put_aside_and_none_at_all_is_not(sample, bar_limits):
    bars = sample.bars.head(60).assign(source="files").reset_index(drop=True)
    bars.loc[3, "volume"], bars.loc[4, "volume"] = -1.0, np.nan
    (found,) = check_bars(bars, bar_limits, NOW).quarantined.to_dict("records")
    assert (found["rule"], found["at"]) == ("negative_volume", bars.loc[3, "timestamp"])
