"""What the pages share: language, formats, and the one way to show text that people or files wrote."""

from datetime import UTC, datetime
from typing import Any, Final, Literal

import plotly.graph_objects as go
import streamlit as st

from dosvotos.formats import Formats, Language
from dosvotos.market.calendar import BOGOTA
from dosvotos.promotion.reasons import FirstVote
from dosvotos.promotion.vote_rules import EarlierVote
from dosvotos.refusals import in_language
from dosvotos.reports.metrics import write_metrics
from streamlit_app import queries
from streamlit_app.addresses import LANGUAGE, THEME, keeping
from streamlit_app.i18n import Translator
from streamlit_app.problems import told

LANGUAGE_KEY, THEME_KEY = "language", "theme"
COLOURS: Final[dict[str, Literal["green", "orange", "red", "blue", "gray"]]] = {
    "PROMOTE": "green", "REVIEW": "orange", "REJECT": "red",
    "PASS": "green", "FAIL": "red", "NOT REACHED": "orange", "NOT APPLICABLE": "gray",
    "PENDING_APPROVAL": "blue", "MORE_TESTS_REQUESTED": "blue",
    "queued": "gray", "running": "blue", "done": "green", "failed": "red",
}  # fmt: skip
"""Of recommendations, verdicts, open proposals and extra backtests."""


def translator() -> Translator:
    """Give the texts in the language chosen in the sidebar."""
    return Translator(st.session_state[LANGUAGE_KEY])


def leading(path: str) -> str:
    """Write an address that keeps this page's language and, where one was chosen, its theme."""
    return keeping(path, {LANGUAGE: translator().language, THEME: st.session_state.get(THEME_KEY) or ""})


def formats() -> Formats:
    """Give the number formats of the language chosen in the sidebar."""
    return Formats(st.session_state[LANGUAGE_KEY])


def written(account: object, *keys: str) -> dict[str, str]:
    """Write metrics of an account in that language, by their labels; those it does not have are missing."""
    return write_metrics(account, keys, st.session_state[LANGUAGE_KEY])


def in_bogota(moment: datetime | None) -> str:
    """Write a moment as Bogota's date and time, to the minute."""
    return formats().moment(moment, BOGOTA)


def now() -> datetime:
    """Take the time, once a page view."""
    return datetime.now(UTC)


def plain(text: object, look: str = "body", key: object = "") -> None:
    """Show text as it is, never as Markdown or HTML: for whatever people, models, files or errors say.

    Parameters
    ----------
    text : object
    look : str
        ``title``, ``name``, ``small`` or ``body``; style.css gives each its size.
    key : object
        Tells apart texts of the same look on one page.
    """
    with st.container(key=f"plain-{look}-{key}"):
        st.text(_told(text))


def _told(text: object) -> str:
    """Write in the page's language what can be told in it: errors, and texts with a code behind them."""
    if isinstance(text, Exception):
        return told(text, st.session_state[LANGUAGE_KEY])
    return str(in_language(text, st.session_state[LANGUAGE_KEY]))


def plot(figure: go.Figure, key: str, title: str) -> None:
    """Show a chart; `title` is what a screen reader says of it."""
    st.plotly_chart(figure, config={"displayModeBar": False}, key=key, alt=title)


def empty(title: str, what_next: str) -> None:
    """Say that there is nothing yet and what to do about it; both are our own texts."""
    with st.container(border=True):
        st.markdown(f"**{title}**")
        st.markdown(what_next)


def numeric(*columns: str) -> dict[str, Any]:
    """Align columns of written figures to the right."""
    return dict.fromkeys(columns, st.column_config.TextColumn(alignment="right"))


def change_in_words(figure: Literal["sharpe", "drawdown"], improvement: float | None) -> str:
    """Say by how much a figure is better or worse than production's, in words instead of a sign."""
    t = translator()
    if improvement is None:
        return t(f"change.{figure}_unknown")
    share = formats().percent(abs(improvement), 0)
    if share == formats().percent(0, 0):
        return t(f"change.{figure}_same")
    return t(f"change.{figure}_{'up' if improvement > 0 else 'down'}", share=share)


def what_was_done(vote: queries.Record | EarlierVote) -> str:
    """Write a row of the audit log as decision, stage approved to and mark; to be shown as plain text."""
    t = translator()
    parts = [t.label("decision", vote.action)]
    if vote.action == "APPROVE":
        parts.append(t.label("stage", vote.new_stage))
    return " · ".join([*parts, "self_approved"] if vote.self_approved else parts)


def explained(proposal: queries.Record, language: Language) -> str:
    """Write what decided L4, from the codes in the row; the stored sentence where an older row has none."""
    return FirstVote.of(proposal).told(language)
