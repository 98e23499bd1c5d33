"""Proposals side by side: figures, curves, and how sure their differences are."""

from itertools import product

import numpy as np
import pandas as pd
import streamlit as st

from dosvotos.backtest.evidence import sharpe_difference_interval
from dosvotos.backtest.report import BacktestReport
from dosvotos.backtest.risk import session_equity
from dosvotos.database.registry import state_of
from dosvotos.errors import LineageError
from dosvotos.promotion.dossier import read_report
from dosvotos.promotion.gate_policy import GatePolicies
from dosvotos.reports.metrics import RESULTS
from dosvotos.reports.words import value_in_words
from streamlit_app import queries, risk_charts
from streamlit_app.page import empty, formats, now, plain, plot, translator, written
from streamlit_app.verdict import market_badge


def show() -> None:
    """Let people choose proposals, by default the two newest, and show them beside each other."""
    st.title(t("compare.title"), anchor=False)
    st.markdown(t("compare.intro"))
    rows = {row.id: row for row in queries.proposals()}
    if len(rows) < 2:
        empty(t("compare.empty"), t("compare.empty_next"))
        return
    asked = st.query_params.get_all("id")
    wanted = [id_ for id_ in rows if str(id_) in asked]
    chosen = st.multiselect(
        t("compare.choose"),
        list(rows),
        default=wanted or list(rows)[:2],
        format_func=lambda id_: f"#{id_} {rows[id_].experiment_name}",
    )
    picked = [rows[id_] for id_ in chosen]
    reports = _reports(picked)
    if len(reports) >= 2:
        _links(picked)
        _figures(reports, {_name(row): row for row in picked})
        _curves(reports)
        _differences(reports)


def _reports(rows: list[queries.Record]) -> dict[str, BacktestReport]:
    found = {}
    for row in rows:
        try:
            found[_name(row)] = read_report(row, BacktestReport)
        except LineageError as error:
            st.error(t("compare.unreadable", id=row.id))
            plain(error, "small", f"unreadable-{row.id}")
    return found


def _name(row: queries.Record) -> str:
    return f"#{row.id} {row.experiment_name}"


def _links(rows: list[queries.Record]) -> None:
    """Lead to each proposal, below the mark of its market."""
    for instrument in sorted({row.instrument for row in rows}):
        market_badge(instrument)
    with st.container(horizontal=True, gap="medium"):
        for row in rows:
            label = t("compare.open", id=row.id)
            st.page_link("views/review.py", label=label, query_params={"id": str(row.id)})


def _figures(reports: dict[str, BacktestReport], rows: dict[str, queries.Record]) -> None:
    """Show what each is, then its figures."""
    keys = [metric.key for metric in RESULTS]
    columns = {}
    for name, report in reports.items():
        row = rows[name]
        columns[name] = {
            t("column.instrument"): row.instrument,
            t("column.recommendation"): t(f"recommendation.{row.recommendation}"),
            t("column.status"): t(f"status.{state_of(row, now())}"),
            t("compare.window"): value_in_words(row.lineage["test_period"], t.language),
            **written(report.metrics, *keys),
        }
    st.table(pd.DataFrame(columns), border="horizontal")


def _curves(reports: dict[str, BacktestReport]) -> None:
    curves = {name: session_equity(100.0, report.daily_returns) for name, report in reports.items()}
    figure = risk_charts.accounts_chart(curves, f.separators, ".1f")
    title = t("compare.growth")
    st.markdown(f"**{title}**")
    plot(figure, "compared", title)


def _differences(reports: dict[str, BacktestReport]) -> None:
    """Set the first against each other one; what was tested on other sessions proves nothing."""
    st.header(t("compare.pairs"), anchor=False)
    bootstrap = GatePolicies(queries.engine()).current().evidence.bootstrap
    names = list(reports)
    for n, (a, b) in enumerate(product(names[:1], names[1:])):
        ours, others = reports[a].daily_returns, reports[b].daily_returns
        if list(ours) != list(others):
            plain(t("compare.other_sessions", a=a, b=b), "body", f"pair-{n}")
            continue
        returns = np.array(list(ours.values())), np.array(list(others.values()))
        interval = sharpe_difference_interval(*returns, bootstrap)
        sharpes = reports[a].metrics.sharpe_ratio, reports[b].metrics.sharpe_ratio
        if interval is None or sharpes[0] is None or sharpes[1] is None:
            plain(t("compare.undefined", a=a, b=b), "body", f"pair-{n}")
            continue
        low, high = (f.number(bound, signed=True) for bound in interval)
        difference = f.number(sharpes[0] - sharpes[1], signed=True)
        key = "compare.pair_alike" if interval[0] <= 0 <= interval[1] else "compare.pair_apart"
        plain(t(key, a=a, b=b, difference=difference, low=low, high=high), "body", f"pair-{n}")


t, f = translator(), formats()
show()
