"""What the test window gave: curves, figures and criteria."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dosvotos.backtest.metrics import SpecifiedMetrics
from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.records import DatasetRecord, FeatureDrift
from dosvotos.errors import LineageError
from dosvotos.promotion.dossier import Dossier
from dosvotos.promotion.proposal import stored_criteria, stored_metrics
from dosvotos.promotion.refit import refit_of
from dosvotos.reports.criteria import CriterionRow, criteria_rows, criterion_label
from dosvotos.reports.evidence import linear_rival_text
from dosvotos.reports.metrics import RESULTS
from streamlit_app import charts, queries
from streamlit_app.page import COLOURS, change_in_words, formats, plain, plot, translator, written


class Reports(NamedTuple):
    """What the page shows of one proposal's dossier."""

    backtest: BacktestReport
    comparison: ComparisonReport
    drift: tuple[FeatureDrift, ...] | None
    """Of val from train; proposals made before dossiers, or before drift was judged, have none."""


def read_reports(proposal: queries.Record) -> Reports | None:
    """Read and verify a proposal's dossier; None of a refit. Raises as `Dossier.of` and `Dossier.read`."""
    dossier = Dossier.of(proposal)
    if refit_of(proposal) is not None:
        return None
    drift = None if dossier.dossier_hash is None else dossier.read(DatasetRecord).drift
    return Reports(dossier.read(BacktestReport), dossier.read(ComparisonReport), drift)


def drift_of(proposal: queries.Record, reports: Reports | None) -> tuple[FeatureDrift, ...] | None:
    """Give val's drift from train; a refit has it too, though no reports."""
    if reports is not None or refit_of(proposal) is None:
        return reports.drift if reports else None
    try:
        return Dossier.of(proposal).read(DatasetRecord).drift
    except LineageError:
        return None  # the page says so at its top


def show_curves(reports: Reports) -> None:
    """Show equity beside production's, and the drawdown."""
    t, f = translator(), formats()
    backtest, comparison = reports.backtest, reports.comparison
    names = (t("account.this_model"), t("account.production"))
    equity = charts.equity_chart(backtest.equity_curve, comparison.baseline_equity_curve, names, f.separators)
    draw("equity", equity)
    draw("drawdown", charts.drawdown_chart(backtest.drawdown_series, f.separators))


def show_distributions(backtest: BacktestReport) -> None:
    """Show what trades and months gained."""
    t, marks = translator(), formats().separators
    pnl = [trade.pnl for trade in backtest.trades]
    left, right = st.columns(2)
    with left:
        draw("trades", charts.trade_chart(pnl, t("chart.losses"), t("chart.gains"), marks))
    with right:
        draw("monthly", charts.monthly_chart(backtest.daily_returns, marks))


def draw(name: str, figure: go.Figure) -> None:
    """Show a figure under its title."""
    title = translator()(f"chart.{name}")
    st.markdown(f"**{title}**")
    plot(figure, f"chart-{name}", title)


def show_metrics(proposal: queries.Record, reports: Reports | None) -> None:
    """Show the figures beside those of every account they are measured against."""
    t = translator()
    st.header(t("review.metrics"), anchor=False)
    if (metrics := stored_metrics(proposal)) is None:
        st.caption(t("review.untested"))
        return
    if reports is None:
        _accounts({"this_model": metrics})
        return
    backtest, comparison = reports.backtest, reports.comparison
    _window(backtest)
    _accounts(
        {
            "this_model": backtest.metrics,
            **_other_financing(backtest),
            "production": comparison.baseline_metrics,
            "linear_rival": backtest.linear_rival.metrics if backtest.linear_rival else None,
            "always_long": backtest.naive.always_long,
            "always_short": backtest.naive.always_short,
        }
    )
    if backtest.metrics.ruined:
        st.error(t("review.ruined"))
    sentences = _against_production(comparison) + _against_linear(backtest) + _against_chance(backtest)
    if backtest.financing_note:
        sentences.append(t("review.financing"))
    plain("\n".join(f"• {sentence}" for sentence in sentences), "body", "comparison")


def _window(backtest: BacktestReport) -> None:
    """Show the window and whether the model had seen it; one it had seen proves nothing."""
    t = translator()
    seen = backtest.sample == "IN-SAMPLE"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(t(f"sample.{backtest.sample}"), color="red" if seen else "gray")
        first, last = backtest.test_period.split(" to ")
        plain(t("review.period", first=first, last=last), "small", "period")
    if seen:
        st.error(t("review.in_sample"))


def _accounts(accounts: Mapping[str, SpecifiedMetrics | None]) -> None:
    """Show the figures of accounts side by side, a column each."""
    t = translator()
    keys = [metric.key for metric in RESULTS]
    columns = {t(f"account.{name}"): written(metrics, *keys) for name, metrics in accounts.items() if metrics}
    st.table(pd.DataFrame(columns), border="horizontal")


def _other_financing(backtest: BacktestReport) -> dict[str, SpecifiedMetrics | None]:
    """Give the result with financing beside the one without, whichever of the two was voted on."""
    if backtest.metrics == backtest.metrics_with_financing:
        return {"without_financing": backtest.metrics_without_financing}
    return {"with_financing": backtest.metrics_with_financing}


def _against_production(comparison: ComparisonReport) -> list[str]:
    t, f = translator(), formats()
    if comparison.status != "compared":
        return [t(f"comparison.{comparison.status}")]
    sharpe = change_in_words("sharpe", comparison.sharpe_improvement)
    drawdown = change_in_words("drawdown", comparison.drawdown_improvement)
    sentences = [t("comparison.compared", sharpe=sharpe, drawdown=drawdown)]
    if comparison.interval_90:
        low, high = (f.number(bound) for bound in comparison.interval_90)
        difference = f.number(comparison.sharpe_difference)
        sentences.append(t("comparison.interval", difference=difference, low=low, high=high))
    return sentences


def _against_linear(backtest: BacktestReport) -> list[str]:
    """Say what the linear rival made of the same bars; nothing where the model has none."""
    t = translator()
    if (rival := backtest.linear_rival) is None:
        return []
    return [t("comparison.linear_rival", difference=linear_rival_text(rival.difference, t.language))]


def _against_chance(backtest: BacktestReport) -> list[str]:
    t, f = translator(), formats()
    sentences = []
    if backtest.naive.random_sharpe_p95 is not None:
        sentences.append(t("review.random", sharpe=f.number(backtest.naive.random_sharpe_p95)))
    if backtest.oracle_sharpe is not None:
        sentences.append(t("review.oracle", sharpe=f.number(backtest.oracle_sharpe)))
    return sentences


def show_criteria(proposal: queries.Record) -> None:
    """Show each criterion with its verdict, what was found and what is needed."""
    t = translator()
    st.header(t("review.criteria"), anchor=False)
    with st.container(border=True, key="criteria", gap="xsmall"):
        for index, row in enumerate(_criteria_rows(proposal)):
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
                if row.verdict:
                    st.badge(t(f"criterion.{row.verdict}"), color=COLOURS[row.verdict])
                plain(row.label, "body", f"criterion-{index}")
                plain(row.text, "small", f"result-{index}")


def _criteria_rows(proposal: queries.Record) -> list[CriterionRow]:
    """Write the criteria; an older proposal's texts as they are stored, without a verdict."""
    t = translator()
    if (criteria := stored_criteria(proposal)) is not None:
        return criteria_rows(criteria, t.language)
    texts = proposal.criteria_results.items()
    return [CriterionRow(name, criterion_label(name, t.language), "", str(text)) for name, text in texts]
