import datetime as dt
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.errors import DataError
from dosvotos.market.calendar import closed_days_around
from dosvotos.quality.findings import QUARANTINED, REPORTED
from dosvotos.quality.macro import check_macro
from tests.quality.conftest import NOW

DXY = "fxrt_index_dxy_usa_d_dxy"
BRENT = "comm_oil_brent_glb_d_brent"
WTI = "comm_oil_wti_glb_d_wti"
VIX = "volt_vix_usa_d_vix"
TPM = "polr_policy_rate_col_d_tpm"
CPI = "infl_cpi_all_usa_m_cpiaucsl"
PCE = "infl_pce_usa_m_pcepi"
UNRATE = "labr_unemployment_usa_m_unrate"
FED_FUNDS = "polr_fed_funds_usa_m_fedfunds"
GDP = "gdpp_real_gdp_usa_q_gdp_q"
RATIOS = {DXY: 1.15, BRENT: 2.2, WTI: 2.6, VIX: 3.0, CPI: 1.03, PCE: 1.03, GDP: 1.15}
COLUMNS = ["variable", "observation_date", "value", "vintage", "source"]


@pytest.fixture(scope="module")
def bounded(variables):
    """The variables with the step ratios of the tests."""
    return {n: v.model_copy(update={"max_step_ratio": RATIOS.get(n)}) for n, v in variables.items()}


@pytest.fixture
def check(bounded, macro_limits):
    def _check(observations, known=None, as_of=NOW, **limits):
        return check_macro(observations, bounded, macro_limits.model_copy(update=limits), as_of, known)

    return _check


def series(name: str, values, start: str = "2024-01-02", freq: str = "B") -> pd.DataFrame:
    """Observations of New York's business days, or of months or quarters."""
    days = pd.date_range(start, periods=2 * len(values) + 10, freq=freq).to_numpy("datetime64[D]")
    if freq == "B":
        days = days[np.is_busday(days, holidays=closed_days_around(days, "America/New_York"))]
    dates = days[: len(values)].astype(object)
    columns = {"variable": name, "observation_date": dates, "value": np.asarray(values, dtype=float)}
    return pd.DataFrame(columns).assign(vintage="final", source="a")


def walk(n: int, level: float, std: float, decimals: int = 3, seed: int = 0) -> np.ndarray:
    return np.round(level * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, std, n))), decimals)


def dxy(n: int = 300) -> pd.DataFrame:
    return series(DXY, walk(n, 97.0, 0.004))


def cpi(n: int = 60, name: str = CPI, seed: int = 1) -> pd.DataFrame:
    values = 260 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.003, 0.002, n))).round(5)
    return series(name, values.round(3), "2020-01-01", "MS")


def rules(checked, severity: str = QUARANTINED) -> dict[str, int]:
    found = checked.findings[checked.findings["severity"] == severity]
    return found["rule"].value_counts().to_dict()


def with_values(rows: pd.DataFrame, places, values) -> pd.DataFrame:
    changed = rows.copy()
    changed.loc[changed.index[places], "value"] = values
    return changed


# ---- what holds for any input


def test_clean_series_are_kept_in_order_without_a_finding(check):
    rows = pd.concat([cpi(), dxy()], ignore_index=True)
    checked = check(rows.sample(frac=1, random_state=1))
    expected = rows.sort_values(["variable", "observation_date"], ignore_index=True)
    pd.testing.assert_frame_equal(checked.kept, expected)
    assert checked.findings.empty


@st.composite
def spoilt_series(draw) -> pd.DataFrame:
    seed = draw(st.integers(0, 3))
    rows = pd.concat(
        [
            series(DXY, walk(60, 97, 0.004, seed=seed)),
            series(TPM, [9.5] * 30 + [9.25] * 20),
            cpi(24, seed=seed),
        ],
        ignore_index=True,
    )
    for _ in range(draw(st.integers(0, 5))):
        start, size = draw(st.integers(0, len(rows) - 1)), draw(st.sampled_from([1, 1, 2, 8, 20]))
        block = rows.iloc[start : start + size]
        kind = draw(
            st.sampled_from(["scale", "repeat", "missing", "again", "differs", "later", "other", "drop"])
        )
        if kind == "scale":
            factor = draw(st.sampled_from([0.1, 10.0, 100.0, 1.24, 0.8, 1.05]))
            rows = rows.assign(
                value=rows["value"].where(~rows.index.isin(block.index), rows["value"] * factor)
            )
        elif kind == "repeat":
            rows.loc[block.index, "value"] = block["value"].iloc[0]
        elif kind == "missing":
            rows.loc[block.index, "value"] = draw(st.sampled_from([np.nan, np.inf]))
        elif kind == "drop":
            rows = rows.drop(block.index)
        else:
            changes = {
                "again": {},
                "differs": {"value": block["value"] * 1.01},
                "later": {"observation_date": dt.date(2030, 1, 1)},
                "other": {"variable": "gdp_of_mars"},
            }[kind]
            rows = pd.concat([rows, block.assign(**changes)])
        rows = rows.reset_index(drop=True)
    return rows


def keys(rows: pd.DataFrame, name: str, day: pd.Series) -> Counter:
    return Counter(zip(rows[name], day, rows["value"].astype(str), strict=True))


@settings(max_examples=12, deadline=None)
@given(rows=spoilt_series(), order=st.integers(0, 100), n_known=st.integers(0, 40))
def test_each_observation_is_kept_as_it_came_or_has_one_finding(bounded, macro_limits, rows, order, n_known):
    known = series(DXY, walk(n_known, 97, 0.004), "2023-12-01") if n_known else None
    checked = check_macro(rows, bounded, macro_limits, NOW, known)
    gone = checked.findings[
        (checked.findings["severity"] == QUARANTINED) | (checked.findings["rule"] == "duplicate_agrees")
    ]
    accounted = keys(checked.kept, "variable", checked.kept["observation_date"]) + keys(
        gone, "subject", gone["at"].dt.date
    )
    assert accounted == keys(rows, "variable", rows["observation_date"])
    assert not checked.kept.duplicated(["variable", "observation_date"]).any()

    shuffled = check_macro(rows.sample(frac=1, random_state=order), bounded, macro_limits, NOW, known)
    pd.testing.assert_frame_equal(shuffled.kept, checked.kept)
    pd.testing.assert_frame_equal(shuffled.findings, checked.findings)

    again = check_macro(checked.kept, bounded, macro_limits, NOW, known)
    pd.testing.assert_frame_equal(again.kept, checked.kept)
    assert again.quarantined.empty


def test_no_observations_at_all_are_checked_too(check):
    checked = check(dxy().iloc[:0])
    assert checked.kept.empty
    assert checked.findings.empty


def test_missing_columns_are_refused(check):
    with pytest.raises(DataError, match=r"column\(s\) \['vintage'\] are missing"):
        check(dxy().drop(columns="vintage"))


# ---- what an observation says by itself


def test_unknown_variables_padding_and_what_is_no_number_are_quarantined(check):
    padding = series(DXY, [np.nan] * 3, "1954-07-30")
    hole = with_values(dxy(), [100, 101], [np.nan, -np.inf])
    other = dxy(2).assign(variable="gdp_of_mars")
    checked = check(pd.concat([padding, hole, other]))
    assert rules(checked) == {"padding": 3, "not_finite": 2, "unknown_variable": 2}
    assert len(checked.kept) == 298


def test_values_out_of_range_are_quarantined_and_a_lost_decimal_point_is_named(check):
    checked = check(with_values(dxy(), [50, 51, 52], [9700.0, 0.0971, 300.0]))
    assert checked.quarantined["rule"].tolist() == ["decimal_slip", "decimal_slip", "out_of_range"]
    assert checked.quarantined["value"].tolist() == [9700.0, 0.0971, 300.0]
    assert (
        "9700 lies outside [65, 170] and is 97.45 times the 99.535" in checked.quarantined["detail"].iloc[0]
    )


def test_days_and_periods_that_have_not_begun_are_quarantined(check):
    """It is 1 March in Bogota and New York when UTC already writes the 2nd."""
    now = pd.Timestamp("2024-03-02 03:00", tz="UTC")
    days = series(DXY, [97.1, 97.2, 97.3], "2024-02-29")
    months = series(CPI, [309.1, 309.9, 310.3], "2024-02-01", "MS")
    checked = check(pd.concat([days, months]), as_of=now)
    assert checked.kept["observation_date"].tolist() == [
        dt.date(2024, 2, 29), dt.date(2024, 3, 1), dt.date(2024, 2, 1), dt.date(2024, 3, 1),
    ]  # fmt: skip
    assert rules(checked) == {"future": 2}


def test_of_duplicates_the_latest_vintage_stays(check):
    first, last = (dxy().assign(vintage=vintage) for vintage in ("2024-02-01", "2025-03-01"))
    revised = with_values(last, [7], [97.5])
    checked = check(pd.concat([revised.iloc[[7]], first, revised.iloc[[8]]]))
    assert checked.kept.iloc[[7, 8]]["vintage"].tolist() == ["2025-03-01", "2025-03-01"]
    assert rules(checked) == {"duplicate_disagrees": 1}
    assert rules(checked, REPORTED) == {"duplicate_agrees": 1}


def test_two_dates_in_one_month_are_one_observation(check):
    start, end = cpi(), cpi().iloc[[10, 20]]
    end = end.assign(observation_date=[dt.date(2020, 11, 30), dt.date(2021, 9, 30)])
    checked = check(pd.concat([end.assign(value=end["value"] + [0.0, 0.1]), start]))
    pd.testing.assert_frame_equal(checked.kept, start)
    assert rules(checked) == {"duplicate_disagrees": 1}
    assert rules(checked, REPORTED) == {"duplicate_agrees": 1}


def test_months_dated_on_their_last_day_are_reported(check):
    months = cpi().assign(
        observation_date=lambda c: pd.to_datetime(c["observation_date"]) + pd.offsets.MonthEnd()
    )
    months["observation_date"] = months["observation_date"].dt.date
    checked = check(months)
    assert rules(checked) == {}
    assert checked.findings[["rule", "value"]].values.tolist() == [["period_date", 60.0]]


# ---- levels


@pytest.mark.parametrize("factor", [1.2, 1 / 1.2])
@pytest.mark.parametrize("places", [[150], [150, 151, 152], [0], [299], [298, 299]])
def test_a_short_step_beyond_the_ratio_is_quarantined(check, places, factor):
    rows = dxy()
    checked = check(with_values(rows, places, rows["value"][places] * factor))
    assert rules(checked) == {"step": len(places)}
    assert set(checked.quarantined["at"].dt.date) == set(rows["observation_date"][places])


@pytest.mark.parametrize("power", [-4, -3, -2, -1, 1, 2, 3, 4])
def test_a_lost_decimal_point_is_found_in_and_out_of_range(check, bounded, power):
    rows = pd.concat(
        [series(BRENT, walk(200, 24.0, 0.02)), series(TPM, [9.5] * 80 + [9.25] * 70)], ignore_index=True
    )
    spots = [100, 250]
    checked = check(with_values(rows, spots, rows["value"][spots] * 10.0**power))
    assert rules(checked) == {"decimal_slip": 2}
    assert set(checked.quarantined["subject"]) == {BRENT, TPM}


def test_a_decimal_point_lost_for_good_is_found(check):
    rows = series(TPM, [9.5] * 80 + [9.25] * 40)
    checked = check(with_values(rows, range(100, 120), 0.925))
    assert rules(checked) == {"decimal_slip": 20}


@pytest.mark.parametrize(("start", "end"), [(100, 159), (200, 300), (0, 80)])
def test_another_instrument_is_found_at_both_its_ends_and_at_the_tail(check, start, end):
    """DTWEXBGS, about 120 and inside DXY's range, in the place of DXY."""
    rows = dxy()
    other = walk(end - start, 120.3, 0.003, seed=9)
    checked = check(with_values(rows, range(start, end), other))
    assert rules(checked) == {"splice": end - start}
    assert set(checked.quarantined["at"].dt.date) == set(rows["observation_date"][start:end])


def test_brent_replaced_by_another_oil_is_found(check):
    rows = series(BRENT, 62 + 3 * np.sin(np.arange(400) / 20) + np.random.default_rng(2).normal(0, 0.8, 400))
    other = np.random.default_rng(1).uniform(19.96, 24.38, 59)
    checked = check(with_values(rows, range(300, 359), other))
    assert rules(checked) == {"splice": 59}


@pytest.mark.parametrize("n_new", [1, 4, 60])
def test_another_instrument_is_found_against_what_is_stored(check, n_new):
    rows = dxy(300)
    known, new = rows.iloc[: 300 - n_new], rows.iloc[300 - n_new :]
    other = new.assign(value=walk(n_new, 120.3, 0.003, seed=9))
    checked = check(other, known)
    assert len(checked.quarantined) == n_new
    assert rules(check(new, known)) == {}


def test_a_history_rewritten_by_another_instrument_is_quarantined_whole(check):
    rows = dxy()
    checked = check(rows.assign(value=rows["value"] * 1.24), known=rows)
    assert rules(checked) == {"rewrites_history": 300}


def test_a_wrong_value_stored_once_can_be_corrected(check):
    rows = dxy()
    known = with_values(rows, [150], [120.0])
    assert rules(check(rows, known)) == {}


def test_an_ordinary_revision_is_kept(check):
    months = cpi()
    revised = months.assign(value=(months["value"] * 1.002).round(3))
    assert rules(check(revised, known=months)) == {}


def test_a_true_level_shift_is_kept_once_it_lasts_and_reported(check):
    """VIX from 20 to 65 within a day, more than the threefold seen so far, and slow to come back."""
    calm, after = walk(300, 20.0, 0.07, 2), 65 * np.exp(-0.02 * np.arange(30))
    days = series(VIX, np.append(calm / calm[-1] * 20.0, after.round(2)))
    checked = check(days)
    assert rules(checked) == {}
    assert rules(checked, REPORTED) == {"level_shift": 1}
    first_days = check(days.iloc[:304])
    assert rules(first_days) == {"step": 4}
    assert rules(check(days.iloc[:305])) == {}


def test_extreme_true_moves_survive(check):
    """April 2020: the front future of WTI closed at -37.63 between 18.27 and 10.01."""
    crash = [31.0, 28.34, 20.31, 19.87, 18.27, -37.63, 10.01, 13.78, 16.5, 16.94, 12.78, 12.34, 15.06]
    checked = check(series(WTI, np.append(walk(100, 55.0, 0.02, 2), crash)))
    assert rules(checked) == {}
    assert checked.kept["value"].min() == -37.63


def test_fed_funds_may_fall_thirteenfold_and_stay_there(check):
    rates = [2.42, 2.39, 2.38, 2.40, 2.13, 2.04, 1.83, 1.55, 1.55, 1.55, 1.58, 0.65, 0.05, 0.05, 0.08, 0.09]
    assert rules(check(series(FED_FUNDS, rates, "2019-04-01", "MS"))) == {}


# ---- repeats


def test_a_month_that_repeats_the_one_before_to_the_last_digit_is_a_copy(check):
    months = cpi()
    checked = check(with_values(months, [30, 40], months["value"][[29, 39]].to_numpy()))
    assert rules(checked) == {"copied": 2}
    assert set(checked.quarantined["at"].dt.date) == set(months["observation_date"][[30, 40]])


def unemployment(n: int = 60) -> pd.DataFrame:
    values = 9 + np.cumsum(np.random.default_rng(5).normal(0, 0.25, n))
    return series(UNRATE, values.round(1), "2020-01-01", "MS")


def test_coarse_series_and_rates_may_repeat(check):
    rates = unemployment()
    assert (rates["value"].diff() == 0).any()
    policy = series(TPM, [4.25] * 200 + [4.5] * 100)
    assert rules(check(pd.concat([rates, policy]))) == {}


def test_one_value_with_more_decimals_does_not_make_repeats_unlikely(check):
    rates = series(FED_FUNDS, [1.55, 1.55, 1.58, 1.6, 1.6, 1.65, 1.7, 1.7] * 4, "2019-01-01", "MS")
    assert rules(check(with_values(rates, [13], 1.601234))) == {}


@pytest.mark.parametrize("n_after", [1, 5, 19, 20, 200])
def test_a_policy_rate_may_stand_still_for_two_years_and_then_move(check, n_after):
    """TPM stood at 4.25 until 27 March 2020: at its first move nothing else says that it repeats."""
    rows = series(TPM, [4.25] * 428 + [3.75] * n_after, "2019-01-02")
    assert rules(check(rows)) == {}


def test_in_a_month_copied_for_several_series_coarse_ones_are_copies_too(check):
    rates = unemployment()
    place = int(np.flatnonzero(rates["value"].diff().abs() > 0.2)[5])
    rows = pd.concat(
        [rates, cpi(), cpi(name=PCE, seed=2).assign(value=lambda c: c["value"] / 2)], ignore_index=True
    )
    spots = [place, 60 + place, 120 + place]
    checked = check(with_values(rows, spots, rows["value"][[s - 1 for s in spots]].to_numpy()))
    assert rules(checked) == {"copied": 3}
    assert set(checked.quarantined["subject"]) == {UNRATE, CPI, PCE}


def test_a_tail_filled_forward_is_fabricated_and_its_first_value_true(check):
    rows = dxy()
    checked = check(with_values(rows, range(295, 300), rows["value"][294]))
    assert rules(checked) == {"fabricated_tail": 5}
    assert checked.kept["observation_date"].max() == rows["observation_date"][294]


def test_a_run_in_the_middle_longer_than_the_series_explains_is_fabricated(check):
    rows = dxy()
    assert rules(check(with_values(rows, range(100, 110), rows["value"][99]))) == {"fabricated_run": 10}
    assert rules(check(with_values(rows, [100], rows["value"][99]))) == {}


# ---- what is only reported


def test_gaps_are_reported_in_business_days_months_and_quarters(check):
    days, months = dxy(), cpi()
    quarters = series(GDP, 21000 * 1.01 ** np.arange(20), "2019-01-01", "QS")
    checked = check(
        pd.concat([days.drop(range(100, 103)), days.iloc[[0]], months.drop([20, 21]), quarters.drop(5)])
    )
    found = checked.findings[checked.findings["rule"] == "gap"].set_index("subject")["value"]
    assert found.to_dict() == {DXY: 3, CPI: 2, GDP: 1}
    assert rules(check(days.drop([100, 101]))) == {}


def test_each_weekend_value_of_a_daily_variable_is_reported(check):
    saturdays = dxy(2).assign(
        observation_date=[dt.date(2024, 1, 6), dt.date(2024, 1, 13)], value=[97.01, 97.02]
    )
    checked = check(pd.concat([dxy(), saturdays]))
    assert checked.findings["rule"].tolist() == ["weekend", "weekend"]
    assert (checked.findings["at"].dt.dayofweek >= 5).all()
    assert len(checked.kept) == 302


def test_a_source_that_joins_with_a_jump_or_another_volatility_is_reported(check):
    rows = dxy()
    joined = rows.assign(source=["a"] * 150 + ["b"] * 150)
    assert rules(check(joined), REPORTED) == {}
    jump = joined.assign(value=joined["value"] * np.where(joined["source"] == "b", 1.05, 1.0))
    assert rules(check(jump), REPORTED) == {"source_change": 1}
    wild = joined.copy()
    moves = np.random.default_rng(4).normal(0, 0.016, 150)
    moves[0] = 0.0
    wild.loc[150:, "value"] = wild["value"][149] * np.exp(np.cumsum(moves))
    assert rules(check(wild), REPORTED) == {"source_change": 1}


def test_a_simulated_market_has_no_finding(sample, bounded, macro_limits):
    rows = sample.macro.assign(vintage="simulated", source="sample")
    checked = check_macro(rows, bounded, macro_limits, pd.Timestamp("2021-12-20 15:02", tz="UTC"))
    assert checked.findings.empty
    assert len(checked.kept) == len(rows)
