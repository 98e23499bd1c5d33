"""The sample market beside the real one on one HTML page that needs nothing else."""

from collections.abc import Iterable, Sequence
from html import escape
from math import erfc
from typing import Any, Final

import numpy as np

from dosvotos.errors import DosVotosError
from dosvotos.sources.likeness import LEFT_OUT, STEPPING, Comparison, compare
from dosvotos.sources.simulator.calibration import SPOT, measured_statistics
from dosvotos.sources.statistics import (
    ABS_LAGS,
    VOLATILITY_LAGS,
    MarketStatistics,
    published_correlation,
    published_figures,
)

_REAL, _SAMPLE, _MUTED, _BAND = "#1f5f8b", "#c0563b", "#9aa7b3", "rgba(154,167,179,0.25)"
_HEIGHT: Final = 330
_NIGHTS: Final = {"gap1": "one night", "gap3": "two or three", "gap4plus": "four and more"}
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri")
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
        for gap, text in _NIGHTS.items()
    },
    "daily.cc_t_dof": "close to close: Student's degrees of freedom",
    "daily.overnight_t_dof": "overnight: Student's degrees of freedom",
    **{
        f"daily.abs_ac.{lag}": f"sizes of daily returns: autocorrelation, {lag} day(s) later"
        for lag in VOLATILITY_LAGS
    },
    **{
        f"daily.std_by_dow.{i}": f"close to close on a {day}: standard deviation, %"
        for i, day in enumerate(_WEEKDAYS)
    },
    "daily.regimes.std_high_pct": "daily returns in the volatile quarter of days: standard deviation, %",
    "daily.regimes.std_low_pct": "... in the other days",
    "daily.regimes.mean_spell_high_days": "mean spell of the volatile quarter, sessions",
    "daily.regimes.mean_spell_low_days": "... of the other days",
    "factors.multi_ols_lag0.R2": "USD/COP on seven factors of the day: R squared",
    "factors.multi_ols_lag0.resid_std_pct": "... what they leave: standard deviation, %",
    "daily.ac1": "daily returns: autocorrelation of neighbours",
    **{f"daily.mean_by_dow_pct.{i}": f"mean return of a {day}, %" for i, day in enumerate(_WEEKDAYS)},
    "factors.predictive_ols_lag1_on_session_return.R2": "a session on yesterday's factors: R squared",
}
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b2733; max-width: 1240px; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; }
p { max-width: 75ch; } .plots { display: grid; grid-template-columns: 1fr 1fr; gap: 1.2rem 2rem; }
.plots > div { min-width: 0; } .wide { grid-column: 1 / -1; } h3 { font-size: 1rem; margin: .4rem 0 0; }
.note { color: #5a6875; font-size: .85rem; margin: 0 0 .3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; }
th, td { padding: .22rem .8rem .22rem 0; border-bottom: 1px solid #e3e8ec; text-align: right; }
th:first-child, td:first-child, .text { text-align: left; } th { vertical-align: bottom; color: #5a6875; }
.no { color: #c0563b; font-weight: 600; } .real { color: #1f5f8b; } .sample { color: #c0563b; }
"""


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
        HTML with its own copy of plotly.

    Raises
    ------
    DosVotosError
        If plotly is not installed.
    """
    plotly = _plotly()
    known = {**published_figures(), **(real.figures if real else {})}
    compared = compare(sample.figures, real.figures if real else None)
    inside = sum(row.inside for row in compared)
    measured = measured_statistics()
    plots = [
        (
            "How 5-minute returns are spread",
            _SPREAD_NOTE,
            _tails(plotly, sample.standardised, real.standardised if real else None, measured["return_size"]),
            False,
        ),
        (
            "Volatility by time of day",
            "Root mean square over the session's own; slot 1 closes at 08:10.",
            _by_slot(plotly, sample, known),
            False,
        ),
        (
            "Memory of 5-minute returns",
            "Autocorrelation within sessions. The grey band is chance around zero.",
            _memory(plotly, sample, real),
            False,
        ),
        (
            "Memory of their sizes",
            "The hours' profile is taken out first.",
            _abs_memory(plotly, sample, real),
            False,
        ),
        ("Calm and volatile times", _REGIME_NOTE, _regimes(plotly, sample, real, known), True),
        (
            "Memory of volatility",
            "Autocorrelation of the logarithm of each session's 5-minute volatility.",
            _volatility_memory(plotly, sample, known),
            False,
        ),
        (
            "Volatility by weekday",
            "Standard deviation of close-to-close returns, %.",
            _by_weekday(plotly, sample, known),
            False,
        ),
        (
            "Nights by their length",
            "Standard deviation from the last close to the first bar's, %.",
            _nights(plotly, sample, known),
            False,
        ),
        (
            "How far nights go",
            "Share of nights that move further, over the standard deviation of nights as long.",
            _tails(
                plotly,
                sample.overnight["scaled"].to_numpy(),
                real.overnight["scaled"].to_numpy() if real else None,
                measured["night_size"],
            ),
            False,
        ),
        (
            "Factors move together",
            "Correlation of daily changes; on the right sample less real.",
            _correlations(plotly, sample, real),
            True,
        ),
        ("USD/COP and its factors", _BETA_NOTE, _betas(plotly, sample, known), True),
    ]
    return _document(
        [
            "<h1>Is the sample market like the real one?</h1>",
            f"<p><span class=real>&#9632;</span> Real: {escape(real_name)}.<br>"
            f"<span class=sample>&#9632;</span> Sample: {escape(sample_name)}.</p>",
            f"<p><b>{inside} of {len(compared)}</b> figures lie within their tolerance, which is what chance "
            "explains: 2.5 standard deviations over 24 seeds of six years, and the distance of those seeds' "
            "mean from the published figure. Real prices gave the statistics; none is inside the sample.</p>",
            *_plot_grid(plotly, plots),
            "<h2>Figure by figure</h2>",
            _table(
                row
                for row in compared
                if not row.name.startswith(("factors.std", "factors.ac1", "factors.usdcop", "intraday.slot"))
            ),
            "<p class=note>The 59 slots' volatilities are compared one by one as well: "
            f"{_count(compared, 'intraday.slot')}.</p>",
            "<h2>The daily factors</h2>",
            _factor_table(sample, known, compared),
            "<h2>What is left out on purpose</h2>",
            _left_out_table(sample, known),
            "<p class=note>Also not imitated: policy rates that move with USD/COP, volatility that clusters "
            "within single factors, years with a trend, and the defects of real files, which "
            "sample_market.hazards puts in.</p>",
        ]
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


def _plotly() -> Any:
    try:
        import plotly.graph_objects as go
    except ModuleNotFoundError as error:
        raise DosVotosError(
            "likeness: the page is drawn with plotly, which is not installed; install the app extra: "
            "pip install 'dosvotos[app]'"
        ) from error
    return go


# ---- plots


def _figure(plotly: Any, height: int = _HEIGHT) -> Any:
    figure = plotly.Figure(
        layout={
            "template": "simple_white",
            "height": height,
            "margin": {"l": 50, "r": 10, "t": 10, "b": 40},
            "legend": {"orientation": "h", "y": 1.12, "x": 0},
            "font": {"size": 12},
        }
    )
    return figure.update_xaxes(automargin=True).update_yaxes(automargin=True)


def _line(colour: str, dash: str = "solid") -> dict[str, Any]:
    return {"color": colour, "width": 1.8, "dash": dash}


def _tails(plotly: Any, sizes: np.ndarray, real: np.ndarray | None, published: list[float]) -> Any:
    """Share of values with a larger size; the real market's published points, or its values where given."""
    figure = _figure(plotly)
    grid = np.linspace(0, 8, 161)
    if real is None:
        shares = measured_statistics()["share_larger"]
        figure.add_scatter(x=published, y=shares, name="real", mode="markers", marker=_dot(_REAL))
    else:
        figure.add_scatter(x=grid, y=_share_larger(real, grid), name="real", line=_line(_REAL))
    figure.add_scatter(x=grid, y=_share_larger(sizes, grid), name="sample", line=_line(_SAMPLE))
    normal = np.array([erfc(size / np.sqrt(2)) for size in grid])
    figure.add_scatter(x=grid, y=normal, name="normal", line=_line(_MUTED, "dot"))
    figure.update_xaxes(title="standard deviations")
    return figure.update_yaxes(
        type="log", range=[-4, 0], title="share that is larger", exponentformat="power"
    )


def _share_larger(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    share = 1 - np.searchsorted(np.sort(np.abs(values)), grid, side="right") / len(values)
    return np.where(share > 0, share, np.nan)


def _by_slot(plotly: Any, sample: MarketStatistics, known: dict[str, float]) -> Any:
    figure = _figure(plotly)
    slots = list(range(1, 60))
    real = [known[f"intraday.slot_vol_profile.{slot}"] for slot in slots]
    figure.add_scatter(x=slots, y=real, name="real", line=_line(_REAL))
    figure.add_scatter(x=slots, y=sample.slot_volatility, name="sample", line=_line(_SAMPLE))
    figure.update_xaxes(title="slot (five minutes each)")
    return figure.update_yaxes(range=[0, 2.1])


def _memory(plotly: Any, sample: MarketStatistics, real: MarketStatistics | None) -> Any:
    figure = _figure(plotly)
    lags = list(range(1, 13))
    memory = real.autocorrelation if real else measured_statistics()["autocorrelation_1_12"]
    figure.add_bar(x=lags, y=memory, name="real", marker_color=_REAL)
    figure.add_bar(x=lags, y=sample.autocorrelation, name="sample", marker_color=_SAMPLE)
    chance = 1.96 / np.sqrt(len(sample.standardised))
    figure.add_hrect(-chance, chance, fillcolor=_BAND, line_width=0)
    figure.update_xaxes(title="bars later", dtick=1)
    return figure.update_yaxes(range=[-0.08, 0.04])


def _abs_memory(plotly: Any, sample: MarketStatistics, real: MarketStatistics | None) -> Any:
    figure = _figure(plotly)
    lags = list(range(1, 13))
    memory = real.abs_autocorrelation if real else measured_statistics()["abs_autocorrelation_1_12"]
    figure.add_scatter(x=lags, y=memory, name="real", line=_line(_REAL))
    figure.add_scatter(x=lags, y=sample.abs_autocorrelation, name="sample", line=_line(_SAMPLE))
    figure.add_hline(0, line={"color": _MUTED, "width": 1})
    return figure.update_xaxes(title="bars later", dtick=1)


def _dot(colour: str) -> dict[str, Any]:
    return {"color": colour, "size": 10}


def _regimes(
    plotly: Any, sample: MarketStatistics, real: MarketStatistics | None, known: dict[str, float]
) -> Any:
    figure = _figure(plotly, height=360)
    for name, colour, statistics in (("real", _REAL, real), ("sample", _SAMPLE, sample)):
        if statistics is None:
            continue
        daily = statistics.daily
        strong = daily["trailing_std_pct"].where(daily["high"])
        figure.add_scatter(
            x=daily.index,
            y=daily["trailing_std_pct"],
            name=name,
            line={"color": colour, "width": 0.9},
            opacity=0.7,
        )
        figure.add_scatter(
            x=daily.index, y=strong, showlegend=False, hoverinfo="skip", line={"color": colour, "width": 3}
        )
    if real is None:
        for name, text in (("std_high_pct", "volatile quarter"), ("std_low_pct", "other days")):
            level = known[f"daily.regimes.{name}"]
            figure.add_hline(
                level,
                line=_line(_REAL, "dash"),
                annotation_text=f"real, {text}: {level:g}%",
                annotation_position="top left",
            )
    return figure.update_yaxes(rangemode="tozero", title="%")


def _volatility_memory(plotly: Any, sample: MarketStatistics, known: dict[str, float]) -> Any:
    figure = _figure(plotly)
    for name, colour, figures in (("real", _REAL, known), ("sample", _SAMPLE, sample.figures)):
        values = [figures[f"intraday.sigma5_log_ac.{lag}"] for lag in VOLATILITY_LAGS]
        figure.add_scatter(
            x=list(VOLATILITY_LAGS),
            y=values,
            name=name,
            mode="lines+markers",
            line=_line(colour),
            marker=_dot(colour),
        )
    figure.update_xaxes(title="sessions later")
    return figure.update_yaxes(range=[0, 0.6])


def _by_weekday(plotly: Any, sample: MarketStatistics, known: dict[str, float]) -> Any:
    return _bars(plotly, _WEEKDAYS, [f"daily.std_by_dow.{day}" for day in range(5)], sample, known)


def _nights(plotly: Any, sample: MarketStatistics, known: dict[str, float]) -> Any:
    return _bars(
        plotly, tuple(_NIGHTS.values()), [f"daily.overnight_std_pct.{gap}" for gap in _NIGHTS], sample, known
    )


def _bars(
    plotly: Any, labels: Sequence[str], names: list[str], sample: MarketStatistics, known: dict[str, float]
) -> Any:
    figure = _figure(plotly)
    for name, colour, figures in (("real", _REAL, known), ("sample", _SAMPLE, sample.figures)):
        values = [figures.get(key) for key in names]
        figure.add_bar(x=list(labels), y=values, name=name, marker_color=colour, texttemplate="%{y:.2f}")
    return figure


def _correlations(plotly: Any, sample: MarketStatistics, real: MarketStatistics | None) -> Any:
    from plotly.subplots import make_subplots

    wanted = published_correlation() if real is None else real.correlation
    names = [name for name in published_correlation().index if name in wanted and name in sample.correlation]
    labels = [_short(name) for name in names]
    left, right = wanted.loc[names, names], sample.correlation.loc[names, names]
    figure = make_subplots(
        1, 3, subplot_titles=("real", "sample", "sample less real"), horizontal_spacing=0.08
    )
    for column, (table, limit, place) in enumerate(
        ((left, 1, None), (right, 1, 0.63), (right - left, 0.3, 1.0))
    ):
        figure.add_heatmap(
            z=table.to_numpy(),
            x=labels,
            y=labels,
            zmin=-limit,
            zmax=limit,
            colorscale="RdBu_r",
            row=1,
            col=column + 1,
            showscale=place is not None,
            colorbar={"x": place or 1.0, "thickness": 10},
            hovertemplate="%{y}, %{x}: %{z:.2f}<extra></extra>",
        )
    figure.update_layout(template="simple_white", height=430, margin={"l": 60, "r": 10, "t": 30, "b": 60})
    figure.update_xaxes(tickangle=-60, tickfont_size=9)
    return figure.update_yaxes(autorange="reversed", tickfont_size=9)


def _betas(plotly: Any, sample: MarketStatistics, known: dict[str, float]) -> Any:
    names = [name for name in _factor_names(sample, known) if name not in STEPPING]
    allowed = {row.name: row.tolerance for row in compare(sample.figures, known)}
    figure = _figure(plotly)
    labels = [_short(name) for name in names]
    for name, colour, figures in (("real", _REAL, known), ("sample", _SAMPLE, sample.figures)):
        spot = figures["daily.cc_std_pct"]
        moves = [figures[f"factors.usdcop_corr.{factor}"] * spot for factor in names]
        whiskers = [allowed[f"factors.usdcop_corr.{factor}"] * spot for factor in names]
        error = (
            {"type": "data", "array": whiskers, "color": _MUTED, "thickness": 1} if name == "real" else None
        )
        figure.add_bar(x=labels, y=moves, name=name, marker_color=colour, error_y=error)
    return figure.update_yaxes(title="%")


# ---- tables and the page


def _factor_names(sample: MarketStatistics, known: dict[str, float]) -> list[str]:
    return [
        name
        for name in published_correlation().index
        if name != SPOT and f"factors.std.{name}" in sample.figures and f"factors.std.{name}" in known
    ]


def _short(name: str) -> str:
    return name.rsplit("_", 1)[-1]


def _table(rows: Iterable[Comparison]) -> str:
    body = "".join(
        f"<tr><td>{escape(_LABELS.get(row.name, row.name))}</td><td>{_number(row.real)}</td>"
        f"<td>{_number(row.sample)}</td><td>&plusmn; {_number(row.tolerance)}</td>{_inside(row.inside)}</tr>"
        for row in rows
    )
    return (
        "<table><thead><tr><th>statistic</th><th>real</th><th>sample</th><th>tolerance</th><th>inside</th></tr>"
        f"</thead><tbody>{body}</tbody></table>"
    )


def _factor_table(sample: MarketStatistics, known: dict[str, float], compared: list[Comparison]) -> str:
    inside = {row.name: row.inside for row in compared}
    parts = {
        "std": "spread",
        "ac1": "autocorrelation",
        "usdcop_corr": "with USD/COP",
        "usdcop_beta_lag0_pct": "beta",
    }
    head = "".join(f"<th>{text},<br>real</th><th>{text},<br>sample</th>" for text in parts.values())
    body = ""
    for name in _factor_names(sample, known):
        cells = ""
        for part in parts:
            key = f"factors.{part}.{name}"
            shown = "" if inside.get(key, True) else " class=no"
            cells += f"<td>{_number(known[key])}</td><td{shown}>{_number(sample.figures[key])}</td>"
        body += f"<tr><td>{escape(name)}</td>{cells}</tr>"
    return (
        "<p class=note>Spread: standard deviation of daily changes, in log percent or the variable's unit. "
        f"Beta: USD/COP's move in % for one unit of the factor. {_count(compared, 'factors')}.</p>"
        f"<table><thead><tr><th>variable</th>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _left_out_table(sample: MarketStatistics, known: dict[str, float]) -> str:
    body = "".join(
        f"<tr><td>{escape(_LABELS[name])}</td><td>{_number(known[name])}</td>"
        f"<td>{_number(sample.figures[name])}</td><td class=text>{escape(why)}</td></tr>"
        for name, why in LEFT_OUT.items()
    )
    return (
        "<table><thead><tr><th>statistic</th><th>real</th><th>sample</th><th class=text>why</th></tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _count(compared: list[Comparison], prefix: str) -> str:
    rows = [row for row in compared if row.name.startswith(prefix)]
    return f"{sum(row.inside for row in rows)} of {len(rows)} inside"


def _number(value: float) -> str:
    return f"{round(value, 4):.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _inside(inside: bool) -> str:
    return "<td>yes</td>" if inside else "<td class=no>no</td>"


def _plot_grid(plotly: Any, plots: list[tuple[str, str, Any, bool]]) -> list[str]:
    from plotly.io import to_html
    from plotly.offline import get_plotlyjs

    cells = [
        f"<div{' class=wide' if wide else ''}><h3>{escape(title)}</h3><p class=note>{escape(note)}</p>"
        + to_html(figure, full_html=False, include_plotlyjs=False, config={"displayModeBar": False})
        + "</div>"
        for title, note, figure, wide in plots
    ]
    return [f"<script>{get_plotlyjs()}</script>", "<div class=plots>", *cells, "</div>"]


def _document(parts: list[str]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sample and real market</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
