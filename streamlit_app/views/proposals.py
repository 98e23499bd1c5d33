"""The proposals: what waits for a vote, and what was decided."""

import re

import pandas as pd
import streamlit as st

from dosvotos.database.registry import OPEN_STATES
from dosvotos.promotion.decision import VALID_FOR, state_of
from streamlit_app import queries
from streamlit_app.page import empty, first_vote, formats, now, numeric, plain, translator
from streamlit_app.times import in_bogota

_REVIEW = "views/review.py"
_CHANGE = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?%")


def show() -> None:
    """Show open proposals as cards, those not yet voted on first, then the closed ones as a table."""
    st.title(t("proposals.title"))
    st.markdown(t("proposals.intro"))
    rows = queries.proposals()
    if not rows:
        empty(t("proposals.empty"), t("proposals.empty_next"))
        return
    states = {row.id: state_of(row, moment) for row in rows}
    waiting = [row for row in rows if states[row.id] in OPEN_STATES]
    if not waiting:
        st.info(t("proposals.none_open"))
    for row in sorted(waiting, key=lambda row: OPEN_STATES.index(states[row.id])):
        _card(row, states[row.id])
    closed = [row for row in rows if states[row.id] not in OPEN_STATES]
    if closed:
        _closed_table(closed, states)


def _card(row: queries.Record, state: str) -> None:
    with st.container(border=True):
        with st.container(gap="xxsmall"):
            plain(row.experiment_name, "name", row.id)
            made, until = in_bogota(row.created_at), in_bogota(row.created_at + VALID_FOR)
            plain(t("proposals.made", id=row.id, created=made, until=until), "small", row.id)
        first_vote(row, state)
        _figures(row)
        with st.container(key=f"open-{row.id}"):
            st.page_link(_REVIEW, label=t("proposals.open"), query_params={"id": str(row.id)})


def _figures(row: queries.Record) -> None:
    metrics, changes = row.metrics, row.vs_baseline or {}
    figures = {
        "sharpe_ratio": (f.number(metrics.get("sharpe_ratio")), changes.get("sharpe_improvement")),
        "max_drawdown": (f.percent(metrics.get("max_drawdown")), changes.get("drawdown_improvement")),
        "win_rate": (f.percent(metrics.get("win_rate")), None),
        "total_trades": (f.number(metrics.get("total_trades"), 0), None),
    }
    for place, (name, (value, change)) in zip(st.columns(4), figures.items(), strict=True):
        shown = change if change and _CHANGE.fullmatch(change) else None
        beside = t("proposals.vs_production") if shown else None
        place.metric(t(f"metric.{name}"), value, shown, delta_description=beside)


def _closed_table(rows: list[queries.Record], states: dict[int, str]) -> None:
    st.subheader(t("proposals.closed"))
    st.caption(t("proposals.closed_hint"))
    table = pd.DataFrame(
        [
            {
                t("column.id"): row.id,
                t("column.experiment"): row.experiment_name,
                t("column.recommendation"): t(f"recommendation.{row.recommendation}"),
                t("column.status"): t(f"status.{states[row.id]}"),
                t("column.reviewer"): row.reviewer or "",
                t("metric.sharpe_ratio"): f.number(row.metrics.get("sharpe_ratio")),
                t("metric.max_drawdown"): f.percent(row.metrics.get("max_drawdown")),
                t("column.created"): in_bogota(row.created_at),
            }
            for row in rows
        ]
    )
    chosen = st.dataframe(
        table,
        hide_index=True,
        column_config=numeric(t("metric.sharpe_ratio"), t("metric.max_drawdown")),
        on_select="rerun",
        selection_mode="single-row",
        key="closed-proposals",
    )
    if selected := chosen["selection"]["rows"]:
        st.switch_page(_REVIEW, query_params={"id": str(rows[selected[0]].id)})


t, f, moment = translator(), formats(), now()
show()
