"""The sample market beside the real one on one HTML page."""

from collections.abc import Iterable, Mapping
from typing import Final

from dosvotos.reports import likeness_plots as plots
from dosvotos.reports.bilingual import BOTH, Text, Texts
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import Cell, Table, table
from dosvotos.simulation.likeness import LEFT_OUT, ComparedFigure, compare_figures
from dosvotos.simulation.statistics import MarketStatistics, published_figures

_T: Final = Texts("likeness")
_PLUS_MINUS: Final = Text("\u00b1", "\u00b1")
_SLOTS: Final = "intraday.slot"
_NOT_LISTED: Final = ("factors.std", "factors.ac1", "factors.usdcop", _SLOTS)
"""Figures that the page does not list one by one in its first table."""


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
        t=_T,
        sample_name=sample_name,
        real_name=real_name,
        colours={_T(f"market.{name}"): colour for name, colour in plots.COLOURS.items()},
        plots=plots.draw_likeness(sample, real, known),
        compared=compared,
        slots_inside=_count_inside(compared, _SLOTS),
        factors_inside=_count_inside(compared, "factors"),
        listed=_listed(row for row in compared if not row.name.startswith(_NOT_LISTED)),
        factors=_factors(sample.figures, known, compared),
        left_out=_left_out(sample.figures, known),
    )


def _count_inside(compared: list[ComparedFigure], prefix: str) -> Text:
    inside = [row.inside for row in compared if row.name.startswith(prefix)]
    return _T("count_inside", inside=sum(inside), compared=len(inside))


def _label(name: str) -> Text:
    """Name a statistic, ``group.figure`` or ``group.figure.part``; an unknown one stands for itself."""
    known = _T.family("label")
    if name in known:
        return known[name]
    figure, _, part = name.rpartition(".")
    return known[figure].fill(part=_part(figure, part)) if figure in known else Text(name, name)


def _part(figure: str, part: str) -> Text:
    """Name the part of a figure: a night, a weekday, or how much later."""
    if figure.endswith("overnight_std_pct"):
        return _T(f"night.{part}")
    if "_by_dow" in figure:
        return BOTH.weekdays()[int(part)]
    return _T.count("bars" if figure.endswith("abs_acf") else "sessions", int(part))


def _listed(rows: Iterable[ComparedFigure]) -> Table:
    real, sample, tolerance = _T("market.real"), _T("market.sample"), _T("column.tolerance")
    cells = [
        {
            _T("column.statistic"): _label(row.name), real: _number(row.real), sample: _number(row.sample),
            tolerance: Text.join([_PLUS_MINUS, _number(row.tolerance)], " "),
            _T("column.inside"): Cell(_T("yes")) if row.inside else Cell(_T("no"), bad=True),
        }
        for row in rows
    ]  # fmt: skip
    return table(cells, right=(real, sample, tolerance))


def _factors(
    sample: Mapping[str, float], known: Mapping[str, float], compared: list[ComparedFigure]
) -> Table:
    outside = {row.name for row in compared if not row.inside}
    heads = {
        (part, market): _T("column.of_market", statistic=text, market=_T(f"market.{market}"))
        for part, text in _T.family("factor").items()
        for market in plots.COLOURS
    }
    rows = []
    for name in plots.factor_names(sample, known):
        cells: dict[Text, object] = {_T("column.variable"): name}
        for (part, market), head in heads.items():
            key = f"factors.{part}.{name}"
            value = known[key] if market == "real" else sample[key]
            cells[head] = Cell(_number(value), bad=market == "sample" and key in outside)
        rows.append(cells)
    return table(rows, right=list(heads.values()))


def _left_out(sample: Mapping[str, float], known: Mapping[str, float]) -> Table:
    real, simulated = _T("market.real"), _T("market.sample")
    rows = [
        {
            _T("column.statistic"): _label(name), real: _number(known[name]),
            simulated: _number(sample[name]), _T("column.why"): _why(name),
        }
        for name in LEFT_OUT
    ]  # fmt: skip
    return table(rows, right=(real, simulated))


def _why(name: str) -> Text:
    """Say why a statistic is not imitated, which is the same for all its parts."""
    reasons = _T.family("why")
    return reasons.get(name) or reasons[name.rpartition(".")[0]]


def _number(value: float) -> Text:
    """Three significant digits of what four decimals leave."""
    return BOTH.significant(round(value, 4), ".3g") if abs(value) < 100 else BOTH.number(value, 0)
