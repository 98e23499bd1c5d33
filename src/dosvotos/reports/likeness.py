"""The sample market beside the real one on one HTML page."""

from collections.abc import Iterable, Mapping
from typing import Final

from markupsafe import Markup

from dosvotos.reports import likeness_plots as plots
from dosvotos.reports import pages
from dosvotos.simulation.calibration import measured_statistics
from dosvotos.simulation.likeness import LEFT_OUT, Comparison, compare
from dosvotos.simulation.statistics import ABS_LAGS, VOLATILITY_LAGS, MarketStatistics, published_figures

_LABELS: Final = {
    "intraday.pooled_std_bp": "5-minute returns: standard deviation, bp",
    "intraday.sigma5_bp_median": "a session's 5-minute volatility: median, bp",
    "intraday.sigma5_log_sd": "... spread of its logarithm",
    **{
        f"intraday.sigma5_log_ac.{lag}": f"... autocorrelation, {lag} session(s) later"
        for lag in VOLATILITY_LAGS
    },
    "intraday.pooled_excess_kurtosis": "5-minute returns: excess kurtosis",
    "intraday.standardised_t_dof": "5-minute returns over their volatility: Student's degrees of freedom",
    "intraday.ar1": "5-minute returns: autocorrelation of neighbours",
    **{f"intraday.abs_acf.{lag}": f"their sizes: autocorrelation, {lag} bar(s) later" for lag in ABS_LAGS},
    "intraday.zero_return_share": "share of bars that repeat a close",
    "intraday.range_over_sigma": "high less low, over the returns' standard deviation",
    "intraday.range_mean_bp": "high less low: mean, bp",
    "intraday.body_mean_bp": "open to close: mean size, bp",
    "intraday.wick_share_each_side": "share of the range above, and below, open and close",
    "daily.cc_std_pct": "close to close: standard deviation, %",
    "daily.intraday_std_pct": "first to last close of a session: standard deviation, %",
    **{
        f"daily.overnight_std_pct.{gap}": f"overnight, {text}: standard deviation, %"
        for gap, text in plots.NIGHTS.items()
    },
    "daily.cc_t_dof": "close to close: Student's degrees of freedom",
    "daily.overnight_t_dof": "overnight: Student's degrees of freedom",
    **{
        f"daily.abs_ac.{lag}": f"sizes of daily returns: autocorrelation, {lag} day(s) later"
        for lag in VOLATILITY_LAGS
    },
    **{
        f"daily.std_by_dow.{i}": f"close to close on a {day}: standard deviation, %"
        for i, day in enumerate(plots.WEEKDAYS)
    },
    "daily.regimes.std_high_pct": "daily returns in the volatile quarter of days: standard deviation, %",
    "daily.regimes.std_low_pct": "... in the other days",
    "daily.regimes.mean_spell_high_days": "mean spell of the volatile quarter, sessions",
    "daily.regimes.mean_spell_low_days": "... of the other days",
    "factors.multi_ols_lag0.R2": "USD/COP on seven factors of the day: R squared",
    "factors.multi_ols_lag0.resid_std_pct": "... what they leave: standard deviation, %",
    "daily.ac1": "daily returns: autocorrelation of neighbours",
    **{f"daily.mean_by_dow_pct.{i}": f"mean return of a {day}, %" for i, day in enumerate(plots.WEEKDAYS)},
    "factors.predictive_ols_lag1_on_session_return.R2": "a session on yesterday's factors: R squared",
}

_APART: Final = ("factors.std", "factors.ac1", "factors.usdcop", "intraday.slot")
"""Figures that the page does not list one by one in its first table."""
_PARTS: Final = {
    "std": "spread",
    "ac1": "autocorrelation",
    "usdcop_corr": "with USD/COP",
    "usdcop_beta_lag0_pct": "beta",
}


def likeness_page(
    sample: MarketStatistics, sample_name: str, real: MarketStatistics | None, real_name: str
) -> str:
    """Write the page.

    Parameters
    ----------
    sample, real : MarketStatistics
        Without `real` the published statistics stand in, where they exist.
    sample_name, real_name : str
        What is compared, for the head of the page.

    Returns
    -------
    str
        One HTML page that needs no network.
    """
    known = {**published_figures(), **(real.figures if real else {})}
    compared = compare(sample.figures, real.figures if real else None)
    listed = [row for row in compared if not row.name.startswith(_APART)]
    return pages.page(
        "Is the sample market like the real one?",
        f"Real: {real_name}. Sample: {sample_name}.",
        pages.legend({"real": plots.REAL, "sample": plots.SAMPLE}),
        _verdict(compared),
        *_plots(sample, real, known),
        pages.section(
            "Figure by figure", _table(listed), pages.note(_SLOTS.format(_count(compared, _APART[-1])))
        ),
        pages.section("The daily factors", *_factors(sample.figures, known, compared)),
        pages.section(
            "What is left out on purpose", _left_out(sample.figures, known), pages.note(_NOT_IMITATED)
        ),
    )


_SLOTS: Final = "The 59 slots' volatilities are compared one by one as well: {}."
_NOT_IMITATED: Final = (
    "Also not imitated: policy rates that move with USD/COP, volatility that clusters within single factors, "
    "years with a trend, and the defects of real files, which sample_market.hazards puts in."
)
_SPREAD_NOTE: Final = (
    "Share of returns that are larger, over the session's and the slot's volatility; dotted: a normal one."
)
_REGIME_NOTE: Final = (
    "Standard deviation of the last 20 daily returns, %; its highest quarter is drawn strong, "
    "and its spells are what the table counts."
)
_BETA_NOTE: Final = (
    "Move of USD/COP, in %, on a day on which the factor moves by one of its standard deviations; "
    "the whiskers are the tolerance."
)


def _verdict(compared: list[Comparison]) -> Markup:
    return Markup(
        "<p><b>{} of {}</b> figures lie within their tolerance, which is what chance explains: 2.5 standard "
        "deviations over 24 seeds of six years, and the distance of those seeds' mean from the published "
        "figure. Real prices gave the statistics; none is inside the sample.</p>"
    ).format(sum(row.inside for row in compared), len(compared))


def _plots(
    sample: MarketStatistics, real: MarketStatistics | None, known: Mapping[str, float]
) -> list[Markup]:
    """In pairs, and in their whole width those that need it."""
    measured, simulated = measured_statistics(), sample.figures
    nights = sample.overnight["scaled"].to_numpy(), real.overnight["scaled"].to_numpy() if real else None
    returns = sample.standardised, real.standardised if real else None
    return [
        pages.grid(
            pages.plot(
                plots.tails(*returns, measured["return_size"]), "returns", "How 5-minute returns are spread",
                _SPREAD_NOTE,
            ),
            pages.plot(
                plots.by_slot(sample, known), "slots", "Volatility by time of day",
                "Root mean square over the session's own; slot 1 closes at 08:10.",
            ),
            pages.plot(
                plots.memory(sample, real), "memory", "Memory of 5-minute returns",
                "Autocorrelation within sessions. The grey band is chance around zero.",
            ),
            pages.plot(
                plots.abs_memory(sample, real), "size-memory", "Memory of their sizes",
                "Autocorrelation; the hours' profile is taken out first.",
            ),
        ),
        pages.plot(plots.regimes(sample, real, known), "regimes", "Calm and volatile times", _REGIME_NOTE),
        pages.grid(
            pages.plot(
                plots.volatility_memory(simulated, known), "volatility-memory", "Memory of volatility",
                "Autocorrelation of the logarithm of each session's 5-minute volatility.",
            ),
            pages.plot(
                plots.by_weekday(simulated, known), "weekdays", "Volatility by weekday",
                "Standard deviation of close-to-close returns, %.",
            ),
            pages.plot(
                plots.nights(simulated, known), "nights", "Nights by their length",
                "Standard deviation from the last close to the first bar's, %.",
            ),
            pages.plot(
                plots.tails(*nights, measured["night_size"]), "night-tails", "How far nights go",
                "Share of nights that move further, over the standard deviation of nights as long.",
            ),
        ),
        pages.plot(
            plots.correlations(sample, real), "correlations", "Factors move together",
            "Correlation of daily changes; on the right sample less real.",
        ),
        pages.plot(plots.betas(simulated, known), "betas", "USD/COP and its factors", _BETA_NOTE),
    ]  # fmt: skip


def _table(rows: Iterable[Comparison]) -> Markup:
    cells = [
        {
            "statistic": _LABELS.get(row.name, row.name),
            "real": _number(row.real),
            "sample": _number(row.sample),
            "tolerance": f"\u00b1 {_number(row.tolerance)}",
            "inside": "yes" if row.inside else pages.mark("no"),
        }
        for row in rows
    ]
    return pages.table(cells, right=("real", "sample", "tolerance"))


def _factors(
    sample: Mapping[str, float], known: Mapping[str, float], compared: list[Comparison]
) -> list[Markup]:
    inside = {row.name: row.inside for row in compared}
    rows = []
    for name in plots.factor_names(sample, known):
        cells: dict[str, str] = {"variable": name}
        for part, text in _PARTS.items():
            key = f"factors.{part}.{name}"
            shown = _number(sample[key])
            cells[f"{text}, real"] = _number(known[key])
            cells[f"{text}, sample"] = shown if inside.get(key, True) else pages.mark(shown)
        rows.append(cells)
    return [
        pages.note(
            "Spread: standard deviation of daily changes, in log percent or the variable's unit. Beta: "
            f"USD/COP's move in % for one unit of the factor. {_count(compared, 'factors')}."
        ),
        pages.table(
            rows,
            right=[f"{text}, {of}" for text in _PARTS.values() for of in ("real", "sample")],
        ),
    ]


def _left_out(sample: Mapping[str, float], known: Mapping[str, float]) -> Markup:
    rows = [
        {"statistic": _LABELS[n], "real": _number(known[n]), "sample": _number(sample[n]), "why": why}
        for n, why in LEFT_OUT.items()
    ]
    return pages.table(rows, right=("real", "sample"))


def _count(compared: list[Comparison], prefix: str) -> str:
    rows = [row for row in compared if row.name.startswith(prefix)]
    return f"{sum(row.inside for row in rows)} of {len(rows)} inside"


def _number(value: float) -> str:
    return f"{round(value, 4):.3g}" if abs(value) < 100 else f"{value:,.0f}"
