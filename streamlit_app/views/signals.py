"""The latest signals: what the production model gave, bar by bar."""

import pandas as pd
import streamlit as st

from streamlit_app import queries
from streamlit_app.page import empty, formats, in_bogota, numeric, plain, translator
from streamlit_app.production import show_signals
from streamlit_app.signed_in import caller
from streamlit_app.verdict import market_badge

_N_BARS = 200
_SECONDS = 30
"""Between two looks at the newest signals."""


def show() -> None:
    """Chart signal and confidence, then reasons for missing signals, and the rows."""
    caller()
    rows = queries.signals(_N_BARS)
    if not rows:
        empty(t("signals.empty"), t("signals.empty_next"))
        return
    st.markdown(t("signals.intro", count=len(rows)))
    instruments = sorted({row.instrument for row in rows})
    chosen = instruments[0]
    if len(instruments) > 1:
        chosen = st.selectbox(t("column.instrument"), instruments)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        market_badge(chosen)
        plain(chosen, "name", "instrument")
    rows = [row for row in rows if row.instrument == chosen]
    show_signals(rows, "signals")
    _missing(rows)
    st.header(t("signals.table"), anchor=False)
    figures = [t(f"column.{name}") for name in ("signal", "confidence", "position", "latency")]
    st.dataframe(_table(rows), hide_index=True, column_config=numeric(*figures))


def _missing(rows: list[queries.Record]) -> None:
    st.header(t("signals.no_signal"), anchor=False)
    reasons = pd.Series([row.reason_code for row in rows if row.status == "NO_SIGNAL"], dtype=object)
    if reasons.empty:
        st.markdown(t("signals.all_signal"))
        return
    counts = reasons.value_counts()
    table = {
        t("column.reason"): counts.index,
        t("column.meaning"): [t.label("reason", code) for code in counts.index],
        t("column.count"): counts.to_numpy(),
    }
    st.dataframe(pd.DataFrame(table), hide_index=True, width="content")


def _table(rows: list[queries.Record]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                t("column.time"): in_bogota(row.timestamp),
                t("column.signal"): f.number(row.signal),
                t("column.confidence"): f.percent(row.confidence),
                t("column.reason"): row.reason_code or "",
                t("column.position"): f.number(row.position),
                t("column.model"): row.model_id or "",
                t("column.latency"): f.number(row.inference_latency_ms, 1),
            }
            for row in rows
        ]
    )


t, f = translator(), formats()
st.title(t("nav.signals"), anchor=False)
st.fragment(show, run_every=_SECONDS)()
