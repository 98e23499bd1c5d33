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
from streamlit_app.page import empty, first_vote, formats, in_bogota, now, numeric, plain, translator, written

_REVIEW = "views/review.py"


def show() -> None:
    """Show open proposals as cards, those not yet voted on first, then the closed ones as a table."""
    st.title(t("proposals.title"))
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
    with st.container(border=True):
        with st.container(gap="xxsmall"):
            plain(row.experiment_name, "name", row.id)
            made, until = in_bogota(row.created_at), in_bogota(row.created_at + VALID_FOR)
            plain(t("proposals.made", id=row.id, created=made, until=until), "small", row.id)
        first_vote(row, state_of(row, moment))
        for notice in queries.notices_on_card(row):
            plain(f"• {sentence(notice, t.language)}", "small", f"{notice.code}-{row.id}")
        _figures(row)
        with st.container(key=f"open-{row.id}"):
            st.page_link(_REVIEW, label=t("proposals.open"), query_params={"id": str(row.id)})


def _figures(row: queries.Record) -> None:
    metrics = SpecifiedMetrics.model_validate(row.metrics)
    figures = written(metrics, "sharpe_ratio", "max_drawdown", "win_rate", "total_trades")
    for column, (label, figure), change in zip(st.columns(4), figures.items(), _changes(row), strict=True):
        shown = None if change is None else f.percent(change, 0, signed=True)
        column.metric(label, figure, shown, delta_description=t("proposals.vs_production") if shown else None)


def _changes(row: queries.Record) -> list[float | None]:
    """Read by how much the card's figures are better than production's; None where that is unknown."""
    try:
        comparison = read_report(row, ComparisonReport)
    except LineageError:
        return [None] * 4
    return [comparison.sharpe_improvement, comparison.drawdown_improvement, None, None]


def _closed_table(rows: list[queries.Record]) -> None:
    st.subheader(t("proposals.closed"))
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


t, f, moment = translator(), formats(), now()
show()
