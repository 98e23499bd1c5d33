"""The proposals: what waits for a vote, and what was decided."""

import pandas as pd
import streamlit as st

from dosvotos.backtest.production import ComparisonReport
from dosvotos.database.registry import VALID_FOR, state_of
from dosvotos.database.tables import RECOMMENDATIONS
from dosvotos.errors import LineageError
from dosvotos.promotion.dossier import read_tested
from dosvotos.promotion.proposal import stored_metrics
from dosvotos.promotion.reasons import sentence
from streamlit_app import queries
from streamlit_app.page import COLOURS, empty, explained, in_bogota, now, numeric, plain, translator, written
from streamlit_app.verdict import market_badge, show_figures
from streamlit_app.vote_form import ACTION, offered

_REVIEW = "views/review.py"
_FEW, _CARDS = 5, 10
"""Proposals up to which nothing needs to be searched, and cards a page."""
_ORDERS = ("newest", "oldest", "sharpe_ratio", "max_drawdown")


def show() -> None:
    """Show open proposals as cards, those not yet voted on first, then the closed ones as a table."""
    st.title(t("proposals.title"), anchor=False)
    st.markdown(t("proposals.intro"))
    rows = queries.proposals()
    if not rows:
        empty(t("proposals.empty"), t("proposals.empty_next"))
        return
    all_open = queries.open_proposals(rows, moment)
    if not all_open:
        st.info(t("proposals.none_open"))
    chosen = queries.chosen_proposals(rows, _wanted(rows)) if len(rows) > _FEW else rows
    if not chosen:
        st.info(t("proposals.none_match"))
    waiting = queries.open_proposals(chosen, moment)
    for row in _page_of(waiting):
        _card(row)
    open_ids = {row.id for row in waiting}
    if closed := [row for row in chosen if row.id not in open_ids]:
        _closed_table(closed)


def _wanted(rows: list[queries.Record]) -> queries.Wanted:
    """Ask what to show; the first page without any answer shows everything, newest first."""
    words, instruments, recommendations, order = st.columns([3, 2, 2, 2])
    return queries.Wanted(
        words=words.text_input(t("proposals.search"), key="search"),
        instruments=tuple(
            instruments.multiselect(t("column.instrument"), sorted({row.instrument for row in rows}))
        ),
        recommendations=tuple(
            recommendations.multiselect(
                t("column.recommendation"), RECOMMENDATIONS, format_func=lambda r: t(f"recommendation.{r}")
            )
        ),
        order=order.selectbox(t("proposals.order"), _ORDERS, format_func=lambda name: t(f"order.{name}")),
    )


def _page_of(rows: list[queries.Record]) -> list[queries.Record]:
    """Give one page of cards, and where there are more the way to the others."""
    pages = -(-len(rows) // _CARDS)
    if pages <= 1:
        return rows
    page = st.selectbox(
        t("proposals.page"),
        range(pages),
        format_func=lambda n: t("proposals.page_of", page=n + 1, pages=pages, count=len(rows)),
        key=f"page-{pages}",
    )
    return rows[page * _CARDS : (page + 1) * _CARDS]


def _card(row: queries.Record) -> None:
    """Show a proposal as the specification draws it: name, first vote, figures, five actions."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            market_badge(row.instrument)
            plain(row.experiment_name, "name", row.id)
            recommended = t("review.recommends", recommendation=t(f"recommendation.{row.recommendation}"))
            st.badge(recommended, color=COLOURS[row.recommendation])
            state = state_of(row, moment)
            st.badge(t(f"status.{state}"), color=COLOURS.get(state, "gray"))
        made, until = in_bogota(row.created_at), in_bogota(row.created_at + VALID_FOR)
        plain(t("proposals.made", id=row.id, created=made, until=until), "small", row.id)
        plain(explained(row, t.language), "body", f"reason-{row.id}")
        for notice in queries.notices_on_card(row):
            plain(f"• {sentence(notice, t.language)}", "small", f"{notice.code}-{row.id}")
        show_figures(stored_metrics(row), _comparison(row))
        _links(row)


def _links(row: queries.Record) -> None:
    """Lead to the proposal, its lineage, and the form of each action it offers."""
    id_ = {"id": str(row.id)}
    with st.container(horizontal=True, key=f"links-{row.id}", gap="small"):
        st.page_link(_REVIEW, label=t("action.details"), query_params=id_)
        st.page_link(_REVIEW, label=t("action.lineage"), query_params={**id_, "section": "lineage"})
        for action in offered(row):
            with st.container(key=f"open-{action}-{row.id}", width="content"):
                st.page_link(_REVIEW, label=t(f"action.{action}"), query_params={**id_, ACTION: action})


def _comparison(row: queries.Record) -> ComparisonReport | None:
    """Read how a card's figures compare with production's; None of a refit, or where nothing can be read."""
    try:
        return read_tested(row, ComparisonReport)
    except LineageError:
        return None


def _closed_table(rows: list[queries.Record]) -> None:
    st.header(t("proposals.closed"), anchor=False)
    st.caption(t("proposals.closed_hint"))
    shown = ("sharpe_ratio", "max_drawdown")
    table = pd.DataFrame(
        [
            {
                t("column.id"): row.id,
                t("column.experiment"): row.experiment_name,
                t("column.recommendation"): t(f"recommendation.{row.recommendation}"),
                t("column.status"): t(f"status.{state_of(row, moment)}"),
                t("column.reviewer"): row.reviewer or "",
                **written(stored_metrics(row), *shown),
                t("column.created"): in_bogota(row.created_at),
            }
            for row in rows
        ]
    )
    chosen = st.dataframe(
        table,
        hide_index=True,
        column_config=numeric(*written(None, *shown)),
        on_select="rerun",
        selection_mode="single-cell",
        key="closed-proposals",
    )
    if selected := chosen["selection"]["cells"]:
        st.switch_page(_REVIEW, query_params={"id": str(rows[selected[0][0]].id)})


t, moment = translator(), now()
show()
