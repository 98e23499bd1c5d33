"""One proposal: what L4 found, what stands behind it, and the vote."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
import streamlit as st

from dosvotos.backtest.metrics import SpecifiedMetrics
from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.records import DatasetRecord, FeatureDrift
from dosvotos.database.registry import OPEN_STATES, VALID_FOR, is_open, state_of
from dosvotos.errors import LineageError, UnknownProposalError
from dosvotos.formats import MISSING
from dosvotos.hashing import short
from dosvotos.promotion.dossier import read_report
from dosvotos.promotion.evidence import Evidence
from dosvotos.promotion.proposal import ProposalLineage, stored_criteria, stored_evidence
from dosvotos.promotion.reasons import sentence
from dosvotos.reports.criteria import CriterionRow, criteria_rows, criterion_label
from dosvotos.reports.evidence import EvidenceRow, linear_rival_text, luck_rows, questions_text
from dosvotos.reports.metrics import INTERVALS, METRICS, RESULTS
from dosvotos.reports.validation_pack import make_pack
from streamlit_app import charts, queries
from streamlit_app.drift import show_drift
from streamlit_app.extra_backtests import show_extra_backtests
from streamlit_app.page import (
    COLOURS,
    first_vote,
    formats,
    in_bogota,
    now,
    plain,
    translator,
    what_was_done,
    written,
)
from streamlit_app.vote_form import show_vote_form

_LAYERS = {
    "acquisition": ("acquisition_hash",),
    "features": ("feature_order_hash",),
    "dataset": ("dataset_hash", "norm_stats_hash", "test_dataset_hash"),
    "model": ("model_hash", "manifest_hash", "config_hash", "reward_config_hash"),
    "backtest": ("backtest_hash",),
}
_MORE_NAMES = ("test_period", "mlflow_run_id", "baseline_model_id")


class _Reports(NamedTuple):
    """The files of one proposal, checked."""

    backtest: BacktestReport
    comparison: ComparisonReport


def show() -> None:
    """Show the proposal of the address, or the newest one that waits."""
    st.page_link("views/proposals.py", label=t("review.back"), icon=":material/arrow_back:")
    proposal = _find()
    if proposal is None:
        return
    model = queries.model(proposal.model_id)
    _head(proposal, model)
    _recommendation(proposal)
    _votes(proposal)
    reports = _reports(proposal)
    _metrics(proposal, reports)
    _criteria(proposal)
    if reports:
        _charts(*reports)
        _stress(reports.backtest)
        _cuts(reports.backtest)
        show_drift(_drift(proposal))
    _evidence(stored_evidence(proposal), proposal.instrument)
    _lineage(ProposalLineage.model_validate(proposal.lineage))
    if reports:
        _pack(proposal)
    show_extra_backtests(proposal, is_open(proposal, now()))
    show_vote_form(proposal, is_open(proposal, now()))


def _find() -> queries.Record | None:
    if wanted := st.query_params.get("id"):
        try:
            return queries.proposal(int(wanted) if wanted.isdecimal() and len(wanted) < 10 else 0)
        except UnknownProposalError:
            st.title(t("nav.review"))
            st.error(t("review.unknown"))
            return None
    if waiting := queries.open_proposals(queries.proposals(), now()):
        return waiting[0]
    st.title(t("nav.review"))
    st.info(t("review.nothing"))
    return None


def _head(proposal: queries.Record, model: queries.Record) -> None:
    plain(proposal.experiment_name, "title")
    facts = t(
        "review.facts",
        id=proposal.id,
        instrument=proposal.instrument,
        created=in_bogota(proposal.created_at),
        trained_by=model.trained_by,
    )
    plain(t("review.model", model=proposal.model_id) + "\n" + facts, "small", "facts")


def _recommendation(proposal: queries.Record) -> None:
    state = state_of(proposal, now())
    with st.container(border=True, key="recommendation"):
        first_vote(proposal, state)
        if state in OPEN_STATES:
            st.markdown(f"[{t('review.to_vote')}](#vote)")
    if notices := queries.notices(proposal):
        with st.container(border=True, key="notices"):
            st.markdown(t("review.notices"))
            plain("\n".join(f"• {sentence(notice, t.language)}" for notice in notices), "body", "notices")
    if edge := ProposalLineage.model_validate(proposal.lineage).planted_edge:
        st.warning(t("review.planted", edge=f.number(edge)), icon=":material/science:")
    if proposal.dossier_hash is None:
        st.info(t("review.before_dossiers"))
    if state == "SUPERSEDED":
        st.info(t("review.superseded"))
    elif state == "EXPIRED":
        st.info(t("review.expired", days=VALID_FOR.days))


def _votes(proposal: queries.Record) -> None:
    """Show every vote on the model, whatever it was proposed as."""
    if not (votes := queries.votes(proposal)):
        return
    st.subheader(t("review.votes"))
    for row in votes:
        with st.container(border=True):
            plain(what_was_done(row), "name", f"vote-{row.id}")
            who_when = f"{row.reviewer} · {in_bogota(row.created_at)}"
            if row.proposal_id != proposal.id:
                who_when += " · " + t("review.other", id=row.proposal_id, experiment=row.experiment_name)
            plain(who_when, "small", f"vote-{row.id}")
            plain(row.notes or t("review.no_notes"), "quote", f"vote-{row.id}")


def _reports(proposal: queries.Record) -> _Reports | None:
    try:
        return _Reports(read_report(proposal, BacktestReport), read_report(proposal, ComparisonReport))
    except LineageError as error:
        st.error(t("review.files_altered"))
        plain(error, "small", "altered")
        return None


def _drift(proposal: queries.Record) -> tuple[FeatureDrift, ...] | None:
    """Read what L2 recorded; proposals made before dossiers have no record of it."""
    return None if proposal.dossier_hash is None else read_report(proposal, DatasetRecord).drift


def _metrics(proposal: queries.Record, reports: _Reports | None) -> None:
    st.subheader(t("review.metrics"))
    if reports is None:
        _accounts({"this_model": SpecifiedMetrics.model_validate(proposal.metrics)})
        return
    backtest, comparison = reports
    _window(backtest)
    _accounts(
        {
            "this_model": backtest.metrics,
            **_other_financing(backtest),
            "production": comparison.baseline_metrics,
            "linear_rival": backtest.linear_rival.metrics if backtest.linear_rival else None,
            "always_long": backtest.naive.always_long,
            "always_short": backtest.naive.always_short,
        }
    )
    if backtest.metrics.ruined:
        st.error(t("review.ruined"))
    sentences = _against_production(comparison) + _against_linear(backtest) + _against_chance(backtest)
    if backtest.financing_note:
        sentences.append(t("review.financing", note=backtest.financing_note))
    plain("\n".join(f"• {sentence}" for sentence in sentences), "body", "comparison")


def _window(backtest: BacktestReport) -> None:
    """Show the window and whether the model had seen it; one it had seen proves nothing."""
    seen = backtest.sample == "IN-SAMPLE"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(t(f"sample.{backtest.sample}"), color="red" if seen else "gray")
        first, last = backtest.test_period.split(" to ")
        plain(t("review.period", first=first, last=last), "small", "period")
    if seen:
        st.error(t("review.in_sample"))


def _accounts(accounts: Mapping[str, SpecifiedMetrics | None]) -> None:
    """Show the figures of accounts side by side, a column each."""
    keys = [metric.key for metric in RESULTS]
    columns = {t(f"account.{name}"): written(metrics, *keys) for name, metrics in accounts.items() if metrics}
    st.table(pd.DataFrame(columns), border="horizontal")


def _other_financing(backtest: BacktestReport) -> dict[str, SpecifiedMetrics | None]:
    """Give the result with financing beside the one without, whichever of the two was voted on."""
    if backtest.metrics == backtest.metrics_with_financing:
        return {"without_financing": backtest.metrics_without_financing}
    return {"with_financing": backtest.metrics_with_financing}


def _against_production(comparison: ComparisonReport) -> list[str]:
    if comparison.status != "compared":
        return [t(f"comparison.{comparison.status}")]
    sharpe = f.percent(comparison.sharpe_improvement, signed=True)
    drawdown = f.percent(comparison.drawdown_improvement, signed=True)
    sentences = [t("comparison.compared", sharpe=sharpe, drawdown=drawdown)]
    if comparison.interval_90:
        low, high = (f.number(bound) for bound in comparison.interval_90)
        difference = f.number(comparison.sharpe_difference)
        sentences.append(t("comparison.interval", difference=difference, low=low, high=high))
    return sentences


def _against_linear(backtest: BacktestReport) -> list[str]:
    """Say what the linear rival made of the same bars; nothing where the model has none."""
    if (rival := backtest.linear_rival) is None:
        return []
    return [t("comparison.linear_rival", said=linear_rival_text(rival.difference, t.language))]


def _against_chance(backtest: BacktestReport) -> list[str]:
    sentences = []
    if backtest.naive.random_sharpe_p95 is not None:
        sentences.append(t("review.random", sharpe=f.number(backtest.naive.random_sharpe_p95)))
    if backtest.oracle_sharpe is not None:
        sentences.append(t("review.oracle", sharpe=f.number(backtest.oracle_sharpe)))
    return sentences


def _criteria(proposal: queries.Record) -> None:
    st.subheader(t("review.criteria"))
    with st.container(border=True, key="criteria", gap="xsmall"):
        for index, row in enumerate(_criteria_rows(proposal)):
            badge, name_column, figures = st.columns([1, 2, 4], vertical_alignment="center")
            if row.verdict:
                badge.badge(t(f"criterion.{row.verdict}"), color=COLOURS[row.verdict])
            with name_column:
                plain(row.label, "body", f"criterion-{index}")
            with figures:
                plain(row.text, "small", f"result-{index}")


def _criteria_rows(proposal: queries.Record) -> list[CriterionRow]:
    """Write the criteria; an older proposal's texts as they are stored, without a verdict."""
    if (criteria := stored_criteria(proposal)) is not None:
        return criteria_rows(criteria, t.language)
    texts = proposal.criteria_results.items()
    return [CriterionRow(name, criterion_label(name, t.language), "", str(text)) for name, text in texts]


def _charts(backtest: BacktestReport, comparison: ComparisonReport) -> None:
    st.subheader(t("review.charts"))
    marks, pnl = f.separators, [trade.pnl for trade in backtest.trades]
    names = (t("account.this_model"), t("account.production"))
    figures = {
        "equity": charts.equity_chart(backtest.equity_curve, comparison.baseline_equity_curve, names, marks),
        "drawdown": charts.drawdown_chart(backtest.drawdown_series, marks),
        "trades": charts.trade_chart(pnl, t("chart.losses"), t("chart.gains"), marks),
        "monthly": charts.monthly_chart(backtest.daily_returns, marks),
    }
    columns = [*st.columns(2), *st.columns(2)]
    for column, (name, figure) in zip(columns, figures.items(), strict=True):
        with column:
            st.markdown(f"**{t(f'chart.{name}')}**")
            st.plotly_chart(figure, config={"displayModeBar": False}, key=name, alt=t(f"chart.{name}"))


def _stress(backtest: BacktestReport) -> None:
    st.subheader(t("review.stress"))
    cost, stress = METRICS["cost_bps"], backtest.stress
    costs = {t(f"cost.{c.name}", bps=cost.write(c.cost_bps, t.language)): c.metrics for c in stress.costs}
    delays = {t(f"delay.{case.bars}"): case.metrics for case in stress.delays if case.bars}
    cases = {**costs, **delays}
    shown = ("sharpe_ratio", "total_return", "max_drawdown", "total_trades")
    rows = [written(metrics, *shown) for metrics in cases.values()]
    st.table(pd.DataFrame(rows, index=pd.Index(list(cases), name=t("stress.case"))), border="horizontal")
    even = METRICS["break_even_bps"].write(stress.break_even_bps, t.language)
    never = stress.break_even_bps is None
    plain(t("stress.never") if never else t("stress.break_even", bps=even), "body", "break-even")


def _cuts(backtest: BacktestReport) -> None:
    st.subheader(t("review.cuts"))
    cuts = backtest.cuts
    parts = {cut.name: cut for cut in cuts.by_year}
    parts |= {t(f"regime.{cut.name}"): cut for cut in cuts.by_volatility}
    parts[t("cuts.without_best_days")] = cuts.without_best_days
    rows = [
        {t("cuts.sessions"): f.number(cut.sessions, 0), **written(cut, "sharpe_ratio", "total_return")}
        for cut in parts.values()
    ]
    st.table(pd.DataFrame(rows, index=pd.Index(list(parts), name=t("cuts.part"))), border="horizontal")
    st.caption(t("cuts.hint"))


def _evidence(evidence: Evidence | None, instrument: str) -> None:
    st.subheader(t("review.evidence"))
    if evidence is None:
        st.caption(t("review.older"))
        return
    with st.container(border=True, key="evidence", gap="xsmall"):
        for row in _answers(evidence):
            question, column = st.columns([3, 4], vertical_alignment="center")
            question.caption(row.label)
            with column:
                plain(row.text, "body", f"evidence-{row.key}")
    if missing := [sentence(reason, t.language) for reason in evidence.missing]:
        plain("\n".join(f"• {text}" for text in missing), "small", "evidence-notes")
    plain(questions_text(queries.questions(instrument), instrument, t.language), "small", "questions")
    _intervals(evidence)
    _power(evidence)
    _seeds(evidence)


def _answers(evidence: Evidence) -> list[EvidenceRow]:
    """Write what the evidence says, by question."""
    verdicts = {"passed": _yes_no(evidence.passed), "luck_excluded": _yes_no(evidence.luck_excluded)}
    others = {
        "beats_naive": _yes_no(evidence.beats_naive),
        "covered": _yes_no(evidence.covered),
        "point_in_time": t.label("evidence", evidence.point_in_time),
    }
    first, last = (
        [EvidenceRow(name, t(f"evidence.{name}"), answer) for name, answer in part.items()]
        for part in (verdicts, others)
    )
    return [*first, *luck_rows(evidence, t.language), *last]


def _intervals(evidence: Evidence) -> None:
    """Show what resampled windows make of the figures."""
    if not (intervals := evidence.intervals_90):
        return
    st.caption(t("evidence.intervals_hint"))
    rows = {
        metric.label(t.language): [metric.write(bound, t.language) for bound in intervals[name]]
        for name, metric in INTERVALS.items()
    }
    columns = [t(f"evidence.{name}") for name in ("found", "low", "high")]
    st.table(pd.DataFrame.from_dict(rows, orient="index", columns=columns), border="horizontal")


def _power(evidence: Evidence) -> None:
    """Show what a window of this length could have shown at all."""
    if not evidence.power:
        return
    st.caption(t("evidence.power_hint"))
    shown = {
        t("evidence.true_sharpe", sharpe=f.number(float(sharpe), 0)): [f.chance(chance)]
        for sharpe, chance in evidence.power.items()
    }
    st.table(pd.DataFrame(shown, index=[t("evidence.power")]), border="horizontal")


def _seeds(evidence: Evidence) -> None:
    """Show how far the contract's seeds lie apart, where there is more than one."""
    if len(evidence.val_returns) < 2:
        return
    st.caption(t("evidence.seeds_hint"))
    shown = {seed: [f.percent(value, signed=True)] for seed, value in evidence.val_returns.items()}
    st.table(pd.DataFrame(shown, index=[t("evidence.val_return")]), border="horizontal")


def _yes_no(value: bool | None) -> str:
    return MISSING if value is None else t("evidence.yes" if value else "evidence.no")


def _lineage(lineage: ProposalLineage) -> None:
    st.subheader(t("review.lineage"))
    st.caption(t("review.lineage_hint"))
    for column, (layer, hashes) in zip(st.columns(len(_LAYERS)), _LAYERS.items(), strict=True):
        with column, st.container(border=True, height="stretch", gap="xsmall"):
            st.markdown(f"**{t(f'lineage.{layer}')}**")
            for name in hashes:
                plain(t(f"lineage.{name}"), "small", f"lineage-{name}")
                plain(short(getattr(lineage, name)), "hash", f"lineage-{name}")
    shown = [*(name for names in _LAYERS.values() for name in names), *_MORE_NAMES]
    with st.expander(t("review.full_hashes")):
        full = {
            t("column.name"): [t(f"lineage.{name}") for name in shown],
            t("column.hash"): [str(getattr(lineage, name) or MISSING) for name in shown],
        }
        st.dataframe(pd.DataFrame(full), hide_index=True)


def _pack(proposal: queries.Record) -> None:
    """Offer the validation pack as it stands at the click, with every vote by then."""
    st.download_button(
        t("review.pack"),
        lambda: make_pack(queries.engine(), proposal.id),
        file_name=f"validation_pack_{proposal.experiment_name}_{proposal.id}.html",
        mime="text/html",
        help=t("review.pack_help"),
        on_click="ignore",
        icon=":material/download:",
    )


t, f = translator(), formats()
show()
