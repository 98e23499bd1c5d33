"""Asking a provider over HTTP: bounded retries with jitter, Retry-After, rate limits, no key in a message."""

import json
import logging
import ssl
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Self, TypeVar, cast

import httpx
import stamina
import truststore
from pydantic import BaseModel, ValidationError
from pyrate_limiter import Duration, InMemoryBucket, Limiter, Rate, SingleBucketFactory

from dosvotos.contracts.acquisition import LiveParams, WebProvider
from dosvotos.errors import NotPublishedError, SourceError

# These log addresses and headers, and some carry a key. A filter stays, whatever level a logging setup gives.
for _name in ("httpx", "httpcore.http11", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(lambda record: record.levelno >= logging.WARNING)

MAX_BYTES = 64 * 2**20
MAX_TIMEOUTS = 10
"""An answer may arrive slowly, but in no more than this many timeouts."""
_HEADERS = {"User-Agent": "dosvotos (research; python-httpx)", "Accept-Encoding": "gzip, deflate"}
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_SHOWN = 120

Parsed = TypeVar("Parsed")
Model = TypeVar("Model", bound=BaseModel)


class TryAgainError(Exception):
    """An answer that may be better next time; `wait` is what the source asked for, in seconds."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class Answer(NamedTuple):
    """What a source sent with a status that means success."""

    content: bytes
    content_type: str

    def text(self, encoding: str = "utf-8-sig") -> str:
        """Decode the body; a page of HTML where data were asked counts as a passing fault.

        Raises
        ------
        TryAgainError
            If the body is HTML or not in this encoding.
        """
        start = self.content.removeprefix(BOM_UTF8).lstrip()[:9].lower()
        if "html" in self.content_type or start.startswith((b"<!doctype", b"<html")):
            raise TryAgainError(f"answered with a web page instead of data: {self.start()}")
        try:
            return self.content.decode(encoding)
        except UnicodeDecodeError as error:
            raise TryAgainError(f"answered with text that is not {encoding}: {error}") from error

    def json(self) -> Any:
        """Parse the body as JSON; half a document counts as a passing fault.

        Raises
        ------
        TryAgainError
        """
        try:
            return json.loads(self.text())
        except (ValueError, RecursionError) as error:
            raise TryAgainError(f"answered with what is no JSON: {self.start()}") from error

    def start(self) -> str:
        """The first characters, for a message."""
        return repr(self.content[:_SHOWN].decode("utf-8", "replace"))


def shaped(content: Any, model: type[Model], what: str) -> Model:
    """Content in the form that a provider's answers must have.

    Raises
    ------
    SourceError
        Naming the first place that differs.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SourceError(f"{what}: the answer's form has changed: {place}: {first['msg']}") from error


Explain = Callable[[Answer], Exception | None]
"""Reads an answer whose status refuses the question: the error to raise, or None to go by the status."""


@dataclass
class Client:
    """One provider during one run, for one thread. Equal questions are asked once, failed ones too.

    A question that still fails after the last try raises SourceError; a 404 raises NotPublishedError. The key
    is cut out of every answer before anything reads it, so that no message can repeat it, and is never sent
    on to where a redirect points.
    """

    name: WebProvider
    settings: LiveParams
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        provider = self.settings.providers[self.name]
        self.base_url = provider.base_url.rstrip("/")
        self.calls = 0
        self._day_limit = provider.calls_per_day
        bucket = InMemoryBucket([Rate(provider.calls_per_minute, Duration.MINUTE)])
        self._limiter = Limiter(SingleBucketFactory(bucket, schedule_leak=False))  # no thread to clean up
        self._answers: dict[str, Any] = {}
        self._http = httpx.Client(
            headers=_HEADERS,
            timeout=self.settings.timeout_seconds,
            verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            follow_redirects=not self.key,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def require_key(self, variable: str) -> str:
        """Return the provider's key, or say which environment variable holds it."""
        if not self.key:
            raise SourceError(f"{self.name}: needs a key; set {variable}")
        return self.key

    def get(
        self,
        path: str,
        parse: Callable[[Answer], Parsed],
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        explain: Explain | None = None,
    ) -> Parsed:
        """GET ``base_url + path`` and parse the answer.

        Parameters
        ----------
        path : str
            Starts with a slash.
        parse : callable
            Turns an Answer into data. It may raise TryAgainError for what may pass, or SourceError.
        params, headers : mapping of str, optional
            Never shown in a message: they may carry a key.
        explain : callable, optional
            For a provider that says in the body why it refuses; see `Explain`.

        Raises
        ------
        SourceError
            Naming the provider, the path and what came.
        """
        request = self._http.build_request("GET", self.base_url + path, params=params, headers=headers)
        return self._ask(request, path, parse, explain)

    def post(self, path: str, parse: Callable[[Answer], Parsed], body: Mapping[str, Any]) -> Parsed:
        """POST `body` as JSON to ``base_url + path`` and parse the answer, as `get` does."""
        request = self._http.build_request("POST", self.base_url + path, json=dict(body))
        return self._ask(request, path, parse)

    def spend_call(self) -> None:
        """Wait for the provider's turn, and count the call.

        Raises
        ------
        SourceError
            If this run has made all calls that the provider allows a day.
        """
        if self._day_limit is not None and self.calls >= self._day_limit:
            raise SourceError(
                f"{self.name}: this run made the {self._day_limit} calls allowed a day; run again later"
            )
        self._limiter.try_acquire(self.name)
        self.calls += 1

    def patiently(self, what: str, attempt: Callable[[], Parsed]) -> Parsed:
        """Try until it works, the tries are used up, or the source asks for too long a pause."""
        try:
            for tries in stamina.retry_context(
                on=self._pause,
                attempts=self.settings.attempts,
                timeout=None,
                wait_initial=min(0.5, self.settings.max_wait_seconds),
                wait_max=self.settings.max_wait_seconds,
                wait_jitter=min(1.0, self.settings.max_wait_seconds),
            ):
                with tries:
                    self.spend_call()
                    return attempt()
        except TryAgainError as error:
            asked = f"; asks to wait {error.wait:g} s" if error.wait is not None else ""
            raise SourceError(f"{self.name} {what}: {error}{asked}") from error
        except httpx.HTTPError as error:
            raise SourceError(f"{self.name} {what}: {type(error).__name__}: {error}") from error
        raise AssertionError("a retry loop ends with a result or an error")

    def judge(
        self,
        what: str,
        answer: Answer,
        status: int,
        headers: Mapping[str, Any],
        explain: Explain | None = None,
    ) -> Answer:
        """Return an answer whose status means success.

        Raises
        ------
        TryAgainError, NotPublishedError, SourceError
            As the status, or the answer itself, tells.
        """
        if httpx.codes.is_success(status):
            return answer
        wait = requested_wait(headers)
        refused = status < httpx.codes.INTERNAL_SERVER_ERROR
        if refused and explain is not None and (explained := explain(answer)) is not None:
            if isinstance(explained, TryAgainError) and explained.wait is None:
                explained.wait = wait
            raise explained
        problem = f"answered with status {status}: {answer.start()}"
        if status in _TRY_AGAIN:
            raise TryAgainError(problem, wait)
        if status == httpx.codes.NOT_FOUND:
            raise NotPublishedError(f"{self.name} {what}: not there (404)")
        raise SourceError(f"{self.name} {what}: {problem}")

    def _ask(
        self,
        request: httpx.Request,
        path: str,
        parse: Callable[[Answer], Parsed],
        explain: Explain | None = None,
    ) -> Parsed:
        question = f"{request.method} {request.url} {request.read()!r}"
        if question not in self._answers:
            self._answers[question] = self._settled(path, lambda: parse(self._send(request, path, explain)))
        answer = self._answers[question]
        if isinstance(answer, SourceError):
            raise answer
        return cast(Parsed, answer)

    def _settled(self, path: str, attempt: Callable[[], Parsed]) -> Parsed | SourceError:
        try:
            return self.patiently(path, attempt)
        except SourceError as error:
            return error

    def _send(self, request: httpx.Request, path: str, explain: Explain | None) -> Answer:
        began = time.monotonic()
        response = self._http.send(request, stream=True)
        try:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise SourceError(f"{self.name} {path}: answered with more than {MAX_BYTES:,} bytes")
                if time.monotonic() - began > MAX_TIMEOUTS * self.settings.timeout_seconds:
                    raise TryAgainError(f"was still answering after {MAX_TIMEOUTS} timeouts")
        finally:
            response.close()
        answer = Answer(self._without_key(bytes(content)), response.headers.get("content-type", "").lower())
        return self.judge(path, answer, response.status_code, response.headers, explain)

    def _without_key(self, content: bytes) -> bytes:
        return content.replace(self.key.encode(), b"***") if self.key else content

    def _pause(self, error: Exception) -> bool | float:
        if isinstance(error, TryAgainError):
            if error.wait is None:
                return True
            return error.wait if error.wait <= self.settings.max_wait_seconds else False
        return isinstance(error, (httpx.TransportError, httpx.DecodingError))


def requested_wait(headers: Mapping[str, Any]) -> float | None:
    """Seconds of a Retry-After, given as such or as a date, which is read against the answer's own date."""
    asked = (headers.get("retry-after") or "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        until, now = parsedate_to_datetime(asked), parsedate_to_datetime(headers.get("date") or "")
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):  # no date, or one that names no zone
        return None
