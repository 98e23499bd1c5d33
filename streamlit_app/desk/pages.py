"""The desk's pages and what they post: no script or style but their own, no request to elsewhere."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dosvotos.audit.enrolment import challenge_of, enrol, find_invitation, read_enrolment
from dosvotos.audit.people import MAY
from dosvotos.database.connection import reading
from dosvotos.errors import DosVotosError
from dosvotos.formats import Language
from dosvotos.promotion.house_acts import joining_reason
from dosvotos.promotion.transaction import Signed
from dosvotos.promotion.vote_rules import MAX_REASON, MIN_REASON
from dosvotos.signing.passkeys import ALGORITHMS, MAX_BYTES, to_base64url
from dosvotos.signing.relying_party import LOCAL_HOST, relying_party
from streamlit_app import queries
from streamlit_app.addresses import LANGUAGE, THEME, keeping, kept
from streamlit_app.api import Calling
from streamlit_app.desk.acts import (
    OF_PROPOSALS,
    SignedAction,
    Wanted,
    carry_out_signed,
    facts_of,
    offers_production,
    text_of,
)
from streamlit_app.i18n import LANGUAGES, Translator
from streamlit_app.problems import RefusedError, answer_to, answer_to_invalid, problem_of, spoken_language
from streamlit_app.sessions import drop_cookie, set_cookie, sign_in, sign_in_text, sign_out

DESK_PATH: Final = "/desk"
_HERE: Final = Path(__file__).parent
_PAGES: Final = Environment(
    loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
)
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}
_FRESH: Final = {"Cache-Control": "no-cache"}
router = APIRouter()
Stated = Annotated[Language | None, Query(alias="lang")]


class SignedText(BaseModel):
    """A text, and a passkey's assertion over it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(max_length=4_096)
    signature: str = Field(max_length=MAX_BYTES)


class InvitationCode(BaseModel):
    """What an invitation's link ends in."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(max_length=64)


class MadePasskey(InvitationCode):
    """A passkey as the browser made it."""

    origin: str = Field(max_length=300)
    response: dict[str, Any]


class SignedAct(SignedText):
    """A signed decision, and what it is a decision about."""

    wanted: Wanted


@router.get("/pages.js")
def script() -> FileResponse:
    """Give the pages' script."""
    return FileResponse(_HERE / "pages.js", media_type="text/javascript", headers=_FRESH)


@router.get("/pages.css")
def style() -> FileResponse:
    """Give the pages' style."""
    return FileResponse(_HERE / "pages.css", media_type="text/css", headers=_FRESH)


@router.get("/sign-in")
def show_sign_in(request: Request, language: Stated = None) -> Response:
    """Show where a person signs in; a passkey belongs to a name, so an IP address leads to this machine's."""
    site, host = relying_party(), request.url.hostname
    if site.is_local and host != LOCAL_HOST:
        port = f":{request.url.port}" if request.url.port else ""
        here = f"http://{LOCAL_HOST}{port}{DESK_PATH}/sign-in?{request.url.query}"
        return RedirectResponse(here.removesuffix("?"))
    return _page(request, language, "sign_in", text=sign_in_text(datetime.now(UTC)))


@router.post("/sign-in", status_code=204)
def take_sign_in(request: Request, signed: SignedText, response: Response) -> None:
    """Begin a session; the one this browser had before ends."""
    now = datetime.now(UTC)
    begun = sign_in(queries.engine(), signed.text, signed.signature, now)
    sign_out(queries.engine(), request.headers, now)
    set_cookie(response, begun.token)


@router.get("/sign-out")
def show_sign_out(request: Request, language: Stated = None) -> Response:
    """Show where a person signs out."""
    return _page(request, language, "sign_out")


@router.post("/sign-out", status_code=204)
def take_sign_out(request: Request, response: Response) -> None:
    """End the session."""
    sign_out(queries.engine(), request.headers, datetime.now(UTC))
    drop_cookie(response)


@router.get("/enrol")
def show_enrol(request: Request, language: Stated = None) -> Response:
    """Show where an invited person makes a passkey; the code stays in the browser's address."""
    return _page(request, language, "enrol")


@router.post("/enrol/options")
def give_options(invitation: InvitationCode) -> dict[str, Any]:
    """Say whose passkey is made, for which site, with which challenge, by which algorithms."""
    with reading(queries.engine()) as connection:
        found = find_invitation(connection, invitation.code, datetime.now(UTC))
    return {
        "name": found.name,
        "role": found.role,
        "rp_id": relying_party().rp_id,
        "challenge": to_base64url(challenge_of(invitation.code)),
        "algorithms": ALGORITHMS,
    }


@router.post("/enrol", status_code=201)
def take_enrolment(made: MadePasskey) -> dict[str, str]:
    """Store a passkey, which waits for an admin's signature."""
    now, site = datetime.now(UTC), relying_party()
    key = enrol(queries.engine(), made.code, made.response, made.origin, now, site)
    return {"fingerprint": key.fingerprint}


@router.get("/sign")
def show_sign(
    request: Request,
    caller: Calling,
    action: SignedAction,
    about: Annotated[str, Query(min_length=1, max_length=64)],
    language: Stated = None,
) -> Response:
    """Show what a decision is about, and where it is signed."""
    if caller.role is None:
        return RedirectResponse(_back(request, action, about))
    caller.require(MAY[action])
    t, wanted = Translator(_language(request, language)), Wanted(action=action, about=about)
    reason = joining_reason(read_enrolment(queries.engine(), about).added) if action == "ADD_REVIEWER" else ""
    return _page(
        request,
        language,
        "sign",
        action=action,
        about=about,
        person=caller.name,
        to_production=offers_production(queries.engine(), wanted),
        facts=facts_of(queries.engine(), wanted, caller, t, datetime.now(UTC)),
        reason=reason,
        minimum=MIN_REASON,
        maximum=MAX_REASON,
        back=_back(request, action, about),
    )


@router.post("/text")
def give_text(wanted: Wanted, caller: Calling) -> dict[str, str]:
    """Write the text that is to be signed."""
    return {"text": str(text_of(queries.engine(), wanted, caller, datetime.now(UTC)))}


@router.post("/decide")
def take_decision(request: Request, act: SignedAct, caller: Calling) -> dict[str, str]:
    """Carry out what a person has signed."""
    signed = Signed(act.text, act.signature)
    done = carry_out_signed(queries.engine(), act.wanted, caller, signed, datetime.now(UTC))
    t = Translator(spoken_language(request.headers))
    said = t("desk.done", decision=t.label("decision", act.wanted.action), row=done.row)
    return {"said": f"{said} {t('desk.missing', missing=done.missing)}" if done.missing else said}


def create_desk() -> FastAPI:
    """Build the pages as an app of its own, to be mounted behind the gate."""
    desk = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    desk.include_router(router)
    for kind in (DosVotosError, RefusedError, ValidationError):
        desk.add_exception_handler(kind, _refused)
    desk.add_exception_handler(RequestValidationError, answer_to_invalid)
    return desk


def _refused(request: Request, error: Exception) -> Response:
    """Tell a refusal: on a page of its own to whoever opened one, else as a problem to the script."""
    language = spoken_language(request.headers)
    if request.method != "GET":
        return answer_to(error, language)
    found = problem_of(error, language)
    page = _page(request, None, "refused", said=found.detail)
    page.status_code = found.status
    return page


def _back(request: Request, action: SignedAction, about: str) -> str:
    return keeping(f"/review?id={about}" if action in OF_PROPOSALS else "/", request.query_params)


def _language(request: Request, stated: Language | None) -> Language:
    return stated or spoken_language(request.headers)


def _page(request: Request, stated: Language | None, name: str, **shown: Any) -> HTMLResponse:
    language = _language(request, stated)
    others = [(other, label) for other, label in LANGUAGES.items() if other != language]
    query = request.url.remove_query_params("lang").query
    content = _PAGES.get_template(f"{name}.html").render(
        t=Translator(language),
        language=language,
        others=others,
        query=query,
        rp_id=relying_party().rp_id,
        theme=kept(request.query_params).get(THEME),
        leading=lambda path: keeping(path, {**request.query_params, LANGUAGE: language}),
        **shown,
    )
    return HTMLResponse(content, headers=_HEADERS)
