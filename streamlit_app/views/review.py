"""One proposal: the strip with verdict and actions, why, and all that stands behind it."""

from typing import Final

import streamlit as st

from dosvotos.database.registry import VALID_FOR, is_open, state_of
from dosvotos.errors import LineageError, UnknownProposalError
from dosvotos.promotion.proposal import ProposalLineage, stored_evidence
from dosvotos.promotion.reasons import sentence
from dosvotos.reports.validation_pack import make_pack
from streamlit_app import queries
from streamlit_app.extra_backtests import show_extra_backtests
from streamlit_app.page import explained, formats, in_bogota, now, plain, translator, what_was_done
from streamlit_app.sections.drift import show_drift
from streamlit_app.sections.evidence import show_cuts, show_evidence, show_stress
from streamlit_app.sections.lineage import show_lineage
from streamlit_app.sections.result import (
    Reports,
    drift_of,
    read_reports,
    show_criteria,
    show_curves,
    show_distributions,
    show_metrics,
)
from streamlit_app.sections.risk import show_risk
from streamlit_app.verdict import show_verdict

SECTIONS: Final = ("result", "risk", "costs", "evidence", "lineage", "votes")
"""The votes last: on a closed proposal they stand above, where the decision is looked for."""
UNTESTED: Final = ("evidence", "lineage", "votes")
"""Of a refit, whose test was not opened."""


def show() -> None:
    """Show the proposal of the address, or the first one that waits."""
    if (proposal := _find()) is None:
        return
    reports, problem = _reports(proposal)
    show_verdict(proposal, reports, problem is not None)
    if problem:
        st.error(t("review.files_altered"))
        plain(problem, "small", "altered")
    _state(proposal)
    show_extra_backtests(proposal, reports.backtest if reports else None)
    _why(proposal, reports)
    _section(_choose_section(proposal), proposal, reports)


def _find() -> queries.Record | None:
    if wanted := st.query_params.get("id"):
        try:
            return queries.proposal(int(wanted) if wanted.isdecimal() and len(wanted) < 10 else 0)
        except UnknownProposalError:
            st.title(t("nav.review"), anchor=False)
            st.error(t("review.unknown"))
            return None
    if waiting := queries.open_proposals(queries.proposals(), now()):
        return waiting[0]
    st.title(t("nav.review"), anchor=False)
    st.info(t("review.nothing"))
    return None


def _choose_section(proposal: queries.Record) -> str:
    """Offer the sections, the address's first; the choice is kept there, so that it can be sent on."""
    of_kind = SECTIONS if proposal.metrics else UNTESTED
    sections = of_kind if is_open(proposal, now()) else of_kind[:-1]
    wanted = st.query_params.get("section")
    chosen = st.segmented_control(
        t("review.section"),
        sections,
        default=wanted if wanted in sections else sections[0],
        format_func=lambda name: t(f"section.{name}"),
        key="section",
        required=True,
        on_change=_keep_section,
    )
    return chosen or sections[0]


def _keep_section() -> None:
    st.query_params["section"] = st.session_state["section"]


def _state(proposal: queries.Record) -> None:
    """Say what a reader must know before anything else."""
    state = state_of(proposal, now())
    if edge := ProposalLineage.model_validate(proposal.lineage).planted_edge:
        st.warning(t("review.planted", edge=f.number(edge)), icon=":material/science:")
    if proposal.dossier_hash is None and not is_open(proposal, now()):
        st.info(t("review.before_dossiers"))
    if state == "SUPERSEDED":
        st.info(t("review.superseded"))
    elif state == "EXPIRED":
        st.info(t("review.expired", days=VALID_FOR.days))
    if not is_open(proposal, now()):
        _votes(proposal)


def _why(proposal: queries.Record, reports: Reports | None) -> None:
    """Show in words why L4 votes so and by which criteria, the curves beside them."""
    words, picture = st.columns([1, 1], gap="medium")
    with words:
        st.header(t("review.why"), anchor=False)
        plain(explained(proposal, t.language), "body", f"reason-{proposal.id}")
        plain(
            t("proposals.confidence", share=f.percent(proposal.confidence, 0)),
            "small",
            f"confidence-{proposal.id}",
        )
        if notices := queries.notices(proposal):
            st.markdown(t("review.notices"))
            plain("\n".join(f"• {sentence(notice, t.language)}" for notice in notices), "body", "notices")
        show_criteria(proposal)
    if reports:
        with picture:
            show_curves(reports)
    _facts(proposal)


def _facts(proposal: queries.Record) -> None:
    facts = t(
        "review.facts",
        id=proposal.id,
        instrument=proposal.instrument,
        created=in_bogota(proposal.created_at),
        trained_by=queries.model(proposal.model_id).trained_by,
    )
    plain(t("review.model", model=proposal.model_id) + "\n" + facts, "small", "facts")


def _section(name: str, proposal: queries.Record, reports: Reports | None) -> None:
    """Show one section; the others cost nothing until they are chosen."""
    if name == "result":
        show_metrics(proposal, reports)
        if reports:
            show_distributions(reports.backtest)
            _pack(proposal)
    elif name == "risk" and reports:
        show_risk(proposal, reports)
    elif name == "costs" and reports:
        show_stress(reports.backtest)
        show_cuts(reports.backtest)
    elif name == "evidence":
        if proposal.metrics:
            show_evidence(stored_evidence(proposal), proposal.instrument)
        if reports or not proposal.metrics:
            show_drift(drift_of(proposal, reports))
    elif name == "lineage":
        show_lineage(proposal)
    elif name == "votes":
        _votes(proposal)


def _votes(proposal: queries.Record) -> None:
    """Show every vote on the model, whatever it was proposed as."""
    if not (votes := queries.votes(proposal)):
        st.caption(t("review.no_votes"))
        return
    st.header(t("review.votes"), anchor=False)
    for row in votes:
        with st.container(border=True):
            plain(what_was_done(row), "name", f"vote-{row.id}")
            who_when = f"{row.reviewer} · {in_bogota(row.created_at)}"
            if row.proposal_id != proposal.id:
                who_when += " · " + t("review.other", id=row.proposal_id, experiment=row.experiment_name)
            plain(who_when, "small", f"vote-{row.id}")
            plain(row.notes or t("review.no_notes"), "quote", f"vote-{row.id}")


def _reports(proposal: queries.Record) -> tuple[Reports | None, LineageError | None]:
    """Read the dossier once, or give what is wrong with it."""
    try:
        return read_reports(proposal), None
    except LineageError as error:
        return None, error


def _pack(proposal: queries.Record) -> None:
    """Offer the validation pack as it stands at the click, with every vote by then."""
    st.download_button(
        t("review.pack"),
        lambda: make_pack(queries.engine(), proposal.id, t.language),
        file_name=f"validation_pack_{proposal.experiment_name}_{proposal.id}.html",
        mime="text/html",
        help=t("review.pack_help"),
        on_click="ignore",
        icon=":material/download:",
    )


t, f = translator(), formats()
show()
