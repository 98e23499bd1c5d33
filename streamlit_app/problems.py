"""What a person or program is told when something is refused: HTTP status, code and text, in one table."""

import re
from http import HTTPStatus
from typing import Any, Final, NamedTuple, cast

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse

from dosvotos.errors import (
    BundleError,
    ContractError,
    CredentialError,
    DatabaseError,
    DataError,
    DecisionConflictError,
    DecisionError,
    DosVotosError,
    HomeError,
    LineageError,
    NotAllowedError,
    RequestError,
    SignatureError,
    UnknownProposalError,
    UnknownRequestError,
    stored_otherwise,
)
from dosvotos.formats import Language
from dosvotos.redaction import without_secrets
from dosvotos.refusals import broken_rule, in_language
from streamlit_app.i18n import LANGUAGES, Translator

MEDIA_TYPE: Final = "application/problem+json"
_QUALITY: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")


class RefusedError(Exception):
    """A request that the app itself refuses, before the domain is asked."""

    def __init__(self, status: int, code: str, **figures: object) -> None:
        super().__init__(code)
        self.status, self.code, self.figures = status, code, figures


class ProblemDetails(NamedTuple):
    """What is told of a refusal."""

    status: int
    code: str
    detail: str
    """In the caller's language."""
    extensions: dict[str, Any]


class Refusal(NamedTuple):
    """How an error is told."""

    status: int
    code: str
    """Of errors that carry none of their own."""
    text: str
    """Key of the page's sentence."""


_REFUSALS: Final[dict[type[DosVotosError], Refusal]] = {
    UnknownProposalError: Refusal(404, "proposal_unknown", "review.unknown"),
    UnknownRequestError: Refusal(404, "backtest_unknown", "extra.refused"),
    RequestError: Refusal(422, "backtest_refused", "extra.refused"),
    DecisionConflictError: Refusal(409, "conflict", "vote.conflict"),
    NotAllowedError: Refusal(403, "not_allowed", "vote.not_allowed"),
    SignatureError: Refusal(403, "signature", "vote.unsigned"),
    DecisionError: Refusal(422, "decision_refused", "vote.refused"),
    BundleError: Refusal(409, "altered_model", "vote.altered_model"),
    LineageError: Refusal(409, "altered_records", "vote.altered_reports"),
    ContractError: Refusal(409, "contract", "vote.refused"),
    DataError: Refusal(409, "data", "vote.refused"),
    DatabaseError: Refusal(503, "database_unavailable", "app.database_unavailable"),
    CredentialError: Refusal(401, "credentials", "app.refused"),
    HomeError: Refusal(503, "home_unavailable", "app.refused"),
    DosVotosError: Refusal(409, "refused", "app.refused"),
}
"""By error, the narrower ones before those they derive from."""


def refusal_of(error: Exception) -> Refusal:
    """Find how an error is told; one that is not the user's is raised again."""
    if isinstance(error, ValidationError):
        return Refusal(409, "stored_otherwise", "app.stored_otherwise")
    for kind, refusal in _REFUSALS.items():
        if isinstance(error, kind):
            return refusal
    raise error


def codes_of_kinds() -> frozenset[str]:
    """Give the codes of errors that carry none of their own."""
    return frozenset(refusal.code for refusal in _REFUSALS.values())


def told(error: Exception, language: Language = "en") -> str:
    """Write an error for people, in their language where it is told in several, without secrets."""
    if isinstance(error, DosVotosError):
        return without_secrets(error.told(language))
    if isinstance(error, ValidationError):
        return without_secrets(stored_otherwise(error).told(language))
    return without_secrets(str(error))


def problem_of(error: Exception, language: Language) -> ProblemDetails:
    """Find what is told of an error; one that is not the user's is raised again."""
    if isinstance(error, RefusedError):
        figures = {name: in_language(figure, language) for name, figure in error.figures.items()}
        detail = Translator(language)(f"problem.{error.code}", **figures)
        return ProblemDetails(error.status, error.code, detail, {})
    refusal, code = refusal_of(error), getattr(error, "code", None)
    figures = {name: _plain(figure) for name, figure in getattr(error, "figures", {}).items()}
    detail, more = told(error, language), {"figures": figures} if code else {}
    if code is None and language != "en":
        detail = f"{Translator(language)(refusal.text)} ({detail})"
    return ProblemDetails(refusal.status, code or refusal.code, detail, more)


def answer_to(error: Exception, language: Language) -> JSONResponse:
    """Answer with what is told of an error; raises as `problem_of`."""
    found = problem_of(error, language)
    return problem(found.status, found.code, found.detail, **found.extensions)


def answer_to_invalid(request: Request, error: Exception) -> JSONResponse:
    """Answer what of a request is wrong where, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    language = spoken_language(request.headers)
    wrong = [
        {"where": ".".join(map(str, one["loc"])), "message": broken_rule(one, language)}
        for one in error.errors()
    ]
    said = "; ".join(f"{one['where']}: {one['message']}" for one in wrong)
    detail = Translator(language)("problem.invalid", said=said)
    return problem(422, "invalid", detail, errors=wrong)


def problem(status: int, code: str, detail: str, **extensions: Any) -> JSONResponse:
    """Answer with a problem (RFC 9457); its title is the status in words, its `code` says which one it is."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    headers |= {"Connection": "close"} if status in (408, 413) else {}
    return JSONResponse({**content, "detail": detail, **extensions}, status, headers, MEDIA_TYPE)


def spoken_language(headers: Headers) -> Language:
    """Choose the language a caller likes best of those we write; English without one."""
    best, liked = "en", 0.0
    for part in headers.get("accept-language", "").split(","):
        tag, _, parameters = part.partition(";")
        language, quality = tag.strip().partition("-")[0].lower(), _QUALITY.search(parameters)
        weight = float(quality[1]) if quality else 1.0
        if language in LANGUAGES and weight > liked:
            best, liked = language, weight
    return cast(Language, best)


def _plain(figure: object) -> object:
    figure = in_language(figure, "en")
    return figure if isinstance(figure, int | float | str | bool | None) else without_secrets(str(figure))
