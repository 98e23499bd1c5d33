"""Extra backtests of a proposal on its page: what was asked for, as it runs and once it is done."""

from datetime import date

import pandas as pd
import streamlit as st

from dosvotos.backtest.report import BacktestReport
from dosvotos.database.requests import problem_in
from dosvotos.errors import LineageError
from dosvotos.promotion.dossier import read_extra_backtest
from dosvotos.promotion.extra_backtests import unseen_period
from dosvotos.reports.evidence import linear_rival_text
from streamlit_app import charts, queries
from streamlit_app.page import COLOURS, formats, in_bogota, now, plain, plot, translator, written
from streamlit_app.signed_in import caller

_SECONDS = 3
"""Between two looks at a test that waits or runs."""
_AT_WORK = ("queued", "running")


def show_extra_backtests(proposal: queries.Record, first: BacktestReport | None) -> None:
    """Show every extra backtest of a proposal, newest first; while one is at work, look again by itself."""
    rows = queries.extra_backtests(proposal.id)
    if not rows:
        return
    t = translator()
    st.header(t("extra.title"), anchor=False)
    st.caption(t("extra.hint"))
    waits = any(row.status in _AT_WORK for row in rows)
    st.fragment(_requests, run_every=_SECONDS if waits else None)(proposal.id, first)


def period_fields(proposal: queries.Record) -> None:
    """Ask for a period: by default one that nobody has seen; where there is none, say so."""
    t = translator()
    unseen = unseen_period(queries.engine(), proposal.id, now())
    if unseen:
        st.caption(t("extra.unseen", first=unseen[0], last=unseen[1]))
    else:
        st.warning(t("extra.all_seen"))
    shown = unseen or _test_window(proposal)
    for column, name, day in zip(st.columns(2), ("first", "last"), shown, strict=True):
        column.date_input(t(f"extra.{name}"), day, key=f"extra-{name}-{proposal.id}", format="YYYY-MM-DD")


def _test_window(proposal: queries.Record) -> tuple[date, date]:
    first, last = proposal.lineage["test_period"].split(" to ")
    return date.fromisoformat(first), date.fromisoformat(last)


def _requests(proposal_id: int, first: BacktestReport | None) -> None:
    caller()
    rows = queries.extra_backtests(proposal_id)
    key = f"extra-at-work-{proposal_id}"
    at_work = sum(row.status in _AT_WORK for row in rows)
    if st.session_state.get(key, at_work) and not at_work:
        st.session_state[key] = at_work
        st.rerun()  # the last one is done: the whole page anew, and no more looking
    st.session_state[key] = at_work
    for row in rows:
        _request(row, first)


def _request(row: queries.Record, first: BacktestReport | None) -> None:
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
            plain(problem_in(row, t.language), "small", f"extra-problem-{row.id}")
        elif row.status == "done":
            _result(row, first)


def _result(row: queries.Record, first: BacktestReport | None) -> None:
    t = translator()
    try:
        report = read_extra_backtest(row)
    except LineageError as error:
        st.error(t("extra.altered"))
        plain(error, "small", f"extra-altered-{row.id}")
        return
    shown = ("sharpe_ratio", "total_return", "max_drawdown", "win_rate", "total_trades")
    accounts = {
        t("extra.this_one"): report.metrics,
        **({t("extra.first_test"): first.metrics} if first else {}),
    }
    table = pd.DataFrame({name: written(metrics, *shown) for name, metrics in accounts.items()})
    numbers, picture = st.columns([2, 3])
    numbers.table(table, border="horizontal")
    with picture:
        st.caption(t("extra.beside"))
        curves = {t("extra.this_one"): report.equity_curve}
        if first:
            curves[t("extra.first_test")] = first.equity_curve
        plot(charts.growth_chart(curves, formats().separators), f"extra-curve-{row.id}", t("extra.beside"))
    if rival := report.linear_rival:
        difference = linear_rival_text(rival.difference, t.language)
        plain(t("comparison.linear_rival", difference=difference), "small", f"extra-rival-{row.id}")
