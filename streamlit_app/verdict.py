"""The strip that stays in view: what is voted on, what L4 says, what speaks against it, and the actions."""

from datetime import timedelta
from typing import Final

import streamlit as st

from dosvotos.backtest.metrics import SpecifiedMetrics
from dosvotos.backtest.production import ComparisonReport
from dosvotos.database.registry import VALID_FOR, is_open, state_of
from dosvotos.promotion.proposal import stored_evidence, stored_metrics
from dosvotos.promotion.reasons import flag, sentence
from dosvotos.promotion.red_flags import red_flags
from streamlit_app import queries
from streamlit_app.page import COLOURS, change_in_words, formats, now, plain, translator, written
from streamlit_app.sections.result import Reports, drift_of
from streamlit_app.vote_form import show_actions, show_bar, show_form

FIGURES: Final = ("sharpe_ratio", "max_drawdown", "win_rate", "total_trades")
"""The four a proposal is first read by."""


def show_verdict(proposal: queries.Record, reports: Reports | None, is_damaged: bool) -> None:
    """Show the strip; without reports, what the row alone says, and of a damaged dossier that it is."""
    is_votable = is_open(proposal, now())
    comparison = reports.comparison if reports else None
    with st.container(key="verdict", gap="small"):
        _identity(proposal)
        if is_votable:
            show_actions(proposal, is_damaged)
        show_figures(stored_metrics(proposal), comparison)
        _flags(proposal, reports, is_damaged)
        show_form(proposal, is_votable, is_damaged)
    if is_votable:
        show_bar(proposal)


def market_badge(instrument: str) -> None:
    """Mark a simulated market loudly; every instrument of one ends in .SIM."""
    t = translator()
    if instrument.endswith(".SIM"):
        st.badge(t("verdict.simulated"), color="violet", icon=":material/science:")
    else:
        st.badge(t("verdict.real"), color="gray")


def show_figures(metrics: SpecifiedMetrics | None, comparison: ComparisonReport | None) -> None:
    """Show the four figures, production's under each; of a refit say that there are none."""
    t = translator()
    if metrics is None:
        st.caption(t("review.untested"))
        return
    beside = comparison.baseline_metrics if comparison else None
    production = list(written(beside, *FIGURES).values()) if beside else None
    columns = st.columns(len(FIGURES))
    for n, (label, figure) in enumerate(written(metrics, *FIGURES).items()):
        name = FIGURES[n]
        columns[n].metric(
            label,
            figure,
            t("verdict.production", figure=production[n]) if production else None,
            delta_color="off",
            delta_arrow="off",
            help=t("verdict.definition", text=t(f"definition.{name}"), field=name),
        )
    if comparison and comparison.status == "compared":
        words = change_in_words("sharpe", comparison.sharpe_improvement)
        words += f" · {change_in_words('drawdown', comparison.drawdown_improvement)}"
        plain(words, "small", f"change-{comparison.model_id}")
    elif comparison:
        key = "no_production" if comparison.status == "not_applicable" else "not_comparable"
        plain(t(f"verdict.{key}"), "small", f"change-{comparison.model_id}")


def _identity(proposal: queries.Record) -> None:
    t, state = translator(), state_of(proposal, now())
    st.title(t("review.heading", id=proposal.id), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        market_badge(proposal.instrument)
        plain(f"{proposal.instrument} · {proposal.experiment_name}", "name", "identity")
        recommended = t("review.recommends", recommendation=t(f"recommendation.{proposal.recommendation}"))
        st.badge(recommended, color=COLOURS[proposal.recommendation])
        st.badge(t(f"status.{state}"), color=COLOURS.get(state, "gray"))
        if is_open(proposal, now()):
            left = (proposal.created_at + VALID_FOR - now()) // timedelta(days=1)
            plain(t("verdict.open_days", days=formats().number(left, 0)), "small", "open-days")


def _flags(proposal: queries.Record, reports: Reports | None, is_damaged: bool) -> None:
    """Show what speaks against it in one line, the newest facts included."""
    t = translator()
    evidence, votes = stored_evidence(proposal), queries.votes(proposal)
    backtest = reports.backtest if reports else None
    flags = red_flags(backtest, evidence, votes, drift_of(proposal, reports))
    texts = [t("verdict.unreadable")] if is_damaged else []
    texts += [flag(one, t.language) for one in flags]
    texts += [sentence(notice, t.language) for notice in queries.notices_on_card(proposal)]
    if not texts:
        st.caption(t("verdict.nothing_against"))
        return
    plain(f"{t('verdict.against')} " + " · ".join(texts), "flags", "flags")
