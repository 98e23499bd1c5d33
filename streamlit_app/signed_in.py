"""Who uses a page, asked anew at every run of it: a person revoked since is told to sign in."""

from urllib.parse import urlencode

import streamlit as st
from starlette.datastructures import Headers

from dosvotos.errors import DosVotosError
from streamlit_app import queries
from streamlit_app.access import find_caller
from streamlit_app.identity import Caller
from streamlit_app.page import leading, now, plain, translator
from streamlit_app.problems import refusal_of, told


def caller() -> Caller:
    """Give whoever uses this page; where nobody has signed in, or nobody can tell, say so and stop."""
    t = translator()
    try:
        found = caller_if_any()
    except DosVotosError as error:  # the home is missing, or the log is not what was signed
        st.error(t(refusal_of(error).text))
        plain(told(error, t.language), "body", "caller")
        st.stop()
    if found is None:
        st.warning(t("app.signed_out"))
        st.link_button(t("desk.sign_in"), leading("/desk/sign-in"), type="primary")
        st.stop()
    return found


def caller_if_any() -> Caller | None:
    """Find whoever uses this page by the cookie it was opened with; the log decides whether that counts."""
    cookies = "; ".join(f"{name}={value}" for name, value in st.context.cookies.items())
    return find_caller(queries.engine(), Headers({"cookie": cookies}), now())


def may(action: str) -> bool:
    """Tell whether whoever uses this page may decide something."""
    found = caller_if_any()
    return found is not None and found.may(action)


def sign_link(action: str, about: str) -> str:
    """Give the address of the plain page on which a decision is signed."""
    return leading(f"/desk/sign?{urlencode({'action': action, 'about': about})}")
