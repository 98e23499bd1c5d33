from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.contracts.parameters import DateRangesParams, SplitsParams
from dosvotos.errors import DataError, ParameterError
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.market.splits import Split, folds_of, make_splits, splits_of
from tests.conftest import parameters_of


def ranges(train: tuple[str, str], val: tuple[str, str], test: str) -> DateRangesParams:
    return DateRangesParams.model_validate(
        {
            "version": "1.0.0",
            "train": {"start": train[0], "end": train[1]},
            "val": {"start": val[0], "end": val[1]},
            "test": {"start": test},
        }
    )


def single(embargo: int) -> SplitsParams:
    return SplitsParams(mode="single", embargo_sessions=embargo)


def walk_forward(folds: int, fold: int, train_window: str = "expanding", embargo: int = 1) -> SplitsParams:
    return SplitsParams.model_validate(
        {
            "mode": "walk_forward",
            "embargo_sessions": embargo,
            "folds": folds,
            "fold": fold,
            "train_window": train_window,
        }
    )


SPECIFIED = ranges(("2023-01-01", "2024-12-31"), ("2025-01-01", "2025-06-30"), "2025-07-01")


def test_the_specified_ranges_under_an_embargo_of_one_session():
    # 31 December 2024 is the banks' closing day and 30 June 2025 a holiday: the last sessions are the
    # Mondays and Fridays before, and the embargo takes them
    splits = make_splits(SPECIFIED, date(2025, 12, 30), single(1))
    assert splits["train"].sessions()[[0, -1]].astype(str).tolist() == ["2023-01-02", "2024-12-27"]
    assert splits["val"].sessions()[[0, -1]].astype(str).tolist() == ["2025-01-02", "2025-06-26"]
    assert splits["test"].sessions()[[0, -1]].astype(str).tolist() == ["2025-07-01", "2025-12-30"]


def test_the_embargo_removes_so_many_scheduled_sessions_from_train_and_val_and_none_from_test():
    free = make_splits(SPECIFIED, date(2025, 12, 30), single(0))
    for embargo in (1, 2, 10):
        splits = make_splits(SPECIFIED, date(2025, 12, 30), single(embargo))
        for name in ("train", "val"):
            assert np.array_equal(splits[name].sessions(), free[name].sessions()[:-embargo])
        assert splits["test"] == free["test"]


def test_without_an_embargo_the_splits_are_the_ranges():
    splits = make_splits(SPECIFIED, date(2025, 12, 30), single(0))
    assert np.array_equal(
        splits["train"].sessions(), scheduled_sessions(date(2023, 1, 1), date(2024, 12, 31))
    )


@pytest.mark.parametrize("embargo", [3, 4, 5, 6, 100])
def test_an_embargo_that_takes_every_session_is_an_error_that_names_the_split(embargo: int):
    three_sessions = ranges(("2024-01-02", "2024-01-04"), ("2024-02-01", "2024-06-28"), "2024-07-01")
    with pytest.raises(DataError, match="train: no session left"):
        make_splits(three_sessions, date(2024, 12, 30), single(embargo))


def test_a_range_without_a_session_is_an_error_that_names_the_split():
    weekend = ranges(("2024-01-02", "2024-01-31"), ("2024-07-06", "2024-07-07"), "2024-07-08")
    with pytest.raises(DataError, match="val: no session left"):
        make_splits(weekend, date(2024, 12, 30), single(0))


def test_a_test_that_would_end_before_it_starts_is_an_error_with_both_dates():
    with pytest.raises(DataError, match=r"2025-07-01.*2025-06-27"):
        make_splits(SPECIFIED, date(2025, 6, 27), single(1))


def days_apart(lengths: tuple[int, ...], gaps: tuple[int, ...], start: date) -> tuple[DateRangesParams, date]:
    """Three ranges of so many days, so many days apart, and the end of the last."""
    ends, firsts = [], []
    for length, gap in zip(lengths, (*gaps, 0), strict=True):
        firsts.append(start)
        ends.append(start + timedelta(days=length))
        start = ends[-1] + timedelta(days=gap)
    dates = ranges((str(firsts[0]), str(ends[0])), (str(firsts[1]), str(ends[1])), str(firsts[2]))
    return dates, ends[2]


@given(
    lengths=st.tuples(*[st.integers(20, 300)] * 3),
    gaps=st.tuples(*[st.integers(1, 60)] * 2),
    start=st.dates(date(2015, 1, 1), date(2025, 1, 1)),
    embargo=st.integers(0, 5),
)
@settings(max_examples=100, deadline=None)
def test_splits_never_overlap_and_lie_at_least_the_embargo_apart(lengths, gaps, start, embargo):
    dates, end = days_apart(lengths, gaps, start)
    splits = make_splits(dates, end, single(embargo))
    all_sessions = scheduled_sessions(start, end)
    indices = {name: np.searchsorted(all_sessions, split.sessions()) for name, split in splits.items()}
    for earlier, later in (("train", "val"), ("val", "test")):
        assert indices[earlier][-1] + embargo < indices[later][0]
    for name, split in splits.items():
        assert np.isin(split.sessions(), all_sessions).all()
        assert len(indices[name]) == indices[name][-1] - indices[name][0] + 1


def test_a_split_takes_the_rows_of_its_bogota_days_with_both_ends():
    days = ("2024-07-02", "2024-07-03", "2024-07-04")
    times = pd.DatetimeIndex([time for day in days for time in session_bar_times(np.datetime64(day))])
    rows = pd.DataFrame({"close": np.arange(180.0)}, index=times)
    rows_of_split = Split("val", date(2024, 7, 3), date(2024, 7, 3)).select(rows)
    assert rows_of_split["close"].tolist() == list(range(60, 120))
    whole = Split("val", date(2024, 7, 1), date(2024, 7, 5)).select(rows)
    assert whole.equals(rows)


def test_an_evening_bar_belongs_to_bogotas_day():
    rows = pd.DataFrame(
        {"close": [1.0]}, index=pd.DatetimeIndex(["2024-07-03 20:00"], tz="America/Bogota").tz_convert("UTC")
    )
    assert len(Split("val", date(2024, 7, 3), date(2024, 7, 3)).select(rows)) == 1


def test_a_split_without_bars_is_an_error_with_its_name_and_dates():
    rows = pd.DataFrame({"close": np.arange(60.0)}, index=session_bar_times(np.datetime64("2024-07-02")))
    with pytest.raises(DataError, match="test: no bars between 2024-07-03 and 2024-07-05") as refused:
        Split("test", date(2024, 7, 3), date(2024, 7, 5)).select(rows)
    message = str(refused.value)
    assert "bars of 2024-07-02 to 2024-07-02 are stored" in message
    assert "Either deliver bars of these dates" in message and "state other date_ranges" in message
    with pytest.raises(DataError, match="no bars are stored"):
        Split("test", date(2024, 7, 3), date(2024, 7, 5)).select(rows.iloc[:0])


# ---- fold by fold


def test_the_specified_test_range_in_three_folds():
    # 131 weekdays less 7 holidays from 1 July to 30 December 2025: 42, 41 and 41
    folds = [make_splits(SPECIFIED, date(2025, 12, 30), walk_forward(3, k)) for k in (1, 2, 3)]
    assert [len(f["test"].sessions()) for f in folds] == [42, 41, 41]
    stated = scheduled_sessions(date(2025, 1, 1), date(2025, 12, 30))
    assert folds[1]["test"].sessions()[0] == stated[np.searchsorted(stated, np.datetime64("2025-07-01")) + 42]
    # fold 2 moves on by 42 sessions: val, which began on the year's first session, begins on the 43rd
    assert folds[1]["val"].sessions()[0] == stated[42]
    assert folds[1]["train"].sessions()[0] == np.datetime64("2023-01-02")
    assert folds[1]["train"].sessions()[-1] == stated[42 - 2]


def test_a_rolling_train_keeps_its_length_and_an_expanding_one_its_start():
    stated = make_splits(SPECIFIED, date(2025, 12, 30), single(1))
    for fold in (1, 2, 5):
        rolling = make_splits(SPECIFIED, date(2025, 12, 30), walk_forward(5, fold, "rolling"))
        expanding = make_splits(SPECIFIED, date(2025, 12, 30), walk_forward(5, fold))
        assert len(rolling["train"].sessions()) == len(stated["train"].sessions())
        assert expanding["train"].first == date(2023, 1, 1)
        assert rolling["train"].last == expanding["train"].last
        assert rolling["val"] == expanding["val"] and rolling["test"] == expanding["test"]


@given(
    lengths=st.tuples(*[st.integers(30, 300)] * 3),
    gaps=st.tuples(*[st.integers(1, 30)] * 2),
    start=st.dates(date(2015, 1, 1), date(2025, 1, 1)),
    embargo=st.integers(0, 3),
    folds=st.integers(1, 8),
    train_window=st.sampled_from(["expanding", "rolling"]),
)
@settings(max_examples=100, deadline=None)
def test_folds_never_overlap_and_their_tests_are_the_test_range(
    lengths, gaps, start, embargo, folds, train_window
):
    dates, end = days_apart(lengths, gaps, start)
    all_sessions = scheduled_sessions(start, end)
    whole = make_splits(dates, end, single(embargo))
    made = [
        make_splits(dates, end, walk_forward(folds, fold, train_window, embargo))
        for fold in range(1, folds + 1)
    ]
    tested = np.concatenate([splits["test"].sessions() for splits in made])
    assert np.array_equal(tested, whole["test"].sessions())
    lengths_of_tests = [len(splits["test"].sessions()) for splits in made]
    assert max(lengths_of_tests) - min(lengths_of_tests) <= 1
    for splits in made:
        indices = {name: np.searchsorted(all_sessions, split.sessions()) for name, split in splits.items()}
        for earlier, later in (("train", "val"), ("val", "test")):
            assert indices[earlier][-1] + embargo < indices[later][0]
        assert len(indices["val"]) == len(whole["val"].sessions())
        assert len(indices["train"]) >= len(whole["train"].sessions())
        # the distance from train's end to test's start is the stated one, in sessions
        stated_gap = np.searchsorted(all_sessions, whole["test"].sessions()[0]) - np.searchsorted(
            all_sessions, whole["train"].sessions()[-1]
        )
        assert indices["test"][0] - indices["train"][-1] == stated_gap
    assert all(np.array_equal(made[0][name].sessions(), whole[name].sessions()) for name in ("train", "val"))


def test_a_line_keeps_the_stated_ranges_and_its_folds_tests_make_up_its_own():
    line = walk_forward(3, 1).model_copy(update={"fold": None})
    parameters = parameters_of(
        date_ranges={
            **SPECIFIED.model_dump(mode="json"),
            "test": {"start": "2025-07-01", "end": "2025-12-30"},
        },
        splits=line.model_dump(),
    )
    assert line.is_line and not walk_forward(3, 1).is_line
    whole, folds = splits_of(parameters), folds_of(parameters)
    assert whole == make_splits(SPECIFIED, date(2025, 12, 30), single(1))
    tests = np.concatenate([splits["test"].sessions() for splits in folds])
    assert tests.tolist() == whole["test"].sessions().tolist()
    assert [splits["val"] for splits in folds] == [
        make_splits(SPECIFIED, date(2025, 12, 30), walk_forward(3, k))["val"] for k in (1, 2, 3)
    ]
    assert folds[1]["val"].last >= folds[0]["test"].first, "later folds are chosen on earlier ones' test"


def test_one_fold_is_the_single_split():
    for embargo in (0, 1, 3):
        whole = make_splits(SPECIFIED, date(2025, 12, 30), single(embargo))
        fold = make_splits(SPECIFIED, date(2025, 12, 30), walk_forward(1, 1, "rolling", embargo))
        for name, split in whole.items():
            assert np.array_equal(fold[name].sessions(), split.sessions())


def test_more_folds_than_test_sessions_are_an_error_with_both_counts():
    with pytest.raises(DataError, match=r"4 folds need as many test sessions; .* has 3"):
        make_splits(SPECIFIED, date(2025, 7, 3), walk_forward(4, 1))


@pytest.mark.parametrize(
    ("settings_given", "message"),
    [
        ({"mode": "single", "fold": 2}, r"\['fold'\] belong to mode walk_forward"),
        ({"mode": "walk_forward", "fold": 3}, r"mode walk_forward needs \['folds', 'train_window'\]"),
        ({"mode": "walk_forward", "folds": 1, "train_window": "rolling"}, "a line has at least 2, was 1"),
        (
            {"mode": "walk_forward", "folds": 3, "fold": 4, "train_window": "rolling"},
            "one of the 3 folds, was 4",
        ),
        ({"mode": "walk_forward", "folds": 0, "fold": 1, "train_window": "rolling"}, "folds"),
    ],
)
def test_folds_that_make_no_sense_are_refused_by_name(settings_given, message):
    with pytest.raises(ParameterError, match=message):
        parameters_of(splits=settings_given)


def test_an_open_test_end_has_no_splits_yet():
    with pytest.raises(DataError, match="still open"):
        splits_of(parameters_of("exp2_interbank_costs_v1"))
