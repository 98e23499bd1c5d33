"""The Streamlit script: the frame around every page."""

from pathlib import Path

import streamlit as st
from pydantic import ValidationError

from dosvotos.errors import DatabaseError, DosVotosError
from dosvotos.users import current_user
from streamlit_app import queries
from streamlit_app.i18n import LANGUAGES, Translator
from streamlit_app.page import LANGUAGE_KEY, now, plain, translator
from streamlit_app.problems import refusal_of, told

_HERE = Path(__file__).parent
_SWITCH = "language-switch"


def _choose_language() -> Translator:
    """Keep the language apart from its switch, which has no value for a moment when pages change fast."""
    if LANGUAGE_KEY not in st.session_state:
        browser = (st.context.locale or "").partition("-")[0]
        st.session_state[LANGUAGE_KEY] = browser if browser in LANGUAGES else "en"
    t = translator()
    with st.sidebar:
        st.segmented_control(
            t("app.language"),
            list(LANGUAGES),
            default=t.language,
            format_func=LANGUAGES.__getitem__,
            key=_SWITCH,
            required=True,
            on_change=_switch_language,
        )
        st.caption(t("app.times"))
    return t


def _switch_language() -> None:
    if chosen := st.session_state[_SWITCH]:
        st.session_state[LANGUAGE_KEY] = chosen


def _count_open(t: Translator) -> int:
    try:
        return queries.count_open(queries.proposals(), now())
    except DatabaseError as error:
        st.error(t("app.database_unavailable"))
        plain(told(error))
        st.markdown(t("app.database_next"))
        st.stop()


def _pages(t: Translator, waiting: int) -> list[st.Page]:
    proposals = t("nav.proposals_pending", count=waiting) if waiting else t("nav.proposals")
    return [
        st.Page("views/proposals.py", title=proposals, icon=":material/how_to_vote:", default=True),
        st.Page("views/review.py", title=t("nav.review"), icon=":material/fact_check:"),
        st.Page("views/models.py", title=t("nav.models"), icon=":material/deployed_code:"),
        st.Page("views/signals.py", title=t("nav.signals"), icon=":material/show_chart:"),
        st.Page("views/audit.py", title=t("nav.audit"), icon=":material/history:"),
    ]


st.set_page_config(page_title="Dos Votos", page_icon=str(_HERE / "icon.svg"), layout="wide")
st.html(_HERE / "style.css")
texts = _choose_language()
with st.container(key="banner"):
    plain(texts("app.banner", user=current_user()), "small", "banner")
try:
    st.navigation(_pages(texts, _count_open(texts))).run()
except (DosVotosError, ValidationError) as error:  # what a page does not tell at its own place
    st.error(texts(refusal_of(error).text))
    plain(told(error))
