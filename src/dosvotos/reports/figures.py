"""The look of every plotly figure on a page."""

from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup

GOOD: Final = "#2f7f79"
CAUTION: Final = "#d9a441"
BAD: Final = "#c0563b"
BLUE: Final = "#1f5f8b"
VIOLET: Final = "#7a5c93"
MUTED: Final = "#9aa7b3"
INK: Final = "#1c2733"
SMALL_PRINT: Final = "#5a6875"
GRID: Final = "#e6eaee"
COLOURS: Final = (BLUE, BAD, GOOD, CAUTION, VIOLET, MUTED)
"""Of lines and bars beside each other, in order; they stay apart for colour-blind readers."""
DIVERGING: Final = [[0, BAD], [0.5, "#ffffff"], [1, BLUE]]
"""Of a heatmap whose middle is zero."""

_AXES: Final = {"gridcolor": GRID, "linecolor": MUTED, "zerolinecolor": MUTED, "automargin": True}
_CONFIG: Final = {"displayModeBar": False, "responsive": True}


def figure(height: int = 330) -> Any:
    """Give an empty plotly figure; `height` is in pixels, its width that of its place on the page."""
    import plotly.graph_objects as go

    return go.Figure(
        layout={
            "height": height,
            "template": "none",
            "colorway": list(COLOURS),
            "margin": {"l": 56, "r": 12, "t": 36, "b": 40},
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "hoverlabel": {"align": "left"},
            "xaxis": _AXES,
            "yaxis": _AXES,
        }
    )


def subplots(rows: int, columns: int, titles: Sequence[str], height: int, **spacing: float) -> Any:
    """Give an empty figure of several panels, in the same look."""
    from plotly.subplots import make_subplots

    drawn = make_subplots(rows, columns, subplot_titles=titles, **spacing)
    return drawn.update_layout(figure(height).layout, template="none")


def line(colour: str, width: float = 1.8, **more: object) -> dict[str, Any]:
    """Give a line's style in plotly's words."""
    return {"color": colour, "width": width, **more}


def to_html(drawn: Any, name: str) -> Markup:
    """Give a plotly figure's HTML without the library; `name` is its id on the page.

    Plotly reads tags in its texts: names that came with data must be escaped before.
    """
    import PIL.Image  # noqa: F401  plotly takes it from sys.modules, where another thread may be half done with it

    html = drawn.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=_CONFIG)
    return Markup(html)
