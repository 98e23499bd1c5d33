"""No bar is stored at another instant, whatever its label; the advice of each message leads somewhere."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.timestamps.resolve import ResolvedBars
from tests.timestamps.deliveries import (
    aggregated,
    first_sessions,
    follow_advice,
    minutes,
    misplaced,
    moved,
    naive,
    resolve,
    tagged_utc,
)

ZONES = (
    "UTC", "America/Bogota", "America/New_York", "Europe/Athens", "Asia/Kolkata", "America/Caracas",
    "Australia/Sydney",
)  # fmt: skip
MIXED = ("refuse", "detect")


@given(
    by=st.integers(-4000, 4000),
    skip=st.integers(0, 200),
    n_sessions=st.integers(5, 40),
    mixed=st.sampled_from(MIXED),
    stated=st.sampled_from(("open", "close")),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_labels_moved_by_any_minutes_are_refused_or_read_right(sample, by, skip, n_sessions, mixed, stated):
    bars = first_sessions(sample, n_sessions, skip)
    is_closed_label = by == 5 and stated == "close"
    assert misplaced(moved(bars, minutes=by), bars["timestamp"], mixed_timezone=mixed, bar_labels=stated) == 0
    if is_closed_label or (by == 0 and stated == "open"):
        read = resolve(moved(bars, minutes=by), bar_labels=stated)
        assert (read.bars["timestamp"] == bars["timestamp"]).all()


@given(
    written=st.sampled_from(ZONES),
    stated=st.sampled_from((None, "UTC", "America/Bogota", "America/New_York", "Europe/Athens")),
    skip=st.integers(0, 200),
    n_sessions=st.integers(5, 40),
    mixed=st.sampled_from(MIXED),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_any_clock_stated_to_be_any_other_is_refused_or_read_right(
    sample, written, stated, skip, n_sessions, mixed
):
    bars = first_sessions(sample, n_sessions, skip)
    assert misplaced(naive(bars, written), bars["timestamp"], timezone=stated, mixed_timezone=mixed) == 0
    assert misplaced(tagged_utc(bars, written), bars["timestamp"], mixed_timezone=mixed) == 0


@given(start=st.integers(0, 250), n_sessions=st.integers(1, 30), share=st.floats(0.1, 1.0))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_sound_bars_are_read_as_they_are(sample, start, n_sessions, share):
    bars = first_sessions(sample, n_sessions, start)
    kept = bars[np.random.default_rng(start).random(len(bars)) < share].reset_index(drop=True)
    read = resolve(kept)
    assert read.bars.equals(kept) and read.note == ""


CHAINS = {
    "closes": (lambda bars: moved(bars, minutes=5), {}, {"bar_labels": "close"}),
    "closes of a clock not stated": (
        lambda bars: naive(moved(bars, minutes=5), "America/Bogota"),
        {},
        {"timezone": "America/Bogota", "bar_labels": "close"},
    ),
    "closes stated by the wrong clock": (
        lambda bars: naive(moved(bars, minutes=5), "UTC"),
        {"timezone": "America/Bogota"},
        {"timezone": "UTC", "bar_labels": "close"},
    ),
    "last seconds of bars": (lambda bars: moved(bars, minutes=4, seconds=59), {}, {"bar_labels": "close"}),
    "opens stated to be closes": (lambda bars: bars, {"bar_labels": "close"}, {"bar_labels": "open"}),
    "a broker's clock not stated": (
        lambda bars: naive(bars, "Europe/Athens"),
        {},
        {"timezone": "Europe/Athens"},
    ),
    "another clock than stated": (
        lambda bars: naive(bars, "UTC"),
        {"timezone": "America/Bogota"},
        {"timezone": "UTC"},
    ),
    "a clock stated of stamps that carry one": (
        lambda bars: bars,
        {"timezone": "America/Bogota"},
        {"timezone": None},
    ),
    "minutes": (minutes, {}, {"resample": "1min"}),
    "minutes of a clock not stated": (
        lambda bars: naive(minutes(bars), "America/Bogota"),
        {},
        {"resample": "1min", "timezone": "America/Bogota"},
    ),
    "minutes labelled by closes": (
        lambda bars: moved(minutes(bars), minutes=1),
        {},
        {"resample": "1min", "bar_labels": "close"},
    ),
    "five minutes stated to be one": (lambda bars: bars, {"resample": "1min"}, {"resample": None}),
    "wall clock tagged UTC": (
        lambda bars: tagged_utc(bars, "America/Bogota"),
        {},
        {"mixed_timezone": "detect"},
    ),
    "a clock that changes": (
        lambda bars: pd.concat(
            [naive(bars.iloc[:900], "America/Bogota"), naive(bars.iloc[900:], "UTC")], ignore_index=True
        ),
        {},
        {"mixed_timezone": "detect"},
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_each_message_s_advice_leads_to_bars_at_their_instants(sample, name):
    make, stated, ends_with = CHAINS[name]
    bars = first_sessions(sample, 30)
    *messages, (last, read) = follow_advice(make(bars), **stated)
    assert isinstance(read, ResolvedBars), read
    assert {name: last[name] for name in ends_with} == ends_with
    assert (read.bars["timestamp"] == bars["timestamp"]).all()
    assert 1 <= len(messages) <= 3


DEAD_ENDS = {
    "an hour late": lambda bars: moved(bars, hours=1),
    "ten minutes late": lambda bars: moved(bars, minutes=10),
    "half closes": lambda bars: pd.concat([bars.iloc[:900], moved(bars.iloc[900:], minutes=5)]),
    "hourly": lambda bars: aggregated(bars, "1h"),
    "another clock, tagged": lambda bars: tagged_utc(bars, "Europe/Athens"),
    "seconds": lambda bars: moved(bars, seconds=30),
    "a day late": lambda bars: moved(bars, days=1),
    "an odd clock": lambda bars: naive(bars, "Asia/Kathmandu"),
}


@pytest.mark.parametrize("name", DEAD_ENDS)
@pytest.mark.parametrize("labels", ["open", "close"])
@pytest.mark.parametrize("mixed", MIXED)
def test_advice_for_what_cannot_be_read_ends_and_never_comes_back(sample, name, labels, mixed):
    bars = DEAD_ENDS[name](first_sessions(sample, 30)).reset_index(drop=True)
    tried = []
    for stated, message in follow_advice(bars, bar_labels=labels, mixed_timezone=mixed):
        assert stated not in tried and len(tried) < 5
        tried.append(stated)
        assert isinstance(message, str)
    assert "correct" in message or "deliver 5-minute bars" in message or "state it with" in message
