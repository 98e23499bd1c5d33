"""The A/B table as a page for people."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from dosvotos.backtest.compare import Comparison, Entry
from dosvotos.reports import pages

# metric, its words and its format, in the table's order
FIGURES = {
    "sharpe_ratio": ("Sharpe ratio", ".2f"),
    "sortino_ratio": ("Sortino ratio", ".2f"),
    "calmar_ratio": ("Calmar ratio", ".2f"),
    "total_return": ("total return", ".1%"),
    "max_drawdown": ("max drawdown", ".1%"),
    "worst_day": ("worst day", ".2%"),
    "win_rate": ("win rate", ".1%"),
    "profit_factor": ("profit factor", ".2f"),
    "total_trades": ("trades", ",.0f"),
    "avg_trade_pnl": ("average trade, USD", "+,.2f"),
    "average_holding_bars": ("average holding, bars", ".1f"),
    "exposure": ("time in the market", ".1%"),
    "turnover": ("sides traded a session", ".2f"),
}


def render_comparison(comparison: Comparison, looks: int) -> str:
    """Draw the comparison.

    Parameters
    ----------
    comparison : Comparison
    looks : int
        Distinct models the ledger knows to have seen these sessions.

    Returns
    -------
    str
        One HTML page that needs no network.
    """
    window = f"{comparison.first_session} to {comparison.last_session}"
    return pages.page(
        " against ".join(comparison.experiments),
        f"Latest proposals on {comparison.instrument}, {comparison.sessions} sessions, {window}.",
        _whole_or_not(comparison),
        pages.section(
            "Side by side", figure_table(comparison), pages.note(_said_of_looks(comparison, looks))
        ),
        pages.section(
            "One against the other", pair_table(comparison), pages.note(_said_of_pairs(comparison))
        ),
        pages.section("Equity", _equity(comparison)),
        *_stress(comparison),
        *_regimes(comparison),
        pages.section("What the contracts do not share", _contracts(comparison)),
    )


def figure_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The metrics as words, a row a metric and a column a model; those no model has are left out."""
    rows = []
    for metric, (words, form) in FIGURES.items():
        values = [entry.metrics.get(metric) for entry in comparison.entries]
        if any(metric in entry.metrics for entry in comparison.entries):
            rows.append((words, *(pages.MISSING if v is None else format(v, form) for v in values)))
    return rows


def pair_rows(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """Each pair as words: who, the difference, its interval, the probability."""
    rows = []
    for pair in comparison.pairs:
        who = f"{pair.a} - {pair.b}"
        if pair.sharpe_difference is None or pair.interval_90 is None:
            rows.append((who, pages.MISSING, pages.MISSING, pages.MISSING))
            continue
        low, high = pair.interval_90
        chance = f"{pair.probability_a_beats_b:.1%}"
        rows.append((who, f"{pair.sharpe_difference:+.2f}", f"{low:+.2f} to {high:+.2f}", chance))
    return rows


def figure_table(comparison: Comparison) -> Markup:
    """The metrics side by side."""
    columns = ["metric", *comparison.experiments]
    return _table(figure_rows(comparison), columns, right=comparison.experiments)


def pair_table(comparison: Comparison) -> Markup:
    """The paired differences."""
    columns = ["a - b", "Sharpe difference", "90% interval", "probability that a beats b"]
    return _table(pair_rows(comparison), columns, right=columns[1:])


def _table(rows: Iterable[tuple[Any, ...]], columns: list[str], right: Iterable[str] = ()) -> Markup:
    return pages.table(pd.DataFrame(list(rows), columns=columns, dtype=object), right=list(right))


def _whole_or_not(comparison: Comparison) -> Markup:
    if not comparison.intersected:
        return pages.verdict("All models were tested on exactly these bars.", good=True)
    said = ", ".join(f"{count} of {name}'s" for name, count in comparison.left_out.items() if count)
    return pages.verdict(
        f"The test windows differ. Compared are the sessions whose bars are the same in all of them; {said} "
        "sessions are left out, so the figures are not those of the proposals.",
        good=False,
    )


def _said_of_looks(comparison: Comparison, looks: int) -> str:
    return (
        f"{looks} models have looked at these sessions. Comparing adds no look: every model here had seen "
        "its own window. Choosing the best of several is a choice all the same, which the vote's evidence "
        "counts."
    )


def _said_of_pairs(comparison: Comparison) -> str:
    several = (
        f" With {len(comparison.pairs)} pairs, one may stand out by chance."
        if len(comparison.pairs) > 1
        else ""
    )
    return (
        f"Paired stationary bootstrap of daily net returns, {comparison.replications:,} replications, seed "
        f"{comparison.seed}.{several}"
    )


def _equity(comparison: Comparison) -> Markup:
    drawn = pages.figure(420)
    for entry in comparison.entries:
        drawn.add_scatter(
            x=list(entry.equity),
            y=list(entry.equity.values()),
            name=escape(entry.name),
            mode="lines",
            line={"width": 1.6},
            hovertemplate="%{x}<br>%{y:.3f}",
        )
    drawn.add_hline(1.0, line={"color": pages.MUTED, "width": 1, "dash": "dot"})
    return pages.plot(drawn, "equity", text="At the end of each session; the start is 1.")


def _stress(comparison: Comparison) -> list[Markup]:
    entries = [entry for entry in comparison.entries if entry.stress]
    if not entries:
        return []
    drawn = pages.figure()
    for entry in entries:
        cases = sorted(entry.stress.costs, key=lambda case: case.cost_bps)  # type: ignore[union-attr]
        drawn.add_scatter(
            x=[case.cost_bps for case in cases],
            y=[case.metrics.sharpe_ratio for case in cases],
            name=escape(entry.name),
            mode="lines+markers",
            hovertemplate="%{x:.1f} bps a side<br>Sharpe %{y:.2f}",
        )
    drawn.update_xaxes(title="cost, bps a side").update_yaxes(title="Sharpe ratio")
    rows = _beside(entries, _stressed)
    names = [entry.name for entry in entries]
    table = _table(rows, ["Sharpe ratio at", *names], right=names)
    return [pages.section("Costs and delays", pages.plot(drawn, "costs"), table)]


def _stressed(entry: Entry) -> dict[str, str]:
    assert entry.stress is not None
    costs = {f"cost: {case.name}": case.metrics.sharpe_ratio for case in entry.stress.costs}
    delays = {
        f"fills {case.bars} bars later": case.metrics.sharpe_ratio
        for case in entry.stress.delays
        if case.bars
    }
    shown = {name: _number(value) for name, value in {**costs, **delays}.items()}
    return {**shown, "break-even cost, bps a side": _number(entry.stress.break_even_bps)}


def _regimes(comparison: Comparison) -> list[Markup]:
    entries = [entry for entry in comparison.entries if entry.cuts]
    if not entries:
        return []
    drawn = pages.figure()
    for entry in entries:
        cuts = entry.cuts.by_volatility  # type: ignore[union-attr]
        drawn.add_bar(
            x=[cut.name for cut in cuts], y=[cut.sharpe_ratio for cut in cuts], name=escape(entry.name)
        )
    drawn.update_layout(barmode="group").update_yaxes(title="Sharpe ratio")
    names = [entry.name for entry in entries]
    table = _table(_beside(entries, _cut), ["Sharpe ratio, return", *names], right=names)
    return [
        pages.section("By the market's volatility and by year", pages.plot(drawn, "regimes"), table),
    ]


def _cut(entry: Entry) -> dict[str, str]:
    assert entry.cuts is not None
    cuts = [*entry.cuts.by_volatility, *entry.cuts.by_year, entry.cuts.without_best_days]
    return {
        cut.name.replace("_", " "): f"{_number(cut.sharpe_ratio)}, {cut.total_return:+.1%}" for cut in cuts
    }


def _beside(entries: list[Entry], of: Callable[[Entry], dict[str, str]]) -> list[tuple[str, ...]]:
    """Rows of several models' named figures, in the first one's order."""
    found = [of(entry) for entry in entries]
    names = list(dict.fromkeys(name for one in found for name in one))
    return [(name, *(one.get(name, pages.MISSING) for one in found)) for name in names]


def _contracts(comparison: Comparison) -> Markup:
    rows = [
        (difference.parameter, *(str(difference.values[name]) for name in comparison.experiments))
        for difference in comparison.contracts
    ]
    if not rows:
        return Markup("<p>{}</p>").format("Nothing but their names.")
    return _table(rows, ["parameter", *comparison.experiments])


def _number(value: float | None) -> str:
    return pages.MISSING if value is None else f"{value:.2f}"
