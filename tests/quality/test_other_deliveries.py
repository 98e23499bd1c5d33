"""Deliveries with copies, wrong columns, hours and lengths, and series of another kind."""

import numpy as np
import pandas as pd
import pytest

from dosvotos.errors import DataError
from dosvotos.market.calendar import session_dates
from dosvotos.quality.bars import check_bars
from dosvotos.quality.columns import refuse_wrong_columns
from dosvotos.quality.copied_series import check_copied_series
from dosvotos.quality.findings import CheckedRows, no_findings
from dosvotos.quality.macro import check_macro
from dosvotos.quality.references import Sessions, judge_sessions
from dosvotos.quality.remainders import check_remainders
from tests.conftest import parameters_of
from tests.quality.test_levels import (
    DAYS,
    LIMITS,
    MACRO,
    NO_MACRO,
    PRICES,
    WITNESSES,
    Witnesses,
    before,
    judge,
    of_sessions,
    scaled,
    window,
)

_PARAMETERS = parameters_of()
_VARIABLES = _PARAMETERS.macro_variables.variables
_THRESHOLDS = _PARAMETERS.quality_thresholds
NOW = pd.Timestamp("2030-01-01", tz="UTC")
RANGE = (1500.0, 9000.0)
BRENT, WTI = "comm_oil_brent_glb_d_brent", "comm_oil_wti_glb_d_wti"
PRIME, USDMXN = "polr_prime_rate_usa_d_prime", "fxrt_spot_usdmxn_mex_d_usdmxn"


def check(bars: pd.DataFrame, stored: pd.DataFrame | None = None) -> CheckedRows:
    """The rules of bars, judged as a delivery that has ended."""
    return check_bars(bars, _THRESHOLDS.bars, bars["timestamp"].max() + pd.Timedelta(days=1), stored=stored)


def daily(n: int = 250) -> pd.DataFrame:
    """The last values of two oil prices, a rate and a currency."""
    rows = MACRO[MACRO["variable"].isin([BRENT, WTI, PRIME, USDMXN])]
    return rows.groupby("variable").tail(n).reset_index(drop=True)


def with_values_of(rows: pd.DataFrame, copy: str, original: str, n: int) -> pd.DataFrame:
    """The last values of one variable replaced by another's of the same dates."""
    values = rows[rows["variable"] == original].set_index("observation_date")["value"]
    own = rows.index[(rows["variable"] == copy) & rows["observation_date"].isin(values.index)][-n:]
    spoilt = rows.copy()
    spoilt.loc[own, "value"] = values[rows["observation_date"][own]].to_numpy()
    return spoilt


# ---- copies


def copied(bars: pd.DataFrame, to: int, of: int) -> pd.DataFrame:
    """A session with the prices of another one."""
    spoilt = bars.copy()
    spoilt.loc[of_sessions(bars, to), PRICES] = bars.loc[of_sessions(bars, of), PRICES].to_numpy()
    return spoilt


@pytest.mark.parametrize(("to", "of"), [(3, 2), (4, 1), (1, 4)])
def test_of_two_sessions_alike_the_later_is_out(to, of):
    bars = window()
    checked = check(copied(bars, to, of))
    later = np.flatnonzero(of_sessions(bars, max(to, of)))
    assert set(checked.quarantined["rule"]) == {"copied_session"}
    assert len(checked.kept) == len(bars) - len(later)
    assert not checked.kept["timestamp"].isin(bars["timestamp"][later]).any()


def test_a_session_that_repeats_a_stored_one_is_out_even_if_it_is_the_earlier():
    bars = window()
    stored = bars[of_sessions(bars, 4)]
    delivered = copied(bars, 1, 4)[of_sessions(bars, 0, 1, 2)]
    checked = check(delivered, stored[["timestamp", "close"]])
    assert len(checked.kept) == 120
    assert set(session_dates(pd.DatetimeIndex(checked.kept["timestamp"]))) == set(np.unique(DAYS)[[400, 402]])


def test_a_copy_with_gaps_is_one_and_half_a_session_in_common_is_none():
    bars = window()
    with_gaps = copied(bars, 3, 2).drop(index=bars.index[of_sessions(bars, 3)][::7])
    assert set(check(with_gaps).quarantined["rule"]) == {"copied_session"}
    half = bars.index[of_sessions(bars, 3)][:30]
    mixed = bars.copy()
    mixed.loc[half, PRICES] = copied(bars, 3, 2).loc[half, PRICES]
    assert "copied_session" not in set(check(mixed).findings["rule"])


@pytest.mark.parametrize(("copy", "original", "n"), [(WTI, BRENT, 250), (BRENT, WTI, 20), (USDMXN, PRIME, 9)])
def test_values_under_two_names_are_out_in_both_unless_one_is_stored(copy, original, n):
    rows = daily()
    if original == PRIME:  # a rate that stands still shares one value with anything
        rows.loc[rows["variable"] == PRIME, "value"] = np.arange(250) / 8 + 1
    spoilt = with_values_of(rows, copy, original, n)
    shared = set(rows["observation_date"][spoilt["value"] != rows["value"]])
    alone = check_copied_series(CheckedRows(spoilt, no_findings()), NO_MACRO)
    assert set(alone.quarantined["subject"]) == {copy, original}
    assert set(alone.quarantined["rule"]) == {"copied_series"}
    assert len(alone.kept) == len(rows) - 2 * len(shared)
    beside_stored = check_copied_series(CheckedRows(spoilt, no_findings()), rows)
    assert set(beside_stored.quarantined["subject"]) == {copy}


def test_two_rates_that_stand_on_one_value_are_no_copies():
    rows = daily()
    rows.loc[rows["variable"].isin([PRIME, USDMXN]), "value"] = 8.5
    assert check_copied_series(CheckedRows(rows, no_findings()), NO_MACRO).findings.empty


# ---- levels


@pytest.mark.parametrize("ratio", [1.13, 0.87, 1.2])
def test_another_pair_after_stored_sessions_is_refused_though_a_weekend_lies_between(ratio):
    mondays = [i for i in range(400, 440) if np.diff(np.unique(DAYS)[i - 1 : i + 1]).astype(int)[0] >= 3]
    for first in mondays[:3]:
        with pytest.raises(DataError, match="not pesos a dollar"):
            judge(scaled(window(first, 8), ratio), Sessions.of(DAYS[:0], np.empty(0)), before(first))


def test_a_session_off_level_that_is_back_the_next_day_takes_no_other_with_it():
    bars = scaled(window(), 1.3, of_sessions(window(), 2))
    sessions = Sessions.of(session_dates(pd.DatetimeIndex(bars["timestamp"])), bars["close"].to_numpy())
    verdict = judge_sessions(
        sessions, Witnesses(sessions.select(sessions.level < 0), before(), RANGE), LIMITS
    )
    assert np.flatnonzero(verdict.wrong).tolist() == [2]


@pytest.mark.parametrize("ratio", [1.15, 1.09, 0.9, 0.01])
@pytest.mark.parametrize(("first", "n_bars"), [(130, 12), (130, 1), (110, 20), (180, 12)])
def test_an_hour_at_another_level_is_out_and_no_other_bar(ratio, first, n_bars):
    bars = window()
    hour = np.arange(first, first + n_bars)
    checked = judge(scaled(bars, ratio, hour), WITNESSES["daily series"]["spot"]).checked
    assert checked.kept["timestamp"].tolist() == bars["timestamp"].drop(index=hour).tolist()
    assert set(checked.findings["rule"]) == {"off_level"}


def test_a_jump_that_lasts_stays():
    bars = window()
    later = np.arange(len(bars)) >= 130
    assert judge(scaled(bars, 1.09, later), WITNESSES["honest range"]["spot"]).checked.findings.empty


# ---- columns and lengths


@pytest.mark.parametrize(("column", "factor"), [("high", 100), ("open", 1e-3), ("low", 0.01)])
def test_one_column_of_another_unit_is_refused(column, factor):
    bars = window().assign(**{column: lambda rows: rows[column] * factor})
    with pytest.raises(DataError, match=f"360 of 360 bars have a price off level, the first: {column}"):
        judge(bars)


def test_one_column_a_tenth_off_and_closes_of_another_bar_are_refused():
    bars = window()
    for spoilt in (
        bars.assign(high=bars["high"] * 1.1),
        bars.assign(close=bars["close"].shift(-1).ffill()),
        bars.assign(high=bars["low"], low=bars["high"]),
    ):
        with pytest.raises(DataError, match=r"contradict themselves, the first at .* of another unit"):
            refuse_wrong_columns(check(spoilt), "usdcop_5m.csv")


def test_open_and_close_in_each_others_place_are_refused_and_flat_bars_are_not():
    bars = window()
    swapped = bars.assign(open=bars["close"], close=bars["open"])
    with pytest.raises(DataError, match="open and close are in each other's place: 3"):
        refuse_wrong_columns(check(swapped), "usdcop_5m.csv")
    flat = bars.assign(open=bars["close"], high=bars["close"], low=bars["close"])
    for honest in (bars, flat):
        refuse_wrong_columns(check(honest), "usdcop_5m.csv")


def test_a_market_that_stands_twice_is_refused_and_two_sources_are_not():
    bars = window()
    twice = pd.concat([bars, scaled(bars, 1.004)], ignore_index=True)
    with pytest.raises(DataError, match="360 of 360 bars stand twice with different closes, the first at"):
        refuse_wrong_columns(check(twice), "usdcop_5m.csv")
    of_two = pd.concat([bars, scaled(bars, 1.004).assign(source="other")], ignore_index=True)
    some = pd.concat([bars, scaled(bars, 1.004)[:120]], ignore_index=True)
    for rows in (of_two, some):
        checked = check(rows)
        refuse_wrong_columns(checked, "usdcop_5m.csv")
        assert len(checked.kept) == len(bars)


def test_one_session_of_swapped_columns_among_good_ones_is_put_aside():
    bars = window()
    one = of_sessions(bars, 3)
    spoilt = bars.assign(
        high=bars["high"].where(~one, bars["low"]), low=bars["low"].where(~one, bars["high"])
    )
    checked = check(spoilt)
    refuse_wrong_columns(checked, "usdcop_5m.csv")
    assert len(checked.kept) >= len(bars) - 60 and set(checked.quarantined["rule"]) == {"close_outside_range"}


@pytest.mark.parametrize("minutes", [10, 15, 30, 60])
def test_a_session_of_longer_bars_is_out_and_one_with_gaps_is_not(minutes):
    bars = window()
    step, one = minutes // 5, np.flatnonzero(of_sessions(bars, 3))
    longer = bars.drop(index=np.setdiff1d(one, one[::step]))
    checked = check(longer)
    assert len(checked.kept) == len(bars) - 60
    assert set(checked.quarantined["rule"]) == {"bar_length"}
    gaps = bars.drop(index=one[[5, 6, 20, 21, 22, 40]])
    assert len(check(gaps).kept) == len(gaps)


# ---- macro series of another kind


@pytest.mark.parametrize("spoil", [lambda v: -v, lambda v: v.pct_change() * 100, lambda v: v * 40])
def test_of_a_series_that_is_mostly_another_nothing_is_kept(spoil):
    rows = daily()
    brent = rows["variable"] == BRENT
    spoilt = rows.assign(value=rows["value"].where(~brent, spoil(rows["value"][brent]).fillna(0.5)))
    checked = check_remainders(check_macro(spoilt, _VARIABLES, _THRESHOLDS.macro, NOW, NO_MACRO))
    assert BRENT not in set(checked.kept["variable"])
    assert (~brent).sum() == len(checked.kept)


def test_single_values_out_of_range_take_no_other_with_them():
    rows = daily(25)
    first = rows.index[rows["variable"] == USDMXN][:12]
    spoilt = rows.assign(value=rows["value"].where(~rows.index.isin(first), rows["value"] * 1e4))
    checked = check_remainders(check_macro(spoilt, _VARIABLES, _THRESHOLDS.macro, NOW, NO_MACRO))
    assert len(checked.kept) == len(rows) - 12


def test_a_zero_for_no_value_is_out_where_no_other_value_is_near_it():
    rows = daily()
    holes = rows.index[rows["variable"].isin([WTI, PRIME])][::50]
    spoilt = rows.assign(value=rows["value"].where(~rows.index.isin(holes), 0.0))
    checked = check_macro(spoilt, _VARIABLES, _THRESHOLDS.macro, NOW, NO_MACRO)
    assert len(checked.kept) == len(rows) - len(holes)
    near = spoilt.assign(value=spoilt["value"].where(spoilt["variable"] != WTI, spoilt["value"] - 80))
    told = check_macro(near, _VARIABLES, _THRESHOLDS.macro, NOW, NO_MACRO).quarantined
    assert WTI not in set(told["subject"][told["rule"] == "zero"])
