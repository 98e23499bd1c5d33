"""The A/B table as a page for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from markupsafe import escape

from dosvotos.backtest.compare import Comparison
from dosvotos.backtest.cuts import Cuts
from dosvotos.backtest.stress import Stress
from dosvotos.formats import MISSING
from dosvotos.promotion.evidence import Evidence
from dosvotos.reports.bilingual import BOTH, Text, Texts, Written
from dosvotos.reports.evidence import evidence_table
from dosvotos.reports.figures import MUTED, figure, line
from dosvotos.reports.metrics import METRICS, RESULTS
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import Cell, Table, rows_table

_T: Final = Texts("comparison")


class _Chart(NamedTuple):
    """A figure and its table."""

    figure: Any
    table: Table


def render_comparison(
    comparison: Comparison, looks: int, evidence: Mapping[str, Evidence | None], notes: Sequence[Written] = ()
) -> str:
    """Draw the comparison.

    Parameters
    ----------
    comparison : Comparison
    looks : int
        Distinct models the ledger knows to have seen these sessions.
    evidence : mapping of Evidence
        Of each model's proposal, by experiment; None where an older version wrote it.
    notes : sequence of str or Text
        Which of the candidates are no single trained model.
    """
    names = comparison.experiments
    contracts = [(c.parameter, *(str(c.values[name]) for name in names)) for c in comparison.contracts]
    chance = [_T("pair"), _T("difference"), _T("interval"), _T("beats")]
    left_out = ((name, count) for name, count in comparison.left_out.items() if count)
    return render(
        "comparison",
        t=_T,
        comparison=comparison,
        left_out=[_T("left_out", count=BOTH.number(count, 0), name=name) for name, count in left_out],
        looks=looks,
        notes=notes,
        metrics=rows_table(_metric_cells(comparison), [_T("metric"), *names], right=names),
        pairs=rows_table(_pair_texts(comparison), chance, right=chance[1:]),
        evidence=rows_table(evidence_table(evidence), [_T("own_window"), *names]),
        equity=_equity(comparison),
        stress=_stress({entry.name: entry.stress for entry in comparison.entries if entry.stress}),
        cuts=_cuts({entry.name: entry.cuts for entry in comparison.entries if entry.cuts}),
        contracts=rows_table(contracts, [_T("parameter"), *names]),
    )


def metric_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Write the metrics, a row a metric and a column a model; those no model has are left out."""
    return [(str(label), *(str(cell.text) for cell in cells)) for label, *cells in _metric_cells(comparison)]


def _metric_cells(comparison: Comparison) -> list[Any]:
    rows = []
    for metric in RESULTS:
        values = [entry.metrics.get(metric.key) for entry in comparison.entries]
        if any(metric.key in entry.metrics for entry in comparison.entries):
            best = metric.best(values)
            cells = (Cell(BOTH.write(v, metric.form), best=v is not None and v == best) for v in values)
            rows.append((Text.write(metric.label), *cells))
    return rows


def pair_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Write each pair: who, the difference, its interval, the probability."""
    return [tuple(map(str, row)) for row in _pair_texts(comparison)]


def _pair_texts(comparison: Comparison) -> list[tuple[Written, ...]]:
    rows: list[tuple[Written, ...]] = []
    for pair in comparison.pairs:
        who = f"{pair.a} - {pair.b}"
        if pair.sharpe_difference is None or pair.interval_90 is None:
            rows.append((who, MISSING, MISSING, MISSING))
            continue
        difference, low, high = (
            BOTH.number(sharpe, signed=True) for sharpe in (pair.sharpe_difference, *pair.interval_90)
        )
        rows.append(
            (who, difference, _T("span", low=low, high=high), BOTH.chance(pair.probability_a_beats_b))
        )
    return rows


def _equity(comparison: Comparison) -> Any:
    drawn = figure(420)
    for entry in comparison.entries:
        drawn.add_scatter(
            x=list(entry.equity), y=list(entry.equity.values()), name=escape(entry.name), mode="lines",
            line={"width": 1.6}, hovertemplate="%{x}<br>%{y:.3f}",
        )  # fmt: skip
    return drawn.add_hline(1.0, line=line(MUTED, 1, dash="dot"))


def _stress(stressed: dict[str, Stress]) -> _Chart | None:
    if not stressed:
        return None
    drawn = figure()
    for name, stress in stressed.items():
        cases = sorted(stress.costs, key=lambda case: case.cost_bps)
        drawn.add_scatter(
            x=[case.cost_bps for case in cases], y=[case.metrics.sharpe_ratio for case in cases],
            name=escape(name), mode="lines+markers", hovertemplate=_T("hover_cost").both,
        )  # fmt: skip
    drawn.update_xaxes(title=_T("axis_cost").both).update_yaxes(title=_T("axis_sharpe").both)
    cells = {name: _stress_cells(stress) for name, stress in stressed.items()}
    return _Chart(drawn, _side_by_side(_T("sharpe_at"), cells))


def _stress_cells(stress: Stress) -> dict[Text, Text]:
    sharpe, even = METRICS["sharpe_ratio"].form, METRICS["break_even_bps"]
    costs = {
        _T.known("cost", case.name): BOTH.write(case.metrics.sharpe_ratio, sharpe) for case in stress.costs
    }
    delays = {
        _T("fills", bars=_T.count("bars", case.bars)): BOTH.write(case.metrics.sharpe_ratio, sharpe)
        for case in stress.delays
        if case.bars
    }
    return {**costs, **delays, Text.write(even.label): BOTH.write(stress.break_even_bps, even.form)}


def _cuts(parts: dict[str, Cuts]) -> _Chart | None:
    if not parts:
        return None
    drawn = figure()
    for name, cuts in parts.items():
        regimes = cuts.by_volatility
        sharpes = [cut.sharpe_ratio for cut in regimes]
        drawn.add_bar(x=[_T.known("cut", cut.name).both for cut in regimes], y=sharpes, name=escape(name))
    drawn.update_layout(barmode="group", showlegend=True).update_yaxes(title=_T("axis_sharpe").both)
    cells = {name: _cut_cells(cuts) for name, cuts in parts.items()}
    return _Chart(drawn, _side_by_side(_T("sharpe_return"), cells))


def _cut_cells(cuts: Cuts) -> dict[Text, Text]:
    sharpe, total = METRICS["sharpe_ratio"].form, METRICS["total_return"].form
    return {
        _T.known("cut", cut.name): Text.join(
            [BOTH.write(cut.sharpe_ratio, sharpe), BOTH.write(cut.total_return, total)], "; "
        )
        for cut in (*cuts.by_volatility, *cuts.by_year, cuts.without_best_days)
    }


def _side_by_side(head: Text, models: Mapping[str, Mapping[Text, Text]]) -> Table:
    """Table with a column a model and a row a figure, in the first model's order."""
    names = dict.fromkeys(name for cells in models.values() for name in cells)
    rows = [(name, *(cells.get(name, MISSING) for cells in models.values())) for name in names]
    return rows_table(rows, [head, *models], right=list(models))
