"""Statistics of a USD/COP market: volatility, tails, autocorrelation, overnight gaps, factors.

They follow the conventions of the real market's published statistics in ``calibration.json``, so that the
figures of two markets are comparable.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.experiment import flatten
from dosvotos.errors import DataError
from dosvotos.market.calendar import BARS_PER_SESSION, in_session, session_dates, slots
from dosvotos.simulation.calibration import SPOT, real_statistics

ABS_LAGS: Final = (1, 2, 3, 6, 12)
VOLATILITY_LAGS: Final = (1, 2, 5, 10, 20)
REGIME_WINDOW: Final = 20
MULTI_FACTORS: Final = {
    "dxy": "fxrt_index_dxy_usa_d_dxy",
    "brent": "comm_oil_brent_glb_d_brent",
    "usdmxn": "fxrt_spot_usdmxn_mex_d_usdmxn",
    "usdclp": "fxrt_spot_usdclp_chl_d_usdclp",
    "vix": "volt_vix_usa_d_vix",
    "embi": "crsk_spread_embi_col_d_embi",
    "col10y": "finc_bond_yield10y_col_d_col10y",
}
"""The factors of the published regression of USD/COP's daily return."""

_HIGH_SHARE = 0.25
_MIN_BARS = 50
_MAX_ZERO_SHARE = 0.3
_MAX_RETURN = 0.015
_MAX_RANGE = 0.02
_MIN_SESSIONS = 250
_BASIS_POINTS = 10_000
_PERCENT = 100


@dataclass(frozen=True)
class MarketStatistics:
    """Figures of one market, and the tables behind them."""

    figures: dict[str, float]
    """By the published names, dotted: ``intraday.ar1``, ``daily.cc_std_pct``, ``factors.std.<variable>``."""
    slot_volatility: np.ndarray
    """Root mean square of returns over their session's own, slots 1 to 59."""
    autocorrelation: np.ndarray
    """Of standardised 5-minute returns within sessions, lags 1 to 12."""
    abs_autocorrelation: np.ndarray
    """Of their absolute values, over the intraday profile; lags 1 to 12."""
    standardised: np.ndarray
    """5-minute returns over their session's and their slot's volatility, in no order."""
    overnight: pd.DataFrame
    """By session: nights (calendar days since the one before), move_pct (last close to first close), scaled
    (the same over the standard deviation of nights as long)."""
    daily: pd.DataFrame
    """By session: close, return_pct (close to close), session_pct (first to last close), sigma5_bp,
    trailing_std_pct (of the last 20 returns), high (bool: the quarter of days on which that is highest)."""
    correlation: pd.DataFrame
    """Of the daily changes of the variables, USD/COP's included."""


def market_statistics(bars: pd.DataFrame, macro: pd.DataFrame) -> MarketStatistics:
    """Compute the statistics of a market.

    Parameters
    ----------
    bars : DataFrame
        timestamp (bar open, timezone-aware) and open, high, low, close; bars off session are ignored.
    macro : DataFrame
        variable, observation_date, value; only daily variables on weekdays are used.

    Returns
    -------
    MarketStatistics
        Without the figures that the market has no data for (flat bars have no range).

    Raises
    ------
    DataError
        If fewer than 250 sessions can be used.

    Notes
    -----
    5-minute figures come from sessions with at least 50 bars of which fewer than 30% repeat a close; standard
    deviation and kurtosis of pooled returns exclude those beyond 1.5%, mostly bad ticks and jumps after stale
    quotes. High regime: the quarter of sessions with the highest standard deviation of 20 daily returns.
    """
    closes = _closes(bars)
    kept = _usable_returns(closes)
    sigma = np.sqrt((kept**2).mean(axis=1))
    scaled = kept.div(sigma, axis=0)
    profile = np.sqrt((scaled**2).mean())
    standardised = (scaled / profile).to_numpy()
    daily, overnight = _daily(closes, sigma)
    changes = daily_changes(macro)
    autocorrelation = np.array([_lag_correlation(scaled.to_numpy(), lag) for lag in range(1, 13)])
    abs_autocorrelation = np.array([_lag_correlation(np.abs(standardised), lag) for lag in range(1, 13)])
    figures = {
        **_intraday_figures(kept.to_numpy(), sigma, standardised),
        "intraday.ar1": autocorrelation[0],
        **{f"intraday.abs_acf.{lag}": abs_autocorrelation[lag - 1] for lag in ABS_LAGS},
        **{f"intraday.slot_vol_profile.{slot}": value for slot, value in profile.items()},
        **_range_figures(bars),
        **_daily_figures(daily, overnight),
        **_factor_figures(changes),
        **_predictive_r2(changes, daily["session_pct"]),
    }
    return MarketStatistics(
        {name: float(value) for name, value in figures.items()},
        profile.to_numpy(),
        autocorrelation,
        abs_autocorrelation,
        standardised[np.isfinite(standardised)],
        overnight,
        daily,
        changes.corr(min_periods=_MIN_SESSIONS),
    )


def published_figures() -> dict[str, float]:
    """Return the real market's published statistics under the names of `MarketStatistics.figures`."""
    real = real_statistics()
    intraday, daily, factors = (dict(real[part]) for part in ("intraday", "daily", "factors"))
    profile, autocorrelation = intraday.pop("slot_vol_profile_1_59"), intraday.pop("abs_acf_1_2_3_6_12")
    intraday["slot_vol_profile"] = {str(i + 1): value for i, value in enumerate(profile)}
    intraday["abs_acf"] = dict(zip(map(str, ABS_LAGS), autocorrelation, strict=True))
    lagged = factors.pop("usdcop_lag_corr")
    factors["usdcop_corr"] = {name: values[0] for name, values in lagged.items()}
    flat = flatten({"intraday": intraday, "daily": daily, "factors": factors})
    return {name: float(value) for name, value in flat.items() if not isinstance(value, str)}


def published_correlation() -> pd.DataFrame:
    """Return the correlation of daily changes of the real market's variables, USD/COP's included."""
    return pd.DataFrame(real_statistics()["factors"]["corr"])


def daily_changes(macro: pd.DataFrame) -> pd.DataFrame:
    """Return each published daily variable's changes between its own observations, one column a variable.

    Of weekday observations; log returns in percent or differences in the variable's unit, as published.
    """
    kinds = real_statistics()["factors"]["kind"]
    days = pd.DatetimeIndex(macro["observation_date"])
    wanted = macro[macro["variable"].isin(kinds) & (days.day_of_week < 5)]
    days = pd.DatetimeIndex(wanted["observation_date"], name="day")
    values = wanted.set_index(days).pivot(columns="variable", values="value")
    changes = {}
    for name in values:
        observed = values[name].dropna()
        is_log = kinds[name].startswith("log")
        changes[name] = np.log(observed[observed > 0]).diff() * _PERCENT if is_log else observed.diff()
    return pd.DataFrame(changes)


def fit_student_t(values: np.ndarray) -> tuple[float, float]:
    """Fit degrees of freedom and scale of a Student's t around 0 by maximum likelihood."""
    from scipy.optimize import minimize
    from scipy.special import gammaln

    square, n = values**2, len(values)

    def negative_log_likelihood(parameters: np.ndarray) -> float:
        dof, scale = np.exp(parameters)
        constant = gammaln((dof + 1) / 2) - gammaln(dof / 2) - 0.5 * np.log(dof * np.pi) - np.log(scale)
        return float((dof + 1) / 2 * np.log1p(square / (dof * scale**2)).sum() - n * constant)

    start = np.log([4.0, np.median(np.abs(values)) * 1.35 + 1e-12])
    fit = minimize(negative_log_likelihood, start, method="Nelder-Mead", options={"xatol": 1e-3})
    dof, scale = np.exp(fit.x)
    return float(dof), float(scale)


def _closes(bars: pd.DataFrame) -> pd.DataFrame:
    """Closes by session and slot, NaN where a bar is missing."""
    times = pd.DatetimeIndex(bars["timestamp"])
    shown = bars[["close"]].astype(float).assign(day=session_dates(times), slot=slots(times))
    table = shown[in_session(times)].pivot(index="day", columns="slot", values="close")
    return table.reindex(columns=range(BARS_PER_SESSION))


def _usable_returns(closes: pd.DataFrame) -> pd.DataFrame:
    """Log returns of the sessions with enough bars and few repeated closes."""
    returns = closes.apply(np.log).diff(axis=1).iloc[:, 1:]
    present = returns.notna().sum(axis=1)
    zero_share = (returns == 0).sum(axis=1) / present.clip(lower=1)
    usable = (present >= _MIN_BARS - 1) & (zero_share < _MAX_ZERO_SHARE)
    if usable.sum() < _MIN_SESSIONS:
        raise DataError(
            f"bars: statistics need {_MIN_SESSIONS} sessions with at least {_MIN_BARS} bars, "
            f"found {usable.sum()}; use a longer history"
        )
    return returns[usable]


def _lag_correlation(table: np.ndarray, lag: int) -> float:
    """Correlation of entries with those `lag` columns earlier in the same row, NaN left out."""
    later, earlier = table[:, lag:].ravel(), table[:, :-lag].ravel()
    both = np.isfinite(later) & np.isfinite(earlier)
    return float(np.corrcoef(later[both], earlier[both])[0, 1])


def _intraday_figures(returns: np.ndarray, sigma: pd.Series, standardised: np.ndarray) -> dict[str, float]:
    log_sigma = np.log(sigma)
    pooled = returns[np.isfinite(returns)]
    plain = pooled[np.abs(pooled) < _MAX_RETURN]
    return {
        "intraday.sigma5_bp_median": sigma.median() * _BASIS_POINTS,
        "intraday.sigma5_log_sd": log_sigma.std(),
        **{f"intraday.sigma5_log_ac.{lag}": log_sigma.autocorr(lag) for lag in VOLATILITY_LAGS},
        "intraday.pooled_std_bp": plain.std() * _BASIS_POINTS,
        "intraday.pooled_excess_kurtosis": _excess_kurtosis(plain),
        "intraday.standardised_t_dof": fit_student_t(standardised[np.isfinite(standardised)])[0],
        "intraday.zero_return_share": (pooled == 0).mean(),
    }


def _excess_kurtosis(values: np.ndarray) -> float:
    return float(((values - values.mean()) ** 4).mean() / values.var() ** 2 - 3)


def _range_figures(bars: pd.DataFrame) -> dict[str, float]:
    """Range, body and wicks of the session bars that are not flat."""
    times = pd.DatetimeIndex(bars["timestamp"])
    shown = bars[in_session(times) & (bars["high"] > bars["low"]).to_numpy()]
    opened, high, low, close = np.log(shown[["open", "high", "low", "close"]].to_numpy(float).T)
    span = high - low
    sound = span < _MAX_RANGE
    if sound.sum() < _MIN_SESSIONS * BARS_PER_SESSION / 10:
        return {}
    body = np.abs(close - opened)
    wicks = span - body
    moves = np.diff(close)[slots(pd.DatetimeIndex(shown["timestamp"]))[1:] > 0]
    sigma = moves[np.abs(moves) < _MAX_RETURN].std()
    return {
        "intraday.range_over_sigma": span[sound].mean() / sigma,
        "intraday.range_mean_bp": span[sound].mean() * _BASIS_POINTS,
        "intraday.body_mean_bp": body[sound].mean() * _BASIS_POINTS,
        "intraday.wick_share_each_side": (wicks[sound] / span[sound]).mean() / 2,
    }


def _daily(closes: pd.DataFrame, sigma: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    days = pd.DatetimeIndex(closes.index)
    first, last = closes.bfill(axis=1).iloc[:, 0], closes.ffill(axis=1).iloc[:, -1]
    returns = np.log(last).diff() * _PERCENT
    trailing = returns.rolling(REGIME_WINDOW).std()
    daily = pd.DataFrame(
        {
            "close": last,
            "return_pct": returns,
            "session_pct": np.log(last / first) * _PERCENT,
            "sigma5_bp": sigma.reindex(closes.index) * _BASIS_POINTS,
            "trailing_std_pct": trailing,
            "high": trailing > trailing.quantile(1 - _HIGH_SHARE),
        }
    ).set_axis(days)
    nights = np.diff(days.to_numpy("datetime64[D]")).astype(int)
    move = (np.log(first) - np.log(last).shift()).to_numpy()[1:] * _PERCENT
    overnight = pd.DataFrame({"nights": nights, "move_pct": move}, index=days[1:])
    alike = overnight["nights"].clip(upper=4).replace(2, 3)
    return daily, overnight.assign(scaled=move / overnight["move_pct"].groupby(alike).transform("std"))


def _daily_figures(daily: pd.DataFrame, overnight: pd.DataFrame) -> dict[str, float]:
    returns = daily["return_pct"].dropna()
    weekday = pd.DatetimeIndex(returns.index).day_of_week
    nights, moves = overnight["nights"], overnight["move_pct"]
    known = daily.loc[daily["trailing_std_pct"].notna(), "high"]
    spells = known.groupby((known != known.shift()).cumsum()).agg(["first", "size"])
    lengths = spells.groupby("first")["size"].mean()
    labelled = daily.loc[known.index, "return_pct"]
    return {
        "daily.cc_std_pct": returns.std(),
        "daily.intraday_std_pct": daily.loc[daily["sigma5_bp"].notna(), "session_pct"].std(),
        "daily.overnight_std_pct.gap1": moves[nights == 1].std(),
        "daily.overnight_std_pct.gap3": moves[nights.between(2, 3)].std(),
        "daily.overnight_std_pct.gap4plus": moves[nights >= 4].std(),
        "daily.cc_t_dof": fit_student_t(returns.to_numpy())[0],
        "daily.overnight_t_dof": fit_student_t(moves.to_numpy())[0],
        "daily.ac1": returns.autocorr(1),
        **{f"daily.abs_ac.{lag}": returns.abs().autocorr(lag) for lag in VOLATILITY_LAGS},
        **{f"daily.std_by_dow.{day}": returns[weekday == day].std() for day in range(5)},
        **{f"daily.mean_by_dow_pct.{day}": returns[weekday == day].mean() for day in range(5)},
        "daily.regimes.high_vol_share": known.mean(),
        "daily.regimes.std_high_pct": labelled[known].std(),
        "daily.regimes.std_low_pct": labelled[~known].std(),
        "daily.regimes.mean_spell_high_days": lengths[True],
        "daily.regimes.mean_spell_low_days": lengths[False],
    }


def _factor_figures(changes: pd.DataFrame) -> dict[str, float]:
    if SPOT not in changes:
        return {}
    spot, known = changes[SPOT], changes[changes[SPOT].notna()]
    others = [name for name in changes if name != SPOT]
    return {
        **{f"factors.std.{name}": changes[name].std() for name in changes},
        **{f"factors.ac1.{name}": changes[name].dropna().autocorr(1) for name in changes},
        **{f"factors.usdcop_corr.{name}": spot.corr(changes[name]) for name in others},
        **{
            f"factors.usdcop_beta_lag0_pct.{name}": spot.cov(changes[name]) / known[name].var()
            for name in others
        },
        **_regression(changes),
    }


def _regression(changes: pd.DataFrame) -> dict[str, float]:
    """The published regression of USD/COP's daily return on seven factors of the same day."""
    if not {*MULTI_FACTORS.values()} <= set(changes):
        return {}
    rows = changes[[SPOT, *MULTI_FACTORS.values()]].dropna().to_numpy()
    coefficients, residuals = _least_squares(rows[:, 0], rows[:, 1:])
    per_unit = np.where([name in ("embi", "col10y") for name in MULTI_FACTORS], 1 / _PERCENT, 1.0)
    units = {"embi": "embi_per_bp", "col10y": "col10y_per_pp"}
    names = [units.get(name, name) for name in MULTI_FACTORS]
    figures = dict(zip(names, coefficients * per_unit, strict=True))
    figures |= {"R2": 1 - residuals.var() / rows[:, 0].var(), "resid_std_pct": residuals.std()}
    return {f"factors.multi_ols_lag0.{name}": figure for name, figure in figures.items()}


def _predictive_r2(changes: pd.DataFrame, sessions: pd.Series) -> dict[str, float]:
    """R2 of a session's return on the factors' last changes before it."""
    names = [MULTI_FACTORS[name] for name in ("dxy", "brent", "usdmxn", "usdclp", "vix")]
    if not set(names) <= set(changes):
        return {}
    rows = pd.merge_asof(
        sessions.to_frame(), changes[names].dropna(), left_index=True, right_index=True,
        allow_exact_matches=False,
    ).dropna()  # fmt: skip
    _, residuals = _least_squares(rows[sessions.name].to_numpy(), rows[names].to_numpy())
    r2 = 1 - residuals.var() / rows[sessions.name].var(ddof=0)
    return {"factors.predictive_ols_lag1_on_session_return.R2": r2}


def _least_squares(target: np.ndarray, regressors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients on the columns of `regressors`, with an intercept, and the residuals."""
    design = np.column_stack([np.ones(len(regressors)), regressors])
    coefficients, *_ = np.linalg.lstsq(design, target, rcond=None)
    return coefficients[1:], target - design @ coefficients
