"""The validation pack: one printable page a proposal, each figure on it beside the field it was read from.

Every figure enters the page through `Facts.cell`, which reads it from the records by the field's path and
writes the path beside it: nothing here computes one.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
from markupsafe import Markup, escape
from pydantic import BaseModel
from sqlalchemy import Engine

from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import BacktestRecord, ChainRecord, DatasetRecord, TrainingRecord
from dosvotos.database.connection import reading
from dosvotos.database.registry import get_model, get_proposal
from dosvotos.database.requests import list_requests
from dosvotos.files import write_file
from dosvotos.promotion.audit import read_audit_log
from dosvotos.promotion.report_files import check_reports, read_report
from dosvotos.reports import pages

PACK_FILE: Final = "validation_pack.html"
RECORDS: Final[dict[str, type[BaseModel]]] = {
    "contract": ExperimentContract,
    "dataset": DatasetRecord,
    "training": TrainingRecord,
    "backtest": BacktestRecord,
    "chain": ChainRecord,
    "results": BacktestReport,
    "comparison": ComparisonReport,
}
_METRICS: Final = {
    "sharpe_ratio": ("Sharpe ratio", ".2f"),
    "sortino_ratio": ("Sortino ratio", ".2f"),
    "calmar_ratio": ("Calmar ratio", ".2f"),
    "total_return": ("total return", ".2%"),
    "max_drawdown": ("max drawdown", ".2%"),
    "worst_day": ("worst day", ".2%"),
    "win_rate": ("win rate", ".1%"),
    "profit_factor": ("profit factor", ".2f"),
    "total_trades": ("trades", ",d"),
    "avg_trade_pnl": ("average trade, USD", "+,.2f"),
    "average_holding_bars": ("average holding, bars", ".1f"),
    "exposure": ("time in the market", ".1%"),
    "turnover": ("sides traded a session", ".2f"),
}
_EVIDENCE: Final = {
    "looks": ("looks at this window", ""),
    "prior_trials": ("of them declared", ""),
    "psr": ("probability that the true Sharpe ratio is above 0", ""),
    "deflated_sharpe": ("probability that it is above what the luckiest look would show", ""),
    "sessions": ("sessions in the window", ""),
    "min_track_record": ("sessions this Sharpe ratio needs to be shown", ""),
    "level": ("SPA and StepM, level at this look", ".4f"),
    "spa_p_value": ("SPA, p-value", ".4f"),
    "in_superior_set": ("in StepM's superior set", ""),
    "luck_excluded": ("luck excluded", ""),
    "beats_naive": ("beats the naive strategies", ""),
    "seeds": ("seeds", ""),
    "positive_seeds": ("share of seeds positive on val", ".0%"),
    "point_in_time": ("point in time", ""),
    "covered": ("enough sessions have a complete row", ""),
    "ledger.id": ("trial ledger", ""),
    "ledger.created_at": ("trial ledger begun", ""),
    "passed": ("evidence complete", ""),
}
_INTERVALS: Final = {
    "sharpe_ratio": ("Sharpe ratio", ".2f"),
    "total_return": ("total return", ".1%"),
    "max_drawdown": ("drawdown between session ends", ".1%"),
}
_STYLE: Final = """
.facts table { table-layout: fixed; width: 100%; }
.facts th:nth-child(1) { width: 27%; }
.facts th:nth-child(3) { width: 35%; }
td:first-child { white-space: nowrap; }
.facts td:first-child { white-space: normal; }
.source { color: #5a6875; font: 0.72rem/1.3 ui-monospace, monospace; overflow-wrap: anywhere; }
[data-field^="chain.links"][data-field$=".field"] { white-space: nowrap; }
[data-field] { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
"""


class Facts:
    """The records behind one proposal, and the only way a figure of theirs reaches the page.

    Parameters
    ----------
    tree : mapping
        Each record's fields, JSON-like, by the record's name.
    """

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree

    def at(self, path: str) -> Any:
        """The value of a field, as ``backtest_results.metrics.sharpe_ratio``; None where it has none."""
        value: Any = self._tree
        for part in path.split("."):
            value = value[int(part)] if isinstance(value, list) else (value or {}).get(part)
        return value

    def cell(self, path: str, form: str = "") -> Markup:
        """A field's value with its path in the title."""
        value = self.at(path)
        if value is None:
            shown = pages.MISSING
        elif isinstance(value, bool):
            shown = "yes" if value else "no"
        else:
            shown = format(value, form) if form else str(value)
        return Markup('<span data-field="{}" data-form="{}" title="{}">{}</span>').format(
            path, form, path, shown
        )

    def rows(self, fields: Iterable[tuple[str, str, str]]) -> Markup:
        """A table of words, value and source; `fields` are words, path and format."""
        rows = [(words, self.cell(path, form), _source(path)) for words, path, form in fields]
        return Markup("<div class=facts>{}</div>").format(_table(rows, ("", "value", "field")))


def write_pack(engine: Engine, proposal_id: int) -> Path:
    """Write a proposal's pack beside its files, over the one there; gives its path.

    Raises
    ------
    UnknownProposalError, LineageError
        If there is no such proposal, or its files are not those L4 wrote.
    """
    with reading(engine) as connection:
        folder = Path(get_proposal(connection, proposal_id).report_folder)
    path = folder / PACK_FILE
    write_file(path, make_pack(engine, proposal_id).encode())
    return path


def make_pack(engine: Engine, proposal_id: int) -> str:
    """Draw a proposal's pack as the records stand now, votes and all; raises as `write_pack`."""
    return render_pack(gather(engine, proposal_id))


def gather(engine: Engine, proposal_id: int) -> dict[str, Any]:
    """All records behind a proposal, JSON-like, by name; the files are checked against their hashes."""
    with reading(engine) as connection:
        proposal = get_proposal(connection, proposal_id)
        model = get_model(connection, proposal.model_id)
        votes = [row for row in read_audit_log(connection) if row.proposal_id == proposal_id]
        requests = list_requests(connection, proposal_id)
    check_reports(proposal)
    return {
        "promotion_proposals": _json_like(proposal._mapping),
        "model_registry": _json_like(model._mapping),
        **{name: read_report(proposal, record).model_dump(mode="json") for name, record in RECORDS.items()},
        "backtest_requests": [_json_like(row._mapping) for row in requests],
        "approval_audit_log": [_json_like(row._mapping) for row in votes],
    }


def render_pack(tree: Mapping[str, Any]) -> str:
    """Draw the pack from the records that `gather` gives."""
    facts = Facts(tree)
    cell = facts.cell
    lead = Markup("Proposal {} of {}, made {}.").format(
        cell("promotion_proposals.id"),
        cell("promotion_proposals.experiment_name"),
        cell("promotion_proposals.created_at"),
    )
    return pages.page(
        f"Validation pack: {facts.at('promotion_proposals.model_id')}",
        "Every figure names the field it was read from: in its row, or in the title under the pointer.",
        Markup("<p>{}</p>").format(lead),
        _vote(facts),
        _limits(facts),
        _model_card(facts),
        _data(facts),
        _result(facts),
        _stress(facts),
        _charts(tree),
        _evidence(facts),
        _extra_backtests(facts),
        _lineage(facts),
        _second_votes(facts),
        style=_STYLE,
    )


def _vote(facts: Facts) -> Markup:
    p = "promotion_proposals"
    head = facts.rows(
        [
            ("recommendation", f"{p}.recommendation", ""),
            ("confidence, by rule", f"{p}.confidence", ".0%"),
            ("reason", f"{p}.reason", ""),
            ("state", f"{p}.status", ""),
            ("needs a person", f"{p}.requires_human_approval", ""),
        ]
    )
    criteria = facts.rows(
        (name, f"{p}.criteria_results.{name}", "") for name in facts.at(f"{p}.criteria_results")
    )
    return pages.section("The first vote", head, Markup("<h3>Criteria</h3>"), criteria)


def _limits(facts: Facts) -> Markup:
    """What a reader must not take the figures for."""
    p, cell = "promotion_proposals", facts.cell
    lines = [
        Markup("{}").format(cell(f"{p}.evidence.notes.{n}")) for n in _places(facts, f"{p}.evidence.notes")
    ]
    if facts.at(f"{p}.lineage.planted_edge"):
        lines.append(
            Markup(
                "The sample market's edge ({}) is planted and generous; real markets are not like this. "
                "Someone who knew it would have had a Sharpe ratio of {}."
            ).format(cell(f"{p}.lineage.planted_edge"), cell("results.oracle_sharpe", ".2f"))
        )
    if facts.at(f"{p}.evidence.point_in_time") == "unproven":
        unproven = Markup("Point in time is {}: the macro data are final vintages, not what was known.")
        lines.append(unproven.format(cell(f"{p}.evidence.point_in_time")))
    if facts.at("results.financing_note"):
        lines.append(Markup("Financing: {}").format(cell("results.financing_note")))
    lines.append(Markup("Seeds: {}.").format(cell(f"{p}.evidence.seeds")))
    lines.append(
        Markup(
            "The test window is {} ({}); a short window cannot tell a modest edge from luck. Fills are at "
            "the next bar's close, all in, without market impact."
        ).format(cell("results.test_period"), cell("results.sample"))
    )
    return pages.section("Limits", Markup("<ul>{}</ul>").format(
        Markup("").join(Markup("<li>{}</li>").format(line) for line in lines)
    ))  # fmt: skip


def _model_card(facts: Facts) -> Markup:
    hyper = "contract.frozen_config.training.hyperparameters"
    return pages.section(
        "Model card",
        "A policy that sees 15 features at each 5-minute close of the Bogota session and chooses short, flat "
        "or long. It is meant for this instrument, these sessions and these costs alone.",
        facts.rows(
            [
                ("model", "promotion_proposals.model_id", ""),
                ("instrument", "promotion_proposals.instrument", ""),
                ("stage", "model_registry.stage", ""),
                ("trained by", "model_registry.trained_by", ""),
                ("contract", "contract.contract_id", ""),
                ("contract's version", "contract.contract_version", ""),
                ("seed", "training.seed", ""),
                ("timesteps", "training.timesteps", ",d"),
                ("seconds of training", "training.training_duration_seconds", ",.1f"),
                ("last curriculum phase", "training.curriculum_final_phase", ""),
                ("net return on val", "training.best_val_reward", ".2%"),
                *((name, f"{hyper}.{name}", "") for name in facts.at(hyper)),
            ]
        ),
    )


def _data(facts: Facts) -> Markup:
    test = "dataset.splits.test"
    return pages.section(
        "Data",
        facts.rows(
            [
                *((name, f"dataset.date_ranges.{name}", "") for name in facts.at("dataset.date_ranges")),
                ("data as known on", "contract.data_as_of", ""),
                ("point in time", "dataset.point_in_time", ""),
                ("bars read", "dataset.ohlcv_rows", ",d"),
                ("rows with all features", "dataset.row_count", ",d"),
                ("rows without", "dataset.dropped_rows", ",d"),
                ("test sessions", f"{test}.sessions", ",d"),
                ("of them without one whole row", f"{test}.uncovered_sessions", ",d"),
                ("test bars", f"{test}.bars", ",d"),
                ("of them with all features", f"{test}.complete_rows", ",d"),
            ]
        ),
    )


def _result(facts: Facts) -> Markup:
    columns = {
        "this model": "results.metrics",
        "with financing": "results.metrics_with_financing",
        "without financing": "results.metrics_without_financing",
        "production": "comparison.baseline_metrics",
        "always long": "results.naive.always_long",
        "always short": "results.naive.always_short",
    }
    present = {words: path for words, path in columns.items() if facts.at(path)}
    rows = [
        (words, *(facts.cell(f"{path}.{name}", form) for path in present.values()))
        for name, (words, form) in _METRICS.items()
    ]
    sources = ("field", *(Markup("{}").format(_source(path)) for path in present.values()))
    against = [
        ("compared with production", "comparison.status", ""),
        ("improvement of the Sharpe ratio", "comparison.sharpe_improvement", "+.1%"),
        ("improvement of the drawdown", "comparison.drawdown_improvement", "+.1%"),
        ("Sharpe ratio 95% of random traders stay below", "results.naive.random_sharpe_p95", ".2f"),
    ]
    if facts.at("comparison.interval_90"):
        against[3:3] = [
            ("90% interval of the Sharpe difference, low", "comparison.interval_90.0", "+.2f"),
            ("90% interval of the Sharpe difference, high", "comparison.interval_90.1", "+.2f"),
        ]
    return pages.section(
        "Result on the test window",
        _table([*rows, sources], ("", *present), right=present),
        facts.rows(against),
    )


def _stress(facts: Facts) -> Markup:
    fields = [
        (f"Sharpe ratio at cost {facts.at(f'results.stress.costs.{n}.name')}",
         f"results.stress.costs.{n}.metrics.sharpe_ratio", ".2f")
        for n in _places(facts, "results.stress.costs")
    ]  # fmt: skip
    fields += [
        (
            f"{facts.at(f'results.stress.costs.{n}.name')}: bps a side",
            f"results.stress.costs.{n}.cost_bps",
            ".1f",
        )
        for n in _places(facts, "results.stress.costs")
    ]
    fields.append(("break-even cost, bps a side", "results.stress.break_even_bps", ".2f"))
    delays = [
        (facts.cell(f"results.stress.delays.{n}.bars"),
         facts.cell(f"results.stress.delays.{n}.metrics.sharpe_ratio", ".2f"),
         _source(f"results.stress.delays.{n}"))
        for n in _places(facts, "results.stress.delays")
    ]  # fmt: skip
    cuts = [
        (facts.cell(f"{cut}.name"), facts.cell(f"{cut}.sessions"), facts.cell(f"{cut}.sharpe_ratio", ".2f"),
         facts.cell(f"{cut}.total_return", "+.2%"), _source(cut))
        for kind in ("by_volatility", "by_year", "by_month")
        for cut in (f"results.cuts.{kind}.{n}" for n in _places(facts, f"results.cuts.{kind}"))
    ]  # fmt: skip
    return pages.section(
        "Other costs, later fills, and the result in parts",
        facts.rows(fields),
        _table(delays, ("fill later, bars", "Sharpe ratio", "field")),
        _table(cuts, ("sessions", "how many", "Sharpe ratio", "return", "field")),
    )


def _charts(tree: Mapping[str, Any]) -> Markup:
    """Equity and drawdown at each session's last bar, as the results hold them."""
    results = tree["results"]
    equity, drawdown = pages.figure(300), pages.figure(220)
    for name, points, colour in (
        ("production", tree["comparison"].get("baseline_equity_curve"), pages.MUTED),
        ("this model", results["equity_curve"], pages.BLUE),
    ):
        if points:
            days = _session_ends(points)
            equity.add_scatter(x=list(days), y=list(days.values()), name=name, line={"color": colour})
    falls = _session_ends(results["drawdown_series"])
    drawdown.add_scatter(
        x=list(falls), y=[-value for value in falls.values()], fill="tozeroy", line={"color": pages.BAD}
    )
    drawdown.update_yaxes(tickformat=".0%")
    return pages.section(
        "Charts",
        pages.plot(equity, "equity", "Equity, USD", "results.equity_curve, at each session's last bar"),
        pages.plot(drawdown, "drawdown", "Fall from the peak", "results.drawdown_series, likewise"),
    )


def _evidence(facts: Facts) -> Markup:
    path = "promotion_proposals.evidence"
    fields = [
        (words, f"{path}.{name}", form)
        for name in _leaves(facts.at(path))
        if not name.startswith(("notes", "missing"))  # told among the limits
        for words, form in [_evidence_words(name)]
    ]
    return pages.section(
        "Evidence against luck, and the looks at this window",
        "A look is a model evaluated on these sessions. The ledger counts them all, and the evidence is the "
        "stricter the more there are.",
        facts.rows(fields),
    )


def _evidence_words(name: str) -> tuple[str, str]:
    head, _, rest = name.partition(".")
    if head == "power":
        return f"chance to pass if the true Sharpe ratio is {rest}", ".1%"
    if head == "val_returns":
        return f"return on val of seed {rest}", ".2%"
    if head == "intervals_90" and rest:
        figure, _, place = rest.rpartition(".")
        words, form = _INTERVALS[figure]
        return f"{words}, {('found', '90% interval from', '90% interval to')[int(place)]}", form
    return _EVIDENCE.get(name, (name.replace("_", " "), ""))


def _extra_backtests(facts: Facts) -> Markup:
    places = _places(facts, "backtest_requests")
    if not places:
        return pages.section("Extra backtests", "None was asked for.")
    rows = []
    for n in places:
        row = f"backtest_requests.{n}"
        sample = facts.cell(f"{row}.sample")
        rows.append(
            (
                facts.cell(f"{row}.start_date"),
                facts.cell(f"{row}.end_date"),
                pages.mark(sample) if facts.at(f"{row}.sample") == "IN-SAMPLE" else sample,
                facts.cell(f"{row}.status"),
                facts.cell(f"{row}.metrics.sharpe_ratio", ".2f"),
                facts.cell(f"{row}.metrics.total_return", "+.2%"),
                facts.cell(f"{row}.metrics.max_drawdown", ".2%"),
                facts.cell(f"{row}.metrics.total_trades", ",d"),
                _source(row),
            )
        )
    columns = ("from", "to", "sample", "state", "Sharpe ratio", "return", "drawdown", "trades", "field")
    return pages.section("Extra backtests", _table(rows, columns))


def _lineage(facts: Facts) -> Markup:
    rows = []
    for n in _places(facts, "chain.links"):
        link = f"chain.links.{n}"
        names = ("record", "field", "recorded", "source", "recomputed")
        rows.append((*(facts.cell(f"{link}.{name}") for name in names), _source(link)))
    columns = ("record", "field named", "recorded", "source", "recomputed", "field")
    return pages.section("Lineage, from the data to the vote", _table(rows, columns))


def _second_votes(facts: Facts) -> Markup:
    places = _places(facts, "approval_audit_log")
    if not places:
        return pages.section("Votes of people", "Nobody has voted yet.")
    names = (
        "id",
        "action",
        "reviewer",
        "notes",
        "new_stage",
        "self_approved",
        "epoch",
        "created_at",
        "row_hash",
    )
    rows = [
        (
            *(facts.cell(f"approval_audit_log.{n}.{name}") for name in names),
            _source(f"approval_audit_log.{n}"),
        )
        for n in places
    ]
    columns = ("no.", "decision", "reviewer", "notes", "stage", "own model", "epoch", "at", "hash", "field")
    return pages.section("Votes of people", _table(rows, columns))


def _table(rows: Sequence[tuple[Any, ...]], columns: Iterable[str], right: Iterable[str] = ()) -> Markup:
    return pages.table(pd.DataFrame(rows, columns=list(columns), dtype=object), right=list(right))


def _source(path: str) -> Markup:
    return Markup("<span class=source>{}</span>").format(path)


def _places(facts: Facts, path: str) -> range:
    return range(len(facts.at(path) or ()))


def _leaves(tree: Mapping[Any, Any], prefix: str = "") -> Iterable[str]:
    """Names of all values below a record."""
    for name, value in tree.items():
        below = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(below, dict):
            yield from _leaves(below, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _session_ends(points: Sequence[Sequence[Any]]) -> dict[str, float]:
    """The last value of each day, by ISO date; sessions end before midnight UTC."""
    return {str(escape(time[:10])): value for time, value in points}


def _json_like(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(name): value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()
    }
