"""Programs show who they work for with a bearer token."""

from datetime import datetime

from sqlalchemy import Engine
from starlette.datastructures import Headers

from dosvotos.audit.tokens import holder_of
from streamlit_app.identity import Caller
from streamlit_app.problems import RefusedError

_SCHEME = "bearer"


def token_caller(engine: Engine, headers: Headers, now: datetime) -> Caller | None:
    """Find whom the Authorization header's token stands for; None without that header.

    Raises
    ------
    RefusedError, CredentialError
        If there are several, it is of another scheme, or the token does not count.
    """
    sent = headers.getlist("authorization")
    if not sent:
        return None
    scheme, _, token = sent[0].partition(" ")
    if len(sent) > 1 or scheme.lower() != _SCHEME:
        raise RefusedError(401, "authorization")
    return Caller(*holder_of(engine, token.strip(), now), "token")
