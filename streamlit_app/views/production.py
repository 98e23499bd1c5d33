"""What is in production: the model, what it does now, what was voted on, and the ways out."""

from collections import Counter
from datetime import datetime

import numpy as np
import pandas as pd
import streamlit as st

from dosvotos.backtest.metrics import SpecifiedMetrics
from dosvotos.contracts.live_limits import CLAIM_LEVEL
from dosvotos.errors import DosVotosError
from dosvotos.live.controls import Control
from dosvotos.live.performance import LivePerformance
from dosvotos.live.reasons import Reason
from dosvotos.market.calendar import BAR
from dosvotos.refusals import in_language
from streamlit_app import charts, queries, risk_charts
from streamlit_app.page import empty, formats, in_bogota, now, numeric, plain, plot, translator, written
from streamlit_app.production import show_retracted, show_signals
from streamlit_app.sections.drift import show_live_drift
from streamlit_app.signed_in import caller, sign_link
from streamlit_app.verdict import FIGURES, market_badge

_N_BARS = 600
_SECONDS = 30


def show() -> None:
    """Show each instrument's production model, refreshed by itself."""
    caller()  # by itself this part goes on in a tab whose person was revoked
    rows = [row for row in queries.models() if row.stage in ("production", "shadow")]
    serving = [row for row in rows if row.stage == "production"]
    if not serving:
        empty(t("production.empty"), t("production.empty_next"))
    for model in serving:
        _model(model)
        signals = queries.signals(_N_BARS, model.instrument)
        _live(signals, model)
        _drift(model, _loop_time(signals))
        _fills(model)
        _shadow([row for row in rows if row.stage == "shadow" and row.instrument == model.instrument], model)
    show_retracted()
    st.caption(t("production.ways_out"))


def _model(model: queries.Record) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            market_badge(model.instrument)
            plain(f"{model.instrument} · {model.model_id}", "name", model.id)
        since = t("production.since", since=in_bogota(model.promoted_at), trained_by=model.trained_by)
        plain(since, "small", model.id)
        control = queries.control(model.instrument)
        if control.state != "ACTIVE":
            st.error(t("production.halted" if control.state == "HALTED" else "production.reducing"))
            _why_held(control, model.id)
        else:
            st.badge(t("production.active"), color="green")
        _acts(model.instrument, control.state)
        if model.metrics:
            st.caption(t("production.claimed"))
            figures = written(SpecifiedMetrics.model_validate(model.metrics), *FIGURES)
            for column, (label, figure) in zip(st.columns(len(figures)), figures.items(), strict=True):
                column.metric(label, figure)


def _why_held(control: Control, key: object) -> None:
    """Show what holds signals back and what ends it; of a limit what it means, too."""
    if control.code != Reason.HALTED:
        plain(t.label("reason", control.code), "small", f"limit-{key}")
    plain(in_language(control.reason, t.language), "small", f"halted-{key}")


def _acts(instrument: str, state: str) -> None:
    """Lead whoever of a team may stop, resume or roll back to where they sign it."""
    user = caller()
    actions = ("ROLLBACK", "HALT" if state != "HALTED" else "RESUME")
    offered = [action for action in actions if user.role is not None and user.may(action)]
    with st.container(horizontal=True, key=f"acts-{instrument}"):
        for action in offered:
            st.link_button(t(f"sign.{action}"), sign_link(action, instrument))


def _live(signals: list[queries.Record], model: queries.Record) -> None:
    """Show what the loop wrote of late, newest first in `signals`."""
    if not signals:
        empty(t("signals.empty"), t("signals.empty_next"))
        return
    st.header(t("production.live", count=f.number(len(signals), 0)), anchor=False)
    latency = np.array([row.inference_latency_ms for row in signals], dtype=float)
    missing = sum(row.status == "NO_SIGNAL" for row in signals)
    figures = {
        "signals": f.number(len(signals) - missing, 0),
        "missing": f.number(missing, 0),
        "latency": f.number(float(np.median(latency)), 1),
        "latency_tail": f.number(float(np.quantile(latency, 0.99)), 1),
        "last": in_bogota(signals[0].timestamp),
    }
    for column, (name, figure) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(t(f"production.{name}"), figure)
    if missing:
        reasons = Counter(row.reason_code for row in signals if row.status == "NO_SIGNAL").most_common()
        named = "; ".join(f"{code} ({f.number(n, 0)}): {t.label('reason', code)}" for code, n in reasons)
        plain(t("production.reasons", reasons=named), "small", f"reasons-{model.id}")
    _on_price(signals[::-1], model)
    show_signals(signals, f"live-{model.id}")
    if (performance := queries.live_performance(model.instrument)) is not None and performance.sessions:
        st.header(t("production.earned"), anchor=False)
        _judged(performance, "claim", model.id)


def _judged(performance: LivePerformance, against: str, key: object) -> None:
    """Show a model's sessions so far, and what they prove when they are looked at every day."""
    verdict = performance.verdict
    figures = {"sessions": f.number(performance.sessions, 0), "sharpe": f.number(performance.sharpe, 2)}
    if verdict is not None:
        figures |= {"e_value": f.number(verdict.e_value, 2), "needed": f.number(verdict.sessions_needed, 0)}
    for column, (name, figure) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(t(f"production.{name}"), figure, help=t(f"production.{name}_help"))
    side = "nothing" if verdict is None or verdict.side is None else verdict.side
    rate = f.percent(CLAIM_LEVEL if verdict is None else verdict.level, 0)
    plain(t(f"production.{against}_{side}", rate=rate), "small", f"judged-{against}-{key}")


def _on_price(signals: list[queries.Record], model: queries.Record) -> None:
    """Draw where the target turned on the price, oldest first in `signals`."""
    targets = pd.Series(
        [row.signal for row in signals],
        index=pd.DatetimeIndex([row.timestamp for row in signals]),
        dtype=float,
    )
    price = queries.closes(model, pd.DatetimeIndex(targets.index), _loop_time(signals[::-1]))
    if price.empty:
        st.caption(t("production.no_price"))
        return
    names = t("risk.price"), t("risk.long"), t("risk.short"), t("production.flat")
    figure = risk_charts.target_chart(price, targets, names, f.separators)
    plot(figure, f"on-price-{model.id}", t("production.on_price"))
    st.caption(t("production.on_price"))


def _loop_time(signals: list[queries.Record]) -> datetime:
    """Take the time; where a sample market's clock ran ahead (``live --speed``), its newest signal's."""
    newest: list[datetime] = [row.timestamp + 2 * BAR for row in signals[:1]]
    return max([now(), *newest])


def _drift(model: queries.Record, moment: datetime) -> None:
    """Show whether live has left what the model was trained on, or why nobody can tell."""
    try:
        found = queries.drift(model.instrument, moment)
    except DosVotosError as error:
        st.header(t("drift.live"), anchor=False)
        st.caption(t("drift.not_judged"))
        plain(error, "small", f"drift-{model.id}")
        return
    if found is not None:
        show_live_drift(found)


def _fills(model: queries.Record) -> None:
    """Show what the desk traded beside what the model assumed."""
    st.header(t("fills.title"), anchor=False)
    if (report := queries.fills(model.instrument)) is None:
        st.caption(t("fills.none"))
        return
    figures = {
        "count": f.number(len(report.fills), 0),
        "held": f.number(report.last_held, 0),
        "book": f.number(report.last_book, 0),
        "difference": f.number(report.difference, 0, signed=True),
        "slippage": f.number(report.slippage_bps, 2, signed=True),
        "cost": f.number(report.slippage_cop, 0, signed=True),
    }
    table = {t("fills.what"): [t(f"fills.{name}") for name in figures], t("fills.amount"): figures.values()}
    st.dataframe(
        pd.DataFrame(table), hide_index=True, width="content", column_config=numeric(t("fills.amount"))
    )
    names = t("fills.held"), t("fills.book")
    figure = charts.position_chart(report.held, report.book, names, f.separators)
    plot(figure, f"fills-{model.id}", t("fills.title"))
    st.caption(t("fills.hint"))


def _shadow(rows: list[queries.Record], model: queries.Record) -> None:
    st.header(t("production.shadow"), anchor=False)
    if not rows:
        st.caption(t("production.no_shadow"))
    judged = queries.shadow_performance(model.instrument) if rows else {}
    for row in rows:
        plain(row.model_id, "body", f"shadow-{model.id}-{row.id}")
        if row.model_id in judged:
            _judged(judged[row.model_id], "shadow", row.id)
            if why := judged[row.model_id].lapsed:
                st.warning(t("production.shadow_lapsed"))
                plain(why.told(t.language), "small", f"lapsed-{row.id}")


t, f = translator(), formats()
st.title(t("production.title"), anchor=False)
st.fragment(show, run_every=_SECONDS)()
