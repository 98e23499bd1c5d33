import datetime as dt

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dosvotos.errors import DataError
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.simulation.statistics import (
    daily_changes,
    fit_student_t,
    market_statistics,
    published_correlation,
    published_figures,
)

DXY, UST10 = "fxrt_index_dxy_usa_d_dxy", "finc_bond_yield10y_usa_d_ust10y"


def walking_bars(n_sessions: int = 300, flat: bool = False) -> pd.DataFrame:
    """A random walk of normal 5-minute steps of 10 bp without nights."""
    days = scheduled_sessions(dt.date(2023, 1, 2), dt.date(2024, 12, 31))[:n_sessions]
    times = pd.DatetimeIndex([time for day in days for time in session_bar_times(day)])
    close = 4000 * np.exp(0.001 * np.random.default_rng(0).standard_normal(len(times)).cumsum())
    wick = 0.0 if flat else 1.0
    opened = close if flat else np.concatenate([close[:1], close[:-1]])
    return pd.DataFrame(
        {
            "timestamp": times,
            "open": opened,
            "high": np.maximum(opened, close) + wick,
            "low": np.minimum(opened, close) - wick,
            "close": close,
        }
    )


def macro(values: dict[str, list[float]]) -> pd.DataFrame:
    """Observations from Friday, 2024-01-05 on, day after day."""
    rows = [
        {"variable": name, "observation_date": dt.date(2024, 1, 5) + dt.timedelta(days=i), "value": value}
        for name, series in values.items()
        for i, value in enumerate(series)
    ]
    return pd.DataFrame(rows, columns=["variable", "observation_date", "value"])


def test_a_random_walk_has_the_figures_of_one():
    found = market_statistics(walking_bars(), macro({}))
    assert found.figures["intraday.pooled_std_bp"] == pytest.approx(10.0, rel=0.02)
    assert found.figures["intraday.pooled_excess_kurtosis"] == pytest.approx(0.0, abs=0.1)
    assert found.figures["intraday.zero_return_share"] == 0.0
    assert found.figures["daily.intraday_std_pct"] == pytest.approx(0.1 * np.sqrt(59), rel=0.1)
    assert found.figures["daily.cc_std_pct"] == pytest.approx(0.1 * np.sqrt(60), rel=0.1)
    assert found.figures["daily.overnight_std_pct.gap1"] == pytest.approx(0.1, rel=0.2)
    assert found.figures["daily.regimes.high_vol_share"] == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(found.slot_volatility, 1.0, atol=0.15)
    np.testing.assert_allclose(found.autocorrelation, 0.0, atol=0.03)
    # sizes over their own session's volatility repel each other by about one over its number of bars
    np.testing.assert_allclose(found.abs_autocorrelation, -1 / 59, atol=0.03)
    assert not [name for name in found.figures if name.startswith("factors")]


def test_flat_bars_have_no_range():
    found = market_statistics(walking_bars(flat=True), macro({}))
    assert "intraday.range_mean_bp" not in found.figures
    assert found.figures["intraday.pooled_std_bp"] == pytest.approx(10.0, rel=0.02)


def test_sessions_that_are_sparse_or_stale_do_not_count():
    bars = walking_bars(260)
    day = np.repeat(np.arange(260), 60)
    sparse = bars[(day >= 5) | (np.arange(len(bars)) % 60 < 40)]
    stale = sparse.assign(
        close=sparse["close"].where(~((day[sparse.index] == 9) & (sparse.index % 60 < 40)), 1.0)
    )
    whole, partly = (market_statistics(frame, macro({})) for frame in (bars, stale))
    assert whole.daily["sigma5_bp"].notna().sum() == 260
    assert partly.daily["sigma5_bp"].notna().sum() == 254


def test_too_few_sessions_are_refused():
    with pytest.raises(DataError, match="need 250 sessions with at least 50 bars, found 249"):
        market_statistics(walking_bars(249), macro({}))


def test_changes_are_logs_or_differences_since_the_own_weekday_before():
    moved = daily_changes(macro({DXY: [100.0, 500.0, 500.0, 101.0, 99.0], UST10: [4.0, 9.0, 9.0, 4.1, 4.05]}))
    assert moved.index.tolist() == list(pd.DatetimeIndex(["2024-01-05", "2024-01-08", "2024-01-09"]))
    np.testing.assert_allclose(moved[DXY].iloc[1:], [100 * np.log(1.01), 100 * np.log(99 / 101)])
    np.testing.assert_allclose(moved[UST10].iloc[1:], [0.1, -0.05])


@pytest.mark.parametrize("dof", [2.5, 4.0, 8.0])
def test_student_fits_are_those_of_scipy(dof: float):
    values = stats.t.rvs(dof, scale=0.7, size=4_000, random_state=1)
    found, (expected, _, scale) = fit_student_t(values), stats.t.fit(values, floc=0)
    assert found[0] == pytest.approx(expected, rel=0.01)
    assert found[1] == pytest.approx(scale, rel=0.01)


@pytest.mark.slow
def test_the_real_files_have_the_published_figures(shared_data):
    """So the conventions here are those of the publication; its sessions were cleaned a little otherwise."""
    series = pd.read_parquet(shared_data / "macro_daily.parquet")
    series = series[pd.DatetimeIndex(series["observation_date"]) >= "2020-01-01"]
    found = market_statistics(pd.read_parquet(shared_data / "usdcop_5m.parquet"), series)
    published, close = published_figures(), {"rel": 0.04, "abs": 0.012}
    for name in (
        "pooled_std_bp",
        "pooled_excess_kurtosis",
        "sigma5_bp_median",
        "sigma5_log_sd",
        "abs_acf.1",
        "abs_acf.2",
        "abs_acf.6",
        "abs_acf.12",
        "ar1",
        "zero_return_share",
        "range_over_sigma",
        "wick_share_each_side",
        "slot_vol_profile.1",
        "slot_vol_profile.30",
        "slot_vol_profile.59",
    ):
        assert found.figures[f"intraday.{name}"] == pytest.approx(published[f"intraday.{name}"], **close), (
            name
        )
    for name in (
        "cc_std_pct",
        "intraday_std_pct",
        "overnight_std_pct.gap1",
        "overnight_std_pct.gap3",
        "cc_t_dof",
        "regimes.std_high_pct",
        "regimes.std_low_pct",
        "mean_by_dow_pct.0",
        "std_by_dow.0",
    ):
        assert found.figures[f"daily.{name}"] == pytest.approx(published[f"daily.{name}"], **close), name
    for name in (
        "std.fxrt_index_dxy_usa_d_dxy",
        "usdcop_corr.fxrt_spot_usdmxn_mex_d_usdmxn",
        "usdcop_beta_lag0_pct.volt_vix_usa_d_vix",
        "multi_ols_lag0.R2",
        "multi_ols_lag0.usdclp",
    ):
        assert found.figures[f"factors.{name}"] == pytest.approx(published[f"factors.{name}"], **close), name
    real = published_correlation()
    assert (found.correlation.loc[real.index, real.columns] - real).abs().max().max() < 0.05
