"""Plots of two markets beside each other, as plotly figures: the real one first, then the sample."""

from collections.abc import Mapping, Sequence
from math import erfc
from typing import Any, Final

import numpy as np

from dosvotos.reports.bilingual import BOTH, Text, Texts
from dosvotos.reports.figures import BAD, BLUE, DIVERGING, MUTED, figure, line, subplots
from dosvotos.simulation.calibration import SPOT, measured_statistics
from dosvotos.simulation.likeness import STEPPING, compare_figures
from dosvotos.simulation.statistics import VOLATILITY_LAGS, MarketStatistics, published_correlation

COLOURS: Final = {"real": BLUE, "sample": BAD}
_T: Final = Texts("likeness")
_NIGHTS: Final = ("gap1", "gap3", "gap4plus")
_LAGS: Final = tuple(range(1, 13))

Figures = Mapping[str, float]


def draw_likeness(sample: MarketStatistics, real: MarketStatistics | None, known: Figures) -> dict[str, Any]:
    """Draw every plot, by its name; `known` are the real market's figures, measured or published."""
    measured, simulated = measured_statistics(), sample.figures
    nights = sample.overnight["scaled"].to_numpy(), real.overnight["scaled"].to_numpy() if real else None
    returns = real.autocorrelation if real else measured["autocorrelation_1_12"]
    sizes = real.abs_autocorrelation if real else measured["abs_autocorrelation_1_12"]
    weekdays = {f"daily.std_by_dow.{day}": BOTH.weekdays()[day] for day in range(5)}
    gaps = {f"daily.overnight_std_pct.{gap}": _T(f"night.{gap}") for gap in _NIGHTS}
    return {
        "returns": _tails(sample.standardised, real.standardised if real else None, measured["return_size"]),
        "slots": _by_slot(sample, known),
        "autocorrelation": _autocorrelation(sample, returns),
        "abs_autocorrelation": _lines(_LAGS, sizes, sample.abs_autocorrelation, _T("axis.bars_later")),
        "regimes": _regimes(sample, real, known),
        "volatility_autocorrelation": _volatility_autocorrelation(simulated, known),
        "weekdays": _labelled_bars(weekdays, simulated, known),
        "nights": _labelled_bars(gaps, simulated, known),
        "night_tails": _tails(*nights, measured["night_size"]),
        "correlations": _correlations(sample, real),
        "betas": _betas(simulated, known),
    }


def factor_names(sample: Figures, known: Figures) -> list[str]:
    """List the daily variables besides USD/COP that both markets know, in the published order."""
    names = (name for name in published_correlation().index if name != SPOT)
    return [name for name in names if f"factors.std.{name}" in sample and f"factors.std.{name}" in known]


def _tails(sizes: np.ndarray, real: np.ndarray | None, published: Sequence[float]) -> Any:
    """Draw the share of values with a larger size; of the real market its values, or the published points."""
    drawn, grid = figure(), np.linspace(0, 8, 161)
    if real is None:
        shares, dots = measured_statistics()["share_larger"], {"color": BLUE, "size": 10}
        drawn.add_scatter(x=published, y=shares, name=_market("real"), mode="markers", marker=dots)
    else:
        drawn.add_scatter(x=grid, y=_share_larger(real, grid), name=_market("real"), line=line(BLUE))
    drawn.add_scatter(x=grid, y=_share_larger(sizes, grid), name=_market("sample"), line=line(BAD))
    normal = [erfc(size / np.sqrt(2)) for size in grid]
    drawn.add_scatter(x=grid, y=normal, name=_T("normal").both, line=line(MUTED, dash="dot"))
    drawn.update_xaxes(title=_T("axis.deviations").both)
    return drawn.update_yaxes(type="log", range=[-4, 0], title=_T("axis.larger").both, exponentformat="power")


def _by_slot(sample: MarketStatistics, known: Figures) -> Any:
    slots = range(1, 60)
    real = [known[f"intraday.slot_vol_profile.{slot}"] for slot in slots]
    return _lines(slots, real, sample.slot_volatility, _T("axis.slot"), [0, 2.1])


def _autocorrelation(sample: MarketStatistics, real: Sequence[float] | np.ndarray) -> Any:
    """Draw the autocorrelation of returns, with the band of chance."""
    drawn = _bars(_LAGS, real, sample.autocorrelation)
    chance = 1.96 / np.sqrt(len(sample.standardised))
    drawn.add_hrect(-chance, chance, fillcolor=MUTED, opacity=0.25, line_width=0)
    drawn.update_xaxes(title=_T("axis.bars_later").both, dtick=1)
    return drawn.update_yaxes(range=[-0.08, 0.04])


def _regimes(sample: MarketStatistics, real: MarketStatistics | None, known: Figures) -> Any:
    """Draw trailing volatility, its highest quarter bold; without real prices their published levels."""
    drawn = figure(height=360)
    for name, market in (("real", real), ("sample", sample)):
        if market is None:
            continue
        trailing, thin = market.daily["trailing_std_pct"], line(COLOURS[name], 0.9)
        strong, bold = trailing.where(market.daily["high"]), thin | {"width": 3}
        drawn.add_scatter(x=trailing.index, y=trailing, name=_market(name), line=thin, opacity=0.7)
        drawn.add_scatter(x=strong.index, y=strong, showlegend=False, hoverinfo="skip", line=bold)
    if real is None:
        for name, times in _T.family("level").items():
            level = known[f"daily.regimes.{name}"]
            text = _T("level", times=times, level=BOTH.significant(level, "g"))
            drawn.add_hline(
                level, line=line(BLUE, dash="dash"), annotation_position="top left",
                annotation_text=text.both, annotation_bgcolor="rgba(255,255,255,0.85)",
            )  # fmt: skip
    return drawn.update_yaxes(rangemode="tozero", title="%").update_layout(showlegend=True)


def _volatility_autocorrelation(sample: Figures, known: Figures) -> Any:
    """Draw the autocorrelation of sessions' volatility."""
    names = [f"intraday.sigma5_log_ac.{lag}" for lag in VOLATILITY_LAGS]
    real, simulated = ([figures[name] for name in names] for figures in (known, sample))
    drawn = _lines(VOLATILITY_LAGS, real, simulated, _T("axis.sessions_later"), [0, 0.6])
    return drawn.update_traces(mode="lines+markers", marker_size=10)


def _correlations(sample: MarketStatistics, real: MarketStatistics | None) -> Any:
    """Draw the correlations of daily changes in both markets, and their difference."""
    wanted = published_correlation() if real is None else real.correlation
    names = [name for name in published_correlation().index if name in wanted and name in sample.correlation]
    labels = [_short(name) for name in names]
    left, right = wanted.loc[names, names], sample.correlation.loc[names, names]
    titles = (_market("real"), _market("sample"), _T("panel.difference").both)
    drawn = subplots(1, 3, titles, height=430, horizontal_spacing=0.08)
    panels = ((left, 1, None), (right, 1, 0.63), (right - left, 0.3, 1.0))
    for column, (values, limit, bar_x) in enumerate(panels, start=1):
        drawn.add_heatmap(
            z=values.to_numpy(), x=labels, y=labels, zmin=-limit, zmax=limit, row=1, col=column,
            colorscale=DIVERGING, hovertemplate="%{y}, %{x}: %{z:.2f}<extra></extra>",
            showscale=bar_x is not None, colorbar={"x": bar_x or 1.0, "thickness": 10},
        )  # fmt: skip
    drawn.update_xaxes(tickangle=-60, tickfont_size=9, automargin=True)
    return drawn.update_yaxes(autorange="reversed", tickfont_size=9)


def _betas(sample: Figures, known: Figures) -> Any:
    """Draw the move of USD/COP with one standard deviation of each factor, the tolerance as whiskers."""
    names = [name for name in factor_names(sample, known) if name not in STEPPING]
    tolerance = {row.name: row.tolerance for row in compare_figures(sample, known)}
    keys = [f"factors.usdcop_corr.{name}" for name in names]
    real, simulated, whiskers = (
        [figures[key] * market["daily.cc_std_pct"] for key in keys]
        for figures, market in ((known, known), (sample, sample), (tolerance, known))
    )
    drawn = _bars([_short(name) for name in names], real, simulated)
    drawn.data[0].error_y = {"type": "data", "array": whiskers, "color": MUTED, "thickness": 1}
    return drawn.update_yaxes(title="%")


def _lines(x: Sequence[int], real: Any, sample: Any, title: Text, span: Sequence[float] | None = None) -> Any:
    drawn = figure()
    for name, values in (("real", real), ("sample", sample)):
        drawn.add_scatter(
            x=list(x), y=list(values), name=_market(name), mode="lines", line=line(COLOURS[name])
        )
    drawn.update_xaxes(title=title.both)
    return drawn.update_yaxes(range=span)


def _bars(x: Sequence[object], real: Any, sample: Any) -> Any:
    drawn = figure()
    for name, values in (("real", real), ("sample", sample)):
        drawn.add_bar(x=list(x), y=list(values), name=_market(name), marker_color=COLOURS[name])
    return drawn


def _labelled_bars(labels: Mapping[str, Text], sample: Figures, known: Figures) -> Any:
    real, simulated = ([figures.get(name) for name in labels] for figures in (known, sample))
    drawn = _bars([label.both for label in labels.values()], real, simulated)
    return drawn.update_traces(texttemplate="%{y:.2f}")


def _market(name: str) -> str:
    """Name a market in a legend."""
    return _T(f"market.{name}").both


def _short(name: str) -> str:
    return name.rsplit("_", 1)[-1]


def _share_larger(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    share = 1 - np.searchsorted(np.sort(np.abs(values)), grid, side="right") / len(values)
    return np.where(share > 0, share, np.nan)
