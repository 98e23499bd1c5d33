from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dosvotos.contracts.features import FEATURE_VARIABLES, MACRO_SOURCES, MARKET_FEATURES, TECHNICAL_FEATURES
from dosvotos.market.calendar import BAR, session_bar_times, slots
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.market.features.compute import technical_features
from tests.conftest import parameters_of

SEEN_BY_TALIB = 28
N_BARS = 3 * 60
VARIABLES = parameters_of().macro_variables.variables


def wander(n_bars: int, seed: int, step: float = 5e-4) -> np.ndarray:
    return 4000 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, step, n_bars)))


def gapped(n_bars: int) -> np.ndarray:
    gaps = np.where(np.arange(n_bars) % 60 == 0, np.random.default_rng(5).normal(0, 0.02, n_bars), 0.0)
    return wander(n_bars, 4) * np.exp(np.cumsum(gaps))


SERIES = {
    "random": wander(2000, 0),
    "rounded to pesos": wander(2000, 1).round(0),
    "flat": np.full(300, 4000.0),
    "flat, then moving": np.concatenate([np.full(80, 4000.0), wander(300, 2)]),
    "moving, then flat": np.concatenate([wander(300, 3), np.full(200, 4100.0)]),
    "mostly flat": np.where(np.arange(600) % 40 < 36, 4000.0, wander(600, 6)),
    "rising": 4000 + 0.7 * np.arange(300.0),
    "falling": 4000 - 0.7 * np.arange(300.0),
    "zigzag": 4000 + np.arange(300) % 2.0,
    "gapped": gapped(1200),
    "tiny prices": wander(600, 7) / 1e6,
}


def with_ranges(close: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    wicks = np.random.default_rng(seed).exponential(3e-4, (2, len(close)))
    return close * np.exp(wicks[0]), close * np.exp(-wicks[1])


def rsi(close: np.ndarray) -> np.ndarray:
    return technical_features(close, close, close)[:, 3]


def atr(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    return technical_features(high, low, close)[:, 4] * close


def adx(close: np.ndarray) -> np.ndarray:
    return technical_features(close, close, close)[:, 5]


def assert_as_talib(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> None:
    for mine, theirs in zip(
        technical_features(high, low, close).T[3:],
        (talib.RSI(close, 9), talib.ATR(high, low, close, 10) / close, talib.ADX(high, low, close, 14)),
        strict=True,
    ):
        assert np.array_equal(np.isnan(mine), np.isnan(theirs))
        np.testing.assert_allclose(mine[SEEN_BY_TALIB:], theirs[SEEN_BY_TALIB:], rtol=0, atol=1e-9)


# ---- technical features


@pytest.mark.parametrize("close", SERIES.values(), ids=SERIES.keys())
def test_rsi_atr_and_adx_equal_talib_on_closes(close: np.ndarray):
    assert_as_talib(close, close, close)


@pytest.mark.parametrize("close", SERIES.values(), ids=SERIES.keys())
def test_rsi_atr_and_adx_equal_talib_on_highs_and_lows(close: np.ndarray):
    assert_as_talib(*with_ranges(close, seed=8), close)


def test_rsi_atr_and_adx_equal_talib_on_the_sample_market(small_market: MarketHistory):
    high, low, close = (small_market.bars[name].to_numpy(float) for name in ("high", "low", "close"))
    assert_as_talib(high, low, close)
    assert_as_talib(close, close, close)


@given(arrays(np.float64, st.integers(30, 120), elements=st.integers(3990, 4010).map(float)))
@settings(max_examples=60, deadline=None)
def test_rsi_atr_and_adx_equal_talib_on_any_path_of_whole_pesos(close: np.ndarray):
    assert_as_talib(close, close, close)


@given(arrays(np.int64, st.tuples(st.integers(30, 120), st.just(3)), elements=st.integers(0, 3)))
@settings(max_examples=40, deadline=None)
def test_rsi_atr_and_adx_equal_talib_where_highs_rise_as_much_as_lows_fall(moves: np.ndarray):
    close = 4000.0 + moves[:, 0]
    assert_as_talib(close + moves[:, 1], close - moves[:, 2], close)


def test_rsi_by_hand():
    # nine changes: five of +2 and four of -1, so 10 / 9 over 14 / 9; then +2: gain (8 x 10/9 + 2) / 9
    close = np.cumsum([100.0, 2, -1, 2, -1, 2, -1, 2, -1, 2, 2])
    gain, loss = 10 / 9, 4 / 9
    next_gain, next_loss = (8 * gain + 2) / 9, 8 * loss / 9
    found = rsi(close)
    assert np.isnan(found[:9]).all()
    assert found[9] == pytest.approx(100 * 10 / 14)
    assert found[10] == pytest.approx(100 * next_gain / (next_gain + next_loss))


def test_atr_by_hand_takes_the_gap_into_the_true_range():
    close = np.array([100.0] * 10 + [110.0, 110.0])
    high, low = close + 1, close - 1
    found = atr(high, low, close)
    # nine ranges of 2 and one from 100 to 111, then one of 2
    assert found[10] == pytest.approx((9 * 2 + 11) / 10)
    assert found[11] == pytest.approx((9 * found[10] + 2) / 10)


def test_a_steady_rise_has_full_adx_and_rsi_and_a_steady_fall_full_adx_and_no_rsi():
    for close, strength in ((SERIES["rising"], 100.0), (SERIES["falling"], 0.0)):
        assert adx(close)[-1] == pytest.approx(100.0)
        assert rsi(close)[-1] == pytest.approx(strength)
        assert atr(close, close, close)[-1] == pytest.approx(0.7)


def test_log_returns_by_hand():
    close = np.cumprod([100.0] + [1.01] * 60)
    found = technical_features(close, close, close)[:, :3]
    for column, bars in enumerate((1, 12, 48)):
        assert np.isnan(found[:bars, column]).all()
        np.testing.assert_allclose(found[bars:, column], bars * np.log(1.01), rtol=0, atol=1e-14)


@pytest.mark.parametrize("n_bars", [0, 1, 2, 9, 13, 14, 27])
def test_a_short_history_gives_a_row_a_bar_and_no_guess(n_bars: int):
    close = wander(n_bars, 9)
    found = technical_features(close, close, close)
    assert found.shape == (n_bars, 6)
    warm_up = [1, 12, 48, 9, 10, 27]
    for column, first in enumerate(warm_up):
        assert np.isnan(found[: min(first, n_bars), column]).all()
        assert np.isfinite(found[first:, column]).all()


def test_flat_prices_give_zeros_not_gaps():
    found = technical_features(*[np.full(100, 4000.0)] * 3)
    assert (found[48:] == 0.0).all()


@given(st.integers(1, 99), st.integers(0, 10))
@settings(max_examples=30, deadline=None)
def test_technical_features_of_a_longer_history_begin_with_those_of_a_shorter(cut: int, seed: int):
    close = wander(100, seed)
    high, low = with_ranges(close, seed)
    np.testing.assert_array_equal(
        technical_features(high, low, close)[:cut], technical_features(high[:cut], low[:cut], close[:cut])
    )


# ---- the 13 features of a market


@pytest.fixture(scope="module")
def trimmed(small_market: MarketHistory) -> MarketHistory:
    """Its last three sessions, and of each variable little more than a z-score's window."""
    return trim(small_market)


def trim(history: MarketHistory) -> MarketHistory:
    rows = history.macro[history.macro["variable"].isin(FEATURE_VARIABLES.values())]
    return MarketHistory(
        history.bars.iloc[-N_BARS:], rows.groupby("variable").tail(262).reset_index(drop=True)
    )


def slow_macro(
    history: MarketHistory, short: str, moment: pd.Timestamp, max_age: int
) -> tuple[float, float, float]:
    """Value, z-score and change of one variable, from all rows published by a moment."""
    rows = history.macro[history.macro["variable"] == MACRO_SOURCES[short]]
    rows = rows[[day.weekday() < 5 for day in rows["observation_date"]]]
    rows = rows[rows["published_at"] <= moment].sort_values("observation_date")
    latest = rows.iloc[-1]
    assert moment - latest["published_at"] <= timedelta(days=max_age)
    window = rows["value"].iloc[-252:]
    assert len(window) == 252
    values, days = rows["value"].iloc[-2:].tolist(), rows["observation_date"].iloc[-2:].tolist()
    apart = len([d for d in pd.date_range(days[0], days[1], inclusive="left") if d.weekday() < 5])
    change = values[1] / values[0] - 1 if apart <= 5 else np.nan
    return values[1], (values[1] - window.mean()) / window.std(ddof=1), change


@pytest.mark.parametrize("range_source", ["close", "bars"])
def test_the_features_of_a_bar_equal_a_slow_computation_from_what_was_known(
    small_market: MarketHistory, variables, range_source
):
    features = market_features(small_market, variables, range_source)
    assert list(features.columns) == [*MARKET_FEATURES, "time_normalized", "policy_rate_difference"]
    assert features.index.equals(small_market.bars.index)
    for t in (700, 1141, 2399, 3000, 3887):
        bars = small_market.bars.iloc[: t + 1]
        close = bars["close"].to_numpy()
        high, low = (close, close) if range_source == "close" else (bars["high"], bars["low"])
        moment = bars.index[-1] + pd.Timedelta(minutes=5)
        age = {short: variables[name].ffill_max_days for short, name in MACRO_SOURCES.items()}
        value, score, change = {}, {}, {}
        for short in MACRO_SOURCES:
            value[short], score[short], change[short] = slow_macro(small_market, short, moment, age[short])
        expected = {
            "log_ret_5m": np.log(close[-1] / close[-2]),
            "log_ret_1h": np.log(close[-1] / close[-13]),
            "log_ret_4h": np.log(close[-1] / close[-49]),
            "rsi_9": talib.RSI(close, 9)[-1],
            "atr_pct": talib.ATR(np.array(high), np.array(low), close, 10)[-1] / close[-1],
            "adx_14": talib.ADX(np.array(high), np.array(low), close, 14)[-1],
            "dxy_z": score["dxy"],
            "dxy_change_1d": change["dxy"],
            "vix_z": score["vix"],
            "embi_z": score["embi"],
            "brent_change_1d": change["brent"],
            "rate_spread": value["col10y"] - value["ust10y"],
            "usdmxn_change_1d": change["usdmxn"],
            "time_normalized": (t % 60) / 59,
        }
        found = features.iloc[t]
        for name, wanted in expected.items():
            np.testing.assert_allclose(found[name], wanted, rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_policy_rate_difference_is_fed_funds_minus_tpm_as_known(small_market: MarketHistory, variables):
    found = market_features(small_market, variables)["policy_rate_difference"]
    for t in (0, 1500, 3887):
        moment = small_market.bars.index[t] + BAR
        latest = {
            short: small_market.macro[
                (small_market.macro["variable"] == FEATURE_VARIABLES[short])
                & (small_market.macro["published_at"] <= moment)
            ]
            .sort_values("observation_date")["value"]
            .iloc[-1]
            for short in ("fed_funds", "tpm")
        }
        assert found.iloc[t] == latest["fed_funds"] - latest["tpm"]


def test_returns_cross_sessions_and_indicators_run_on(small_market: MarketHistory, variables):
    features = market_features(small_market, variables)
    close = small_market.bars["close"].to_numpy()
    opening = 2400  # a session's first bar
    assert opening % 60 == 0
    assert features["log_ret_5m"].iloc[opening] == pytest.approx(
        np.log(close[opening] / close[opening - 1]), rel=0, abs=1e-14
    )
    assert features["log_ret_4h"].iloc[opening] == pytest.approx(
        np.log(close[opening] / close[opening - 48]), rel=0, abs=1e-14
    )
    assert features[list(TECHNICAL_FEATURES)].iloc[48:].notna().all().all()


def test_a_bar_counts_existing_bars_and_its_clock_counts_minutes(trimmed: MarketHistory, variables):
    holed = MarketHistory(trimmed.bars.drop(trimmed.bars.index[70:80]), trimmed.macro)  # slots 10 to 19
    features = market_features(holed, variables)
    close = holed.bars["close"].to_numpy()
    after_the_hole = 70
    assert features["log_ret_1h"].iloc[after_the_hole] == pytest.approx(
        np.log(close[70] / close[58]), rel=0, abs=1e-14
    )
    assert features["time_normalized"].iloc[after_the_hole] == 20 / 59


def test_a_value_published_at_the_very_close_of_a_bar_is_seen_by_it(trimmed: MarketHistory, variables):
    t = 100
    close_of_t = trimmed.bars.index[t] + BAR
    dxy = trimmed.macro["variable"] == MACRO_SOURCES["dxy"]
    last = trimmed.macro[dxy]["observation_date"].max()
    for delay, first_to_see in ((pd.Timedelta(0), t), (pd.Timedelta(seconds=1), t + 1)):
        published = pd.DataFrame(
            {
                "variable": [MACRO_SOURCES["dxy"]],
                "observation_date": [last + timedelta(days=7 - last.weekday())],
                "published_at": [close_of_t + delay],
                "value": [200.0],
            }
        )
        before = market_features(trimmed, variables)["dxy_z"]
        after = market_features(
            MarketHistory(trimmed.bars, pd.concat([trimmed.macro, published], ignore_index=True)), variables
        )["dxy_z"]
        assert np.flatnonzero((before != after).to_numpy())[0] == first_to_see
        assert (after.iloc[first_to_see:] > 10).all()


def test_weekend_observations_feed_no_feature(small_market: MarketHistory, variables):
    weekend = pd.date_range("2019-01-05", "2020-04-03").to_series().loc[lambda d: d.dt.weekday >= 5]
    noise = pd.concat(
        pd.DataFrame(
            {
                "variable": name,
                "observation_date": weekend.dt.date.to_numpy(),
                "published_at": (weekend + pd.Timedelta(hours=1)).dt.tz_localize("UTC").to_numpy(),
                "value": 1e4,
            }
        ).astype({"published_at": "datetime64[us, UTC]"})
        for name in MACRO_SOURCES.values()
    )
    with_noise = MarketHistory(small_market.bars, pd.concat([small_market.macro, noise], ignore_index=True))
    pd.testing.assert_frame_equal(
        market_features(with_noise, variables)[list(MARKET_FEATURES)],
        market_features(small_market, variables)[list(MARKET_FEATURES)],
        check_exact=True,
    )


def test_a_change_over_a_holiday_week_is_missing_but_its_z_score_is_not(trimmed: MarketHistory, variables):
    dxy = trimmed.macro["variable"] == MACRO_SOURCES["dxy"]
    dates = sorted(trimmed.macro[dxy]["observation_date"])
    gone = trimmed.macro[dxy & trimmed.macro["observation_date"].isin(dates[-7:-1])].index
    features = market_features(MarketHistory(trimmed.bars, trimmed.macro.drop(gone)), variables)
    assert np.isnan(features["dxy_change_1d"].iloc[-1])
    assert np.isfinite(features["dxy_z"].iloc[-1])


def test_a_variable_that_stops_leaves_its_features_missing_after_five_days(
    small_market: MarketHistory, variables
):
    embi = small_market.macro["variable"] == MACRO_SOURCES["embi"]
    stops = pd.Timestamp("2020-03-11", tz="UTC")
    gone = small_market.macro[embi & (small_market.macro["published_at"] > stops)].index
    stopped = MarketHistory(small_market.bars, small_market.macro.drop(gone))
    last = stopped.macro[stopped.macro["variable"] == MACRO_SOURCES["embi"]]["published_at"].max()
    features = market_features(stopped, variables)
    closes = features.index + BAR
    assert features["embi_z"][closes <= last + pd.Timedelta(days=5)].notna().all()
    assert features["embi_z"][closes > last + pd.Timedelta(days=5)].isna().all()
    others = [name for name in MARKET_FEATURES if name != "embi_z"]
    assert features[others].iloc[48:].notna().all().all()


MADE_OF = {
    "dxy_z": ("dxy",),
    "dxy_change_1d": ("dxy",),
    "vix_z": ("vix",),
    "embi_z": ("embi",),
    "brent_change_1d": ("brent",),
    "usdmxn_change_1d": ("usdmxn",),
    "rate_spread": ("col10y", "ust10y"),
    "policy_rate_difference": ("fed_funds", "tpm"),
}


@given(
    short=st.sampled_from(list(FEATURE_VARIABLES)),
    t=st.integers(0, N_BARS - 2),
    n_bars=st.sampled_from([1, 1, 7, 60]),
    factor=st.sampled_from([0.9, 1.2]),
)
@settings(max_examples=25, deadline=None)
def test_a_publication_moved_by_some_bars_changes_exactly_those_bars_of_its_own_features(
    trimmed, short, t, n_bars, factor
):
    later = min(t + n_bars, N_BARS - 1)
    own = trimmed.macro[trimmed.macro["variable"] == FEATURE_VARIABLES[short]]
    latest = own.sort_values("observation_date").iloc[[-1]]
    next_day = pd.Timestamp(latest["observation_date"].iloc[0]) + pd.offsets.BDay()
    published = latest.assign(observation_date=next_day.date(), value=latest["value"] * factor)
    closes = trimmed.bars.index + BAR
    early, late = (
        market_features(
            MarketHistory(
                trimmed.bars, pd.concat([trimmed.macro, published.assign(published_at=at)], ignore_index=True)
            ),
            VARIABLES,
        )
        for at in (closes[t], closes[later])
    )
    moved = (early != late) & ~(early.isna() & late.isna())
    expected = np.zeros(moved.shape, dtype=bool)
    columns = [early.columns.get_loc(name) for name, inputs in MADE_OF.items() if short in inputs]
    expected[t:later, columns] = True
    np.testing.assert_array_equal(moved.to_numpy(), expected)


@given(
    days=st.lists(st.integers(1, 6), min_size=len(FEATURE_VARIABLES), max_size=len(FEATURE_VARIABLES)),
    indices=st.lists(
        st.integers(0, N_BARS - 1), min_size=len(FEATURE_VARIABLES), max_size=len(FEATURE_VARIABLES)
    ),
    off=st.sampled_from([-1, 0, 1]),
)
@settings(max_examples=15, deadline=None)
def test_features_are_missing_exactly_where_a_value_s_age_passes_its_limit(
    small_market, trimmed, days, indices, off
):
    closes, parts, aged, limited = trimmed.bars.index + BAR, [], {}, {}
    for (short, name), limit, index in zip(FEATURE_VARIABLES.items(), days, indices, strict=True):
        limited[name] = VARIABLES[name].model_copy(update={"ffill_max_days": limit})
        at = closes[index] - timedelta(days=limit) + pd.Timedelta(microseconds=off)
        own = small_market.macro[small_market.macro["variable"] == name].sort_values("observation_date")
        own = own[own["published_at"] <= at].tail(262)
        own.loc[own.index[-1], "published_at"] = at  # the last one before it falls silent
        parts.append(own)
        seen = np.searchsorted(own["published_at"], closes, side="right") - 1
        assert (seen >= 0).all()
        ages = closes - pd.DatetimeIndex(own["published_at"])[seen]
        aged[short] = np.asarray(ages > timedelta(hours=24 * limit))
    features = market_features(MarketHistory(trimmed.bars, pd.concat(parts)), limited)
    for name, inputs in MADE_OF.items():
        expected = np.any([aged[short] for short in inputs], axis=0)
        np.testing.assert_array_equal(features[name].isna(), expected, err_msg=name)


def test_one_bar_and_no_publications_give_a_row_of_gaps(variables):
    bars = pd.DataFrame(
        {"open": [4000.0], "high": [4001.0], "low": [3999.0], "close": [4000.0]},
        index=session_bar_times(np.datetime64("2024-07-02"))[:1],
    )
    macro = pd.DataFrame(
        {
            "variable": pd.Series([], dtype="str"),
            "observation_date": pd.Series([], dtype="object"),
            "published_at": pd.Series([], dtype="datetime64[us, UTC]"),
            "value": pd.Series([], dtype="float64"),
        }
    )
    for range_source in ("close", "bars"):
        features = market_features(MarketHistory(bars, macro), variables, range_source)
        assert features[list(MARKET_FEATURES)].isna().all(axis=None)
        assert features["time_normalized"].tolist() == [0.0]


# ---- no feature sees the future

FUTURES = ("prices", "no bars", "values", "no values", "revisions", "other publication")


@pytest.fixture(scope="module")
def untouched(trimmed: MarketHistory) -> dict[str, pd.DataFrame]:
    return {source: market_features(trimmed, VARIABLES, source) for source in ("close", "bars")}


@pytest.mark.parametrize("how", FUTURES)
@given(t=st.integers(0, N_BARS - 2), seed=st.integers(0, 2**16), source=st.sampled_from(["close", "bars"]))
@settings(max_examples=5, deadline=None)
def test_whatever_happens_after_a_bar_moves_no_feature_up_to_it(trimmed, untouched, how, t, seed, source):
    other = another_future(trimmed, t, how, np.random.default_rng(seed))
    after = market_features(other, VARIABLES, source)
    pd.testing.assert_frame_equal(
        untouched[source].iloc[: t + 1], after.iloc[: t + 1], check_exact=True, check_freq=False
    )


def another_future(history: MarketHistory, t: int, how: str, random: np.random.Generator) -> MarketHistory:
    """The same history up to the close of bar t, and something else after it."""
    bars, macro = history.bars.copy(), history.macro.copy()
    closes = bars.index[t] + BAR
    later = (macro["published_at"] > closes).to_numpy()
    if how == "prices":
        future = bars.index[t + 1 :]
        factor = np.exp(random.normal(0, 0.05, (len(future), 1)))
        bars.loc[future, ["open", "high", "low", "close"]] *= factor
    elif how == "no bars":
        bars = bars.iloc[: t + 1 + random.integers(0, 2)]
    elif how == "values":
        macro.loc[later, "value"] *= np.exp(random.normal(0, 0.5, later.sum()))
    elif how == "no values":
        macro = macro[~later | (random.random(len(macro)) < 0.5)]
    elif how == "revisions":
        revised = macro.sample(60, random_state=int(random.integers(1000)))
        revised = revised.assign(value=revised["value"] * 1.5, published_at=closes + pd.Timedelta(seconds=1))
        macro = pd.concat([macro, revised], ignore_index=True)
    else:
        hours = pd.to_timedelta(random.integers(1, 200, len(macro)), unit="h")
        macro.loc[later, "published_at"] = (macro["published_at"] + hours)[later]
    return MarketHistory(bars, macro)


def test_those_futures_are_others_so_that_the_test_above_argues(trimmed, untouched):
    t = 70
    for how in FUTURES:
        other = another_future(trimmed, t, how, np.random.default_rng(1))
        after = market_features(other, VARIABLES)
        assert not untouched["close"].iloc[t + 1 :].equals(after.iloc[t + 1 :]), how


def test_the_sample_market_is_what_these_tests_take_it_for(small_market: MarketHistory):
    assert len(small_market.bars) == 65 * 60
    assert slots(pd.DatetimeIndex(small_market.bars.index)).tolist() == list(range(60)) * 65
    assert max(small_market.macro["observation_date"]) <= date(2020, 4, 3)
