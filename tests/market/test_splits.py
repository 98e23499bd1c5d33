from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.contracts.parameters import DateRangesParams
from dosvotos.errors import DataError
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.market.splits import Split, make_splits


def ranges(train: tuple[str, str], val: tuple[str, str], test: str) -> DateRangesParams:
    return DateRangesParams.model_validate(
        {
            "version": "1.0.0",
            "train": {"start": train[0], "end": train[1]},
            "val": {"start": val[0], "end": val[1]},
            "test": {"start": test},
        }
    )


SPECIFIED = ranges(("2023-01-01", "2024-12-31"), ("2025-01-01", "2025-06-30"), "2025-07-01")


def test_the_specified_ranges_under_an_embargo_of_one_session():
    # 31 December 2024 is the banks' closing day and 30 June 2025 a holiday: the last sessions are the
    # Mondays and Fridays before, and the embargo takes them
    splits = make_splits(SPECIFIED, date(2025, 12, 30), 1)
    assert splits["train"].sessions()[[0, -1]].astype(str).tolist() == ["2023-01-02", "2024-12-27"]
    assert splits["val"].sessions()[[0, -1]].astype(str).tolist() == ["2025-01-02", "2025-06-26"]
    assert splits["test"].sessions()[[0, -1]].astype(str).tolist() == ["2025-07-01", "2025-12-30"]


def test_the_embargo_removes_so_many_scheduled_sessions_from_train_and_val_and_none_from_test():
    free = make_splits(SPECIFIED, date(2025, 12, 30), 0)
    for embargo in (1, 2, 10):
        splits = make_splits(SPECIFIED, date(2025, 12, 30), embargo)
        for name in ("train", "val"):
            assert np.array_equal(splits[name].sessions(), free[name].sessions()[:-embargo])
        assert splits["test"] == free["test"]


def test_without_an_embargo_the_splits_are_the_ranges():
    splits = make_splits(SPECIFIED, date(2025, 12, 30), 0)
    assert np.array_equal(
        splits["train"].sessions(), scheduled_sessions(date(2023, 1, 1), date(2024, 12, 31))
    )


@pytest.mark.parametrize("embargo", [3, 4, 5, 6, 100])
def test_an_embargo_that_takes_every_session_is_an_error_that_names_the_split(embargo: int):
    three_sessions = ranges(("2024-01-02", "2024-01-04"), ("2024-02-01", "2024-06-28"), "2024-07-01")
    with pytest.raises(DataError, match="train: no session left"):
        make_splits(three_sessions, date(2024, 12, 30), embargo)


def test_a_range_without_a_session_is_an_error_that_names_the_split():
    weekend = ranges(("2024-01-02", "2024-01-31"), ("2024-07-06", "2024-07-07"), "2024-07-08")
    with pytest.raises(DataError, match="val: no session left"):
        make_splits(weekend, date(2024, 12, 30), 0)


def test_a_test_that_would_end_before_it_starts_is_an_error_with_both_dates():
    with pytest.raises(DataError, match=r"2025-07-01.*2025-06-27"):
        make_splits(SPECIFIED, date(2025, 6, 27), 1)


@given(
    lengths=st.tuples(*[st.integers(20, 300)] * 3),
    gaps=st.tuples(*[st.integers(1, 60)] * 2),
    start=st.dates(date(2015, 1, 1), date(2025, 1, 1)),
    embargo=st.integers(0, 5),
)
@settings(max_examples=100, deadline=None)
def test_splits_never_overlap_and_lie_at_least_the_embargo_apart(lengths, gaps, start, embargo):
    days, firsts, lasts = start, [], []
    for length, gap in zip(lengths, (*gaps, 0), strict=True):
        firsts.append(days)
        lasts.append(days + timedelta(days=length))
        days = lasts[-1] + timedelta(days=gap)
    dates = ranges((str(firsts[0]), str(lasts[0])), (str(firsts[1]), str(lasts[1])), str(firsts[2]))
    splits = make_splits(dates, lasts[2], embargo)
    everything = scheduled_sessions(firsts[0], lasts[2])
    place = {name: np.searchsorted(everything, split.sessions()) for name, split in splits.items()}
    for earlier, later in (("train", "val"), ("val", "test")):
        assert place[earlier][-1] + embargo < place[later][0]
    for name, split in splits.items():
        assert np.isin(split.sessions(), everything).all()
        assert len(place[name]) == place[name][-1] - place[name][0] + 1


def test_a_split_takes_the_rows_of_its_bogota_days_with_both_ends():
    days = ("2024-07-02", "2024-07-03", "2024-07-04")
    times = pd.DatetimeIndex([time for day in days for time in session_bar_times(np.datetime64(day))])
    rows = pd.DataFrame({"close": np.arange(180.0)}, index=times)
    taken = Split("val", date(2024, 7, 3), date(2024, 7, 3)).take(rows)
    assert taken["close"].tolist() == list(range(60, 120))
    whole = Split("val", date(2024, 7, 1), date(2024, 7, 5)).take(rows)
    assert whole.equals(rows)


def test_an_evening_bar_belongs_to_bogotas_day():
    rows = pd.DataFrame(
        {"close": [1.0]}, index=pd.DatetimeIndex(["2024-07-03 20:00"], tz="America/Bogota").tz_convert("UTC")
    )
    assert len(Split("val", date(2024, 7, 3), date(2024, 7, 3)).take(rows)) == 1


def test_a_split_without_bars_is_an_error_with_its_name_and_dates():
    rows = pd.DataFrame({"close": np.arange(60.0)}, index=session_bar_times(np.datetime64("2024-07-02")))
    with pytest.raises(DataError, match="test: no bars between 2024-07-03 and 2024-07-05"):
        Split("test", date(2024, 7, 3), date(2024, 7, 5)).take(rows)
