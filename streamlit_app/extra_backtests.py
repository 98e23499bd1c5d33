"""Extra backtests of a proposal on its page: requests, their results, and the form to ask for one."""

import pandas as pd
import streamlit as st

from dosvotos.errors import DosVotosError, LineageError
from dosvotos.promotion.dossier import read_extra_backtest
from dosvotos.promotion.extra_backtests import request_backtest
from dosvotos.promotion.own_strategy import own_targets
from dosvotos.reports.evidence import linear_rival_text
from dosvotos.users import current_user
from streamlit_app import queries
from streamlit_app.page import COLOURS, in_bogota, now, plain, translator, written


def show_extra_backtests(proposal: queries.Record, is_open: bool) -> None:
    """Show every extra backtest of a proposal, newest first, and for an open one the form to ask for one."""
    t = translator()
    rows = queries.extra_backtests(proposal.id)
    if not (rows or is_open):
        return
    st.subheader(t("extra.title"))
    st.caption(t("extra.hint"))
    for row in rows:
        _request(row)
    if not rows:
        st.markdown(t("extra.none"))
    if any(row.status in ("queued", "running") for row in rows):
        st.button(t("extra.refresh"), key="extra-refresh", icon=":material/refresh:")
    if answer := st.session_state.pop(f"extra-answer-{proposal.id}", None):
        accepted, text, reason = answer
        (st.success if accepted else st.error)(text)
        if reason:
            plain(reason, "body", "extra-answer")
    if is_open and own_targets(proposal):
        st.info(t("extra.own"))
    elif is_open:
        _form(proposal)


def _request(row: queries.Record) -> None:
    t = translator()
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(t(f"extra.{row.status}"), color=COLOURS[row.status])
            st.badge(t(f"sample.{row.sample}"), color="red" if row.sample == "IN-SAMPLE" else "gray")
            asked = t(
                "extra.asked",
                id=row.id,
                first=row.start_date,
                last=row.end_date,
                user=row.requested_by,
                at=in_bogota(row.requested_at),
            )
            plain(asked, "small", f"extra-{row.id}")
        if row.sample == "IN-SAMPLE":
            st.warning(t("extra.seen"))
        if row.status == "failed":
            plain(row.problem, "small", f"extra-problem-{row.id}")
        elif row.status == "done":
            _result(row)


def _result(row: queries.Record) -> None:
    t = translator()
    try:
        report = read_extra_backtest(row)
    except LineageError as error:
        st.error(t("extra.altered"))
        plain(error, "small", f"extra-altered-{row.id}")
        return
    shown = written(
        report.metrics, "sharpe_ratio", "total_return", "max_drawdown", "win_rate", "total_trades"
    )
    for column, (label, figure) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(label, figure)
    if rival := report.linear_rival:
        said = linear_rival_text(rival.difference, t.language)
        plain(t("comparison.linear_rival", said=said), "small", f"extra-rival-{row.id}")


def _form(proposal: queries.Record) -> None:
    t = translator()
    tested = [pd.Timestamp(day).date() for day in proposal.lineage["test_period"].split(" to ")]
    with st.form(f"extra-{proposal.id}"):
        left, right = st.columns(2)
        left.date_input(t("extra.first"), tested[0], key=f"extra-first-{proposal.id}", format="YYYY-MM-DD")
        right.date_input(t("extra.last"), tested[1], key=f"extra-last-{proposal.id}", format="YYYY-MM-DD")
        st.form_submit_button(t("extra.ask"), on_click=_ask, args=[proposal])


def _ask(proposal: queries.Record) -> None:
    t = translator()
    first = st.session_state[f"extra-first-{proposal.id}"]
    last = st.session_state[f"extra-last-{proposal.id}"]
    try:
        made = request_backtest(queries.engine(), proposal.id, first, last, current_user(), now())
    except DosVotosError as error:
        answer = (False, t("extra.refused"), str(error))
    else:
        answer = (True, t("extra.accepted", id=made), "")
    st.session_state[f"extra-answer-{proposal.id}"] = answer
