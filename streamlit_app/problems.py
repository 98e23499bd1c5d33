"""Errors over HTTP: RFC 9457 problem details."""

from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


def problem(status: int, detail: str, **extensions: Any) -> JSONResponse:
    """Answer with a problem; without a type of its own its title is the status in words."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse({**content, **extensions}, status_code=status, media_type=MEDIA_TYPE)
