"""What is not pesos a dollar is refused or put aside, by name; what is, stays, whatever it does."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.errors import DataError
from dosvotos.market.calendar import session_dates
from dosvotos.quality.findings import CheckedRows, no_findings
from dosvotos.quality.instruments import name_mismatch
from dosvotos.quality.levels import check_levels, quarantine_spot, session_levels
from dosvotos.quality.references import SPOT, Sessions, Witnesses, spot_levels
from dosvotos.sources.raw_market import MACRO_COLUMNS
from tests.conftest import parameters_of
from tests.simulation.market_factory import market

PRICES = ["open", "high", "low", "close"]
LIMITS = parameters_of().quality_thresholds.bars.level
RANGE = (1500.0, 9000.0)
NONE = Sessions.of(np.empty(0, dtype="datetime64[D]"), np.empty(0))
NO_MACRO = pd.DataFrame(columns=[*MACRO_COLUMNS, "vintage", "source"])
MARKET = market(0.0, 25)
BARS = MARKET.bars.assign(source="files")
MACRO = MARKET.macro.assign(vintage="final", source="files")
DAYS = session_dates(pd.DatetimeIndex(BARS["timestamp"]))
SESSIONS = np.unique(DAYS)
SPOT_LEVELS = spot_levels(MACRO, NO_MACRO)


def window(first: int = 400, n_sessions: int = 6) -> pd.DataFrame:
    """Bars of some sessions in a row."""
    chosen = SESSIONS[first : first + n_sessions]
    return BARS[np.isin(DAYS, chosen)].reset_index(drop=True)


def of_sessions(bars: pd.DataFrame, *numbers: int) -> np.ndarray:
    """Mask the bars of sessions by their number in the window."""
    days = session_dates(pd.DatetimeIndex(bars["timestamp"]))
    return np.isin(days, np.unique(days)[list(numbers)])


def scaled(bars: pd.DataFrame, factor: float, rows: np.ndarray | slice = slice(None)) -> pd.DataFrame:
    spoilt = bars.copy()
    spoilt.loc[rows, PRICES] = spoilt.loc[rows, PRICES] * factor
    return spoilt


def inverted(bars: pd.DataFrame, rows: np.ndarray | slice = slice(None)) -> pd.DataFrame:
    """One over each price, highs and lows changed places."""
    spoilt = bars.copy()
    spoilt.loc[rows, PRICES] = 1 / spoilt.loc[rows, ["open", "low", "high", "close"]].to_numpy()
    return spoilt


def judge(bars: pd.DataFrame, spot: Sessions = SPOT_LEVELS, stored: Sessions = NONE):
    return check_levels(bars, Witnesses(spot, stored, RANGE), LIMITS, "usdcop_5m.csv")


def before(first: int = 400) -> Sessions:
    """The month stored before the window."""
    return session_levels(window(first - 20, 20))


WITNESSES = {
    "daily series": {"spot": SPOT_LEVELS},
    "stored closes": {"spot": NONE, "stored": before()},
    "honest range": {"spot": NONE},
}


@pytest.mark.parametrize("known", WITNESSES)
@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (inverted, "inverted: dollars a peso"),
        (lambda bars: scaled(bars, 1e-3), "a thousandth"),
        (lambda bars: scaled(bars, 1e-2), "a hundredth"),
        (lambda bars: scaled(bars, 0.1), "a tenth"),
        (lambda bars: scaled(bars, 100), "pesos for 100 dollars"),
        (lambda bars: scaled(bars, 10), "ten times"),
        (lambda bars: scaled(inverted(bars), 1e3), "1 / price, x 10^3"),
        (lambda bars: scaled(bars, 5.4 / bars["close"].median()), "USD/BRL"),
        (lambda bars: scaled(bars, 3.6 / bars["close"].median()), "USD/PEN"),
        (lambda bars: scaled(bars, 18.4 / bars["close"].median()), "USD/MXN"),
        (lambda bars: scaled(bars, 940 / bars["close"].median()), "USD/CLP"),
        (lambda bars: scaled(bars, 1.16 / bars["close"].median()), "EUR/USD"),
    ],
)
def test_a_delivery_of_something_else_is_refused_whatever_is_known_and_named(spoil, name, known):
    with pytest.raises(DataError) as refused:
        judge(spoil(window()), **WITNESSES[known])
    message = str(refused.value)
    assert message.startswith("usdcop_5m.csv: ") and str(SESSIONS[400]) in message
    assert "6 of 6 sessions" in message and name in message and "Nothing is stored" in message


@pytest.mark.parametrize("known", ["daily series", "stored closes"])
@pytest.mark.parametrize(("factor", "name"), [(1.16, "EUR/COP"), (1.35, "GBP/COP"), (0.8, "another pair")])
def test_a_pair_inside_the_range_needs_a_witness_and_is_refused_with_its_ratio(factor, name, known):
    with pytest.raises(DataError, match=name) as refused:
        judge(scaled(window(), factor), **WITNESSES[known])
    ratio = float(str(refused.value).split("median close ")[1].split(" times")[0].split(" is ")[1])
    assert ratio == pytest.approx(factor, abs=0.05)


def test_without_any_witness_a_pair_inside_the_range_passes_as_the_docs_say():
    assert judge(scaled(window(), 1.16), spot=NONE).checked.findings.empty


def test_a_pair_at_four_percent_is_refused_for_the_median_of_its_sessions():
    with pytest.raises(DataError, match=r"1\.04\d* times the daily spot.* at most 2\.5% off"):
        judge(scaled(window(n_sessions=20), 1.04))


@pytest.mark.parametrize("factor", [1.04, 1.06, 1.075, 1.085, 0.93, 0.92])
@pytest.mark.parametrize("n_sessions", [5, 8, 60])
def test_a_pair_about_the_limit_of_one_session_is_refused_by_all_of_them(factor, n_sessions):
    """At 7.5% some sessions lie within a session's 7%: they are no proof that the daily series is wrong."""
    with pytest.raises(DataError, match=rf"{n_sessions} of {n_sessions} sessions off level"):
        judge(scaled(window(400, n_sessions), factor))


def test_a_longer_history_that_changes_its_unit_is_refused_from_there_on():
    bars = window(n_sessions=60)
    for first in (30, 58):
        changed = of_sessions(bars, *range(first, 60))
        for known in ("daily series", "honest range"):
            with pytest.raises(DataError, match=f"the first {SESSIONS[400 + first]}; .*thousandth"):
                judge(scaled(bars, 1e-3, changed), **WITNESSES[known])


def test_half_a_file_of_another_pair_is_refused_without_a_daily_series_by_its_own_jump():
    bars = window(n_sessions=20)
    with pytest.raises(DataError, match=f"the first {SESSIONS[412]}; .*own sessions beside it.*EUR/COP"):
        judge(scaled(bars, 1.16, of_sessions(bars, *range(12, 20))), spot=NONE)


@pytest.mark.parametrize("known", WITNESSES)
@pytest.mark.parametrize("number", [0, 3, 5])
@pytest.mark.parametrize("spoil", [inverted, lambda bars, rows: scaled(bars, 0.01, rows)])
def test_one_session_of_something_else_is_put_aside_and_the_others_stay(spoil, number, known):
    bars = window()
    rows = of_sessions(bars, number)
    checked = judge(spoil(bars, rows), **WITNESSES[known]).checked
    pd.testing.assert_frame_equal(checked.kept, bars[~rows].reset_index(drop=True))
    assert len(checked.quarantined) == rows.sum() == 60
    assert set(checked.quarantined["rule"]) == {"off_level"}
    assert checked.quarantined["detail"].str.startswith(f"session {SESSIONS[400 + number]}: ").all()


@pytest.mark.parametrize("known", WITNESSES)
def test_the_only_session_delivered_is_refused_when_it_is_wrong(known):
    with pytest.raises(DataError, match="1 of 1 sessions off level"):
        judge(inverted(window(n_sessions=1)), **WITNESSES[known])
    assert judge(window(n_sessions=1), **WITNESSES[known]).checked.findings.empty


@pytest.mark.parametrize("factor", [0.1, 10.0, 1e-2, 1.75, 0.78])
@pytest.mark.parametrize("column", PRICES)
def test_a_single_price_at_a_tenth_or_with_digits_reversed_puts_its_bar_aside(column, factor):
    bars = window()
    bars.loc[77, column] = bars.loc[77, column] * factor
    checked = judge(bars).checked
    assert checked.quarantined["at"].tolist() == [bars.loc[77, "timestamp"]]
    assert column in checked.quarantined["detail"].iloc[0]
    assert len(checked.kept) == len(bars) - 1


def test_a_single_bar_inverted_is_put_aside_by_name():
    bars = inverted(window(), np.arange(360) == 99)
    (detail,) = judge(bars).checked.quarantined["detail"]
    assert "inverted: dollars a peso, 1 / price" in detail


def test_prices_that_are_no_prices_are_left_to_their_own_rule():
    bars = window()
    bars.loc[5, "close"], bars.loc[6, "open"], bars.loc[7, "low"] = np.nan, -3700.0, 0.0
    checked = judge(bars).checked
    assert checked.findings.empty and len(checked.kept) == len(bars)


def test_a_true_opening_of_seven_percent_stays_also_where_no_daily_series_is():
    bars = window(n_sessions=12)
    moved = scaled(bars, np.exp(0.067), of_sessions(bars, *range(6, 12)))
    days = SPOT_LEVELS.days
    spot = SPOT_LEVELS._replace(level=SPOT_LEVELS.level + 0.067 * (days >= SESSIONS[406]))
    assert judge(moved, spot).checked.findings.empty


# ---- when the daily series is wrong


def test_a_daily_value_off_by_itself_is_put_aside_and_the_bars_stay():
    bars, day = window(n_sessions=20), SESSIONS[408]
    sparse = SPOT_LEVELS.select(np.isin(SPOT_LEVELS.days, SESSIONS[400:420:4]))
    found = judge(bars, sparse._replace(level=sparse.level + 0.5 * (sparse.days == day)))
    assert found.checked.findings.empty and len(found.checked.kept) == len(bars)
    assert found.wrong_spot_days.tolist() == [day]


@pytest.mark.parametrize("factor", [1.08, 0.92, 1.05, 0.95])
@pytest.mark.parametrize("n_sessions", [4, 5, 9])
def test_sessions_in_a_row_at_another_level_are_put_aside(factor, n_sessions):
    """Each of them could be true by itself; of 60 too few are wrong for the median of all to tell."""
    bars, wrong = window(n_sessions=60), range(20, 20 + n_sessions)
    spoilt = scaled(bars, factor, of_sessions(bars, *wrong))
    found = judge(spoilt).checked
    days = session_dates(pd.DatetimeIndex(found.kept["timestamp"]))
    assert np.setdiff1d(SESSIONS[400:460], days).tolist() == SESSIONS[420 : 420 + n_sessions].tolist()
    assert set(found.findings["rule"]) == {"off_level"}


@pytest.mark.parametrize("factor", [1.08, 0.92, 1.05, 0.95])
def test_a_daily_series_at_another_level_for_a_week_is_wrong_itself(factor):
    bars, week = window(n_sessions=60), SESSIONS[420:425]
    off = np.isin(SPOT_LEVELS.days, week)
    found = judge(bars, SPOT_LEVELS._replace(level=SPOT_LEVELS.level + np.log(factor) * off))
    assert found.checked.findings.empty and len(found.checked.kept) == len(bars)
    assert np.isin(week, found.wrong_spot_days).all()


def test_a_delivery_that_drifts_away_is_refused_where_it_is_far_enough():
    bars = window(n_sessions=60)
    days = np.searchsorted(SESSIONS[400:460], session_dates(pd.DatetimeIndex(bars["timestamp"])))
    spoilt = scaled(bars, 1.0)
    spoilt[PRICES] = bars[PRICES].mul(1.001**days, axis=0)
    with pytest.raises(DataError, match="sessions off level"):
        judge(spoilt)


def test_a_daily_series_that_turns_into_another_pair_is_put_aside_and_the_bars_stay():
    bars, turn = window(n_sessions=20), SESSIONS[410]
    spot = SPOT_LEVELS._replace(level=SPOT_LEVELS.level + np.log(1.16) * (SPOT_LEVELS.days >= turn))
    found = judge(bars, spot)
    assert found.checked.findings.empty and len(found.checked.kept) == len(bars)
    assert found.wrong_spot_days.min() == turn and found.wrong_spot_days.max() == SESSIONS[419]


def test_a_daily_series_of_another_pair_is_known_by_what_is_stored():
    spot = SPOT_LEVELS._replace(level=SPOT_LEVELS.level + np.log(1.16))
    found = judge(window(), spot, before())
    assert found.checked.findings.empty
    assert found.wrong_spot_days.tolist() == SPOT_LEVELS.days.tolist()


def test_where_only_the_two_contradict_each_other_the_message_names_both():
    spot = SPOT_LEVELS._replace(level=SPOT_LEVELS.level + np.log(1.16))
    with pytest.raises(DataError, match=f"if the bars are right, correct the daily USD/COP spot .{SPOT}"):
        judge(window(), spot)


def test_the_wrong_days_of_a_delivered_series_are_quarantined_one_by_one():
    rows = MACRO[MACRO["variable"] == SPOT].iloc[-5:].reset_index(drop=True)
    days = rows["observation_date"].to_numpy("datetime64[D]")[1:3]
    checked = quarantine_spot(CheckedRows(rows, no_findings()), days)
    assert checked.quarantined["at"].dt.date.tolist() == rows["observation_date"].iloc[1:3].tolist()
    assert len(checked.kept) == 3
    stored_only = quarantine_spot(CheckedRows(rows, no_findings()), np.array(["2019-01-02"], "datetime64[D]"))
    assert stored_only.quarantined.empty and len(stored_only.findings) == 1


# ---- properties


@given(
    factor=st.floats(-12, 12).map(lambda power: 10.0**power),
    first=st.integers(0, 1400),
    n_sessions=st.integers(1, 40),
    share=st.sampled_from([1.0, 0.5, 0.2, 0.0]),
    known=st.sampled_from(["daily series", "stored closes"]),
)
@settings(max_examples=60, deadline=None)
def test_any_factor_outside_the_band_is_refused_or_put_aside(factor, first, n_sessions, share, known):
    if abs(np.log(factor)) < 0.2:
        factor = 1.3 * factor if factor > 1 else factor / 1.3
    bars = window(first, n_sessions)
    spoilt_from = min(int(n_sessions * (1 - share)), n_sessions - 1)
    rows = of_sessions(bars, *range(spoilt_from, n_sessions))
    stored = session_levels(window(max(first - 20, 0), min(max(first, 1), 20)))
    witnesses = {"spot": SPOT_LEVELS} if known == "daily series" else {"spot": NONE, "stored": stored}
    try:
        checked = judge(scaled(bars, factor, rows), **witnesses).checked
    except DataError:
        return
    assert set(checked.quarantined["at"]) == set(bars["timestamp"][rows])


@given(first=st.integers(0, 1400), n_sessions=st.integers(1, 60), known=st.sampled_from(list(WITNESSES)))
@settings(max_examples=40, deadline=None)
def test_any_window_of_a_true_market_is_kept_whole(first, n_sessions, known):
    stored = session_levels(window(max(first - 20, 0), min(first, 20)))
    witnesses = {"spot": SPOT_LEVELS if known == "daily series" else NONE}
    witnesses |= {"stored": stored} if known == "stored closes" else {}
    found = judge(window(first, n_sessions), **witnesses)
    assert found.checked.findings.empty and len(found.wrong_spot_days) == 0


@given(price=st.floats(1e-6, 1e9), reference=st.floats(1500, 9000))
@settings(max_examples=50, deadline=None)
def test_every_mismatch_has_a_name(price, reference):
    assert name_mismatch(price, reference, 0.12)
