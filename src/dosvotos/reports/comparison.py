"""The A/B table as a page for people."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import escape

from dosvotos.backtest.compare import Comparison
from dosvotos.backtest.cuts import Cuts
from dosvotos.backtest.stress import Stress
from dosvotos.formats import MISSING
from dosvotos.promotion.evidence import Evidence
from dosvotos.reports.evidence import evidence_table
from dosvotos.reports.figures import MUTED, figure, line
from dosvotos.reports.metrics import METRICS, RESULTS
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import EN, Cell, Table, rows_table


class _Chart(NamedTuple):
    """A figure and its table."""

    figure: Any
    table: Table


def render_comparison(
    comparison: Comparison, looks: int, evidence: Mapping[str, Evidence | None], notes: Sequence[str] = ()
) -> str:
    """Draw the comparison.

    Parameters
    ----------
    comparison : Comparison
    looks : int
        Distinct models the ledger knows to have seen these sessions.
    evidence : mapping of Evidence
        Of each model's proposal, by experiment; None where an older version wrote it.
    notes : sequence of str
        Which of the candidates are no single trained model.
    """
    names = comparison.experiments
    contracts = [(c.parameter, *(str(c.values[name]) for name in names)) for c in comparison.contracts]
    chance = ["a - b", "Sharpe difference", "90% interval", "probability that a beats b"]
    return render(
        "comparison",
        comparison=comparison,
        looks=looks,
        notes=notes,
        metrics=rows_table(_metric_cells(comparison), ["metric", *names], right=names),
        pairs=rows_table(pair_rows(comparison), chance, right=chance[1:]),
        evidence=rows_table(evidence_table(evidence), ["its own window, all of it", *names]),
        equity=_equity(comparison),
        stress=_stress({entry.name: entry.stress for entry in comparison.entries if entry.stress}),
        cuts=_cuts({entry.name: entry.cuts for entry in comparison.entries if entry.cuts}),
        contracts=rows_table(contracts, ["parameter", *names]),
    )


def metric_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Write the metrics, a row a metric and a column a model; those no model has are left out."""
    return [(label, *(cell.text for cell in cells)) for label, *cells in _metric_cells(comparison)]


def _metric_cells(comparison: Comparison) -> list[Any]:
    rows = []
    for metric in RESULTS:
        values = [entry.metrics.get(metric.key) for entry in comparison.entries]
        if any(metric.key in entry.metrics for entry in comparison.entries):
            best = metric.best(values)
            cells = (Cell(metric.write(v), best=v is not None and v == best) for v in values)
            rows.append((metric.label(), *cells))
    return rows


def pair_rows(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """Write each pair: who, the difference, its interval, the probability."""
    rows = []
    for pair in comparison.pairs:
        who = f"{pair.a} - {pair.b}"
        if pair.sharpe_difference is None or pair.interval_90 is None:
            rows.append((who, MISSING, MISSING, MISSING))
            continue
        difference, low, high = (
            EN.number(sharpe, signed=True) for sharpe in (pair.sharpe_difference, *pair.interval_90)
        )
        rows.append((who, difference, f"{low} to {high}", EN.chance(pair.probability_a_beats_b)))
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
            name=escape(name), mode="lines+markers", hovertemplate="%{x:.1f} bps a side<br>Sharpe %{y:.2f}",
        )  # fmt: skip
    drawn.update_xaxes(title="cost, bps a side").update_yaxes(title="Sharpe ratio")
    cells = {name: _stress_cells(stress) for name, stress in stressed.items()}
    return _Chart(drawn, _side_by_side("Sharpe ratio at", cells))


def _stress_cells(stress: Stress) -> dict[str, str]:
    sharpe, even = METRICS["sharpe_ratio"], METRICS["break_even_bps"]
    costs = {f"cost: {case.name}": sharpe.write(case.metrics.sharpe_ratio) for case in stress.costs}
    delays = {
        f"fills {EN.plural(case.bars, 'bar', 'bars')} later": sharpe.write(case.metrics.sharpe_ratio)
        for case in stress.delays
        if case.bars
    }
    return {**costs, **delays, even.label(): even.write(stress.break_even_bps)}


def _cuts(parts: dict[str, Cuts]) -> _Chart | None:
    if not parts:
        return None
    drawn = figure()
    for name, cuts in parts.items():
        regimes = cuts.by_volatility
        sharpes = [cut.sharpe_ratio for cut in regimes]
        drawn.add_bar(x=[cut.name for cut in regimes], y=sharpes, name=escape(name))
    drawn.update_layout(barmode="group", showlegend=True).update_yaxes(title="Sharpe ratio")
    cells = {name: _cut_cells(cuts) for name, cuts in parts.items()}
    return _Chart(drawn, _side_by_side("Sharpe ratio, return", cells))


def _cut_cells(cuts: Cuts) -> dict[str, str]:
    sharpe, total = METRICS["sharpe_ratio"], METRICS["total_return"]
    return {
        cut.name.replace("_", " "): f"{sharpe.write(cut.sharpe_ratio)}, {total.write(cut.total_return)}"
        for cut in (*cuts.by_volatility, *cuts.by_year, cuts.without_best_days)
    }


def _side_by_side(head: str, models: Mapping[str, Mapping[str, str]]) -> Table:
    """Table with a column a model and a row a figure, in the first model's order."""
    names = dict.fromkeys(name for cells in models.values() for name in cells)
    rows = [(name, *(cells.get(name, MISSING) for cells in models.values())) for name in names]
    return rows_table(rows, [head, *models], right=list(models))
