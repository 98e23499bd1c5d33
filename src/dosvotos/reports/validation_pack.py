"""The validation pack: one printable page a proposal, each figure on it beside the field it was read from.

Every figure enters the page through `Facts.cell`, which reads it from the records by the field's path and
names the path beside it: nothing here computes one.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from markupsafe import escape
from pydantic import BaseModel
from sqlalchemy import Engine

from dosvotos.audit.log import read_audit_log
from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport
from dosvotos.backtest.risk import session_equity
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import BacktestRecord, ChainRecord, DatasetRecord, TrainingRecord
from dosvotos.database.connection import reading
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.registry import get_model, get_proposal
from dosvotos.database.requests import list_requests
from dosvotos.files import write_file
from dosvotos.formats import CHANCE, COUNT, MISSING, P_VALUE, PERCENT, RATIO, Form, Formats, Language
from dosvotos.promotion.dossier import Dossier
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.luck import questions_of
from dosvotos.promotion.notices import notices_of, votes_on
from dosvotos.promotion.reasons import sentence
from dosvotos.reports.criteria import CRITERIA, criterion_label
from dosvotos.reports.figures import BAD, BLUE, MUTED, figure, line
from dosvotos.reports.metrics import INTERVALS, METRICS, RESULTS
from dosvotos.reports.pack_summary import ACCOUNTS, FIGURES, summary_words
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import Cell, Table, rows_table
from dosvotos.reports.words import evidence_words, value_in_words, words

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
_EVIDENCE: Final[Mapping[str, Form]] = {
    "looks": COUNT, "models": COUNT, "prior_trials": COUNT, "level": P_VALUE, "p_value": P_VALUE,
    "passing_sharpe": RATIO, "psr": CHANCE, "hac_psr": CHANCE, "deflated_sharpe": CHANCE, "sessions": COUNT,
    "sessions_traded": COUNT, "last_third_share": Form(1, percent=True), "min_track_record": COUNT,
    "family_level": P_VALUE, "spa_p_value": P_VALUE, "linear_rival.sharpe_ratio": RATIO,
    "linear_rival.sharpe_difference": Form(2, signed=True),
    "linear_rival.interval_90.0": Form(2, signed=True),
    "linear_rival.interval_90.1": Form(2, signed=True), "positive_seeds": Form(0, percent=True),
}  # fmt: skip
"""Of the evidence's figures; what else it holds has all its digits."""
_ACCOUNTS: Final = {
    "this_model": "results.metrics",
    "with_financing": "results.metrics_with_financing",
    "without_financing": "results.metrics_without_financing",
    "production": "comparison.baseline_metrics",
    "linear_rival": "results.linear_rival.metrics",
    "always_long": "results.naive.always_long",
    "always_short": "results.naive.always_short",
}
_ALARMING: Final = "IN-SAMPLE"

Field = tuple[str, str] | tuple[str, str, Form | None]
"""A label, and a path or the end of one; then the form of a number, without which it has all its digits."""


class Facts:
    """The records behind one proposal, and the only way a figure of theirs reaches the page.

    Parameters
    ----------
    tree : mapping
        Each record's fields, JSON-like, by the record's name.
    language : Language
        In which figures are written.
    """

    def __init__(self, tree: Mapping[str, Any], language: Language = "en") -> None:
        self._tree, self.language, self._formats = tree, language, Formats(language)
        self.words = words(language)

    def value(self, path: str) -> Any:
        """Give the value of a field, as ``results.metrics.sharpe_ratio``; None where it has none."""
        value: Any = self._tree
        for part in path.split("."):
            value = value[int(part)] if isinstance(value, list) else (value or {}).get(part)
        return value

    def cell(self, path: str, form: Form | None = None) -> Cell:
        """Write a field's value, its path beside it."""
        value = self.value(path)
        if value is None:
            text = MISSING
        elif isinstance(value, bool):
            text = self.words["yes" if value else "no"]
        else:
            text = self._formats.write(value, form) if form else value_in_words(value, self.language)
        return Cell(text, bad=value == _ALARMING, field=path)

    def table(self, fields: Iterable[Field]) -> Table:
        """Give a table of labels, values and paths."""
        rows = [(label, self.cell(path, *form), _path(path)) for label, path, *form in fields]
        return rows_table(rows, ["", self.words["value"], self.words["field"]])

    def records_table(self, lists: Iterable[str], columns: Sequence[Field]) -> Table:
        """Give a table of the records in lists: a row a record, its path last, a column a field of it."""
        rows = [
            (*(self.cell(f"{record}.{name}", *form) for _, name, *form in columns), _path(record))
            for path in lists
            for record in self.item_paths(path)
        ]
        right = [label for label, _, *form in columns if form]
        return rows_table(rows, [*(label for label, *_ in columns), self.words["field"]], right=right)

    def item_paths(self, path: str) -> list[str]:
        """Give the paths of a list's items."""
        return [f"{path}.{n}" for n in range(len(self.value(path) or ()))]

    def fields(self, path: str) -> list[Field]:
        """Give the fields of a record under their own names."""
        return [(name, f"{path}.{name}") for name in self.value(path)]


def write_pack(engine: Engine, proposal_id: int, language: Language = "en") -> Path:
    """Write a proposal's pack beside its dossier, over the one there, and return its path.

    Raises
    ------
    UnknownProposalError, LineageError
        If there is no such proposal, or its files are not those L4 wrote.
    """
    with reading(engine) as connection:
        folder = Path(get_proposal(connection, proposal_id).report_folder)
    path = folder.parent / PACK_FILE
    write_file(path, make_pack(engine, proposal_id, language).encode())
    return path


def make_pack(engine: Engine, proposal_id: int, language: Language = "en") -> str:
    """Draw a proposal's pack as the records stand now, votes and all; raises as `write_pack`."""
    return render_pack(read_records(engine, proposal_id, language), language)


def read_records(engine: Engine, proposal_id: int, language: Language = "en") -> dict[str, Any]:
    """Return all records behind a proposal, JSON-like, by name; checks the files against their hashes.

    ``summary`` and ``notices`` hold what the pack says of them in words, in `language`.
    """
    with reading(engine) as connection:
        proposal = get_proposal(connection, proposal_id)
        model = get_model(connection, proposal.model_id)
        earlier = votes_on(connection, proposal)
        on_model = {vote.id for vote in earlier}
        votes = [row for row in read_audit_log(connection) if row.id in on_model]
        notices, policy = notices_of(connection, proposal), current_policy(connection)
        requests = list_requests(connection, proposal_id)
    dossier = Dossier.of(proposal)
    looks = TrialLedger(engine, proposal.instrument).looks()
    return {
        "promotion_proposals": _json_like(proposal._mapping),
        "model_registry": _json_like(model._mapping),
        **{name: dossier.read(record).model_dump(mode="json") for name, record in RECORDS.items()},
        "backtest_requests": [_json_like(row._mapping) for row in requests],
        "approval_audit_log": [_json_like(row._mapping) for row in votes],
        "questions": questions_of(looks, policy.evidence)._asdict(),
        "notices": [sentence(notice, language) for notice in notices],
        "summary": summary_words(proposal, dossier, earlier, notices, language),
    }


def render_pack(tree: Mapping[str, Any], language: Language = "en") -> str:
    """Draw the pack from what `read_records` returns."""
    facts = Facts(tree, language)
    return render(
        "validation_pack", language=language, words=facts.words, facts=facts,
        summary_figures=_summary_figures(facts), summary_criteria=_summary_criteria(facts),
        metrics=_metrics(facts), criteria=_criteria(facts), evidence=_evidence(facts),
        equity=_equity(tree, facts.words, language), drawdown=_drawdown(tree, language),
    )  # fmt: skip


def _summary_figures(facts: Facts) -> Table:
    """Give the figures a proposal is first read by, a column an account there is."""
    accounts = {facts.words[name]: path for name, path in ACCOUNTS.items() if facts.value(path)}
    rows = [
        (
            METRICS[name].label(facts.language),
            *(facts.cell(f"{path}.{name}", METRICS[name].form) for path in accounts.values()),
        )
        for name in FIGURES
    ]
    return rows_table(rows, ["", *accounts], right=list(accounts))


def _summary_criteria(facts: Facts) -> Table:
    """Give the criteria with verdict, what was found and what is needed; none where they are texts only."""
    words, rows = facts.words, []
    for path in facts.item_paths("promotion_proposals.criteria"):
        name = facts.value(f"{path}.name")
        verdict = facts.cell(f"{path}.verdict")._replace(text=words[facts.value(f"{path}.verdict")])
        figures = (facts.cell(f"{path}.{field}", _criterion_form(name)) for field in ("found", "needed"))
        rows.append((criterion_label(name, facts.language), verdict, *figures))
    columns = [words[name] for name in ("criterion", "verdict", "found", "needed")]
    return rows_table(rows, columns, right=columns[2:])


def _criterion_form(name: str) -> Form:
    return CRITERIA[name].form if name in CRITERIA else PERCENT if name == "improvement" else COUNT


def _metrics(facts: Facts) -> Table:
    """Give the metrics of each account there is, a column an account, its path in the last row."""
    accounts = {facts.words[name]: path for name, path in _ACCOUNTS.items() if facts.value(path)}
    rows = [
        (
            metric.label(facts.language),
            *(facts.cell(f"{path}.{metric.key}", metric.form) for path in accounts.values()),
        )
        for metric in RESULTS
    ]
    sources = (facts.words["field"], *(_path(path) for path in accounts.values()))
    return rows_table([*rows, sources], ["", *accounts], right=list(accounts))


def _criteria(facts: Facts) -> Table:
    """Give the criteria with their figures; where the house's limit is stricter, with it too.

    An older proposal has them as texts only.
    """
    if not (paths := facts.item_paths("promotion_proposals.criteria")):
        return facts.table(facts.fields("promotion_proposals.criteria_results"))
    rows = []
    for path in paths:
        name = facts.value(f"{path}.name")
        form = _criterion_form(name)
        figures = (facts.cell(f"{path}.{field}", form) for field in ("found", "needed", "floor"))
        rows.append(
            (criterion_label(name, facts.language), facts.cell(f"{path}.verdict"), *figures, _path(path))
        )
    columns = [facts.words[name] for name in ("criterion", "verdict", "found", "needed", "floor", "field")]
    return rows_table(rows, columns, right=columns[2:5])


def _equity(tree: Mapping[str, Any], words: Mapping[str, str], language: Language) -> Any:
    """Draw equity at each session's last bar, as the results hold it, over production's and the rival's."""
    drawn = figure(300)
    for name, ends, colour in (
        ("production", _session_ends(tree["comparison"].get("baseline_equity_curve") or ()), MUTED),
        ("linear_rival", _rival_equity(tree), BAD),
        ("this_model", _session_ends(tree["results"]["equity_curve"]), BLUE),
    ):
        if ends:
            drawn.add_scatter(x=list(ends), y=list(ends.values()), name=words[name], line=line(colour))
    return drawn.update_layout(separators=Formats(language).separators)


def _rival_equity(tree: Mapping[str, Any]) -> dict[str, float]:
    """Compound the linear rival's daily returns from the starting balance; empty where there is none."""
    if (rival := tree["results"].get("linear_rival")) is None:
        return {}
    start = tree["contract"]["frozen_config"]["trading"]["initial_capital"]
    return {str(escape(day)): end for day, end in session_equity(start, rival["daily_returns"]).items()}


def _drawdown(tree: Mapping[str, Any], language: Language) -> Any:
    ends = _session_ends(tree["results"]["drawdown_series"])
    drawn = figure(220)
    drawn.add_scatter(x=list(ends), y=[-fall for fall in ends.values()], fill="tozeroy", line=line(BAD))
    return drawn.update_yaxes(tickformat=".0%").update_layout(separators=Formats(language).separators)


def _evidence(facts: Facts) -> list[Field]:
    path = "promotion_proposals.evidence"
    names = (name for name in _leaves(facts.value(path)) if not name.startswith(("notes", "missing")))
    described = ((name, *_describe_evidence(name, facts.language)) for name in names)
    return [
        (label, "summary.seeds" if name == "seeds" else f"{path}.{name}", form)
        for name, label, form in described
    ]


def _describe_evidence(name: str, language: Language) -> tuple[str, Form | None]:
    """Give the label and the form of a field of the evidence."""
    labels, (head, _, rest) = evidence_words(language), name.partition(".")
    if head == "power":
        return labels["power"].format(sharpe=rest), CHANCE
    if head == "val_returns":
        return labels["val_returns"].format(seed=rest), Form(2, percent=True)
    if head == "intervals_90" and rest:
        key, _, bound = rest.rpartition(".")
        metric = INTERVALS[key]
        return labels[f"bound_{bound}"].format(metric=metric.label(language)), metric.form
    return labels.get(name, name.replace("_", " ")), _EVIDENCE.get(name)


def _path(path: str) -> Cell:
    return Cell(path, is_path=True)


def _leaves(tree: Mapping[Any, Any], prefix: str = "") -> Iterable[str]:
    """Yield the dotted names of all values below a record."""
    for name, value in tree.items():
        below = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(below, dict):
            yield from _leaves(below, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _session_ends(points: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Return the last value of each day, by ISO date; sessions end before midnight UTC."""
    return {str(escape(time[:10])): value for time, value in points}


def _json_like(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): v.isoformat() if hasattr(v, "isoformat") else v for name, v in row.items()}
