"""What stands behind the result: other costs, parts of the window, and the evidence against luck."""

import pandas as pd
import streamlit as st

from dosvotos.backtest.report import BacktestReport
from dosvotos.formats import MISSING
from dosvotos.promotion.evidence import Evidence
from dosvotos.promotion.reasons import sentence
from dosvotos.reports.evidence import EvidenceRow, luck_rows, questions_text
from dosvotos.reports.metrics import INTERVALS, METRICS
from streamlit_app import queries
from streamlit_app.page import formats, plain, translator, written


def show_stress(backtest: BacktestReport) -> None:
    """Show what other costs and later fills leave of the result."""
    t = translator()
    st.header(t("review.stress"), anchor=False)
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


def show_cuts(backtest: BacktestReport) -> None:
    """Show the result in years, by volatility and without its best days."""
    t, f = translator(), formats()
    st.header(t("review.cuts"), anchor=False)
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


def show_evidence(evidence: Evidence | None, instrument: str) -> None:
    """Show what the window proves beyond the criteria."""
    t = translator()
    st.header(t("review.evidence"), anchor=False)
    if evidence is None:
        st.caption(t("review.older"))
        return
    if missing := [sentence(reason, t.language) for reason in evidence.missing]:
        st.markdown(t("evidence.lacks"))
        plain("\n".join(f"• {text}" for text in missing), "body", "evidence-notes")
    with st.container(border=True, key="evidence", gap="xsmall"):
        for row in _answers(evidence):
            question, column = st.columns([3, 4], vertical_alignment="center")
            question.caption(row.label)
            with column:
                plain(row.text, "body", f"evidence-{row.key}")
    plain(questions_text(queries.questions(instrument), instrument, t.language), "small", "questions")
    _intervals(evidence)
    _power(evidence)
    _seeds(evidence)


def _answers(evidence: Evidence) -> list[EvidenceRow]:
    """Write what the evidence says, by question."""
    t = translator()
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
    t = translator()
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
    t, f = translator(), formats()
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
    t, f = translator(), formats()
    if len(evidence.val_returns) < 2:
        return
    st.caption(t("evidence.seeds_hint"))
    shown = {seed: [f.percent(value, signed=True)] for seed, value in evidence.val_returns.items()}
    st.table(pd.DataFrame(shown, index=[t("evidence.val_return")]), border="horizontal")


def _yes_no(value: bool | None) -> str:
    t = translator()
    return MISSING if value is None else t("evidence.yes" if value else "evidence.no")
