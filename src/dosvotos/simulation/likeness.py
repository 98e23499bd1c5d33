"""Compare the sample market with the real one: each published figure beside the sample's, with a tolerance.

A tolerance is 2.5 standard deviations over 24 seeds of six years, plus the distance of those seeds' mean from
the published figure (``benchmarks/likeness.py`` measures both again). Figures that would make returns
predictable without a planted edge are not imitated.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final, NamedTuple

from dosvotos.simulation.calibration import SPOT
from dosvotos.simulation.statistics import ABS_LAGS, VOLATILITY_LAGS, published_figures


class Tolerance(NamedTuple):
    """Allowed distance of a sample's figure from the real one."""

    size: float
    relative: bool = False

    def of(self, real: float) -> float:
        """Return the allowed distance in the figure's own unit."""
        return self.size * abs(real) if self.relative else self.size


class ComparedFigure(NamedTuple):
    """One figure of both markets."""

    name: str
    real: float
    sample: float
    tolerance: float

    @property
    def inside(self) -> bool:
        """Whether the sample's figure lies within the tolerance of the real one."""
        return abs(self.sample - self.real) <= self.tolerance


def _by_lag(figure: str, lags: tuple[int, ...], *sizes: float) -> dict[str, Tolerance]:
    return {f"{figure}.{lag}": Tolerance(size) for lag, size in zip(lags, sizes, strict=True)}


_relative: Final = partial(Tolerance, relative=True)

TOLERANCES: Final[dict[str, Tolerance]] = {
    "intraday.pooled_std_bp": _relative(0.17),
    "intraday.sigma5_bp_median": _relative(0.18),
    "intraday.sigma5_log_sd": Tolerance(0.055),
    **_by_lag("intraday.sigma5_log_ac", VOLATILITY_LAGS, 0.13, 0.2, 0.15, 0.15, 0.13),
    "intraday.pooled_excess_kurtosis": Tolerance(7.0),
    "intraday.standardised_t_dof": Tolerance(0.35),
    "intraday.ar1": Tolerance(0.02),
    **_by_lag("intraday.abs_acf", ABS_LAGS, 0.025, 0.03, 0.02, 0.015, 0.015),
    "intraday.zero_return_share": Tolerance(0.003),
    **{f"intraday.slot_vol_profile.{slot}": _relative(0.15) for slot in range(1, 60)},
    "intraday.range_over_sigma": Tolerance(0.06),
    "intraday.range_mean_bp": _relative(0.17),
    "intraday.body_mean_bp": _relative(0.24),
    "intraday.wick_share_each_side": Tolerance(0.015),
    "daily.cc_std_pct": _relative(0.22),
    "daily.intraday_std_pct": _relative(0.2),
    "daily.overnight_std_pct.gap1": _relative(0.22),
    "daily.overnight_std_pct.gap3": _relative(0.34),
    "daily.overnight_std_pct.gap4plus": _relative(0.48),
    "daily.cc_t_dof": Tolerance(4.2),
    "daily.overnight_t_dof": Tolerance(0.7),
    **_by_lag("daily.abs_ac", VOLATILITY_LAGS, 0.2, 0.19, 0.14, 0.11, 0.11),
    **{f"daily.std_by_dow.{day}": _relative(0.28) for day in range(5)},
    "daily.regimes.std_high_pct": _relative(0.25),
    "daily.regimes.std_low_pct": _relative(0.22),
    "daily.regimes.mean_spell_high_days": Tolerance(8.0),
    "daily.regimes.mean_spell_low_days": Tolerance(22.0),
    "factors.multi_ols_lag0.R2": Tolerance(0.15),
    "factors.multi_ols_lag0.resid_std_pct": _relative(0.2),
}
"""Tolerance of each figure; those of factors by variable follow from `FACTOR_TOLERANCES`."""

STEPPING: Final = (
    "finc_rate_ibr_overnight_col_d_ibr", "polr_policy_rate_col_d_tpm", "polr_prime_rate_usa_d_prime",
)  # fmt: skip
"""Rates that move in few large steps: their std is poorly known, and they are independent of USD/COP."""
FACTOR_TOLERANCES: Final = {"std": _relative(0.13), "ac1": Tolerance(0.1), "usdcop_corr": Tolerance(0.15)}
STEPPING_SPREAD: Final = _relative(0.5)
CORRELATION_TOLERANCE: Final = 0.13
"""Of each pair of daily variables, rates in steps and USD/COP apart."""

LEFT_OUT: Final = {
    "daily.ac1": "yesterday's move would tell of tomorrow's",
    **{f"daily.mean_by_dow_pct.{day}": "a weekday would tell of the day's move" for day in range(5)},
    "factors.predictive_ols_lag1_on_session_return.R2": "only the planted edge may tell of a session",
}
"""Published figures that the sample does not imitate, and why; without an edge chance alone moves them."""


def compare_figures(
    sample: Mapping[str, float], real: Mapping[str, float] | None = None
) -> list[ComparedFigure]:
    """Compare a sample's figures with the real market's.

    Parameters
    ----------
    sample : mapping of float by name
        `MarketStatistics.figures` of a simulated market.
    real : mapping of float by name, optional
        Measured ones of the real market; published figures for those missing.

    Returns
    -------
    list of ComparedFigure
        In the order of `TOLERANCES`, then of the factors; only figures that both markets have.
    """
    known = {**published_figures(), **(real or {})}
    tolerances = {**TOLERANCES, **_factor_tolerances(known)}
    return [
        ComparedFigure(name, known[name], sample[name], tolerance.of(known[name]))
        for name, tolerance in tolerances.items()
        if name in known and name in sample
    ]


def _factor_tolerances(known: Mapping[str, float]) -> dict[str, Tolerance]:
    return {
        name: STEPPING_SPREAD if statistic == "std" and name.endswith(STEPPING) else tolerance
        for statistic, tolerance in FACTOR_TOLERANCES.items()
        for name in known
        if name.startswith(f"factors.{statistic}.") and not name.endswith(SPOT)
    }
