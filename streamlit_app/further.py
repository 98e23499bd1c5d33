"""Further tests of a proposal on its page: what was asked for, what came of it, and a form to ask."""

from typing import Any, Final, Literal

import pandas as pd
import streamlit as st

from dosvotos.errors import DosVotosError, LineageError
from dosvotos.promotion.identity import current_user
from dosvotos.promotion.more_tests import read_further, request_backtest
from streamlit_app import queries
from streamlit_app.page import formats, now, plain, translator
from streamlit_app.times import in_bogota

_COLOURS: Final[dict[str, Literal["green", "red", "blue", "gray"]]] = {
    "queued": "gray",
    "running": "blue",
    "done": "green",
    "failed": "red",
}
_SHOWN: Final = ("sharpe_ratio", "total_return", "max_drawdown", "win_rate", "total_trades")


def show_further_tests(proposal: queries.Record, is_open: bool) -> None:
    """Show every further test of a proposal, newest first, and for an open one the form to ask for one."""
    t = translator()
    rows = queries.further_tests(proposal.id)
    if not (rows or is_open):
        return
    st.subheader(t("further.title"))
    st.caption(t("further.hint"))
    for row in rows:
        _test(row)
    if not rows:
        st.markdown(t("further.none"))
    if any(row.status in ("queued", "running") for row in rows):
        st.button(t("further.refresh"), key="further-refresh", icon=":material/refresh:")
    if answer := st.session_state.pop(f"further-answer-{proposal.id}", None):
        accepted, text, reason = answer
        (st.success if accepted else st.error)(text)
        if reason:
            plain(reason, "body", "further-answer")
    if is_open:
        _form(proposal)


def _test(row: queries.Record) -> None:
    t = translator()
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(t(f"further.{row.status}"), color=_COLOURS[row.status])
            st.badge(t(f"sample.{row.sample}"), color="red" if row.sample == "IN-SAMPLE" else "gray")
            said = t(
                "further.asked",
                id=row.id,
                first=row.start_date,
                last=row.end_date,
                user=row.requested_by,
                at=in_bogota(row.requested_at),
            )
            plain(said, "small", f"further-{row.id}")
        if row.sample == "IN-SAMPLE":
            st.warning(t("further.seen"))
        if row.status == "failed":
            plain(row.problem, "small", f"further-problem-{row.id}")
        elif row.status == "done":
            _result(row)


def _result(row: queries.Record) -> None:
    t, f = translator(), formats()
    try:
        metrics: dict[str, Any] = read_further(row)["metrics"]
    except LineageError as error:
        st.error(t("further.altered"))
        plain(error, "small", f"further-altered-{row.id}")
        return
    shown = {
        "sharpe_ratio": f.number(metrics["sharpe_ratio"]),
        "total_return": f.percent(metrics["total_return"]),
        "max_drawdown": f.percent(metrics["max_drawdown"]),
        "win_rate": f.percent(metrics["win_rate"]),
        "total_trades": f.number(metrics["total_trades"], 0),
    }
    for place, name in zip(st.columns(len(_SHOWN)), _SHOWN, strict=True):
        place.metric(t(f"metric.{name}"), shown[name])


def _form(proposal: queries.Record) -> None:
    t = translator()
    tested = [pd.Timestamp(day).date() for day in proposal.lineage["test_period"].split(" to ")]
    with st.form(f"further-{proposal.id}"):
        left, right = st.columns(2)
        left.date_input(
            t("further.first"), tested[0], key=f"further-first-{proposal.id}", format="YYYY-MM-DD"
        )
        right.date_input(t("further.last"), tested[1], key=f"further-last-{proposal.id}", format="YYYY-MM-DD")
        st.form_submit_button(t("further.ask"), on_click=_ask, args=[proposal])


def _ask(proposal: queries.Record) -> None:
    t = translator()
    first = st.session_state[f"further-first-{proposal.id}"]
    last = st.session_state[f"further-last-{proposal.id}"]
    try:
        made = request_backtest(queries.engine(), proposal.id, first, last, current_user(), now())
    except DosVotosError as error:
        answer = (False, t("further.refused"), str(error))
    else:
        answer = (True, t("further.accepted", id=made), "")
    st.session_state[f"further-answer-{proposal.id}"] = answer
