"""The second vote on the page: three actions, the chosen one's form, a confirmation before an approval.

The chosen action stands in the address, so that a card, a notification or a bookmark can open its form.
Buttons act in callbacks, before the page is drawn again, so the page always shows the state after the vote.
"""

from typing import Final, NamedTuple

import streamlit as st

from dosvotos.database.registry import state_of
from dosvotos.errors import DosVotosError
from dosvotos.lineage.vote import decide_verified
from dosvotos.promotion.extra_backtests import vote_for_backtest
from dosvotos.promotion.own_strategy import own_targets
from dosvotos.promotion.refit import refit_of
from dosvotos.promotion.vote_rules import MAX_REASON, MIN_REASON, Decision, needs_reason
from dosvotos.users import same_person
from streamlit_app import queries
from streamlit_app.extra_backtests import period_fields
from streamlit_app.identity import cast_vote, local_caller
from streamlit_app.page import now, plain, translator
from streamlit_app.problems import refusal_of, told
from streamlit_app.signed_in import caller, caller_if_any, may, sign_link

ACTION: Final = "action"
"""The address's parameter."""
APPROVE, REJECT, MORE_TESTS = "approve", "reject", "more_tests"
_SIGNED: Final = {APPROVE: "APPROVE", REJECT: "REJECT"}
"""What a person of a team signs with a passkey."""
_PRODUCTION, _SHADOW = "to_production", "to_shadow"


class _Draft(NamedTuple):
    """An approval that waits for its confirmation."""

    notes: str
    to_production: bool


class _Answer(NamedTuple):
    """What a click led to: a text of ours, and the reason as the domain words it."""

    text: str
    accepted: bool
    reason: str = ""


def offered(proposal: queries.Record, is_damaged: bool = False) -> tuple[str, ...]:
    """List the actions an open proposal offers whoever looks: no approval that could not be carried out.

    A list does not open a proposal's dossier; whoever has, says whether it `is_damaged`.
    """
    user = caller()
    if not user.may("APPROVE"):
        return ()
    approval = () if is_damaged or _bar_to_approval(proposal) else (APPROVE,)
    tests = () if own_targets(proposal) else (MORE_TESTS,)
    return (*approval, REJECT, *tests)


def show_actions(proposal: queries.Record, is_damaged: bool) -> None:
    """Show an open proposal's actions as buttons; a team's votes are signed on a page of their own."""
    t, user, actions = translator(), caller(), offered(proposal, is_damaged)
    if not actions:
        st.caption(t("vote.only_reviewers"))
        return
    with st.container(horizontal=True, key="actions"):
        for action in actions:
            if user.role is not None and action in _SIGNED:
                st.link_button(
                    t(f"action.{action}"),
                    sign_link(_SIGNED[action], str(proposal.id)),
                    type="primary" if action == APPROVE else "secondary",
                )
                continue
            st.button(
                t(f"action.{action}"),
                type="primary" if action == APPROVE else "secondary",
                key=f"act-{action}-{proposal.id}",
                on_click=_open,
                args=[proposal, action],
            )


def show_form(proposal: queries.Record, is_open: bool, is_damaged: bool) -> None:
    """Show what the last click led to, and for an open proposal the chosen action's form."""
    if answer := st.session_state.pop(f"vote-answer-{proposal.id}", None):
        (st.success if answer.accepted else st.error)(answer.text)
        if answer.reason:
            plain(answer.reason, "body", "answer")
    action = st.query_params.get(ACTION)
    if not is_open or action is None or not (actions := offered(proposal, is_damaged)):
        return
    is_team = caller().role is not None
    forms = {APPROVE: _approval, REJECT: _rejection, MORE_TESTS: _more_tests}
    if action == APPROVE and action not in actions:
        show_bar(proposal)
    elif action in actions and not (is_team and action in _SIGNED):
        with st.container(border=True, key="action-form"):
            forms[action](proposal, queries.standing(proposal))


def _approval(proposal: queries.Record, seen: queries.Standing) -> None:
    if draft := st.session_state.get(f"vote-draft-{proposal.id}"):
        _confirmation(proposal, draft, seen)
        return
    t = translator()
    if proposal.recommendation == "REVIEW":
        st.warning(t("vote.review_notes"))
    with st.form(f"approve-{proposal.id}", border=False):
        _reason_field(proposal, t("vote.reason_label", minimum=MIN_REASON))
        st.radio(
            t("vote.target"),
            [_SHADOW] if refit_of(proposal) else [_PRODUCTION, _SHADOW],
            format_func=lambda target: t(f"vote.{target}"),
            key=f"vote-target-{proposal.id}",
        )
        if not refit_of(proposal):
            plain(_consequence(proposal, to_production=True), "small", "if-production")
        with st.container(horizontal=True):
            st.form_submit_button(
                t("vote.approve"), type="primary", on_click=_ask_to_confirm, args=[proposal]
            )
            st.form_submit_button(t("action.close"), on_click=_close, args=[proposal])


def _rejection(proposal: queries.Record, seen: queries.Standing) -> None:
    t = translator()
    with st.form(f"reject-{proposal.id}", border=False):
        _reason_field(proposal, t("vote.reason_label", minimum=MIN_REASON))
        st.markdown(t("vote.reject_changes"))
        st.caption(t("vote.way_back", id=proposal.id))
        with st.container(horizontal=True):
            st.form_submit_button(t("vote.reject"), type="primary", on_click=_reject, args=[proposal, seen])
            st.form_submit_button(t("action.close"), on_click=_close, args=[proposal])


def _more_tests(proposal: queries.Record, seen: queries.Standing) -> None:
    t = translator()
    with st.form(f"extra-{proposal.id}", border=False):
        period_fields(proposal)
        _reason_field(proposal, t("extra.notes"))
        st.caption(t("extra.consequence"))
        with st.container(horizontal=True):
            st.form_submit_button(t("extra.ask"), type="primary", on_click=_ask_for_tests, args=[proposal])
            st.form_submit_button(t("action.close"), on_click=_close, args=[proposal])


def _reason_field(proposal: queries.Record, label: str) -> None:
    stays = translator()("vote.notes_help", maximum=MAX_REASON)
    st.text_area(label, max_chars=MAX_REASON, help=stays, key=f"vote-notes-{proposal.id}", height=80)


def _bar_to_approval(proposal: queries.Record) -> str | None:
    """Give the key of the text that says why a proposal cannot be approved at all."""
    user = caller()
    if own_targets(proposal):
        return "vote.own"
    if user.role is not None and same_person(user.name, queries.model(proposal.model_id).trained_by):
        return "vote.own_model"
    if proposal.recommendation == "REJECT":
        return "vote.veto"
    if proposal.dossier_hash is None:
        return "review.before_dossiers"
    return "vote.barred" if queries.bars_to_approval(proposal) else None


def show_bar(proposal: queries.Record) -> None:
    """Say why an open proposal cannot be approved, where that is so."""
    if barred := _bar_to_approval(proposal):
        st.error(translator()(barred))


def _confirmation(proposal: queries.Record, draft: _Draft, seen: queries.Standing) -> None:
    t = translator()
    question = t("vote.confirm_production" if draft.to_production else "vote.confirm_shadow")
    st.markdown(f"**{question}**")
    plain(proposal.model_id, "name", "confirm")
    plain(_consequence(proposal, draft.to_production), "body", "confirm")
    if draft.notes:
        plain(draft.notes, "quote", "confirm")
    plain(t("vote.signed", user=local_caller().name), "small", "confirm")
    with st.container(horizontal=True):
        st.button(t("vote.confirm"), type="primary", on_click=_approve, args=[proposal, draft, seen])
        st.button(t("vote.cancel"), on_click=_cancel, args=[proposal, draft])


def _consequence(proposal: queries.Record, to_production: bool) -> str:
    t = translator()
    if not to_production:
        return t("vote.beside")
    current = queries.production_id(proposal.instrument)
    return t("vote.replaces", current=current) if current else t("vote.first", instrument=proposal.instrument)


def _open(proposal: queries.Record, action: str) -> None:
    st.session_state.pop(f"vote-draft-{proposal.id}", None)
    st.query_params["id"] = str(proposal.id)
    st.query_params[ACTION] = action


def _close(proposal: queries.Record) -> None:
    st.session_state.pop(f"vote-draft-{proposal.id}", None)
    st.query_params.pop(ACTION, None)


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
    t = translator()
    reason = t("vote.notes_short", minimum=MIN_REASON, found=found)
    _answer(proposal, _Answer(t("vote.refused"), False, reason))
    return True


def _cancel(proposal: queries.Record, draft: _Draft) -> None:
    del st.session_state[f"vote-draft-{proposal.id}"]
    st.session_state[f"vote-notes-{proposal.id}"] = draft.notes
    st.session_state[f"vote-target-{proposal.id}"] = _PRODUCTION if draft.to_production else _SHADOW


def _approve(proposal: queries.Record, draft: _Draft, seen: queries.Standing) -> None:
    del st.session_state[f"vote-draft-{proposal.id}"]
    done = "vote.done_production" if draft.to_production else "vote.done_shadow"
    _vote(proposal, "APPROVE", draft, translator()(done), seen)


def _reject(proposal: queries.Record, seen: queries.Standing) -> None:
    if _is_too_short(proposal, "REJECT", _notes(proposal)):
        return
    t = translator()
    done = f"{t('vote.done_rejected')} {t('vote.way_back', id=proposal.id)}"
    _vote(proposal, "REJECT", _Draft(_notes(proposal), to_production=False), done, seen)


def _ask_for_tests(proposal: queries.Record) -> None:
    """Queue the test and record the request; a period that cannot be tested records nothing."""
    t = translator()
    first, last = (st.session_state[f"extra-{end}-{proposal.id}"] for end in ("first", "last"))
    user = caller_if_any()
    if user is None or not may("REQUEST_MORE_TESTS"):
        _answer(proposal, _Answer(t("vote.only_reviewers"), False))
        return
    try:
        vote = cast_vote(user, "REQUEST_MORE_TESTS", _notes(proposal), False)
        made = vote_for_backtest(queries.engine(), proposal.id, first, last, vote, now())
    except DosVotosError as error:
        _answer(proposal, _Answer(t("extra.refused"), False, told(error, t.language)))
    else:
        _answer(proposal, _Answer(t("extra.accepted", id=made), True))
        _close(proposal)


def _notes(proposal: queries.Record) -> str:
    return st.session_state.get(f"vote-notes-{proposal.id}") or ""


def _vote(
    proposal: queries.Record, decision: Decision, draft: _Draft, done: str, seen: queries.Standing
) -> None:
    """Carry out a vote, unless the page no longer showed what is there."""
    t = translator()
    row = queries.proposal(proposal.id)
    if (found := queries.standing(row)) != seen:
        row = queries.proposal(proposal.id)  # again: somebody may have voted since it was read
        production = found.production_id or t("vote.no_production")
        told_now = t("vote.changed", state=t(f"status.{state_of(row, now())}"), production=production)
        _answer(proposal, _Answer(t("vote.conflict"), False, told_now))
        return
    try:
        cast = cast_vote(local_caller(), decision, draft.notes, draft.to_production)
        decide_verified(queries.engine(), proposal.id, cast, now())
    except DosVotosError as error:
        _answer(proposal, _Answer(t(refusal_of(error).text), False, told(error, t.language)))
    else:
        _answer(proposal, _Answer(done, True))
        _close(proposal)


def _answer(proposal: queries.Record, answer: _Answer) -> None:
    st.session_state[f"vote-answer-{proposal.id}"] = answer
