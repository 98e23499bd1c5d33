from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.errors import DataError
from dosvotos.market.alignment import (
    CHANGE,
    END,
    EXPIRES,
    FIRST,
    VALUE,
    Z_SCORE,
    Known,
    empty_macro_state,
    is_dated,
    is_weekday,
    known_at,
    weekday_observations,
)

NAN = float("nan")


def utc(*stamps: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(stamps).tz_localize("UTC")


def observations(*rows: tuple[str, str, float]) -> pd.DataFrame:
    """Rows of (observation date, publication in UTC, value)."""
    return pd.DataFrame(
        {
            "observation_date": [date.fromisoformat(row[0]) for row in rows],
            "published_at": utc(*[row[1] for row in rows]),
            "value": [row[2] for row in rows],
        }
    )


def daily(values: np.ndarray, start: str = "2022-01-03", hour: int = 22) -> pd.DataFrame:
    """One weekday value after the other, each published on its own day."""
    days = pd.bdate_range(start, periods=len(values))
    return pd.DataFrame(
        {
            "observation_date": days.date,
            "published_at": (days + pd.Timedelta(hours=hour)).tz_localize("UTC"),
            "value": values,
        }
    )


def value_at(rows: pd.DataFrame, *stamps: str, max_age_days: int = 5) -> list[float]:
    return known_at(rows, max_age_days, utc(*stamps)).value.tolist()


def assert_equal(found: Known, expected: Known) -> None:
    for mine, theirs in zip(
        (found.value, found.z_score, found.change),
        (expected.value, expected.z_score, expected.change),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


# ---- known when


def test_a_value_is_visible_from_the_very_microsecond_of_its_publication():
    rows = observations(("2024-07-01", "2024-07-01 22:00", 10.0), ("2024-07-02", "2024-07-02 22:00", 11.0))
    seen = value_at(
        rows,
        "2024-07-01 21:59:59.999999",
        "2024-07-01 22:00:00",
        "2024-07-02 21:59:59.999999",
        "2024-07-02 22:00:00",
    )
    np.testing.assert_equal(seen, [NAN, 10.0, 10.0, 11.0])


def test_the_zone_of_an_instant_plays_no_part():
    instants = pd.DatetimeIndex(["2024-07-01 17:00", "2024-07-01 16:59"], tz="America/Bogota")
    seen = known_at(observations(("2024-07-01", "2024-07-01 22:00", 10.0)), 5, instants)
    np.testing.assert_equal(seen.value, [10.0, NAN])


def test_on_equal_publication_the_later_observation_wins_in_any_row_order():
    friday, monday = ("2024-07-05", "2024-07-08 22:00", 1.0), ("2024-07-08", "2024-07-08 22:00", 1.5)
    for rows in (observations(friday, monday), observations(monday, friday)):
        seen = known_at(rows, 5, utc("2024-07-08 22:00"))
        assert (seen.value[0], seen.change[0]) == (1.5, 0.5)


def test_an_older_observation_published_late_does_not_replace_the_newer_one():
    rows = observations(("2024-07-02", "2024-07-02 22:00", 11.0), ("2024-07-01", "2024-07-03 22:00", 10.0))
    seen = known_at(rows, 5, utc("2024-07-03 21:00", "2024-07-03 22:00"))
    assert seen.value.tolist() == [11.0, 11.0]
    np.testing.assert_allclose(seen.change, [NAN, 0.1])


def test_a_revision_replaces_its_own_value_from_its_publication_on_and_never_before():
    rows = observations(
        ("2024-07-01", "2024-07-01 22:00", 10.0),
        ("2024-07-02", "2024-07-02 22:00", 11.0),
        ("2024-07-01", "2024-07-03 12:00", 8.8),
        ("2024-07-02", "2024-07-03 18:00", 13.2),
    )
    seen = known_at(rows, 5, utc("2024-07-03 11:59", "2024-07-03 12:00", "2024-07-03 18:00"))
    assert seen.value.tolist() == [11.0, 11.0, 13.2]
    np.testing.assert_allclose(seen.change, [0.1, 0.25, 0.5])


# ---- age


def test_a_value_lives_to_the_second_its_age_passes_the_limit():
    rows = observations(("2024-07-01", "2024-07-01 22:00", 10.0))
    seen = value_at(rows, "2024-07-06 22:00:00", "2024-07-06 22:00:01", max_age_days=5)
    np.testing.assert_equal(seen, [10.0, NAN])


def test_age_counts_from_publication_not_from_the_observation():
    rows = observations(("2024-06-01", "2024-07-01 22:00", 10.0))
    assert value_at(rows, "2024-07-06 22:00") == [10.0]


def test_an_aged_value_takes_its_z_score_and_change_along():
    rows = daily(np.arange(260.0) + 100)
    last = rows["published_at"].iloc[-1]
    at_limit = pd.DatetimeIndex([last + pd.Timedelta(days=5), last + pd.Timedelta(days=5, seconds=1)])
    seen = known_at(rows, 5, at_limit)
    for column in (seen.value, seen.z_score, seen.change):
        assert np.isfinite(column[0]) and np.isnan(column[1])


def test_no_revision_renews_the_age_of_a_value():
    first, second = ("2024-07-01", "2024-07-01 22:00", 10.0), ("2024-07-02", "2024-07-02 22:00", 11.0)
    revised_latest = observations(first, second, ("2024-07-02", "2024-07-04 22:00", 12.0))
    revised_older = observations(first, second, ("2024-07-01", "2024-07-04 22:00", 10.5))
    moments = ("2024-07-07 22:00", "2024-07-07 22:01", "2024-07-09 22:00", "2024-07-09 22:01")
    np.testing.assert_equal(value_at(revised_latest, *moments), [12.0, NAN, NAN, NAN])
    np.testing.assert_equal(value_at(revised_older, *moments), [11.0, NAN, NAN, NAN])


# ---- z-score and change


def test_the_z_score_equals_pandas_rolling_window_of_252():
    values = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 700)))
    rows = daily(values)
    seen = known_at(rows, 5, pd.DatetimeIndex(rows["published_at"]))
    rolling = pd.Series(values).rolling(252)
    expected = (pd.Series(values) - rolling.mean()) / rolling.std(ddof=1)
    np.testing.assert_allclose(seen.z_score, expected, rtol=1e-9, atol=1e-9)
    assert np.isnan(seen.z_score[:251]).all() and np.isfinite(seen.z_score[251:]).all()


def test_a_z_score_by_hand():
    # 251 zeros and a 252: mean 1, sum of squares 252 x 251, so std = sqrt(252) and z = 251 / sqrt(252)
    values = np.concatenate([np.zeros(251), [252.0]])
    rows = daily(values)
    seen = known_at(rows, 5, pd.DatetimeIndex(rows["published_at"][-1:]))
    assert seen.z_score[0] == pytest.approx(251 / np.sqrt(252), rel=1e-12)


@pytest.mark.parametrize("constant", [0.0, 250.0, 0.1, 1.1, 4.33, 4.6, 17.01, 103.27])
def test_a_variable_without_spread_has_no_z_score(constant: float):
    rows = daily(np.full(252, constant))
    seen = known_at(rows, 5, pd.DatetimeIndex(rows["published_at"][-1:]))
    assert np.isnan(seen.z_score[0])


@pytest.mark.parametrize(
    ("before", "after", "known"),
    [
        ("2024-07-01", "2024-07-02", True),
        ("2024-07-05", "2024-07-08", True),  # Friday to Monday: 1 business day
        ("2024-07-01", "2024-07-08", True),  # Monday to Monday: 5
        ("2024-07-01", "2024-07-09", False),  # 6
        ("2024-07-05", "2024-07-12", True),  # Friday to Friday: 5
        ("2024-07-05", "2024-07-15", False),  # 6, the weekend does not count
    ],
)
def test_a_change_over_more_than_five_business_days_is_missing(before: str, after: str, known: bool):
    rows = observations((before, f"{before} 22:00", 100.0), (after, f"{after} 22:00", 101.0))
    change = known_at(rows, 5, utc(f"{after} 22:00")).change[0]
    assert change == pytest.approx(0.01) if known else np.isnan(change)


def test_the_first_value_and_one_after_zero_have_no_change():
    rows = observations(("2024-07-01", "2024-07-01 22:00", 0.0), ("2024-07-02", "2024-07-02 22:00", 1.0))
    assert np.isnan(known_at(rows, 5, utc("2024-07-01 22:00", "2024-07-02 22:00")).change).all()


def test_nothing_published_is_nothing_known():
    seen = known_at(daily(np.zeros(0)), 5, utc("2024-07-01 22:00"))
    assert np.isnan([seen.value, seen.z_score, seen.change]).all()


# ---- what the observations must be


def test_a_vintage_is_dated_if_it_is_a_whole_iso_day():
    vintages = pd.Series(["2024-07-01", "final", "2024-7-1", "2024-07-01T00", "v2024-07-01", ""])
    assert is_dated(vintages).tolist() == [True, False, False, False, False, False]


def test_weekdays_are_numpys_business_days_before_and_after_1970():
    days = np.arange(-30, 30)
    assert np.array_equal(is_weekday(days), np.is_busday(days.astype("datetime64[D]")))


def test_of_a_variable_the_observations_of_mondays_to_fridays_feed_features():
    days = pd.date_range("2024-07-04", periods=6).date  # Thursday to Tuesday
    rows = pd.DataFrame({"variable": ["vix"] * 6 + ["dxy"], "observation_date": [*days, days[0]]})
    assert weekday_observations(rows, "vix").index.tolist() == [0, 1, 4, 5]
    assert weekday_observations(rows, "dxy").index.tolist() == [6]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_date(bad: float):
    rows = daily(np.array([1.0, 2.0, bad, np.nan]))
    with pytest.raises(DataError) as refused:
        known_at(rows, 5, utc("2022-01-07"))
    assert (
        str(refused.value) == f"macro: values must be finite, that of 2022-01-05 is {bad}; correct that row"
    )


def test_dates_and_midnights_are_the_same_days():
    rows = daily(np.arange(10.0) + 5)
    midnights = rows.assign(observation_date=pd.to_datetime(rows["observation_date"]))
    instants = pd.DatetimeIndex(rows["published_at"])
    assert_equal(known_at(midnights, 5, instants), known_at(rows, 5, instants))


def test_before_any_publication_a_state_has_no_values_and_its_copy_shares_no_memory():
    state = empty_macro_state(3)
    assert state.days.shape == state.values.shape == (3, 504) and state.summary.shape == (3, 6)
    assert state.days.dtype == np.int64 and not state.days.any() and not state.values.any()
    assert (state.summary[:, [FIRST, END]] == 0).all() and (state.summary[:, EXPIRES] == -np.inf).all()
    assert np.isnan(state.summary[:, [VALUE, Z_SCORE, CHANGE]]).all()
    copied = state.copy()
    for mine, theirs in zip(state, copied, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert not np.shares_memory(mine, theirs)


# ---- against a replay that remembers nothing


@pytest.mark.parametrize("n_days", [251, 252, 253, 503, 504, 505, 756])
@pytest.mark.parametrize("back", [1, 2, 126, 250, 251, 252, 253])
def test_an_observation_that_comes_late_takes_its_place_in_the_window_or_none(n_days: int, back: int):
    """One day of `n_days` is published after all others, then revised, and two more days follow.

    The buffer holds 504 observations and is moved to its front when it is full, the window 252.
    """
    rows = daily(np.random.default_rng(n_days + back).normal(50, 5, n_days + 2))
    at, late = rows["published_at"], max(n_days - 1 - back, 0)
    rows.loc[late, "published_at"] = at[n_days - 1] + pd.Timedelta(minutes=1)
    revised = rows.loc[[late]].assign(
        published_at=at[n_days - 1] + pd.Timedelta(minutes=2), value=rows["value"][late] + 1
    )
    all_rows = pd.concat([rows, revised], ignore_index=True)
    instants = pd.DatetimeIndex(sorted(all_rows["published_at"]))[-5:]
    assert_equal(known_at(all_rows, 5, instants), replayed(all_rows, 5, instants))


START = date(2021, 1, 4)


@st.composite
def publications(draw: st.DrawFn) -> pd.DataFrame:
    """Some 250 to 280 days with delays, gaps and revisions, in any row order."""
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    n_days, n_revisions = draw(st.integers(1, 280)), draw(st.integers(0, 12))
    days = np.arange(n_days) * draw(st.sampled_from([1, 1, 4, 7]))
    days = days[random.random(n_days) > draw(st.sampled_from([0.0, 0.05]))]
    if len(days) == 0:
        days = np.array([0])
    revised = random.choice(days, n_revisions)
    all_days = np.concatenate([days, revised])
    delay = random.integers(0, draw(st.sampled_from([1, 24, 96])), len(all_days))
    delay[len(days) :] += random.integers(1, 400, n_revisions)
    stamps = pd.Timestamp(START).tz_localize("UTC") + pd.to_timedelta(all_days * 24 + delay, unit="h")
    rows = pd.DataFrame(
        {
            "observation_date": [START + timedelta(days=int(day)) for day in all_days],
            "published_at": stamps,
            "value": random.normal(50, 5, len(all_days)).round(2),
        }
    )
    # two rows of one day published at one moment have no order of their own
    rows = rows.drop_duplicates(["observation_date", "published_at"])
    return rows.iloc[random.permutation(len(rows))].reset_index(drop=True)


def replayed(rows: pd.DataFrame, max_age_days: int, instants: pd.DatetimeIndex) -> Known:
    """Forget everything and read all rows published by each instant anew."""
    answers = []
    for instant in instants:
        known = rows[rows["published_at"] <= instant].sort_values("published_at")
        by_day = known.groupby("observation_date")
        latest = by_day[["value"]].last().assign(published_at=by_day["published_at"].first())
        if latest.empty or instant - latest["published_at"].iloc[-1] > pd.Timedelta(days=max_age_days):
            answers.append((NAN, NAN, NAN))
            continue
        values, days = latest["value"], latest.index
        window = values.iloc[-252:]
        score = (values.iloc[-1] - window.mean()) / window.std(ddof=1) if len(window) == 252 else NAN
        near = len(days) > 1 and np.busday_count(days[-2], days[-1]) <= 5
        change = values.iloc[-1] / values.iloc[-2] - 1 if near else NAN
        answers.append((values.iloc[-1], score, change))
    return Known(*np.array(answers).T)


@given(rows=publications(), max_age_days=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=18, deadline=None)
def test_every_instant_sees_what_a_replay_of_all_earlier_publications_gives(rows, max_age_days, seed):
    random = np.random.default_rng(seed)
    first, last = rows["published_at"].min(), rows["published_at"].max() + pd.Timedelta(days=8)
    spread = pd.DatetimeIndex(first + (last - first) * random.random(12)).floor("s")
    edges = pd.DatetimeIndex(rows["published_at"].sample(min(6, len(rows)), random_state=seed))
    instants = spread.append(edges).append(edges - pd.Timedelta(microseconds=1))
    instants = instants.append(edges + pd.Timedelta(days=max_age_days))
    assert_equal(known_at(rows, max_age_days, instants), replayed(rows, max_age_days, instants))


@given(hours=st.integers(1, 200), index=st.integers(0, 29))
@settings(max_examples=40, deadline=None)
def test_moving_one_publication_moves_exactly_the_instants_between_its_two_moments(hours: int, index: int):
    random = np.random.default_rng(index)
    rows = daily(random.normal(50, 5, 30))
    moved = rows.copy()
    before = rows["published_at"].iloc[index]
    after = before + pd.Timedelta(hours=hours)
    moved.loc[index, "published_at"] = after
    instants = pd.date_range(rows["published_at"].min(), periods=24 * 52, freq="h", tz="UTC")
    left, right = (known_at(r, 1000, instants) for r in (rows, moved))
    between = (instants >= before) & (instants < after)
    for one, other in ((left.value, right.value), (left.change, right.change)):
        np.testing.assert_array_equal(one[~between], other[~between])
    overtaken = rows["published_at"].iloc[index + 1] if index < 29 else instants[-1]
    seen_late = between & (instants < overtaken)
    assert (left.value[seen_late] != right.value[seen_late]).all() and seen_late.any()
