"""Plotly figures of risk: the price with trades on it, accounts beside each other, rolling figures."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dosvotos.backtest.report import Trade
from streamlit_app.charts import (
    BY_BAR,
    GAIN,
    LEGEND,
    LINE,
    LOSS,
    MAX_POINTS,
    MUTED,
    bar_labels,
    empty_figure,
    thin,
    wall_times,
)

_COLOURS = (LINE, LOSS, GAIN, "#7a5c93", MUTED)


def price_chart(
    price: pd.Series, trades: Sequence[Trade], names: tuple[str, str, str, str], separators: str
) -> go.Figure:
    """Draw the price (index: bar open, UTC) with the trades' entries and exits on it.

    `names` are those of the price, of long and short entries and of exits.
    """
    figure = empty_figure(separators)
    kept = thin(price.to_numpy(float), MAX_POINTS)
    times = wall_times(pd.DatetimeIndex(price.index[kept]))
    line = {"color": MUTED, "width": 1}
    figure.add_scatter(x=times, y=price.to_numpy()[kept], name=names[0], mode="lines", line=line)
    for side, name, symbol, colour in (
        (1, names[1], "triangle-up", GAIN),
        (-1, names[2], "triangle-down", LOSS),
    ):
        chosen = [trade for trade in trades if trade.direction == side]
        _points(figure, name, [(t.entry_time, t.entry_price) for t in chosen], symbol, colour)
    _points(figure, names[3], [(t.exit_time, t.exit_price) for t in trades], "x-thin-open", LINE)
    figure.update_layout(showlegend=True, legend=LEGEND, height=380)
    return figure.update_xaxes(tickformat="%Y-%m-%d").update_yaxes(tickformat=",.2~f")


def target_chart(
    price: pd.Series, targets: pd.Series, names: tuple[str, str, str, str], separators: str
) -> go.Figure:
    """Draw the price with the bars at which a model's target turned long, short or flat.

    Parameters
    ----------
    price : Series
        Close by bar open (UTC); bars that are missing leave a gap.
    targets : Series
        Target position by bar open (UTC), ascending; NaN where there was no signal, which turns nothing.
    names : tuple of str
        Of the price, and of turns to long, to short and to flat.
    separators : str
    """
    figure = empty_figure(separators)
    closes, labels = price.reindex(targets.index), np.array(bar_labels(pd.DatetimeIndex(targets.index)))
    line = {"color": MUTED, "width": 1}
    figure.add_scatter(x=labels, y=closes.to_numpy(), name=names[0], mode="lines", line=line)
    sides = np.sign(targets.dropna())
    turns = sides[sides != sides.shift()].reindex(targets.index)
    for side, name, symbol, colour in (
        (1, names[1], "triangle-up", GAIN),
        (-1, names[2], "triangle-down", LOSS),
        (0, names[3], "x-thin-open", LINE),
    ):
        chosen = ((turns == side) & closes.notna()).to_numpy()
        marker = {"symbol": symbol, "size": 7, "color": colour, "line": {"color": colour, "width": 1}}
        figure.add_scatter(
            x=labels[chosen], y=closes.to_numpy()[chosen], name=name, mode="markers", marker=marker
        )
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure.update_xaxes(**BY_BAR).update_yaxes(tickformat=",.2~f", hoverformat=",.2f")


def accounts_chart(accounts: Mapping[str, Mapping[str, float]], separators: str, form: str) -> go.Figure:
    """Draw a figure of several accounts at each session's end, by Bogota date; the first one on top."""
    figure = empty_figure(separators)
    styles = list(zip(accounts.items(), _COLOURS, strict=False))
    for n, ((name, by_day), colour) in reversed(list(enumerate(styles))):
        width = 2.2 if n == 0 else 1.2
        values = np.array(list(by_day.values()), dtype=float)
        kept = thin(values, MAX_POINTS)
        days = np.array(list(by_day))[kept]
        line = {"color": colour, "width": width, "dash": "solid" if n < 2 else "dot"}
        figure.add_scatter(x=days, y=values[kept], name=name, mode="lines", line=line)
    figure.update_layout(showlegend=True, legend={**LEGEND, "traceorder": "reversed"}, hovermode="x unified")
    return figure.update_xaxes(tickformat="%Y-%m-%d").update_yaxes(tickformat=form, hoverformat=form)


def month_heatmap(months: Mapping[str, float], names: Sequence[str], separators: str) -> go.Figure:
    """Draw monthly returns (by ``YYYY-MM``) as years by months; `names` are those of the months."""
    years = sorted({month[:4] for month in months})
    grid = [[months.get(f"{year}-{n:02}") for n in range(1, 13)] for year in years]
    reach = max((abs(value) for value in months.values()), default=0.0) or 1.0
    figure = empty_figure(separators)
    figure.add_heatmap(
        x=list(names),
        y=years,
        z=grid,
        zmin=-reach,
        zmax=reach,
        colorscale=[[0, LOSS], [0.5, "#ffffff"], [1, GAIN]],
        texttemplate="%{z:.1%}",
        hovertemplate="%{y}-%{x}<br>%{z:.2%}<extra></extra>",
        showscale=False,
        xgap=2,
        ygap=2,
    )
    figure.update_layout(height=70 + 44 * len(years))
    return figure.update_yaxes(type="category", autorange="reversed")


def _points(
    figure: go.Figure, name: str, points: Sequence[tuple[str, float]], symbol: str, colour: str
) -> None:
    times = wall_times([time for time, _ in points])
    marker = {"symbol": symbol, "size": 6, "color": colour, "line": {"color": colour, "width": 1}}
    figure.add_scatter(x=times, y=[price for _, price in points], name=name, mode="markers", marker=marker)
