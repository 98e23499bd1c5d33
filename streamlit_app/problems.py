"""What a person or program is told when the domain refuses: HTTP status and text, in one table."""

from http import HTTPStatus
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from starlette.responses import JSONResponse

from dosvotos.errors import (
    BundleError,
    ContractError,
    DatabaseError,
    DataError,
    DecisionConflictError,
    DecisionError,
    DosVotosError,
    LineageError,
    RequestError,
    UnknownProposalError,
    UnknownRequestError,
    stored_otherwise,
)
from dosvotos.redaction import without_secrets

MEDIA_TYPE = "application/problem+json"


class Refusal(NamedTuple):
    """How an error is told."""

    status: int
    text: str
    """Key of the page's sentence."""


_REFUSALS: Final[dict[type[DosVotosError], Refusal]] = {
    UnknownProposalError: Refusal(404, "review.unknown"),
    UnknownRequestError: Refusal(404, "extra.refused"),
    RequestError: Refusal(422, "extra.refused"),
    DecisionConflictError: Refusal(409, "vote.conflict"),
    DecisionError: Refusal(422, "vote.refused"),
    BundleError: Refusal(409, "vote.altered_model"),
    LineageError: Refusal(409, "vote.altered_reports"),
    ContractError: Refusal(409, "vote.refused"),
    DataError: Refusal(409, "vote.refused"),
    DatabaseError: Refusal(503, "app.database_unavailable"),
    DosVotosError: Refusal(409, "app.refused"),
}
"""By error, the narrower ones before those they derive from."""


def refusal_of(error: Exception) -> Refusal:
    """Find how an error is told; one that is not the user's is raised again."""
    if isinstance(error, ValidationError):
        return Refusal(409, "app.stored_otherwise")
    for kind, refusal in _REFUSALS.items():
        if isinstance(error, kind):
            return refusal
    raise error


def told(error: Exception) -> str:
    """Write an error for people, without secrets."""
    return without_secrets(stored_otherwise(error) if isinstance(error, ValidationError) else str(error))


def problem(status: int, detail: str, **extensions: Any) -> JSONResponse:
    """Answer with a problem; without a type of its own its title is the status in words."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse({**content, **extensions}, status_code=status, media_type=MEDIA_TYPE)
