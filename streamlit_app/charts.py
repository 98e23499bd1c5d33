"""Plotly figures from plain data; their titles stand on the page."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dosvotos.market.calendar import BOGOTA

GAIN, LOSS, LINE, MUTED = "#2f7f79", "#c0563b", "#2f7fb5", "#9aa7b3"
"""The first three stand out at 3 to 1 at least from the light and from the dark background."""
MAX_POINTS = 2_000
_HEIGHT = 300
_DAY = "%Y-%m-%d"
_AT_BAR = "%{x|%Y-%m-%d %H:%M}<br>"
LEGEND = {"orientation": "h", "y": 1.12, "x": 0}
BY_BAR = {"type": "category", "nticks": 4, "tickangle": 0}
"""Axis of `bar_labels`; more of them would run into each other on a telephone."""

Point = tuple[str, float]


def equity_chart(
    account: Sequence[Point], beside: Sequence[Point] | None, names: tuple[str, str], separators: str
) -> go.Figure:
    """Draw an account's equity at each bar over another one's, with the starting balance as a reference."""
    figure = empty_figure(separators)
    for name, points, colour in ((names[1], beside, MUTED), (names[0], account, LINE)):
        times, values = _thin(points or [])
        line = {"color": colour, "width": 1.5}
        figure.add_scatter(
            x=times, y=values, name=name, mode="lines", line=line, hovertemplate=_AT_BAR + "%{y:,.0f}"
        )
    if account:
        figure.add_hline(account[0][1], line={"color": MUTED, "width": 1, "dash": "dot"})
    figure.update_layout(showlegend=bool(beside), legend={**LEGEND, "traceorder": "reversed"})
    return figure.update_xaxes(tickformat=_DAY).update_yaxes(tickformat=",.2~f")


def growth_chart(curves: Mapping[str, Sequence[Point]], separators: str) -> go.Figure:
    """Draw the equity of tests over different periods, each from 100 and by session since its own start."""
    figure = empty_figure(separators)
    for (name, points), colour in zip(curves.items(), (LINE, MUTED), strict=False):
        values = np.array([value for _, value in points], dtype=float)
        kept = thin(values, MAX_POINTS)
        sessions = pd.factorize(pd.to_datetime([time for time, _ in points], utc=True).date)[0] + 1
        figure.add_scatter(
            x=sessions[kept],
            y=(100 * values / values[0])[kept] if len(values) else [],
            name=name,
            mode="lines",
            line={"color": colour, "width": 1.5},
            hovertemplate="%{x}<br>%{y:.1f}",
        )
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure.update_xaxes(tickformat=",d").update_yaxes(tickformat=",.2~f")


def drawdown_chart(points: Sequence[Point], separators: str) -> go.Figure:
    """Draw the fall from the peak at each bar, below zero."""
    times, values = _thin(points)
    figure = empty_figure(separators)
    figure.add_scatter(
        x=times,
        y=-values,
        mode="lines",
        fill="tozeroy",
        line={"color": LOSS, "width": 1},
        hovertemplate=_AT_BAR + "%{y:.1%}",
    )
    figure.update_xaxes(tickformat=_DAY)
    return figure.update_yaxes(tickformat=".2~%", rangemode="tozero")


def trade_chart(pnl: Sequence[float], losses: str, gains: str, separators: str) -> go.Figure:
    """Count how many trades ended with which profit; a bin holds losses or gains, never both."""
    figure = empty_figure(separators)
    values = np.asarray(pnl, dtype=float)
    width = _bin_width(values)
    for name, chosen, colour in ((losses, values[values <= 0], LOSS), (gains, values[values > 0], GAIN)):
        figure.add_histogram(
            x=chosen,
            name=name,
            marker={"color": colour, "line": {"color": "white", "width": 1}},
            xbins={"start": np.floor(values.min(initial=0) / width) * width, "size": width},
            hovertemplate="%{x}<br>%{y}",
        )
    figure.update_layout(barmode="overlay", showlegend=True, legend=LEGEND)
    return figure.update_xaxes(tickformat=",.0f").update_yaxes(tickformat=",d")


def monthly_chart(daily_returns: dict[str, float], separators: str) -> go.Figure:
    """Draw the compound return of each month of the test window."""
    months = monthly_returns(daily_returns)
    figure = empty_figure(separators)
    figure.add_bar(
        x=list(months),
        y=list(months.values()),
        marker={"color": [GAIN if value >= 0 else LOSS for value in months.values()]},
        texttemplate="%{y:.1%}",
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x}<br>%{y:.1%}",
    )
    figure.update_xaxes(type="category", tickangle=0 if len(months) <= 8 else -45)
    return figure.update_yaxes(tickformat=".2~%")


def signal_chart(
    times: Sequence[pd.Timestamp],
    signals: Sequence[float | None],
    confidences: Sequence[float | None],
    names: tuple[str, str],
    separators: str,
) -> go.Figure:
    """Draw the target position and its confidence, bar by bar; the line breaks where there was no signal."""
    figure = empty_figure(separators)
    bars = bar_labels(times)
    line = {"color": LINE, "width": 1.5, "shape": "hv"}
    figure.add_scatter(x=bars, y=list(signals), name=names[0], mode="lines+markers", line=line, marker_size=4)
    line = {"color": LOSS, "width": 1}
    figure.add_scatter(
        x=bars, y=list(confidences), name=names[1], mode="lines+markers", line=line, marker_size=3
    )
    figure.update_layout(showlegend=True, legend=LEGEND, hovermode="x unified")
    figure.update_xaxes(**BY_BAR)
    return figure.update_yaxes(
        range=[-1.1, 1.1], tickvals=[-1, 0, 1], ticktext=["-1", "0", "1"], hoverformat=".2f"
    )


def position_chart(held: pd.Series, book: pd.Series, names: tuple[str, str], separators: str) -> go.Figure:
    """Draw a desk's position after each fill over the model's book, both in USD, by Bogota's clock."""
    figure = empty_figure(separators)
    for series, name, colour in ((book, names[1], MUTED), (held, names[0], LINE)):
        line = {"color": colour, "width": 1.5, "shape": "hv"}
        recent = series.iloc[-MAX_POINTS:]
        figure.add_scatter(
            x=wall_times(pd.DatetimeIndex(recent.index)), y=recent.to_numpy(), name=name, mode="lines",
            line=line, hovertemplate=_AT_BAR + "%{y:,.0f}",
        )  # fmt: skip
    figure.update_layout(showlegend=True, legend={**LEGEND, "traceorder": "reversed"})
    return figure.update_yaxes(tickformat=",.2~f")


def monthly_returns(daily_returns: dict[str, float]) -> dict[str, float]:
    """Compound daily returns to months, by ``YYYY-MM``."""
    growth = 1 + pd.Series(daily_returns, dtype=float)
    return dict(growth.groupby(growth.index.astype(str).str[:7]).prod() - 1)


def wall_times(times: Sequence[str] | pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Give moments as Bogota's wall clock shows them, without a zone: Plotly draws zoned ones in UTC."""
    return pd.to_datetime(pd.Index(times), utc=True).tz_convert(BOGOTA).tz_localize(None)


def bar_labels(times: Sequence[pd.Timestamp] | pd.DatetimeIndex) -> list[str]:
    """Name bars by Bogota's clock, for an axis on which the nights take no room."""
    return [f"{time.tz_convert(BOGOTA):%m-%d %H:%M}" for time in times]


def bogota_days(times: pd.DatetimeIndex) -> pd.Index:
    """Give each moment's Bogota date in ISO format."""
    return times.tz_convert(BOGOTA).strftime("%Y-%m-%d")


def bogota_hours(times: pd.DatetimeIndex) -> pd.Index:
    """Give each moment's hour in Bogota."""
    return times.tz_convert(BOGOTA).hour


def thin(values: np.ndarray, limit: int) -> np.ndarray:
    """Choose at most `limit` points that keep the first, the last and each stretch's extremes.

    Parameters
    ----------
    values : ndarray of shape (n,)
    limit : int
        At least 4.

    Returns
    -------
    ndarray of int
        Their indices in order; all of them when there are no more than `limit`.
    """
    if len(values) <= limit:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), (limit - 2) // 2 + 1).astype(int)
    kept = {0, len(values) - 1}
    for start, end in pairwise(edges):
        stretch = values[start:end]
        kept |= {start + int(stretch.argmin()), start + int(stretch.argmax())}
    return np.array(sorted(kept))


def _thin(points: Sequence[Point]) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """Choose the points to draw: Bogota wall times and values."""
    values = np.array([value for _, value in points], dtype=float)
    kept = thin(values, MAX_POINTS)
    return wall_times([points[i][0] for i in kept]), values[kept]


def _bin_width(values: np.ndarray) -> float:
    """Choose a round width that gives about twenty bins."""
    span = float(np.ptp(values)) if len(values) else 0.0
    if span <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(span / 20))
    return float(min((1, 2, 5, 10), key=lambda step: abs(step * power - span / 20)) * power)


def empty_figure(separators: str) -> go.Figure:
    """Give an empty figure in the look of all of them; `separators` are the language's."""
    layout = {
        "height": _HEIGHT,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "showlegend": False,
        "separators": separators,
        "hoverlabel": {"align": "left"},
    }
    figure = go.Figure(layout=layout)
    return figure.update_xaxes(showgrid=False, automargin=True).update_yaxes(automargin=True, zeroline=True)
