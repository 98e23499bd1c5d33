"""What more than one page shows of production: its signals, and models built on retracted data."""

import pandas as pd
import streamlit as st

from streamlit_app import charts, queries
from streamlit_app.page import formats, plain, plot, translator


def show_signals(rows: list[queries.Record], key: str) -> None:
    """Chart one instrument's signals and confidences, given newest first."""
    t, in_order = translator(), rows[::-1]
    figure = charts.signal_chart(
        [pd.Timestamp(row.timestamp) for row in in_order],
        [row.signal for row in in_order],
        [row.confidence for row in in_order],
        (t("column.signal"), t("column.confidence")),
        formats().separators,
    )
    plot(figure, key, t("nav.signals"))


def show_retracted() -> None:
    """Warn of production models whose data were retracted since."""
    if retracted := queries.retracted_production():
        t = translator()
        st.error(t("models.retracted"))
        plain("\n".join(found.told(t.language) for found in retracted), "small", "retracted")
