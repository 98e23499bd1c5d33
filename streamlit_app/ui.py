"""The Streamlit script: the frame around every page."""

from pathlib import Path

import streamlit as st
from pydantic import ValidationError

from dosvotos.errors import DatabaseError, DosVotosError
from dosvotos.formats import Language
from streamlit_app import queries
from streamlit_app.addresses import LANGUAGE, THEME, THEMES
from streamlit_app.i18n import LANGUAGES, Translator
from streamlit_app.identity import Caller
from streamlit_app.page import LANGUAGE_KEY, THEME_KEY, leading, now, plain, translator
from streamlit_app.problems import refusal_of, told
from streamlit_app.signed_in import caller, caller_if_any
from streamlit_app.widgets import widget_words

_HERE = Path(__file__).parent
_SWITCH, _CHOSEN, _THEME_SWITCH, _RELOAD = (
    "language-switch",
    "language-chosen",
    "theme-switch",
    "theme-reload",
)
_OPEN_ANEW = """
  const address = new URL(location.href), theme = "%s";
  address.searchParams.delete("embed_options");
  if (theme) address.searchParams.set("theme", theme); else address.searchParams.delete("theme");
  location.replace(address);
"""
"""Streamlit's page takes another theme only when it is opened."""
_REACH_TABLES = """
  window.reachTables ??= new MutationObserver(() => {
    for (const part of document.querySelectorAll('[data-testid="stTable"], [data-testid="stTable"] div')) {
      if (part.scrollWidth > part.clientWidth + 1) part.tabIndex = 0; else part.removeAttribute("tabindex");
    }
  });
  window.reachTables.observe(document.body, {childList: true, subtree: true});
"""
"""A table that scrolls sideways on a phone can be reached and scrolled by keyboard."""
_SECONDS = 15
"""Between two looks at how many proposals are open."""


def _choose_language() -> Translator:
    """Take the address's language, then the one chosen before, then the browser's; keep a choice in both."""
    if (stated := st.query_params.get(LANGUAGE)) in LANGUAGES:
        st.session_state[LANGUAGE_KEY], st.session_state[_CHOSEN] = stated, True
    elif LANGUAGE_KEY not in st.session_state:
        browser = (st.context.locale or "").partition("-")[0]
        st.session_state[LANGUAGE_KEY] = browser if browser in LANGUAGES else "en"
    elif st.session_state.get(_CHOSEN):
        st.query_params[LANGUAGE] = st.session_state[LANGUAGE_KEY]
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
    """Keep the language apart from its switch, which has no value for a moment when pages change fast."""
    if chosen := st.session_state[_SWITCH]:
        st.session_state[LANGUAGE_KEY], st.session_state[_CHOSEN] = chosen, True
        st.query_params[LANGUAGE] = chosen


def _choose_theme() -> None:
    """Take the address's theme and keep it in the address of the pages after it; none is the system's."""
    if (stated := st.query_params.get(THEME)) in THEMES:
        st.session_state[THEME_KEY] = stated
    elif chosen := st.session_state.get(THEME_KEY):
        st.query_params[THEME] = chosen
    if st.session_state.pop(_RELOAD, False):
        st.html(f"<script>{_OPEN_ANEW % st.session_state[THEME_KEY]}</script>", unsafe_allow_javascript=True)


def _offer_theme(t: Translator) -> None:
    """Offer another theme below the page, where its switch is no step on the way to the vote."""
    st.segmented_control(
        t("app.theme"),
        ["", *THEMES],
        default=st.session_state.get(THEME_KEY) or "",
        format_func=lambda name: t(f"theme.{name or 'system'}"),
        key=_THEME_SWITCH,
        required=True,
        on_change=_switch_theme,
    )


def _switch_theme() -> None:
    """State the theme in the address and open it anew: a page that is drawn already keeps its theme."""
    chosen = st.session_state[_THEME_SWITCH]
    if chosen is None:
        return
    st.session_state[THEME_KEY], st.session_state[_RELOAD] = chosen, True
    if chosen:
        st.query_params[THEME] = chosen
    elif THEME in st.query_params:
        del st.query_params[THEME]


def _count_open(t: Translator) -> int:
    try:
        return queries.count_open(queries.proposals(), now())
    except DatabaseError as error:
        st.error(t("app.database_unavailable"))
        plain(told(error, t.language))
        st.markdown(t("app.database_next"))
        st.stop()


@st.fragment(run_every=_SECONDS)
def _watch(shown: int) -> None:
    """Draw the page anew once the number of open proposals is another than the badge shows.

    Whoever was signed out or revoked meanwhile is told so.
    """
    if caller_if_any() is None or queries.count_open(queries.proposals(), now()) != shown:
        st.rerun()


def _name_the_page(title: str, waiting: int, language: Language) -> None:
    """Set the browser tab's title, with the count in front, and the document's language."""
    count = f"({waiting}) " if waiting else ""
    st.set_page_config(page_title=f"{count}{title} · Dos Votos")
    script = f"document.documentElement.lang = '{language}'; {_REACH_TABLES} {{ {widget_words(language)} }}"
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def _say_who(t: Translator, user: Caller) -> None:
    """Say who uses the page: in single-user mode loudly that nobody is asked, else where to sign out."""
    if user.role is None:
        plain(t("app.banner", user=user.name), "small", "banner")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        plain(t("app.signed_in", user=user.name, role=t(f"role.{user.role}")), "small", "banner")
        st.link_button(t("desk.sign_out"), leading("/desk/sign-out"), type="tertiary")


def _pages(t: Translator, waiting: int, user: Caller) -> list[st.Page]:
    proposals = t("nav.proposals_pending", count=waiting) if waiting else t("nav.proposals")
    pages = [
        st.Page("views/proposals.py", title=proposals, icon=":material/how_to_vote:", default=True),
        st.Page("views/review.py", title=t("nav.review"), icon=":material/fact_check:"),
        st.Page("views/compare.py", title=t("nav.compare"), icon=":material/compare_arrows:"),
        st.Page("views/production.py", title=t("nav.production"), icon=":material/monitoring:"),
        st.Page("views/data.py", title=t("nav.data"), icon=":material/database:"),
        st.Page("views/models.py", title=t("nav.models"), icon=":material/deployed_code:"),
        st.Page("views/signals.py", title=t("nav.signals"), icon=":material/show_chart:"),
        st.Page("views/audit.py", title=t("nav.audit"), icon=":material/history:"),
    ]
    if user.role == "admin":
        pages.append(st.Page("views/people.py", title=t("nav.people"), icon=":material/group:"))
    return pages


st.set_page_config(page_title="Dos Votos", page_icon=str(_HERE / "icon.svg"), layout="wide")
st.html(_HERE / "style.css")
texts = _choose_language()
_choose_theme()
open_proposals = _count_open(texts)
user = caller()
with st.container(key="banner" if user.role is None else "signed-in"):
    _say_who(texts, user)
page = st.navigation(_pages(texts, open_proposals, user))
_name_the_page(page.title.partition(" (")[0], open_proposals, texts.language)
with st.sidebar:
    _watch(open_proposals)
try:
    page.run()
except (DosVotosError, ValidationError) as error:  # what a page does not tell at its own place
    st.error(texts(refusal_of(error).text))
    plain(told(error, texts.language))
_offer_theme(texts)
