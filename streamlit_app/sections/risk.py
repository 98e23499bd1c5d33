"""The risk of a proposal's model: its trades on the price, its falls, its months, sides and hours."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from dosvotos.backtest.metrics import drawdowns
from dosvotos.backtest.report import BacktestReport, Trade
from dosvotos.backtest.risk import (
    ROLLING_SESSIONS,
    Part,
    by_hour,
    by_side,
    positions,
    rolling_risk,
    session_equity,
    tail_risk,
    worst_drawdowns,
)
from dosvotos.promotion.market_beside import MarketBeside, market_beside
from dosvotos.reports.metrics import METRICS
from streamlit_app import charts, queries, risk_charts
from streamlit_app.page import formats, in_bogota, plain, translator
from streamlit_app.sections.result import Reports, draw


def show_risk(proposal: queries.Record, reports: Reports) -> None:
    """Show everything a risk officer asks of a backtest; nothing here is part of the vote."""
    t = translator()
    backtest = reports.backtest
    if not backtest.equity_curve:
        st.info(t("risk.nothing"))
        return
    market = _market(proposal.id, proposal.dossier_hash or "", backtest)
    _price(market.close, backtest.trades)
    _accounts(_curves(reports, market))
    _tail(backtest)
    _drawdowns(backtest)
    _rolling(backtest)
    draw(
        "heatmap",
        risk_charts.month_heatmap(
            charts.monthly_returns(backtest.daily_returns), formats().months(), formats().separators
        ),
    )
    _parts(backtest)
    _trades(proposal, backtest.trades)


@st.cache_data(max_entries=8, show_spinner=False)
def _market(proposal_id: int, dossier_hash: str, _backtest: BacktestReport) -> MarketBeside:
    """Read the market once a dossier."""
    return market_beside(queries.engine(), proposal_id, _backtest)


def _price(close: pd.Series, trades: Sequence[Trade]) -> None:
    t = translator()
    names = (t("risk.price"), t("risk.long"), t("risk.short"), t("risk.exit"))
    draw("price", risk_charts.price_chart(close, trades, names, formats().separators))


def _curves(reports: Reports, market: MarketBeside) -> dict[str, dict[str, float]]:
    """Give the equity at session ends of this model and of all it is measured against."""
    t, backtest = translator(), reports.backtest
    start = backtest.equity_curve[0][1]
    curves = {t("account.this_model"): session_equity(start, backtest.daily_returns)}
    if beside := reports.comparison.baseline_equity_curve:
        curves[t("account.production")] = _ends(beside)
    if rival := backtest.linear_rival:
        curves[t("account.linear_rival")] = session_equity(start, rival.daily_returns)
    curves[t("account.always_long")] = _ends(market.always_long)
    curves[t("account.always_short")] = _ends(market.always_short)
    return curves


def _ends(curve: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Give a curve's value at the end of each Bogota session."""
    times = pd.to_datetime([time for time, _ in curve], utc=True)
    by_day = pd.Series([value for _, value in curve], index=charts.bogota_days(times))
    return dict(by_day.groupby(level=0).last())


def _accounts(curves: Mapping[str, Mapping[str, float]]) -> None:
    marks = formats().separators
    draw("accounts", risk_charts.accounts_chart(curves, marks, ",.0f"))
    falls = {name: _falls(curve) for name, curve in curves.items()}
    draw("falls", risk_charts.accounts_chart(falls, marks, ".1%"))
    st.caption(translator()("risk.naive_hint"))


def _falls(curve: Mapping[str, float]) -> dict[str, float]:
    values = np.array(list(curve.values()), dtype=float)
    return dict(zip(curve, -drawdowns(values), strict=True))


def _tail(backtest: BacktestReport) -> None:
    t, f = translator(), formats()
    tail = tail_risk(list(backtest.daily_returns.values()))
    columns = st.columns(3)
    for column, name in zip(columns, ("value_at_risk", "expected_shortfall"), strict=False):
        column.metric(t(f"risk.{name}"), f.percent(getattr(tail, name), 2), help=t(f"risk.{name}_help"))
    exposure = METRICS["exposure"]
    columns[2].metric(exposure.label(t.language), exposure.write(backtest.metrics.exposure, t.language))


def _drawdowns(backtest: BacktestReport) -> None:
    t, f = translator(), formats()
    st.header(t("risk.drawdowns"), anchor=False)
    rows = [
        {
            t("risk.depth"): f.percent(fall.depth),
            t("risk.peak"): in_bogota(fall.peak),
            t("risk.trough"): in_bogota(fall.trough),
            t("risk.recovered"): in_bogota(fall.recovered) if fall.recovered else t("risk.not_recovered"),
            t("risk.days"): f.number(fall.days, 0),
        }
        for fall in worst_drawdowns(backtest.equity_curve)
    ]
    if rows:
        st.table(pd.DataFrame(rows, index=pd.Index(range(1, len(rows) + 1))), border="horizontal")
    else:
        st.caption(t("risk.no_drawdown"))


def _rolling(backtest: BacktestReport) -> None:
    t, marks = translator(), formats().separators
    rolling = rolling_risk(backtest.daily_returns)
    if rolling["volatility"].notna().sum() < 2:
        st.caption(t("risk.too_short", sessions=ROLLING_SESSIONS))
        return
    st.header(t("risk.rolling", sessions=ROLLING_SESSIONS), anchor=False)
    for column, name, form in zip(st.columns(2), ("sharpe_ratio", "volatility"), (".2f", ".1%"), strict=True):
        values = rolling[name].dropna()
        with column:
            by_day = dict(zip(values.index.astype(str), values.tolist(), strict=True))
            drawn = risk_charts.accounts_chart({t(f"chart.{name}"): by_day}, marks, form)
            draw(name, drawn.update_layout(showlegend=False))


def _parts(backtest: BacktestReport) -> None:
    """Show long against short and the hours of the day, each with how long a position was held."""
    t, f = translator(), formats()
    st.header(t("risk.parts"), anchor=False)
    times = pd.DatetimeIndex(pd.to_datetime([time for time, _ in backtest.equity_curve], utc=True))
    held = pd.Series(positions(backtest.trades, times), index=charts.bogota_hours(times))
    sides = {
        t(f"risk.{name}"): (part, float((held == side).mean()))
        for (side, part), name in zip(by_side(backtest.trades).items(), ("long", "short"), strict=True)
    }
    hours = {
        f"{hour:02}:00": (part, float((held[held.index == hour] != 0).mean()))
        for hour, part in by_hour(backtest.trades).items()
    }
    rows = {name: _part(part, share) for name, (part, share) in {**sides, **hours}.items()}
    if rows:
        st.table(pd.DataFrame.from_dict(rows, orient="index"), border="horizontal")
    plain(t("risk.hours_hint", hours=f.number(len(hours), 0)), "small", "hours")


def _part(part: Part, share: float) -> dict[str, str]:
    t, f = translator(), formats()
    return {
        METRICS["total_trades"].label(t.language): f.number(part.trades, 0),
        t("risk.pnl"): f.number(part.pnl, 0, signed=True),
        METRICS["win_rate"].label(t.language): f.percent(part.win_rate),
        METRICS["avg_trade_pnl"].label(t.language): f.number(part.average_pnl, 2, signed=True),
        METRICS["exposure"].label(t.language): f.percent(share),
    }


def _trades(proposal: queries.Record, trades: Sequence[Trade]) -> None:
    """Show every trade as a table, and offer it as a file with all its digits."""
    t = translator()
    st.header(t("risk.trades"), anchor=False)
    table = pd.DataFrame([trade.model_dump() for trade in trades], columns=list(Trade.model_fields))
    st.download_button(
        t("risk.export"),
        table.to_csv(index=False),
        file_name=f"trades_{proposal.experiment_name}_{proposal.id}.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
    )
    table = table.rename(columns={name: t(f"trade.{name}") for name in table})
    st.dataframe(table, hide_index=True, height=320, key="trades")
