"""The proposals: what waits for a vote, and what was decided."""

import pandas as pd
import streamlit as st

from dosvotos.backtest.metrics import SpecifiedMetrics
from dosvotos.backtest.production import ComparisonReport
from dosvotos.database.registry import VALID_FOR, state_of
from dosvotos.errors import LineageError
from dosvotos.promotion.dossier import read_report
from dosvotos.promotion.reasons import sentence
from streamlit_app import queries
from streamlit_app.page import COLOURS, empty, explained, in_bogota, now, numeric, plain, translator, written
from streamlit_app.verdict import market_badge, show_figures
from streamlit_app.vote_form import ACTION, offered

_REVIEW = "views/review.py"


def show() -> None:
    """Show open proposals as cards, those not yet voted on first, then the closed ones as a table."""
    st.title(t("proposals.title"), anchor=False)
    st.markdown(t("proposals.intro"))
    rows = queries.proposals()
    if not rows:
        empty(t("proposals.empty"), t("proposals.empty_next"))
        return
    waiting = queries.open_proposals(rows, moment)
    if not waiting:
        st.info(t("proposals.none_open"))
    for row in waiting:
        _card(row)
    if closed := [row for row in rows if row not in waiting]:
        _closed_table(closed)


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
        show_figures(SpecifiedMetrics.model_validate(row.metrics), _comparison(row))
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
    """Read how a card's figures compare with production's; None where the dossier cannot be read."""
    try:
        return read_report(row, ComparisonReport)
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
                **written(SpecifiedMetrics.model_validate(row.metrics), *shown),
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
        selection_mode="single-row",
        key="closed-proposals",
    )
    if selected := chosen["selection"]["rows"]:
        st.switch_page(_REVIEW, query_params={"id": str(rows[selected[0]].id)})


t, moment = translator(), now()
show()
