"""The data behind everything: how far they reach, what was found in them, and what came when."""

from datetime import datetime, timedelta

import pandas as pd
import streamlit as st

from dosvotos.database.deliveries import BEFORE_DELIVERIES
from dosvotos.quality.findings import BARS
from streamlit_app import queries
from streamlit_app.page import empty, formats, in_bogota, now, numeric, translator


def show() -> None:
    """Show bars, variables, findings and deliveries, each by market."""
    st.title(t("data.title"), anchor=False)
    st.markdown(t("data.intro"))
    bars = queries.bars()
    if not bars:
        empty(t("data.empty"), t("data.empty_next"))
        return
    _section("bars", [_bars(row) for row in bars])
    _section("variables", [_variable(row) for row in queries.variables()])
    _section("findings", [_finding(row) for row in queries.findings()], t("data.no_findings"))
    deliveries = [_delivery(row) for row in queries.deliveries() if row.id != BEFORE_DELIVERIES]
    _section("deliveries", deliveries, t("data.no_deliveries"))


def _section(name: str, rows: list[dict[str, str]], nothing: str = "") -> None:
    st.header(t(f"data.{name}"), anchor=False)
    if not rows:
        st.caption(nothing or t("data.empty"))
        return
    figures = numeric(t("data.age"), t("data.count"), t("data.values"), t("data.bars"))
    table = pd.DataFrame(rows)
    shown = {column: settings for column, settings in figures.items() if column in table}
    st.dataframe(table, hide_index=True, column_config=shown, key=f"data-{name}")


def _bars(row: queries.Record) -> dict[str, str]:
    return {
        t("column.instrument"): row.instrument,
        t("data.feed"): row.feed,
        t("data.bars"): f.number(row.bars, 0),
        t("data.first"): in_bogota(row.first),
        t("data.last"): in_bogota(row.last),
        t("data.age"): _age(row.last),
        t("data.fetched"): in_bogota(row.fetched_at),
    }


def _variable(row: queries.Record) -> dict[str, str]:
    return {
        t("column.instrument"): row.instrument,
        t("data.feed"): row.feed,
        t("data.variable"): row.variable,
        t("data.values"): f.number(row.values, 0),
        t("data.last"): str(row.last),
        t("data.published"): in_bogota(row.published_at),
        t("data.age"): _age(row.published_at),
    }


def _finding(row: queries.Record) -> dict[str, str]:
    return {
        t("column.instrument"): row.instrument,
        t("data.feed"): row.feed,
        t("data.severity"): t.label("severity", row.severity),
        t("data.subject"): t("data.bars") if row.subject == BARS else row.subject,
        t("data.rule"): row.rule,
        t("column.meaning"): t.label("finding", row.rule),
        t("data.count"): f.number(row.findings, 0),
        t("data.last"): in_bogota(row.last),
    }


def _delivery(row: queries.Record) -> dict[str, str]:
    return {
        t("column.id"): str(row.id),
        t("column.instrument"): row.instrument,
        t("data.feed"): row.feed,
        t("data.source"): row.source,
        t("data.fetched"): in_bogota(row.fetched_at),
        t("data.retracts"): str(row.retracts or ""),
        t("data.reason"): row.reason or "",
    }


def _age(moment: datetime) -> str:
    return f.number((now() - moment) / timedelta(days=1), 1)


t, f = translator(), formats()
show()
