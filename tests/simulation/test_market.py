from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.errors import ParameterError
from dosvotos.market.calendar import BAR, scheduled_sessions, session_dates, slots
from dosvotos.simulation import market as sample
from dosvotos.simulation.market import FIRST_SESSION, SimulatedMarket, simulate_market
from dosvotos.simulation.oracle import planted_signal
from tests.simulation.market_factory import (
    EDGE,
    END,
    SPOT,
    VARIABLES,
    features,
    market,
    params,
    with_publication,
)

pytestmark = pytest.mark.slow

COST = 3.5e-4
SESSION_STD = 0.00721
SIGNAL_SD = 0.5 * np.sqrt(3 + 2 * (0.026 + 0.332 + 0.201))
DXY = MACRO_SOURCES["dxy"]


def by_session(column: pd.Series) -> np.ndarray:
    return column.to_numpy().reshape(-1, 60)


def announced_signal() -> np.ndarray:
    """What the features of each session's first bar say, shape (n_sessions,)."""
    first = features()[slots(pd.DatetimeIndex(features().index)) == 0]
    return planted_signal(*(first[f"{name}_change_1d"].to_numpy() for name in ("dxy", "brent", "usdmxn")))


def series(name: str, edge: float = EDGE) -> pd.Series:
    rows = market(edge).macro.query("variable == @name")
    return rows.set_index("observation_date")["value"]


def seen_by(until: pd.Timestamp, start: date, whole: SimulatedMarket) -> SimulatedMarket:
    first = (pd.Timestamp(start) - pd.DateOffset(months=18)).date()
    macro = with_publication(whole.macro)
    macro = macro[(macro["published_at"] <= until) & (macro["observation_date"] >= first)]
    closed = whole.bars["timestamp"] + BAR <= until
    bars = whole.bars[closed & (whole.bars["timestamp"] >= pd.Timestamp(start, tz="UTC"))]
    return SimulatedMarket(
        bars.reset_index(drop=True), macro.drop(columns="published_at").reset_index(drop=True)
    )


def assert_same(left: SimulatedMarket, right: SimulatedMarket) -> None:
    pd.testing.assert_frame_equal(left.bars, right.bars, check_exact=True)
    pd.testing.assert_frame_equal(left.macro, right.macro, check_exact=True)


# ---- the frames


def test_bars_are_whole_sessions_on_the_calendar_with_true_ranges():
    bars = market(EDGE).bars
    times = pd.DatetimeIndex(bars["timestamp"])
    assert bars.columns.tolist() == ["timestamp", "open", "high", "low", "close", "volume"]
    assert str(bars["timestamp"].dtype) == "datetime64[us, UTC]"
    assert np.array_equal(session_dates(times)[::60], scheduled_sessions(FIRST_SESSION, END.date()))
    assert np.array_equal(slots(times), np.tile(np.arange(60), len(bars) // 60))
    body = bars[["open", "close"]]
    assert (bars["high"] >= body.max(axis=1)).all() and (bars["low"] <= body.min(axis=1)).all()
    assert (bars["high"] > bars["low"]).all() and (bars["volume"] == 0).all()
    assert np.array_equal(by_session(bars["open"])[:, 1:], by_session(bars["close"])[:, :-1])
    assert abs(bars["open"].iloc[0] / 4000 - 1) < 0.02


def test_all_forty_variables_are_observed_at_their_frequency():
    counts = market(EDGE).macro.groupby("variable").size()
    assert set(counts.index) == set(VARIABLES) and len(counts) == 40
    per_year = {"daily": 243.5, "monthly": 12, "quarterly": 4}
    for name, variable in VARIABLES.items():
        years = (END.date() - series(name).index[0]).days / 365.25
        assert counts[name] / years == pytest.approx(per_year[variable.frequency], rel=0.08), name


@pytest.mark.parametrize("seed", [0, 1])
def test_every_value_stays_in_its_expected_range_until_2030(seed: int):
    until = pd.Timestamp("2030-12-31", tz="UTC")
    macro = simulate_market(params(seed=seed), VARIABLES, until).macro
    assert macro["value"].notna().all()
    for name, values in macro.groupby("variable")["value"]:
        variable = VARIABLES[name]
        floor = (
            max(variable.expected_min, 0) if variable.unit.startswith("percent") else variable.expected_min
        )
        assert values.between(floor, variable.expected_max, inclusive="neither").all(), name


def test_the_spots_daily_value_is_the_sessions_last_close():
    bars = market(EDGE).bars
    spot = series(SPOT)
    days = session_dates(pd.DatetimeIndex(bars["timestamp"]))[::60]
    assert spot.index.tolist() == days.tolist()
    assert np.array_equal(spot.to_numpy(), by_session(bars["close"])[:, -1])


def test_nothing_is_observed_on_a_day_closed_where_it_is_released():
    thanksgiving, independence_of_colombia = date(2021, 11, 25), date(2021, 7, 20)
    assert thanksgiving not in series(DXY) and thanksgiving in series(SPOT)
    assert independence_of_colombia in series(DXY) and independence_of_colombia not in series(SPOT)


def test_policy_rates_step_by_quarter_points_and_the_others_follow():
    fed, prime = series("polr_fed_funds_usa_m_fedfunds"), series("polr_prime_rate_usa_d_prime")
    tpm, ibr = series("polr_policy_rate_col_d_tpm"), series("finc_rate_ibr_overnight_col_d_ibr")
    for rate, moves_a_year in ((fed, 6), (tpm, 9)):
        steps = rate.diff().dropna()
        assert (steps % 0.25 == 0).all() and (steps.abs() <= 2).all()
        assert 0 < (steps != 0).sum() < moves_a_year * 7.5
    months = pd.DatetimeIndex(prime.index).to_period("M").to_timestamp().date
    known = np.isin(months, fed.index)
    np.testing.assert_allclose(prime[known], fed.loc[months[known]] + 3, atol=1e-9)
    beside = ibr - tpm.loc[ibr.index] + 0.1
    assert abs(beside.mean()) < 0.002 and beside.std() == pytest.approx(0.0125, rel=0.1)


def test_variables_the_simulator_does_not_know_stay_absent():
    wanted = {name: VARIABLES[name] for name in (DXY, MACRO_SOURCES["brent"], MACRO_SOURCES["usdmxn"])}
    shown = simulate_market(params(), wanted | {"new": wanted[DXY]}, pd.Timestamp("2020-02-01", tz="UTC"))
    assert set(shown.macro["variable"]) == set(wanted)


# ---- what a moment can change


@settings(max_examples=8, deadline=None)
@given(
    until=st.datetimes(
        pd.Timestamp("2020-07-01").to_pydatetime(), pd.Timestamp("2021-12-31").to_pydatetime()
    ),
    start=st.dates(FIRST_SESSION, date(2020, 6, 30)),
)
def test_what_was_seen_by_a_moment_depends_neither_on_the_end_nor_on_the_start(until, start):
    moment = pd.Timestamp(until, tz="UTC")
    seen = simulate_market(params(start=start), VARIABLES, moment)
    assert_same(seen, seen_by(moment, start, market(EDGE)))


def test_a_market_with_another_end_has_the_same_past_years_later():
    longer = simulate_market(params(), VARIABLES, pd.Timestamp("2027-06-30", tz="UTC"))
    assert_same(seen_by(END, FIRST_SESSION, longer), market(EDGE))


def test_bars_and_values_appear_at_the_instant_they_are_known():
    close, release = (pd.Timestamp(f"2020-03-10 {at}", tz="UTC") for at in ("15:05", "22:00"))
    instant = pd.Timedelta(microseconds=1)

    def last_seen(until: pd.Timestamp) -> tuple[pd.Timestamp, date]:
        shown = simulate_market(params(), VARIABLES, until)
        dxy = shown.macro.query("variable == @DXY")["observation_date"]
        return shown.bars["timestamp"].max() + BAR, dxy.max()

    assert last_seen(close)[0] == close
    assert last_seen(close - instant)[0] == close - BAR
    assert last_seen(release)[1] == date(2020, 3, 10)
    assert last_seen(release - instant)[1] == date(2020, 3, 9)


def test_the_first_sessions_already_have_a_year_of_macro_behind_them():
    complete = features().dropna()
    assert session_dates(pd.DatetimeIndex(complete.index))[0] == np.datetime64(FIRST_SESSION)
    assert len(complete) / len(features()) > 0.99


@pytest.mark.parametrize("start", [date(2020, 1, 1), date(2026, 1, 16)])
def test_a_start_outside_the_simulation_is_refused(start: date):
    with pytest.raises(ParameterError, match=f"sample_market.start.*2020-01-02.*2026-01-15.*was {start}"):
        simulate_market(params(start=start), VARIABLES, END)


# ---- the planted edge


def test_the_signal_has_nearly_unit_variance():
    signal = announced_signal()
    assert signal.mean() == pytest.approx(0.0, abs=0.08)
    assert signal.std() == pytest.approx(0.95, abs=0.05)
    assert np.abs(signal).max() == 2.0


def test_the_planted_signal_is_the_one_the_first_bars_features_announce(monkeypatch):
    monkeypatch.setattr(sample, "planted_signal", lambda *changes: np.zeros(len(changes[0])))
    noise = np.log(by_session(simulate_market(params(), VARIABLES, END).bars["close"]))
    drift = np.log(by_session(market(EDGE).bars["close"])) - noise
    drift -= drift[:, :1]
    signal = drift[:, -1] / (EDGE * SESSION_STD)
    np.testing.assert_allclose(signal, announced_signal(), atol=1e-5)
    stale = np.diff(noise, axis=1, prepend=np.nan) == 0
    evenly = np.outer(drift[:, -1], np.arange(60) / 59)
    np.testing.assert_allclose(drift[~stale], evenly[~stale], atol=1e-8)


def test_no_drift_is_planted_before_the_first_close():
    def first_moves(edge: float) -> np.ndarray:
        bars = market(edge).bars
        return np.log(by_session(bars["close"])[:, 0] / by_session(bars["open"])[:, 0])

    np.testing.assert_allclose(first_moves(EDGE), first_moves(0.0), atol=1e-8)


def test_sessions_drift_as_planted_and_nights_do_not():
    close = np.log(by_session(market(EDGE).bars["close"]))
    signal = announced_signal()

    def slope_and_error(moves: np.ndarray, on: np.ndarray) -> tuple[float, float]:
        slope = float(moves @ on / (on @ on))
        return slope, float((moves - slope * on).std() / np.sqrt(on @ on))

    slope, error = slope_and_error(close[:, -1] - close[:, 0], signal)
    assert slope == pytest.approx(EDGE * SESSION_STD, abs=3 * error)
    assert error < 0.1 * EDGE * SESSION_STD
    slope, error = slope_and_error(close[1:, 0] - close[:-1, -1], signal[:-1])
    assert slope == pytest.approx(0.0, abs=3 * error)


def test_the_edge_keeps_the_sessions_variance():
    def session_std(edge: float) -> float:
        close = np.log(by_session(market(edge).bars["close"]))
        return float((close[:, -1] - close[:, 0]).std())

    assert session_std(EDGE) == pytest.approx(session_std(0.0), rel=0.04)


# ---- its name


def test_the_feeds_name_changes_with_every_parameter():
    others = [params(seed=8), params(edge=0.4), params(start=date(2021, 1, 4))]
    others.append(params().model_copy(update={"hazards": ("stale_run",)}))
    names = {p.feed for p in [params(), *others]}
    assert len(names) == 5
    assert params().feed == params().feed
    assert all(name.startswith("sample-") and len(name) == 19 for name in names)
