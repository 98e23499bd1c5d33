"""One HTML page from sections, tables and figures, with one look for every report.

A page needs no network, stands on white in light and dark surroundings, and prints. Text is escaped wherever
it enters; only `Markup` stays as it is, and the functions here return it.
"""

from collections.abc import Collection, Mapping, Sequence
from numbers import Real
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

GOOD: Final = "#2f7f79"
NEAR: Final = "#d9a441"
BAD: Final = "#c0563b"
BLUE: Final = "#1f5f8b"
VIOLET: Final = "#7a5c93"
MUTED: Final = "#9aa7b3"
INK: Final = "#1c2733"
COLOURS: Final = (BLUE, BAD, GOOD, NEAR, VIOLET, MUTED)
"""Of lines and bars beside each other, in order; they stay apart for colour-blind readers."""
MISSING: Final = "-"

_GRID: Final = "#e6eaee"
_AXES: Final = {"gridcolor": _GRID, "linecolor": MUTED, "zerolinecolor": MUTED, "automargin": True}
_PLOT: Final = {"displayModeBar": False, "responsive": True}
_PLOT_TAG: Final = "<div class=plot>"


def page(title: str, lead: str, *blocks: str, style: str = "", script: str = "") -> str:
    """Put a page together.

    Parameters
    ----------
    title : str
        Its heading, and the name of the browser's tab.
    lead : str
        What the page shows, as of when.
    blocks : str or Markup
        In order; plain text is a paragraph.
    style, script : str
        Trusted CSS and JavaScript of this kind of page alone.

    Returns
    -------
    str
        HTML with a copy of plotly.js where a figure needs it. Equal inputs give equal pages.
    """
    body = _joined(blocks)
    library = _library() if _PLOT_TAG in body else ""
    return _PAGE.format(
        title=escape(title), lead=escape(lead), style=_STYLE + style, library=library, body=body,
        script=_SCRIPT + script,
    )  # fmt: skip


def section(heading: str, *blocks: str) -> Markup:
    """A heading and what stands below it; plain text is a paragraph."""
    return Markup("<section><h2>{}</h2>{}</section>").format(heading, _joined(blocks))


def grid(*cells: Markup) -> Markup:
    """Blocks two in a row, below each other on a narrow screen."""
    return Markup("<div class=grid>{}</div>").format(Markup("").join(cells))


def table(
    rows: pd.DataFrame | Sequence[Mapping[str, object]],
    formats: Mapping[str, str] | None = None,
    right: Collection[str] = (),
) -> Markup:
    """A table of columns under their names, without an index.

    Parameters
    ----------
    rows : DataFrame, or sequence of mappings with the same keys
        Markup stays as it is; in a frame, only in a column of objects (pandas makes text of it elsewhere).
        What is missing is shown as a dash, a moment with a time zone in UTC to the minute.
    formats : mapping of format specification by column
        Of numbers, as ``",.2f"``; without one they have five significant digits.
    right : collection of str
        Columns set to the right although they hold more than numbers.
    """
    columns = _columns(rows)
    places = {name: _place(cells, name in right) for name, cells in columns.items()}
    shown = [
        [_cell(value, (formats or {}).get(name, ""), places[name]) for value in cells]
        for name, cells in columns.items()
    ]
    head = Markup("").join(Markup("<th{}>{}").format(places[name], name) for name in columns)
    body = Markup("").join(Markup("<tr>") + Markup("").join(row) for row in zip(*shown, strict=True))
    return Markup(
        "<div class=wide><table><thead><tr>{}</thead><tbody>{}</tbody></table></div>"
    ).format(head, body)  # fmt: skip


def tiles(values: Mapping[str, object]) -> Markup:
    """Figures to see first, each large above its name."""
    drawn = (Markup("<div><b>{}</b>{}</div>").format(value, name) for name, value in values.items())
    return Markup("<div class=tiles>{}</div>").format(Markup("").join(drawn))


def verdict(text: str, good: bool) -> Markup:
    """A sentence marked as good news or as bad."""
    return Markup('<p class="{}">{}</p>').format("calm" if good else "alarm", text)


def note(text: str) -> Markup:
    """A paragraph in small print."""
    return Markup("<p class=note>{}</p>").format(text)


def mark(text: object) -> Markup:
    """Words or a figure that ask for attention, in a table's cell or elsewhere."""
    return Markup("<b class=bad>{}</b>").format(text)


def legend(colours: Mapping[str, str]) -> Markup:
    """Names beside their colours."""
    items = (
        Markup('<span><i style="background:{}"></i>{}</span>').format(colour, name)
        for name, colour in colours.items()
    )
    return Markup("<p class=legend>{}</p>").format(Markup("").join(items))


def figure(height: int = 330) -> Any:
    """An empty plotly figure in the pages' look; `height` is in pixels, its width that of its place."""
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


def plot(drawn: Any, name: str, title: str = "", text: str = "") -> Markup:
    """A plotly figure on the page.

    Parameters
    ----------
    drawn : plotly Figure
        Plotly reads tags in its texts: names that came with data must be escaped before.
    name : str
        Its id on the page.
    title, text : str
        Above it.
    """
    html = Markup(drawn.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=_PLOT))
    head = Markup("<h3>{}</h3>").format(title) if title else Markup()
    said = note(text) if text else Markup()
    return Markup("<figure>{}{}{}{}</div></figure>").format(head, said, Markup(_PLOT_TAG), html)


def number(value: float) -> str:
    """Five significant digits, or two decimals from a thousand on; a dash for NaN."""
    if np.isnan(value):
        return MISSING
    return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.5g}"


def minute(moment: pd.Timestamp) -> str:
    """A moment in UTC."""
    return f"{moment.tz_convert('UTC'):%Y-%m-%d %H:%M}"


def _columns(rows: pd.DataFrame | Sequence[Mapping[str, object]]) -> dict[str, list[Any]]:
    if isinstance(rows, pd.DataFrame):
        return {str(name): rows[name].tolist() for name in rows}
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _joined(blocks: Collection[str]) -> Markup:
    return Markup("\n").join(
        block if isinstance(block, Markup) else Markup("<p>{}</p>").format(block) for block in blocks
    )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _place(cells: list[Any], right: bool) -> Markup:
    known = [value for value in cells if not _is_missing(value)]
    if right or (known and all(_is_number(value) for value in known)):
        return Markup(" class=n")
    is_time = known and all(isinstance(value, pd.Timestamp) for value in known)
    return Markup(" class=t" if is_time else "")


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _cell(value: Any, spec: str, place: Markup) -> Markup:
    return Markup("<td{}>{}").format(place, _shown(value, spec))


def _shown(value: Any, spec: str) -> str:
    if _is_missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_number(value):
        return format(value, spec) if spec else f"{value:,}" if isinstance(value, int) else number(value)
    if isinstance(value, pd.Timestamp):
        return minute(value) if value.tzinfo else f"{value:%Y-%m-%d}"
    return value if isinstance(value, str) else str(value)


def _library() -> str:
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>"


_STYLE: Final = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2733; background: #fff; max-width: 1320px;
  margin: 2rem auto 4rem; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.25rem; margin: 2.2rem 0 0.3rem; }
h3 { font-size: 1rem; margin: 0.4rem 0 0; } figure { margin: 0; min-width: 0; }
p { max-width: 60rem; margin: 0.3rem 0 0.8rem; overflow-wrap: anywhere; }
small { display: block; color: #5a6875; font-size: 0.85em; }
table { border-collapse: collapse; font-size: 0.9rem; }
th { text-align: left; font-weight: 600; color: #5a6875; vertical-align: bottom; }
th, td { padding: 0.25rem 0.9rem 0.25rem 0; border-bottom: 1px solid #d9dfe5; overflow-wrap: break-word; }
td { vertical-align: top; } th:last-child, td:last-child { padding-right: 0; }
.n { text-align: right; } .n, .t { font-variant-numeric: tabular-nums; } td.n, .t { white-space: nowrap; }
.wide { overflow-x: auto; } .plot { min-width: 0; }
.grid { display: grid; grid-template-columns: 1fr 1fr; gap: 1.4rem 2rem; }
.lead, .none { color: #5a6875; } .note { color: #5a6875; font-size: 0.87rem; margin: 0 0 0.3rem; }
.bad { color: #b0472d; } .alarm { border-left: 4px solid #c0563b; } .calm { border-left: 4px solid #2f7f79; }
.alarm, .calm { padding-left: 0.7rem; max-width: none; }
.tiles { display: flex; flex-wrap: wrap; gap: 0.6rem; margin: 1rem 0; }
.tiles div { background: #f4f6f8; border-radius: 0.4rem; padding: 0.5rem 0.9rem; color: #5a6875;
  font-size: 0.87rem; }
.tiles b { display: block; font-size: 1.3rem; color: #1c2733; }
.legend { max-width: none; font-size: 0.87rem; } .legend span { display: inline-block; margin-right: 1.2rem; }
.legend i { display: inline-block; width: 0.8rem; height: 0.8rem; margin-right: 0.35rem;
  vertical-align: -0.08rem; }
@media (max-width: 760px) { body { margin-top: 1rem; padding: 0 0.8rem; }
  .grid { grid-template-columns: minmax(0, 1fr); } }
@page { size: A4 landscape; margin: 12mm; }
.printing { width: 1010px; margin: 0; padding: 0; max-width: none; }
@media print { * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, tr, .tiles, .legend { break-inside: avoid; } h2, h3, .legend { break-after: avoid; }
  .wide { overflow: visible; } input { display: none; } }
"""
_SCRIPT: Final = """
const plots = () => [...document.querySelectorAll(".js-plotly-plot")];
addEventListener("beforeprint", () => {
  document.body.classList.add("printing");
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  for (const plot of plots()) Plotly.relayout(plot, { width: plot.parentElement.clientWidth });
});
addEventListener("afterprint", () => {
  document.body.classList.remove("printing");
  for (const plot of plots()) Plotly.relayout(plot, { width: null, autosize: true });
});
"""
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline';
 style-src 'unsafe-inline'; img-src data: blob:">
<style>{style}</style></head>
<body>
<h1>{title}</h1><p class=lead>{lead}</p>
{library}
{body}
<script>{script}</script>
</body></html>
"""
