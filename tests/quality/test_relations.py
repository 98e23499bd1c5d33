"""Fractions for percents, series in each other's place, dates a day early: told by what stands beside."""

import numpy as np
import pandas as pd
import pytest

from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.quality.dates import check_dates, check_dates_by_bars
from dosvotos.quality.findings import CheckedRows, no_findings
from dosvotos.quality.references import SPOT
from dosvotos.quality.relations import check_relations
from tests.simulation.market_factory import market

PRIME, UST10 = "polr_prime_rate_usa_d_prime", "finc_bond_yield10y_usa_d_ust10y"
BRENT, WTI = "comm_oil_brent_glb_d_brent", "comm_oil_wti_glb_d_wti"
TPM, IBR = "polr_policy_rate_col_d_tpm", "finc_rate_ibr_overnight_col_d_ibr"
USDMXN = "fxrt_spot_usdmxn_mex_d_usdmxn"
COLCAP = "eqty_index_colcap_col_d_colcap"
DAYS = pd.date_range("2025-01-06", periods=120, freq="B")
NONE = pd.DataFrame(columns=["variable", "observation_date", "value", "vintage", "source"])


def series(**values: object) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"variable": name, "observation_date": DAYS.date, "value": value})
        for name, value in values.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(vintage="final", source="files")


def walk(seed: int, start: float, size: float = 0.01) -> np.ndarray:
    return start * np.exp(size * np.random.default_rng(seed).standard_normal(len(DAYS)).cumsum())


def related(rows, variables, macro_limits, known=NONE):
    return check_relations(CheckedRows(rows, no_findings()), variables, macro_limits.relations, known)


def dated(rows, variables):
    return check_dates(CheckedRows(rows, no_findings()), variables)


TRUE = series(**{PRIME: 7.5, UST10: walk(1, 4.2), BRENT: walk(2, 71), WTI: walk(2, 67), TPM: 9.5, IBR: 9.1})


def test_true_series_stand_to_each_other_as_they_must(variables, macro_limits):
    assert related(TRUE, variables, macro_limits).findings.empty


@pytest.mark.parametrize("name", [UST10, TPM, IBR])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_fraction_delivered_for_a_percent_is_out_and_nothing_else(name, share, variables, macro_limits):
    rows = TRUE.copy()
    labels = rows.index[rows["variable"] == name][-int(120 * share) :]
    rows.loc[labels, "value"] /= 100
    found = related(rows, variables, macro_limits).quarantined
    assert set(found["subject"]) == {name} and len(found) == len(labels)
    assert set(found["rule"]) == {"percent_fraction"}
    assert found["detail"].str.contains("a fraction, not a percent").all()


@pytest.mark.parametrize("pair", [(BRENT, WTI), (TPM, IBR), (PRIME, UST10)])
def test_two_series_in_each_other_s_place_are_both_out(pair, variables, macro_limits):
    rows = TRUE.assign(variable=TRUE["variable"].replace(dict(zip(pair, pair[::-1], strict=True))))
    checked = related(rows, variables, macro_limits)
    assert set(checked.quarantined["subject"]) == set(pair)
    assert set(checked.quarantined["rule"]) == {"swapped"} and len(checked.kept) == len(rows) - 240


def test_what_is_stored_tells_of_a_delivery_of_one_series(variables, macro_limits):
    stored, new = TRUE[TRUE["variable"] != UST10], TRUE[TRUE["variable"] == UST10]
    wrong = new.assign(value=new["value"] / 100).reset_index(drop=True)
    assert len(related(wrong, variables, macro_limits, stored).quarantined) == 120
    assert related(new.reset_index(drop=True), variables, macro_limits, stored).findings.empty


def test_another_odd_relation_is_reported_not_quarantined(variables, macro_limits):
    rows = TRUE.copy()
    rows.loc[rows["variable"] == BRENT, "value"] *= 3
    found = related(rows, variables, macro_limits).findings
    assert found[["rule", "severity", "subject"]].to_numpy().tolist() == [["relation", "reported", BRENT]]


@pytest.mark.parametrize("shift", [pd.Timedelta(days=1), pd.offsets.BDay(1)])
def test_dates_a_day_early_are_told_by_the_calendar(shift, variables):
    open_days = scheduled_sessions(DAYS[0].date(), DAYS[-1].date())
    rows = series(**{COLCAP: walk(3, 1500)})
    rows = rows[np.isin(DAYS.to_numpy("datetime64[D]"), open_days)].reset_index(drop=True)
    assert dated(rows, variables).findings.empty
    early = rows.assign(observation_date=(pd.to_datetime(rows["observation_date"]) - shift).dt.date)
    checked = dated(early, variables)
    assert len(checked.quarantined) == len(rows) and checked.kept.empty
    late = rows.assign(observation_date=(pd.to_datetime(rows["observation_date"]) + shift).dt.date)
    assert dated(late, variables).findings.empty


def test_values_that_moved_up_a_row_are_told_by_a_like_series(variables):
    noise = np.random.default_rng(5).standard_normal((2, len(DAYS)))
    moves = 0.02 * (noise[0] + 0.3 * noise)
    rows = series(**{BRENT: 70 * np.exp(moves[0].cumsum()), WTI: 66 * np.exp(moves[1].cumsum())})
    assert dated(rows, variables).findings.empty
    early = rows.copy()
    brent = early["variable"] == BRENT
    early.loc[brent, "value"] = early.loc[brent, "value"].shift(-1).ffill()
    found = dated(early, variables).quarantined
    assert set(found["subject"]) == {BRENT} and len(found) == 120


def test_a_few_days_tell_nothing(variables):
    rows = series(**{COLCAP: walk(3, 1500)}).iloc[:10]
    early = rows.assign(
        observation_date=(pd.to_datetime(rows["observation_date"]) - pd.Timedelta(days=1)).dt.date
    )
    assert dated(early, variables).findings.empty


@pytest.mark.parametrize("edge", [0.0, 0.45])
def test_a_simulated_market_of_six_years_keeps_all_relations_and_dates(edge, variables, macro_limits):
    simulated = market(edge, 25)
    rows = simulated.macro.assign(vintage="final", source="sample")
    assert related(rows, variables, macro_limits).findings.empty
    assert dated(rows, variables).findings.empty
    by_bars = check_dates_by_bars(CheckedRows(rows, no_findings()), simulated.bars, variables)
    assert by_bars.findings.empty, "a planted edge is a lead, and no date"


def bars_closing_at(spot: pd.DataFrame, days: np.ndarray) -> pd.DataFrame:
    """Sessions of two bars, whose last closes at the spot of its day."""
    close = spot.set_index(pd.to_datetime(spot["observation_date"]).to_numpy("datetime64[D]"))["value"]
    opens = [session_bar_times(day)[[0, 59]] for day in days]
    prices = [[close[day] * 0.99, close[day]] for day in days]
    times = pd.DatetimeIndex(np.concatenate(opens), tz="UTC")
    return pd.DataFrame({"timestamp": times, "close": np.concatenate(prices)})


@pytest.mark.parametrize("n_sessions", [10, 60])
def test_the_daily_spot_dated_early_is_told_by_the_sessions_closes(n_sessions, variables):
    spot = series(**{SPOT: walk(8, 4000)})
    days = scheduled_sessions(DAYS[5].date(), DAYS[-5].date())[:n_sessions]
    bars = bars_closing_at(spot, days)

    def told(rows: pd.DataFrame, within: pd.DataFrame = bars) -> pd.DataFrame:
        return check_dates_by_bars(CheckedRows(rows, no_findings()), within, variables).quarantined

    assert told(spot).empty
    early = spot.assign(value=spot["value"].shift(-1).ffill())
    assert len(told(early)) == len(spot) and set(told(early)["rule"]) == {"dated_early"}
    assert "0.00% from the value dated the day before" in told(early)["detail"].iloc[0]
    in_force_next_day = spot.assign(value=spot["value"].shift(1).bfill())
    assert told(in_force_next_day).empty, "so is the TRM"
    assert told(early, bars[: 2 * 9]).empty, "nine sessions are too few"
    assert told(early, bars[:0]).empty and told(early[:0]).empty


def test_a_series_that_goes_with_the_bars_a_day_later_is_dated_early(variables):
    rng = np.random.default_rng(4)
    days = pd.bdate_range("2024-01-02", periods=420)
    moves = rng.standard_normal(420)
    closes = pd.Series(4000 * np.exp(0.005 * moves.cumsum()), days)
    like = 18 * np.exp(0.005 * (0.5 * moves + rng.standard_normal(420)).cumsum())
    rows = pd.DataFrame({"variable": USDMXN, "observation_date": days.date, "value": like})
    rows = rows.assign(vintage="final", source="files")
    sessions = [
        day for day in scheduled_sessions(days[0].date(), days[-1].date()) if pd.Timestamp(day) in days
    ]
    spot = pd.DataFrame({"observation_date": days.date, "value": closes.to_numpy()})
    bars = bars_closing_at(spot, np.array(sessions))

    def told(rows: pd.DataFrame) -> pd.DataFrame:
        return check_dates_by_bars(CheckedRows(rows, no_findings()), bars, variables).quarantined

    assert told(rows).empty
    found = told(rows.assign(value=rows["value"].shift(-1).ffill()))
    assert (
        set(found["subject"]) == {USDMXN} and "a day later (rank correlation 0.4" in found["detail"].iloc[0]
    )
    assert told(rows.assign(value=rows["value"].shift(1).bfill())).empty
    assert told(rows.assign(value=18.0)).empty, "what does not move goes with nothing"
