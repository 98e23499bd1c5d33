"""The ASGI app: Streamlit's pages and the REST API behind one set of checks."""

import os
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route

from dosvotos.signing.relying_party import relying_party
from dosvotos.users import current_user
from streamlit_app import queries
from streamlit_app.access import PAGES, Gate
from streamlit_app.addresses import ThemeOfAddress, keeping
from streamlit_app.api import create_api
from streamlit_app.desk.pages import DESK_PATH, create_desk
from streamlit_app.security import API_PATH, SINGLE_USER_VARIABLE, refuse_unsafe_settings

_UI = Path(__file__).parent / "ui.py"


def create_app() -> st.App:
    """Put pages, REST and checks together.

    Raises
    ------
    UnsafeStartError
        If the mode or Streamlit's settings would open the app to others.
    """
    app = st.App(
        _UI,
        routes=[
            Mount(API_PATH, app=create_api()),
            Mount(DESK_PATH, app=create_desk()),
            Route(API_PATH, RedirectResponse(f"{API_PATH}/docs"), methods=["GET"]),
            Route("/experiments", _to_proposals, methods=["GET"]),
            Route("/experiments/pending", _to_proposals, methods=["GET"]),
            Route("/experiments/compare", _to_compare, methods=["GET"]),
            Route("/experiments/{id:int}", _to_review, methods=["GET"]),
            Route("/experiments/{id:int}/{part}", _to_review, methods=["GET"]),
        ],
        middleware=[
            Middleware(Gate),
            Middleware(ThemeOfAddress, pages=PAGES),
            Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=6),
        ],
    )
    is_single_user = os.environ.get(SINGLE_USER_VARIABLE) == "1"
    refuse_unsafe_settings(has_people=not is_single_user and queries.has_people())
    relying_party()
    current_user()
    return app


_PARTS = {
    "approve": "&action=approve",
    "reject": "&action=reject",
    "backtest": "&action=more_tests",
    "lineage": "&section=lineage",
}
"""Of the specification's addresses below a proposal, those that open something on its page."""


async def _to_proposals(request: Request) -> RedirectResponse:
    return RedirectResponse(keeping("/", request.query_params))


async def _to_compare(request: Request) -> RedirectResponse:
    return RedirectResponse(keeping("/compare", request.query_params))


async def _to_review(request: Request) -> RedirectResponse:
    """Streamlit serves no nested addresses, so the documented ones lead to the flat one."""
    proposal_id, part = request.path_params["id"], request.path_params.get("part", "")
    address = f"/review?id={proposal_id}{_PARTS.get(part, '')}"
    return RedirectResponse(keeping(address, request.query_params))
