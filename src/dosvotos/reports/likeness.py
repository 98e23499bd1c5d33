"""The sample market beside the real one on one HTML page."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from dosvotos.reports import likeness_plots as plots
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import EN, Cell, Table, table
from dosvotos.simulation.likeness import LEFT_OUT, ComparedFigure, compare_figures
from dosvotos.simulation.statistics import ABS_LAGS, VOLATILITY_LAGS, MarketStatistics, published_figures


def _labels(figure: str, label: str, parts: Mapping[Any, str]) -> dict[str, str]:
    """Label each part of a figure, ``figure.part``; the part's name fills the label's braces."""
    return {f"{figure}.{part}": label.format(name) for part, name in parts.items()}


_BARS: Final = {lag: EN.plural(lag, "bar", "bars") for lag in ABS_LAGS}
_SESSIONS: Final = {lag: EN.plural(lag, "session", "sessions") for lag in VOLATILITY_LAGS}
_DAYS: Final = dict(enumerate(plots.WEEKDAYS))
_LABELS: Final = {
    "intraday.pooled_std_bp": "5-minute returns: standard deviation, bp",
    "intraday.sigma5_bp_median": "a session's 5-minute volatility: median, bp",
    "intraday.sigma5_log_sd": "... spread of its logarithm",
    **_labels("intraday.sigma5_log_ac", "... autocorrelation, {} later", _SESSIONS),
    "intraday.pooled_excess_kurtosis": "5-minute returns: excess kurtosis",
    "intraday.standardised_t_dof": "5-minute returns over their volatility: Student's degrees of freedom",
    "intraday.ar1": "5-minute returns: autocorrelation of neighbours",
    **_labels("intraday.abs_acf", "their sizes: autocorrelation, {} later", _BARS),
    "intraday.zero_return_share": "share of bars that repeat a close",
    "intraday.range_over_sigma": "high less low, over the returns' standard deviation",
    "intraday.range_mean_bp": "high less low: mean, bp",
    "intraday.body_mean_bp": "open to close: mean size, bp",
    "intraday.wick_share_each_side": "share of the range above, and below, open and close",
    "daily.cc_std_pct": "close to close: standard deviation, %",
    "daily.intraday_std_pct": "first to last close of a session: standard deviation, %",
    **_labels("daily.overnight_std_pct", "overnight, {}: standard deviation, %", plots.NIGHTS),
    "daily.cc_t_dof": "close to close: Student's degrees of freedom",
    "daily.overnight_t_dof": "overnight: Student's degrees of freedom",
    **_labels("daily.abs_ac", "sizes of daily returns: autocorrelation, {} later", _SESSIONS),
    **_labels("daily.std_by_dow", "close to close on a {}: standard deviation, %", _DAYS),
    "daily.regimes.std_high_pct": "daily returns in the volatile quarter of days: standard deviation, %",
    "daily.regimes.std_low_pct": "... in the other days",
    "daily.regimes.mean_spell_high_days": "mean spell of the volatile quarter, sessions",
    "daily.regimes.mean_spell_low_days": "... of the other days",
    "factors.multi_ols_lag0.R2": "USD/COP on seven factors of the day: R squared",
    "factors.multi_ols_lag0.resid_std_pct": "... what they leave: standard deviation, %",
    "daily.ac1": "daily returns: autocorrelation of neighbours",
    **_labels("daily.mean_by_dow_pct", "mean return of a {}, %", _DAYS),
    "factors.predictive_ols_lag1_on_session_return.R2": "a session on yesterday's factors: R squared",
}
_SLOTS: Final = "intraday.slot"
_NOT_LISTED: Final = ("factors.std", "factors.ac1", "factors.usdcop", _SLOTS)
"""Figures that the page does not list one by one in its first table."""
_STATISTICS: Final = {
    "std": "spread", "ac1": "autocorrelation", "usdcop_corr": "with USD/COP", "usdcop_beta_lag0_pct": "beta",
}  # fmt: skip


def render_likeness(
    sample: MarketStatistics, sample_name: str, real: MarketStatistics | None, real_name: str
) -> str:
    """Write the page.

    Parameters
    ----------
    sample, real : MarketStatistics
        Without `real` the published statistics stand in, where they exist.
    sample_name, real_name : str
        What is compared, for the head of the page.
    """
    known = {**published_figures(), **(real.figures if real else {})}
    compared = compare_figures(sample.figures, real.figures if real else None)
    return render(
        "likeness",
        sample_name=sample_name,
        real_name=real_name,
        colours=plots.COLOURS,
        plots=plots.draw_likeness(sample, real, known),
        compared=compared,
        slots_inside=_count_inside(compared, _SLOTS),
        factors_inside=_count_inside(compared, "factors"),
        listed=_listed(row for row in compared if not row.name.startswith(_NOT_LISTED)),
        factors=_factors(sample.figures, known, compared),
        left_out=_left_out(sample.figures, known),
    )


def _count_inside(compared: list[ComparedFigure], prefix: str) -> str:
    inside = [row.inside for row in compared if row.name.startswith(prefix)]
    return f"{sum(inside)} of {len(inside)} inside"


def _listed(rows: Iterable[ComparedFigure]) -> Table:
    cells = [
        {
            "statistic": _LABELS.get(row.name, row.name), "real": _number(row.real),
            "sample": _number(row.sample), "tolerance": f"\u00b1 {_number(row.tolerance)}",
            "inside": Cell("yes") if row.inside else Cell("no", bad=True),
        }
        for row in rows
    ]  # fmt: skip
    return table(cells, right=("real", "sample", "tolerance"))


def _factors(
    sample: Mapping[str, float], known: Mapping[str, float], compared: list[ComparedFigure]
) -> Table:
    outside = {row.name for row in compared if not row.inside}
    rows = []
    for name in plots.factor_names(sample, known):
        cells: dict[str, object] = {"variable": name}
        for part, text in _STATISTICS.items():
            key = f"factors.{part}.{name}"
            cells[f"{text}, real"] = _number(known[key])
            cells[f"{text}, sample"] = Cell(_number(sample[key]), bad=key in outside)
        rows.append(cells)
    right = [f"{text}, {market}" for text in _STATISTICS.values() for market in plots.COLOURS]
    return table(rows, right=right)


def _left_out(sample: Mapping[str, float], known: Mapping[str, float]) -> Table:
    rows = [
        {"statistic": _LABELS[n], "real": _number(known[n]), "sample": _number(sample[n]), "why": why}
        for n, why in LEFT_OUT.items()
    ]
    return table(rows, right=("real", "sample"))


def _number(value: float) -> str:
    """Three significant digits of what four decimals leave."""
    return f"{round(value, 4):.3g}" if abs(value) < 100 else EN.number(value, 0)
