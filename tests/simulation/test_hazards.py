"""Every defect is really there, where the list of what was done says, and nowhere else."""

import datetime as dt
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dosvotos.contracts.sample_market import HAZARDS, Hazard, SampleMarketParams
from dosvotos.market.calendar import in_session, scheduled_sessions, session_dates, slots
from dosvotos.simulation.hazards import Defect, MarketWithDefects, inject_hazards
from dosvotos.simulation.hazards.schedule import LEVEL_HAZARDS
from dosvotos.simulation.market import SimulatedMarket, simulate_market
from tests.simulation.market_factory import VARIABLES, params

SEED = 3
START, END = dt.date(2023, 7, 3), pd.Timestamp("2024-11-20 23:00", tz="UTC")
HALF_YEARS = 2
"""Whole ones from START to END."""
ON_BARS: list[Hazard] = [*HAZARDS[: HAZARDS.index("decimal_comma")], *LEVEL_HAZARDS]


@cache
def clean() -> SimulatedMarket:
    return simulate_market(params(start=START), VARIABLES, END)


@cache
def with_only(hazard: Hazard) -> MarketWithDefects:
    return inject_hazards(*clean(), [hazard], SEED)


def touched(hazard: Hazard) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bars only the clean market has, and bars only the delivery has."""
    columns = ["timestamp", "open", "high", "low", "close"]
    before, after = clean().bars[columns], with_only(hazard).bars[columns]
    both = before.merge(after, how="outer", indicator=True)
    return both[both["_merge"] == "left_only"], both[both["_merge"] == "right_only"]


def within(rows: pd.DataFrame, event: Defect) -> pd.DataFrame:
    return rows[rows["timestamp"].between(event.first, event.last)]


def values(delivery: MarketWithDefects | SimulatedMarket, variable: str) -> pd.Series:
    rows = delivery.macro[delivery.macro["variable"] == variable]
    return rows.set_index("observation_date")["value"]


# ---- in general


def test_without_names_the_market_comes_back_as_it_is():
    delivery = inject_hazards(*clean(), [], SEED)
    assert delivery.bars is clean().bars and delivery.macro is clean().macro
    assert delivery.defects == ()


def test_the_clean_market_stays_clean():
    bars, macro = clean().bars.copy(), clean().macro.copy()
    inject_hazards(bars, macro, HAZARDS, SEED)
    pd.testing.assert_frame_equal(bars, clean().bars)
    pd.testing.assert_frame_equal(macro, clean().macro)


def test_everything_at_once_is_each_by_itself():
    together = inject_hazards(*clean(), HAZARDS, SEED)
    for hazard in HAZARDS:
        alone = list(with_only(hazard).defects)
        assert [event for event in together.defects if event.hazard == hazard] == alone, hazard
        assert alone, hazard


def test_further_columns_survive():
    bars = clean().bars.assign(source="sample")
    macro = clean().macro.assign(vintage="simulated")
    delivery = inject_hazards(bars, macro, HAZARDS, SEED)
    assert delivery.bars.columns.tolist() == bars.columns.tolist()
    assert delivery.bars["timestamp"].dtype == bars["timestamp"].dtype
    assert (delivery.bars["source"] == "sample").all() and (delivery.bars["volume"] == 0).all()
    assert (delivery.macro["vintage"] == "simulated").all()
    assert set(delivery.macro["variable"]) == set(macro["variable"])


@settings(max_examples=5, deadline=None)
@given(
    until=st.datetimes(dt.datetime(2024, 1, 15), dt.datetime(2024, 11, 1)),
    start=st.dates(START, dt.date(2023, 9, 1)),
)
def test_a_later_delivery_has_the_same_defects_in_the_same_places(until: dt.datetime, start: dt.date):
    moment = pd.Timestamp(until, tz="UTC")
    bars, macro = clean()
    first = pd.Timestamp(start, tz="UTC")
    part = bars[(bars["timestamp"] < moment) & (bars["timestamp"] >= first)]
    known = macro[macro["observation_date"] < until.date()]
    early = inject_hazards(part, known, ON_BARS, SEED)
    last_whole = session_dates(pd.DatetimeIndex(part["timestamp"].iloc[[-60]]))[0]
    border = pd.Timestamp(last_whole, tz="UTC")
    late = inject_hazards(bars, macro, ON_BARS, SEED).bars

    def settled(frame):
        inside = frame[(frame["timestamp"] >= first + pd.Timedelta("7D")) & (frame["timestamp"] < border)]
        return inside.reset_index(drop=True)

    pd.testing.assert_frame_equal(settled(early.bars), settled(late))


def test_places_change_with_the_seed():
    here, there = (inject_hazards(*clean(), ["missing_session"], seed).defects for seed in (SEED, SEED + 1))
    assert {event.first for event in here} != {event.first for event in there}


def test_defects_of_bars_never_meet_on_a_day():
    events = inject_hazards(*clean(), ON_BARS, SEED).defects
    sessions = {day.astype(object) for day in scheduled_sessions(START, END.date())}
    days: dict[dt.date, str] = {}
    for event in events:
        for day in pd.date_range(event.first.normalize(), event.last.normalize(), freq="D").date:
            if event.hazard != "flat_bars" or day in sessions:
                assert days.setdefault(day, event.hazard) == event.hazard
    assert len(days) > 50


# ---- bars


@pytest.mark.parametrize("hazard", ON_BARS)
def test_bars_change_only_where_the_list_says(hazard: Hazard):
    lost, new = touched(hazard)
    events = with_only(hazard).defects
    assert len(events) >= HALF_YEARS
    listed = pd.concat([within(new, event) for event in events])
    after_spikes = len(events) if hazard == "close_spike" else 0
    assert len(listed) >= len(new) - after_spikes
    if hazard in ("sparse_session", "missing_session"):
        assert len(new) == 0 and len(lost) == sum(event.rows for event in events)


def test_bars_stay_sound_but_for_what_was_done():
    bars = inject_hazards(*clean(), HAZARDS, SEED).bars
    assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
    assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
    assert bars["timestamp"].is_monotonic_increasing


def test_mixed_labels_are_five_hours_early_and_share_days_with_true_ones():
    lost, new = touched("mixed_zone_labels")
    merged = lost.assign(timestamp=lost["timestamp"] - pd.Timedelta(hours=5)).merge(
        new, on=["timestamp", "open", "high", "low", "close"]
    )
    assert len(merged) == len(lost) == len(new) > 200
    delivered = with_only("mixed_zone_labels").bars
    early = delivered["timestamp"].dt.hour < 13
    shared = set(delivered["timestamp"][early].dt.date) & set(delivered["timestamp"][~early].dt.date)
    assert 1 < len(shared) < len(set(delivered["timestamp"][early].dt.date))


def test_duplicates_share_labels_and_some_disagree():
    bars = with_only("disagreeing_duplicates").bars
    twice = bars[bars["timestamp"].duplicated(keep=False)]
    assert len(twice) == 2 * sum(event.rows for event in with_only("disagreeing_duplicates").defects)
    spread = twice.groupby("timestamp")["close"].agg(np.ptp)
    assert 0.05 < (spread > 0.01).mean() < 0.5


def test_a_stale_run_repeats_the_close_before_it():
    for event in with_only("stale_run").defects:
        run = within(with_only("stale_run").bars, event)
        before = clean().bars.loc[clean().bars["timestamp"] < event.first, "close"].iloc[-1]
        assert 30 <= len(run) == event.rows
        assert (run[["open", "high", "low", "close"]] == before).all().all()


def test_flat_bars_keep_their_closes():
    flat = with_only("flat_bars").bars
    assert flat["close"].equals(clean().bars["close"])
    is_flat = (flat["high"] == flat["low"]) & (flat["open"] == flat["close"])
    assert is_flat.sum() == sum(event.rows for event in with_only("flat_bars").defects)


@pytest.mark.parametrize("hazard", ["off_session_bars", "weekend_bars", "holiday_quotes"])
def test_bars_are_added_where_no_session_is(hazard: Hazard):
    lost, new = touched(hazard)
    times = pd.DatetimeIndex(new["timestamp"])
    assert len(lost) == 0 and not in_session(times).any()
    local = times.tz_convert("America/Bogota")
    sessions = pd.DatetimeIndex(scheduled_sessions(START, END.date()))
    on_a_session = local.normalize().tz_localize(None).isin(sessions)
    assert on_a_session.all() if hazard == "off_session_bars" else not on_a_session.any()
    assert (local.day_of_week == 5).all() == (hazard == "weekend_bars")
    nearest = pd.merge_asof(
        new[["timestamp", "close"]].rename(columns={"close": "quote"}), clean().bars, on="timestamp"
    )
    assert (np.log(nearest["quote"] / nearest["close"]).abs() < 0.03).all()


def test_a_holiday_is_quoted_flat():
    _, new = touched("holiday_quotes")
    closes = new.groupby(new["timestamp"].dt.date)["close"]
    assert (closes.size() == 60).all()
    assert (closes.apply(lambda day: (day.diff() == 0).mean()) > 0.5).all()


def test_sparse_sessions_keep_seven_to_twelve_bars_and_missing_ones_none():
    for hazard, low, high in (("sparse_session", 7, 12), ("missing_session", 0, 0)):
        left = pd.Series(session_dates(pd.DatetimeIndex(with_only(hazard).bars["timestamp"]))).value_counts()
        for event in with_only(hazard).defects:
            day = pd.Timestamp(event.first.date())
            assert low <= left.get(day, 0) <= high
            assert left.get(day, 0) + event.rows == 60


def test_a_bad_tick_leaves_the_close_and_a_spike_is_back_in_the_next_bar():
    bars = with_only("bad_tick").bars.set_index("timestamp")
    for event in with_only("bad_tick").defects:
        row = bars.loc[event.first]
        assert row["close"] == clean().bars.set_index("timestamp").loc[event.first, "close"]
        assert max(row["high"] / row["close"], row["close"] / row["low"]) > 1.029
    spiked, plain = (frame.set_index("timestamp") for frame in (with_only("close_spike").bars, clean().bars))
    for event in with_only("close_spike").defects:
        after = event.first + pd.Timedelta(minutes=5)
        size = abs(np.log(spiked.loc[event.first, "close"] / plain.loc[event.first, "close"]))
        closes = plain.loc[plain.index.normalize() == event.first.normalize(), "close"]
        typical = np.sqrt((np.log(closes).diff() ** 2).mean())
        assert 0.0079 < size < max(0.0161, 25.1 * typical) and size > 24.9 * typical
        assert spiked.loc[after, "close"] == plain.loc[after, "close"]
        assert spiked.loc[after, "open"] == spiked.loc[event.first, "close"]
    assert (slots(pd.DatetimeIndex([e.first for e in with_only("close_spike").defects])) > 0).all()


# ---- macro


def changed(hazard: Hazard) -> dict[str, pd.DataFrame]:
    """Values before and after, by variable, where they differ."""
    both = {
        str(name): pd.concat(
            [values(clean(), name), values(with_only(hazard), name)], axis=1, keys=["was", "is"]
        )
        for name in clean().macro["variable"].unique()
    }
    return {name: rows for name, rows in ((n, r[r["was"] != r["is"]]) for n, r in both.items()) if len(rows)}


@pytest.mark.parametrize("hazard", [name for name in HAZARDS if name not in ON_BARS])
def test_values_change_only_where_the_list_says(hazard: Hazard):
    events = with_only(hazard).defects
    listed = {event.subject for event in events}
    assert set(changed(hazard)) == listed
    for name, rows in changed(hazard).items():
        own = [event for event in events if event.subject == name]
        assert all(any(event.first <= day <= event.last for event in own) for day in rows.index), name
        assert len(rows) <= sum(event.rows for event in own)


def test_a_lost_comma_multiplies():
    for name, factor in (("fxrt_spot_usdmxn_mex_d_usdmxn", 10_000), ("fxrt_spot_usdclp_chl_d_usdclp", 100)):
        rows = changed("decimal_comma")[name]
        np.testing.assert_allclose(rows["is"], rows["was"] * factor, rtol=1e-4)
        assert len(rows) > 25 * HALF_YEARS


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("comm_oil_brent_glb_d_brent", 0.28, 0.32), ("fxrt_index_dxy_usa_d_dxy", 1.2, 1.24)],
)
def test_another_instrument_stands_in_for_weeks(name: str, low: float, high: float):
    rows = changed("wrong_instrument")[name]
    assert (rows["is"] / rows["was"]).between(low, high).all()
    assert rows["is"].between(VARIABLES[name].expected_min, VARIABLES[name].expected_max).all()


def test_a_hole_has_no_observation_between_its_ends():
    for event in with_only("macro_hole").defects:
        left = values(with_only("macro_hole"), event.subject).index
        assert not [day for day in left if event.first <= day <= event.last]
        assert (event.last - event.first).days >= 30
    assert len({event.subject for event in with_only("macro_hole").defects}) == 14


def test_a_month_that_begins_on_a_weekend_repeats_the_one_before():
    repeated = changed("repeated_monthly")
    assert len(repeated) == 4
    for name, rows in repeated.items():
        delivered, true = values(with_only("repeated_monthly"), name), values(clean(), name)
        assert all(day.weekday() >= 5 for day in rows.index)
        for day in rows.index:
            before = true.index[true.index.get_loc(day) - 1]
            assert delivered[day] == true[before]


def test_a_fabricated_tail_carries_the_last_true_value_into_months_not_yet_published():
    for event in with_only("fabricated_tail").defects:
        delivered, true = values(with_only("fabricated_tail"), event.subject), values(clean(), event.subject)
        tail = delivered.iloc[-event.rows :]
        assert tail.nunique() == 1 and tail.iloc[0] == true[true.index < event.first].iloc[-1]
        assert tail.index[-1] == dt.date(2024, 11, 1) > true.index[-1]
    assert not set(changed("fabricated_tail")) & set(changed("repeated_monthly"))


def test_weekends_repeat_friday_and_the_future_repeats_today():
    for name, rows in changed("weekend_observations").items():
        assert rows["was"].isna().all() and all(day.weekday() == 6 for day in rows.index)
        fridays = [values(clean(), name)[day - dt.timedelta(days=2)] for day in rows.index]
        assert rows["is"].tolist() == fridays
    (future,) = with_only("future_observation").defects
    assert future.first > END.date() + dt.timedelta(days=300)
    assert (
        values(with_only("future_observation"), future.subject)[future.first]
        == values(clean(), future.subject).iloc[-1]
    )


def test_padding_is_empty_month_ends_since_1954():
    for event in with_only("nan_padding").defects:
        rows = values(with_only("nan_padding"), event.subject)
        empty = rows[rows.isna()]
        assert len(empty) == event.rows > 700 and empty.index[0] == dt.date(1954, 7, 31)
        assert rows.iloc[len(empty) :].equals(values(clean(), event.subject))


# ---- the parameter


def sample_params(hazards: object) -> SampleMarketParams:
    return SampleMarketParams.model_validate(
        {"seed": 1, "start": "2022-01-03", "edge": 0.0, "hazards": hazards}
    )


def test_hazards_are_none_all_or_names_in_any_order():
    assert sample_params("none").hazards == sample_params([]).hazards == ()
    assert sample_params("all").hazards == HAZARDS
    named = sample_params(["stale_run", "flat_bars", "stale_run"])
    assert named.hazards == ("flat_bars", "stale_run")
    assert SampleMarketParams.model_validate(named.model_dump(mode="json")) == named
    with pytest.raises(ValidationError, match="stale_runs"):
        sample_params(["stale_runs"])
    with pytest.raises(ValidationError, match="hazards"):
        sample_params("some")


def test_a_market_with_defects_has_a_name_of_its_own():
    names = {sample_params(hazards).feed for hazards in ("none", "all", ["stale_run"], ["bad_tick"])}
    assert len(names) == 4
    assert sample_params(list(HAZARDS)).feed == sample_params("all").feed
