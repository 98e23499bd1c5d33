"""The sample market has the real market's published figures, recomputed here by plain pandas.

Tolerances are those the likeness page states: what chance explains between seeds, measured over 24 of them by
benchmarks/likeness.py. One market is simulated without an edge and one with the demo's.
"""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dosvotos.simulation.calibration import real_statistics
from dosvotos.simulation.likeness import CORRELATION_TOLERANCE, FACTOR_TOLERANCES, STEPPING_SPREAD, TOLERANCES
from tests.conftest import SHARED_DATA
from tests.simulation.market_factory import EDGE, SPOT, market

pytestmark = pytest.mark.slow

REAL = real_statistics()
INTRADAY, DAILY, FACTORS = REAL["intraday"], REAL["daily"], REAL["factors"]
RATES_IN_STEPS = [
    "finc_rate_ibr_overnight_col_d_ibr",
    "polr_policy_rate_col_d_tpm",
    "polr_prime_rate_usa_d_prime",
]
MOVING = [name for name in FACTORS["std"] if name not in [*RATES_IN_STEPS, SPOT]]


def near(name: str, real: float):
    return pytest.approx(real, abs=TOLERANCES[name].of(real))


def bars(edge: float) -> pd.DataFrame:
    frame = market(edge).bars
    local = frame["timestamp"].dt.tz_convert("America/Bogota")
    frame = frame.assign(day=local.dt.normalize().dt.tz_localize(None), log=np.log(frame["close"]))
    return frame.assign(slot=frame.groupby("day").cumcount(), move=frame.groupby("day")["log"].diff())


def by_day(edge: float) -> pd.DataFrame:
    days = bars(edge).groupby("day")["log"].agg(["first", "last"]) * 100
    days["nights"] = days.index.to_series().diff().dt.days
    return days.assign(
        cc=days["last"].diff(), session=days["last"] - days["first"], gap=days["first"] - days["last"].shift()
    )


@pytest.fixture(scope="module")
def quiet() -> pd.DataFrame:
    """Bars of a market with nothing planted; z is the return over its session's volatility."""
    frame = bars(0.0)
    sigma = np.sqrt((frame["move"] ** 2).groupby(frame["day"]).transform("mean"))
    return frame.assign(sigma=sigma, z=frame["move"] / sigma)


@pytest.fixture(scope="module")
def profile(quiet: pd.DataFrame) -> pd.Series:
    return np.sqrt((quiet["z"] ** 2).groupby(quiet["slot"]).mean()).loc[1:]


def autocorrelation(values: pd.Series, days: pd.Series, lag: int) -> float:
    return float(values.corr(values.groupby(days).shift(lag)))


def test_the_calibration_carries_the_published_statistics_unchanged():
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/facts, which the repository does not hold")
    assert json.loads((SHARED_DATA.parent / "facts/calibration.json").read_text("utf-8")) == REAL


# ---- within the session, nothing planted


def test_returns_are_spread_and_peaked_as_in_the_real_market(quiet: pd.DataFrame, profile: pd.Series):
    moves = quiet["move"].dropna()
    plain = moves[moves.abs() < 0.015]
    assert plain.std() * 10_000 == near("intraday.pooled_std_bp", INTRADAY["pooled_std_bp"])
    assert plain.kurt() == near("intraday.pooled_excess_kurtosis", INTRADAY["pooled_excess_kurtosis"])
    assert (moves == 0).mean() == near("intraday.zero_return_share", INTRADAY["zero_return_share"])
    standardised = (quiet["z"] / quiet["slot"].map(profile)).dropna()
    dof, _, _ = stats.t.fit(standardised.sample(20_000, random_state=0), floc=0)
    assert dof == near("intraday.standardised_t_dof", INTRADAY["standardised_t_dof"])


def test_volatility_has_the_profile_of_the_day(profile: pd.Series):
    for slot, real in enumerate(INTRADAY["slot_vol_profile_1_59"], start=1):
        assert profile[slot] == near(f"intraday.slot_vol_profile.{slot}", real), slot


def test_volatility_persists_from_session_to_session(quiet: pd.DataFrame):
    sigma = quiet.groupby("day")["sigma"].first()
    log_sigma = np.log(sigma)
    assert sigma.median() * 10_000 == near("intraday.sigma5_bp_median", INTRADAY["sigma5_bp_median"])
    assert log_sigma.std() == near("intraday.sigma5_log_sd", INTRADAY["sigma5_log_sd"])
    for lag, real in INTRADAY["sigma5_log_ac"].items():
        assert log_sigma.autocorr(int(lag)) == near(f"intraday.sigma5_log_ac.{lag}", real), lag


def test_neighbouring_returns_bounce_and_sizes_cluster(quiet: pd.DataFrame, profile: pd.Series):
    days = quiet["day"]
    assert autocorrelation(quiet["z"], days, 1) == near("intraday.ar1", INTRADAY["ar1"])
    sizes = (quiet["z"] / quiet["slot"].map(profile)).abs()
    for lag, real in zip((1, 2, 3, 6, 12), INTRADAY["abs_acf_1_2_3_6_12"], strict=True):
        assert autocorrelation(sizes, days, lag) == near(f"intraday.abs_acf.{lag}", real), lag


def test_bars_have_true_ranges(quiet: pd.DataFrame):
    span = np.log(quiet["high"] / quiet["low"])
    body = np.log(quiet["close"] / quiet["open"]).abs()
    sigma = quiet["move"][quiet["move"].abs() < 0.015].std()
    assert span.mean() / sigma == near("intraday.range_over_sigma", INTRADAY["range_over_sigma"])
    assert span.mean() * 10_000 == near("intraday.range_mean_bp", INTRADAY["range_mean_bp"])
    assert body.mean() * 10_000 == near("intraday.body_mean_bp", INTRADAY["body_mean_bp"])
    top = np.log(quiet["high"] / quiet[["open", "close"]].max(axis=1))
    assert (top / span).mean() == near("intraday.wick_share_each_side", INTRADAY["wick_share_each_side"])


# ---- from day to day; standard deviations with an edge as well


@pytest.mark.parametrize("edge", [0.0, EDGE])
def test_daily_standard_deviations_are_the_published_ones(edge: float):
    days = by_day(edge)
    assert days["cc"].std() == near("daily.cc_std_pct", DAILY["cc_std_pct"])
    assert days["session"].std() == near("daily.intraday_std_pct", DAILY["intraday_std_pct"])
    lengths = {"gap1": (1, 1), "gap3": (2, 3), "gap4plus": (4, 9)}
    for name, (shortest, longest) in lengths.items():
        gaps = days.loc[days["nights"].between(shortest, longest), "gap"]
        real = DAILY["overnight_std_pct"][name]
        assert gaps.std() == near(f"daily.overnight_std_pct.{name}", real), name
    for weekday, real in DAILY["std_by_dow"].items():
        spread = days.loc[days.index.day_of_week == int(weekday), "cc"].std()
        assert spread == near(f"daily.std_by_dow.{weekday}", real), weekday


@pytest.mark.parametrize("edge", [0.0, EDGE])
def test_five_minute_standard_deviations_do_not_depend_on_the_edge(edge: float):
    moves = bars(edge)["move"].dropna()
    spread = moves[moves.abs() < 0.015].std() * 10_000
    assert spread == near("intraday.pooled_std_bp", INTRADAY["pooled_std_bp"])
    plain = bars(0.0)["move"].std()
    assert moves.std() == pytest.approx(plain, rel=0.02)


def test_days_and_nights_have_fat_tails():
    days = by_day(0.0).dropna()
    assert stats.t.fit(days["cc"], floc=0)[0] == near("daily.cc_t_dof", DAILY["cc_t_dof"])
    assert stats.t.fit(days["gap"], floc=0)[0] == near("daily.overnight_t_dof", DAILY["overnight_t_dof"])


def test_sizes_of_daily_returns_cluster():
    sizes = by_day(0.0)["cc"].dropna().abs()
    for lag, real in DAILY["abs_ac"].items():
        assert sizes.autocorr(int(lag)) == near(f"daily.abs_ac.{lag}", real), lag


def test_the_market_has_calm_and_volatile_times():
    returns = by_day(0.0)["cc"]
    trailing = returns.rolling(20).std().dropna()
    high = trailing > trailing.quantile(0.75)
    spells = (
        high.groupby((high != high.shift()).cumsum()).agg(["first", "size"]).groupby("first")["size"].mean()
    )
    labelled, real = returns[high.index], DAILY["regimes"]
    assert labelled[high].std() == near("daily.regimes.std_high_pct", real["std_high_pct"])
    assert labelled[~high].std() == near("daily.regimes.std_low_pct", real["std_low_pct"])
    assert spells[True] == near("daily.regimes.mean_spell_high_days", real["mean_spell_high_days"])
    assert spells[False] == near("daily.regimes.mean_spell_low_days", real["mean_spell_low_days"])


def test_without_an_edge_nothing_known_tells_of_the_days_move():
    days = by_day(0.0)
    chance = 3.5 / np.sqrt(len(days))
    assert abs(days["cc"].autocorr(1)) < chance
    assert abs(days["session"].corr(days["gap"])) < chance
    assert abs(days["gap"].corr(days["session"].shift())) < chance
    yesterday = changes(0.0).reindex(days.index).shift()[MOVING]
    assert yesterday.corrwith(days["session"]).abs().max() < chance


# ---- factors


def changes(edge: float) -> pd.DataFrame:
    """Each variable's change since its own observation before."""
    macro, moved = market(edge).macro, {}
    for name, kind in FACTORS["kind"].items():
        rows = macro[macro["variable"] == name]
        values = rows.set_index(pd.DatetimeIndex(rows["observation_date"]))["value"]
        moved[name] = np.log(values).diff() * 100 if kind.startswith("log") else values.diff()
    return pd.DataFrame(moved)


def test_daily_factors_move_as_far_and_as_persistently_as_the_real_ones():
    moved = changes(0.0)
    for name in [*MOVING, *RATES_IN_STEPS]:
        tolerance = STEPPING_SPREAD if name in RATES_IN_STEPS else FACTOR_TOLERANCES["std"]
        real = FACTORS["std"][name]
        assert moved[name].std() == pytest.approx(real, abs=tolerance.of(real)), name
        memory = moved[name].dropna().autocorr(1)
        assert memory == pytest.approx(FACTORS["ac1"][name], abs=FACTOR_TOLERANCES["ac1"].size), name


def test_daily_factors_and_the_spot_move_together_as_the_real_ones_do():
    names = [*MOVING, SPOT]
    found, real = changes(0.0)[names].corr(), pd.DataFrame(FACTORS["corr"]).loc[names, names]
    assert (found - real).abs().max().max() < CORRELATION_TOLERANCE
    assert np.abs(found - real).to_numpy()[np.triu_indices(len(names), 1)].mean() < 0.035


def test_usdcop_responds_to_factors_by_the_published_betas():
    moved, ols = changes(0.0), FACTORS["multi_ols_lag0"]
    for name in MOVING:
        real = FACTORS["usdcop_beta_lag0_pct"][name]
        allowed = FACTOR_TOLERANCES["usdcop_corr"].size * FACTORS["std"][SPOT] / FACTORS["std"][name]
        pair = moved[[SPOT, name]].dropna()
        assert np.polyfit(pair[name], pair[SPOT], 1)[0] == pytest.approx(real, abs=allowed), name
    seven = ["dxy", "brent", "usdmxn", "usdclp", "vix", "embi", "col10y"]
    names = [next(name for name in MOVING if name.endswith(f"_{short}")) for short in seven]
    rows = moved[[SPOT, *names]].dropna()
    fitted = stats.linregress(_projection(rows), rows[SPOT])
    assert fitted.rvalue**2 == near("factors.multi_ols_lag0.R2", ols["R2"])


def _projection(rows: pd.DataFrame) -> np.ndarray:
    design = np.column_stack([np.ones(len(rows)), rows.drop(columns=SPOT)])
    return design @ np.linalg.solve(design.T @ design, design.T @ rows[SPOT].to_numpy())


def test_policy_rates_move_in_steps():
    moved = changes(0.0)
    for name in ("polr_policy_rate_col_d_tpm", "polr_prime_rate_usa_d_prime"):
        steps = moved[name].dropna()
        assert (steps == 0).mean() > 0.94, name
        assert np.allclose(steps % 0.25, 0), name
