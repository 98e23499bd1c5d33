"""Holes of more than three scheduled sessions between bars, and what is missing after them."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.contracts.features import TECHNICAL_FEATURES
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.market.calendar import REGULAR, scheduled_sessions, session_bar_times
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.market.features.inputs import bar_arrays
from dosvotos.market.missing import count_reasons, missing_reasons
from dosvotos.market.stream import FeatureStream
from tests.conftest import parameters_of

VARIABLES = parameters_of().macro_variables.variables
DAYS = scheduled_sessions(date(2024, 1, 2), date(2024, 3, 29))
NO_MACRO = pd.DataFrame(
    {
        "variable": pd.Series(dtype=str),
        "observation_date": pd.Series(dtype=object),
        "published_at": pd.Series(dtype="datetime64[us, UTC]"),
        "value": pd.Series(dtype=float),
    }
)


def bars_of(days: np.ndarray) -> pd.DataFrame:
    times = pd.DatetimeIndex([time for day in days for time in session_bar_times(day)])
    close = 4000 * np.exp(np.cumsum(np.random.default_rng(7).normal(0, 5e-4, len(times))))
    return pd.DataFrame({"open": close, "high": close, "low": close, "close": close}, index=times)


def without_sessions(first: int, n: int) -> pd.DataFrame:
    """Bars of all days but `n` sessions from index `first` on."""
    return bars_of(np.delete(DAYS, np.arange(first, first + n)))


def technical(bars: pd.DataFrame, calendar: CalendarParams = REGULAR) -> pd.DataFrame:
    features = market_features(MarketHistory(bars, NO_MACRO), VARIABLES, calendar=calendar)
    return features[list(TECHNICAL_FEATURES)]


def closed(*days: np.datetime64) -> CalendarParams:
    exceptions = {str(day): {"closed": True, "reason": "a strike"} for day in days}
    return CalendarParams.model_validate({"version": "1.0.1", "exceptions": exceptions})


def test_returns_across_a_hole_and_averages_for_145_bars_after_it_are_missing():
    found = technical(without_sessions(20, 4)).iloc[20 * 60 :]
    n_missing = {name: int(found[name].isna().to_numpy().nonzero()[0].max() + 1) for name in found}
    assert n_missing == {
        "log_ret_5m": 1, "log_ret_1h": 12, "log_ret_4h": 48, "rsi_9": 145, "atr_pct": 145, "adx_14": 145
    }  # fmt: skip
    assert found.isna().sum().to_dict() == n_missing


def test_three_missed_sessions_are_bridged_and_every_other_value_stays_bit_equal():
    bars = without_sessions(20, 3)
    one_after_the_other = bars.set_axis(bars_of(DAYS[: len(DAYS) - 3]).index)
    np.testing.assert_array_equal(technical(bars), technical(one_after_the_other))
    holed = without_sessions(20, 4)
    plain = technical(holed.set_axis(bars_of(DAYS[: len(DAYS) - 4]).index))
    found = technical(holed)
    assert found.notna().sum().sum() < plain.notna().sum().sum()
    np.testing.assert_array_equal(found.to_numpy()[found.notna()], plain.to_numpy()[found.notna()])


def test_a_session_that_the_calendar_closes_is_not_missed():
    bars = without_sessions(20, 4)
    kept = technical(bars, closed(DAYS[21]))
    assert kept.iloc[20 * 60 :].notna().all().all()
    assert technical(bars, closed(DAYS[40])).iloc[20 * 60].isna().all()


def test_missing_values_are_counted_under_gap_and_warm_up_apart():
    history = MarketHistory(without_sessions(20, 5), NO_MACRO)
    reasons = missing_reasons(market_features(history, VARIABLES), history, VARIABLES)
    counts = {name: n for name, n in count_reasons(reasons).items() if name.endswith(("GAP", "warm_up"))}
    assert counts == {
        "log_ret_5m: GAP": 1, "log_ret_1h: GAP": 12, "log_ret_4h: GAP": 48, "rsi_9: GAP": 145,
        "atr_pct: GAP": 145, "adx_14: GAP": 145, "log_ret_5m: warm_up": 1, "log_ret_1h: warm_up": 12,
        "log_ret_4h: warm_up": 48, "rsi_9: warm_up": 9, "atr_pct: warm_up": 10, "adx_14: warm_up": 27,
    }  # fmt: skip


@given(
    holes=st.lists(st.tuples(st.integers(1, len(DAYS) - 9), st.integers(1, 8)), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 60 * len(DAYS)), max_size=4),
)
@settings(max_examples=15, deadline=None)
def test_any_portions_and_restarts_over_holes_give_the_batch(holes, cuts):
    gone = {i for first, n in holes for i in range(first, first + n)}
    bars = bars_of(np.delete(DAYS, sorted(gone)))
    stream, found = FeatureStream(VARIABLES), []
    ends = [*sorted(min(cut, len(bars)) for cut in cuts), len(bars)]
    for start, stop in zip([0, *ends], ends, strict=False):
        found.append(stream.add_bars(bar_arrays(bars.iloc[start:stop], "close")))
        content, stream = stream.to_bytes({}), FeatureStream(VARIABLES)
        stream.restore(content)
    np.testing.assert_array_equal(np.hstack(found)[: len(TECHNICAL_FEATURES)].T, technical(bars))


def test_bar_by_bar_over_a_hole_gives_the_batch():
    bars = without_sessions(5, 30).iloc[: 10 * 60]
    stream = FeatureStream(VARIABLES)
    rows = [stream.add_bar(time, close, close, close).copy() for time, close in bars["close"].items()]
    np.testing.assert_array_equal(np.array(rows)[:, : len(TECHNICAL_FEATURES)], technical(bars))


def test_after_half_a_year_without_bars_atr_is_far_off_where_the_gap_is_not_taken_into_account():
    """The reason for the rule: a jump of 10% in one bar stands in the average for more than a session."""
    bars = bars_of(DAYS)
    jump = bars.copy()
    jump.iloc[20 * 60 :] *= 1.10
    atr, usual = technical(jump)["atr_pct"], technical(bars)["atr_pct"]
    excess = (atr - usual).iloc[20 * 60 :].to_numpy() / usual.std()
    assert excess[0] > 16
    assert abs(excess[145]) < 0.01


def test_a_state_kept_under_other_exceptions_is_not_restored():
    content = FeatureStream(VARIABLES).to_bytes({})
    with pytest.raises(Exception, match="definition"):
        FeatureStream(VARIABLES, calendar=closed(DAYS[3])).restore(content)
