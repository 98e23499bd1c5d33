"""The report's plots, as pieces of a page; plotly is imported where it draws."""

from html import escape
from itertools import cycle
from typing import Any, Final

import numpy as np
import pandas as pd

from dosvotos.market.calendar import BARS_PER_SESSION

GOOD, WARNING, BAD, LINE, MUTED = "#2f7f79", "#c9962f", "#c0563b", "#1f5f8b", "#9aa7b3"
_GRID: Final = "#eef1f4"
_FEW_TO_ALL: Final = ((0.0, BAD), (1e-6, "#f3dfc0"), (0.5, "#a9cfca"), (1.0, GOOD))
_YEAR_HEIGHT: Final = 104
_FLAT_HEIGHT: Final = 260
_WEEKS: Final = 54
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def calendar_plot(counts: pd.Series) -> str:
    """Draw the bars of each session, a block a year and a cell a day, the latest year first.

    Parameters
    ----------
    counts : Series of int by date
        Scheduled sessions; one without bars is red.
    """
    from plotly.subplots import make_subplots

    if counts.empty:
        return "<p>No bars.</p>"
    days = pd.DatetimeIndex(counts.index)
    years = sorted(set(days.year), reverse=True)
    figure = make_subplots(rows=len(years), cols=1, vertical_spacing=0.25 / len(years))
    for row, year in enumerate(years, start=1):
        cells, said = _year_grid(counts[days.year == year])
        figure.add_heatmap(
            z=cells,
            text=said,
            y=list(_WEEKDAYS),
            hovertemplate="%{text}<extra></extra>",
            coloraxis="coloraxis",
            xgap=2,
            ygap=2,
            row=row,
            col=1,
        )
        months = pd.date_range(str(year), periods=12, freq="MS")
        weeks = _week_of_year(months).tolist()
        figure.update_xaxes(
            tickvals=weeks, ticktext=list(_MONTHS), range=[-0.6, _WEEKS - 0.4], row=row, col=1
        )
        figure.update_yaxes(title_text=str(year), autorange="reversed", row=row, col=1)
    figure.update_xaxes(showgrid=False, zeroline=False)
    figure.update_yaxes(showgrid=False, tickfont_size=9)
    colours = {"colorscale": _FEW_TO_ALL, "cmin": 0, "cmax": BARS_PER_SESSION}
    figure.update_layout(
        **_layout(60 + _YEAR_HEIGHT * len(years)),
        coloraxis=colours | {"colorbar": {"title": "bars", "len": 0.5}},
    )
    return _piece(figure)


def flat_plot(bars: pd.DataFrame) -> str:
    """Draw each source's share of bars with open = high = low = close, month by month."""
    import plotly.graph_objects as go

    figure = go.Figure(layout=_layout(_FLAT_HEIGHT))
    month = bars["timestamp"].dt.strftime("%Y-%m")
    shares = (bars["high"] == bars["low"]).groupby([bars["source"], month]).mean()
    for colour, (source, course) in zip(
        cycle((LINE, BAD, GOOD, WARNING)), shares.groupby(level=0), strict=False
    ):
        figure.add_scatter(
            x=course.index.get_level_values(1),
            y=course.to_numpy(),
            name=escape(str(source)),
            line={"color": colour},
            hovertemplate="%{x|%Y-%m}: %{y:.1%}",
        )
    figure.update_xaxes(type="date", showgrid=False)
    figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03], gridcolor=_GRID)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12, "x": 0})
    return _piece(figure)


def plotly_script() -> str:
    """The drawing library itself, so that the page loads nothing."""
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


def _year_grid(counts: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Counts and their captions, shape (5, 54): weekdays by weeks; NaN on closed days."""
    days = pd.DatetimeIndex(counts.index)
    cells = np.full((len(_WEEKDAYS), _WEEKS), np.nan)
    said = np.full(cells.shape, "", dtype=object)
    place = days.day_of_week, _week_of_year(days)
    cells[place] = counts
    said[place] = [f"{day:%a %Y-%m-%d}: {n} of {BARS_PER_SESSION}" for day, n in counts.items()]
    return cells, said


def _week_of_year(days: pd.DatetimeIndex) -> np.ndarray:
    """Column of each day, counting weeks from the one that holds 1 January."""
    first = pd.Timestamp(int(days[0].year), 1, 1).day_of_week
    week: np.ndarray = ((days.day_of_year + first - 1) // 7).to_numpy()
    return week


def _layout(height: int) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 24, "b": 8},
        "plot_bgcolor": "white",
        "paper_bgcolor": "white",
        "font": {"family": "system-ui, sans-serif", "size": 11},
    }


def _piece(figure: Any) -> str:
    settings = {"displayModeBar": False, "responsive": True}
    piece: str = figure.to_html(full_html=False, include_plotlyjs=False, config=settings)
    return piece
