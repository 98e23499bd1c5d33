"""The second vote on the page: notes, three buttons, and a confirmation before an approval.

Buttons act in callbacks, before the page is drawn again, so the page always shows the state after the vote.
"""

from typing import NamedTuple

import streamlit as st

from dosvotos.errors import DosVotosError
from dosvotos.lineage.vote import decide_verified
from dosvotos.promotion.own_strategy import own_targets
from dosvotos.promotion.vote_rules import MAX_REASON, MIN_REASON, Decision, needs_reason
from dosvotos.users import current_user
from streamlit_app import queries
from streamlit_app.identity import cast_vote
from streamlit_app.page import now, plain, translator
from streamlit_app.problems import refusal_of

_PRODUCTION, _SHADOW = "to_production", "to_shadow"


class _Draft(NamedTuple):
    """An approval that waits for its confirmation."""

    notes: str
    to_production: bool


class _Answer(NamedTuple):
    """What a click led to: a text of ours, and the reason as the domain words it."""

    key: str
    accepted: bool
    reason: str = ""


def show_vote_form(proposal: queries.Record, is_open: bool) -> None:
    """Show what the last click led to, and for an open proposal the form or the confirmation."""
    t = translator()
    answer = st.session_state.pop(f"vote-answer-{proposal.id}", None)
    if not (is_open or answer):
        return
    st.subheader(t("vote.title"), anchor="vote")
    if answer:
        (st.success if answer.accepted else st.error)(t(answer.key))
        if answer.reason:
            plain(answer.reason, "body", "answer")
    if is_open and (draft := st.session_state.get(f"vote-draft-{proposal.id}")):
        _confirmation(proposal, draft)
    elif is_open:
        _form(proposal)


def _form(proposal: queries.Record) -> None:
    """Offer no approval where none could be carried out."""
    t = translator()
    barred = _bar_to_approval(proposal)
    if barred:
        st.error(t(barred))
    elif proposal.recommendation == "REVIEW":
        st.warning(t("vote.review_notes"))
    with st.form(f"vote-{proposal.id}"):
        label, stays = t("vote.notes_label", minimum=MIN_REASON), t("vote.notes_help", maximum=MAX_REASON)
        st.text_area(label, max_chars=MAX_REASON, help=stays, key=f"vote-notes-{proposal.id}")
        if not barred:
            st.radio(
                t("vote.target"),
                [_PRODUCTION, _SHADOW],
                format_func=lambda target: t(f"vote.{target}"),
                key=f"vote-target-{proposal.id}",
            )
        with st.container(horizontal=True):
            if not barred:
                st.form_submit_button(
                    t("vote.approve"), type="primary", on_click=_ask_to_confirm, args=[proposal]
                )
            st.form_submit_button(t("vote.reject"), on_click=_turn_down, args=[proposal, "REJECT"])
            if not own_targets(proposal):
                st.form_submit_button(
                    t("vote.extra_backtests"), on_click=_turn_down, args=[proposal, "REQUEST_MORE_TESTS"]
                )


def _bar_to_approval(proposal: queries.Record) -> str | None:
    """Give the key of the text that says why a proposal cannot be approved at all."""
    if own_targets(proposal):
        return "vote.own"
    if proposal.recommendation == "REJECT":
        return "vote.veto"
    if proposal.dossier_hash is None:
        return "review.before_dossiers"
    return "vote.barred" if queries.bars_to_approval(proposal) else None


def _confirmation(proposal: queries.Record, draft: _Draft) -> None:
    t = translator()
    with st.container(border=True, key="confirm"):
        question = t("vote.confirm_production" if draft.to_production else "vote.confirm_shadow")
        st.markdown(f"**{question}**")
        plain(proposal.model_id, "name", "confirm")
        plain(_consequence(proposal, draft.to_production), "body", "confirm")
        if draft.notes:
            plain(draft.notes, "quote", "confirm")
        plain(t("vote.signed", user=current_user()), "small", "confirm")
        with st.container(horizontal=True):
            st.button(t("vote.confirm"), type="primary", on_click=_approve, args=[proposal, draft])
            st.button(t("vote.cancel"), on_click=_cancel, args=[proposal, draft])


def _consequence(proposal: queries.Record, to_production: bool) -> str:
    t = translator()
    if not to_production:
        return t("vote.beside")
    current = queries.production_id(proposal.instrument)
    return t("vote.replaces", current=current) if current else t("vote.first", instrument=proposal.instrument)


def _ask_to_confirm(proposal: queries.Record) -> None:
    notes = _notes(proposal)
    if _is_too_short(proposal, "APPROVE", notes):
        return
    target = st.session_state[f"vote-target-{proposal.id}"]
    st.session_state[f"vote-draft-{proposal.id}"] = _Draft(notes, target == _PRODUCTION)


def _is_too_short(proposal: queries.Record, decision: Decision, notes: str) -> bool:
    """Tell whether a vote has no reason to speak of; then the page says so in its language."""
    found = len(notes.strip())
    if not needs_reason(decision) or found >= MIN_REASON:
        return False
    reason = translator()("vote.notes_short", minimum=MIN_REASON, found=found)
    _answer(proposal, _Answer("vote.refused", False, reason))
    return True


def _cancel(proposal: queries.Record, draft: _Draft) -> None:
    del st.session_state[f"vote-draft-{proposal.id}"]
    st.session_state[f"vote-notes-{proposal.id}"] = draft.notes
    st.session_state[f"vote-target-{proposal.id}"] = _PRODUCTION if draft.to_production else _SHADOW


def _approve(proposal: queries.Record, draft: _Draft) -> None:
    del st.session_state[f"vote-draft-{proposal.id}"]
    done = "vote.done_production" if draft.to_production else "vote.done_shadow"
    _vote(proposal, "APPROVE", draft, done)


def _turn_down(proposal: queries.Record, decision: Decision) -> None:
    if _is_too_short(proposal, decision, _notes(proposal)):
        return
    done = "vote.done_rejected" if decision == "REJECT" else "vote.done_extra_backtests"
    _vote(proposal, decision, _Draft(_notes(proposal), to_production=False), done)


def _notes(proposal: queries.Record) -> str:
    return st.session_state[f"vote-notes-{proposal.id}"] or ""


def _vote(proposal: queries.Record, decision: Decision, draft: _Draft, done: str) -> None:
    try:
        cast = cast_vote(decision, draft.notes, draft.to_production)
        decide_verified(queries.engine(), proposal.id, cast, now())
    except DosVotosError as error:
        _answer(proposal, _Answer(refusal_of(error).text, False, str(error)))
    else:
        _answer(proposal, _Answer(done, True))


def _answer(proposal: queries.Record, answer: _Answer) -> None:
    st.session_state[f"vote-answer-{proposal.id}"] = answer
