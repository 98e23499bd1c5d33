"""The people of the log: who may decide what, whose passkeys wait, invitations; for admins."""

from typing import get_args

import streamlit as st

from dosvotos.audit.current_trust import current_trust
from dosvotos.audit.enrolment import Enrolment, invite, open_invitations, waiting_enrolments
from dosvotos.audit.people import Person, Role
from dosvotos.database.connection import reading
from dosvotos.errors import DosVotosError
from dosvotos.signing.passkeys import Passkey
from streamlit_app import queries
from streamlit_app.page import in_bogota, now, plain, translator
from streamlit_app.problems import told
from streamlit_app.signed_in import caller, may, sign_link

_ANSWER = "people-answer"


def show() -> None:
    """Show everybody, and to an admin what changes that."""
    st.title(t("people.title"), anchor=False)
    st.markdown(t("people.intro"))
    with reading(queries.engine()) as connection:
        trust = current_trust(connection)
        waiting = waiting_enrolments(connection, trust)
        invited = open_invitations(connection, now())
    is_admin = may("ADD_REVIEWER")
    for name in dict.fromkeys(person.name for person in trust.people):
        _person([person for person in trust.people if person.name == name], is_admin)
    if not is_admin:
        return
    if waiting:
        st.header(t("people.waiting"), anchor=False)
        st.markdown(t("people.waiting_next"))
    for one in waiting:
        _enrolment(one)
    if invited:
        st.header(t("people.invited"), anchor=False)
    for row in invited:
        plain(
            t(
                "people.invitation",
                name=row.name,
                role=t.label("role", row.role),
                until=in_bogota(row.expires_at),
            ),
            "small",
            f"invited-{row.id}",
        )
    _invite()


def _person(keys: list[Person], is_admin: bool) -> None:
    """Show somebody with every key they have or had."""
    name, role = keys[-1].name, keys[-1].role
    counts = [person for person in keys if person.revoked_in is None]
    with st.container(border=True, key=f"person-{name}"):
        plain(f"{name} · {t.label('role', role)}", "name", f"person-{name}")
        for person in keys:
            kind = t("people.passkey" if isinstance(person.key, Passkey) else "people.ssh_key")
            since = t("people.since", since=in_bogota(person.since))
            if person.until:
                since = t("people.from_to", since=in_bogota(person.since), until=in_bogota(person.until))
            plain(f"{kind} {person.key.fingerprint}\n{since}", "small", f"key-{name}-{person.added_in}")
        if not counts:
            st.badge(t("people.revoked"), color="gray")
        elif is_admin:
            st.link_button(t("people.revoke"), sign_link("REVOKE_REVIEWER", name))


def _enrolment(one: Enrolment) -> None:
    with st.container(border=True, key=f"waiting-{one.name}"):
        plain(f"{one.name} · {t.label('role', one.role)}", "name", f"waiting-{one.name}")
        made = t("people.made", made=in_bogota(one.made_at), invited_by=one.invited_by)
        plain(f"{one.key.fingerprint}\n{made}", "small", f"waiting-{one.name}")
        st.link_button(t("people.confirm"), sign_link("ADD_REVIEWER", one.name), type="primary")


def _invite() -> None:
    st.header(t("people.invite"), anchor=False)
    if answer := st.session_state.pop(_ANSWER, None):
        link, refusal = answer
        if refusal:
            st.error(t("people.not_invited"))
            plain(refusal, "body", "invite")
        else:
            st.success(t("people.link"))
            st.code(link, language=None)
    with st.form("invite", border=True):
        st.text_input(t("people.name"), key="invite-name", max_chars=64)
        st.selectbox(
            t("people.role"), get_args(Role), format_func=lambda role: t(f"role.{role}"), key="invite-role"
        )
        st.form_submit_button(t("people.invite_button"), on_click=_make_invitation)


def _make_invitation() -> None:
    """Make the link, which is shown this once."""
    name, role = st.session_state["invite-name"].strip(), st.session_state["invite-role"]
    try:
        link, refusal = invite(queries.engine(), name, role, caller().name, now()), ""
    except DosVotosError as error:
        link, refusal = "", told(error, t.language)
    st.session_state[_ANSWER] = (link, refusal)


t = translator()
show()
