"""HTTP requests to providers: bounded retries with jitter, Retry-After, rate limits, no key in a message."""

import json
import logging
import ssl
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Self, TypeVar, cast

import httpx
import stamina
import truststore
from pydantic import BaseModel, ValidationError
from pyrate_limiter import Duration, InMemoryBucket, Limiter, Rate, SingleBucketFactory

from dosvotos.contracts.acquisition import LiveParams, WebProvider
from dosvotos.errors import NotPublishedError, SourceError

# These log URLs and headers, and some carry a key. A filter stays, whatever level a logging setup gives.
for _name in ("httpx", "httpcore.http11", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(lambda record: record.levelno >= logging.WARNING)

MAX_BYTES = 64 * 2**20
MAX_TIMEOUTS = 10
"""A response may arrive slowly, but in no more than this many timeouts."""
_HEADERS = {"User-Agent": "dosvotos (research; python-httpx)", "Accept-Encoding": "gzip, deflate"}
_RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_EXCERPT = 120

Parsed = TypeVar("Parsed")
Model = TypeVar("Model", bound=BaseModel)


class RetryableError(Exception):
    """A response that may be better next time; `retry_after` is the pause the provider asks for (seconds)."""

    def __init__(self, problem: str, retry_after: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class Response(NamedTuple):
    """What a provider sent: the body, without the key, and its content type."""

    content: bytes
    content_type: str

    def text(self, encoding: str = "utf-8-sig") -> str:
        """Decode the body; RetryableError if it is HTML, as of a maintenance page, or in another encoding."""
        start = self.content.removeprefix(BOM_UTF8).lstrip()[:9].lower()
        if "html" in self.content_type or start.startswith((b"<!doctype", b"<html")):
            raise RetryableError(f"answered with a web page instead of data: {self.excerpt()}")
        try:
            return self.content.decode(encoding)
        except UnicodeDecodeError as error:
            raise RetryableError(f"answered with text that is not {encoding}: {error}") from error

    def json(self) -> Any:
        """Parse the body as JSON; RetryableError if it is not, as when the document was cut off."""
        try:
            return json.loads(self.text())
        except (ValueError, RecursionError) as error:
            raise RetryableError(f"answered with what is no JSON: {self.excerpt()}") from error

    def json_or_none(self) -> Any:
        """Parse the body as JSON; None if it is not."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None

    def excerpt(self) -> str:
        """Quote the first characters of the body, for a message."""
        return repr(self.content[:_EXCERPT].decode("utf-8", "replace"))


def parse_model(content: Any, model: type[Model], context: str) -> Model:
    """Validate parsed JSON as the model of a provider's responses.

    Raises
    ------
    SourceError
        Naming the first field that differs.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        found = f"{place}: {first['msg']}, found {str(first['input'])[:_EXCERPT]!r}"
        raise SourceError(f"{context}: the answer's form has changed: {found}; use another source") from error


CountCall = Callable[[str, int], bool]
"""Counts a call to a provider against its calls a day; False if none is left, whoever made them."""

ReadRefusal = Callable[[Any], Exception | None]
"""Reads the JSON body of a 4xx response: the error to raise, or None to decide by the status alone."""


@dataclass
class ProviderClient:
    """HTTP client of one provider, for one run and one thread; equal requests are sent once, failed ones too.

    A request that still fails after the last try raises SourceError; a 404 raises NotPublishedError. The key
    is cut out of every response before anything reads it, so that no message can repeat it, and it is never
    sent on to where a redirect points.
    """

    name: WebProvider
    settings: LiveParams
    key: str | None = field(default=None, repr=False)
    count_call: CountCall | None = None
    stated_time: datetime | None = field(default=None, init=False)
    """What the last response called its time (its Date header), if it did."""

    def __post_init__(self) -> None:
        provider = self.settings.providers[self.name]
        self.base_url = provider.base_url.rstrip("/")
        self.calls = 0
        self._day_limit = provider.calls_per_day
        bucket = InMemoryBucket([Rate(provider.calls_per_minute, Duration.MINUTE)])
        self._limiter = Limiter(SingleBucketFactory(bucket, schedule_leak=False))  # no thread to clean up
        self._results: dict[str, Any] = {}
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
        """Return the provider's key; SourceError that names the environment variable if there is none."""
        if not self.key:
            raise SourceError(f"{self.name}: needs a key; set {variable}")
        return self.key

    def get(
        self,
        path: str,
        parse: Callable[[Response], Parsed],
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        read_refusal: ReadRefusal | None = None,
    ) -> Parsed:
        """GET ``base_url + path`` and parse the response.

        Parameters
        ----------
        path : str
            Starts with a slash.
        parse : callable
            Turns a Response into data. It may raise RetryableError for a passing fault, or SourceError.
        params, headers : mapping of str, optional
            Never shown in a message: they may carry a key.
        read_refusal : callable, optional
            For a provider that says in the body why it refuses; see `ReadRefusal`.

        Raises
        ------
        SourceError
            Naming the provider, the path and what was received.
        """
        request = self._http.build_request("GET", self.base_url + path, params=params, headers=headers)
        return self._send_once(request, path, parse, read_refusal)

    def post(self, path: str, parse: Callable[[Response], Parsed], body: Mapping[str, Any]) -> Parsed:
        """POST `body` as JSON to ``base_url + path`` and parse the response, as `get` does."""
        request = self._http.build_request("POST", self.base_url + path, json=dict(body))
        return self._send_once(request, path, parse)

    def retry(self, context: str, attempt: Callable[[], Parsed]) -> Parsed:
        """Repeat `attempt` until it works, within the rate limits.

        Raises
        ------
        SourceError
            After the last try, or if the provider asks for a longer pause than ``max_wait_seconds``.
        """
        try:
            for tries in stamina.retry_context(
                on=self._retry_pause,
                attempts=self.settings.attempts,
                timeout=None,
                wait_initial=min(0.5, self.settings.max_wait_seconds),
                wait_max=self.settings.max_wait_seconds,
                wait_jitter=min(1.0, self.settings.max_wait_seconds),
            ):
                with tries:
                    self.acquire_call()
                    return attempt()
        except RetryableError as error:
            asked = f"; asks to wait {error.retry_after:g} s" if error.retry_after is not None else ""
            raise SourceError(f"{self.name} {context}: {error}{asked}") from error
        except httpx.HTTPError as error:
            raise SourceError(f"{self.name} {context}: {type(error).__name__}: {error}") from error
        raise AssertionError("a retry loop ends with a result or an error")

    def raise_for_status(
        self,
        context: str,
        response: Response,
        status: int,
        headers: Mapping[str, Any],
        read_refusal: ReadRefusal | None = None,
    ) -> Response:
        """Return a response whose status means success.

        Raises
        ------
        RetryableError, NotPublishedError, SourceError
            By `read_refusal` where it explains a 4xx response, else by the status.
        """
        self.stated_time = _date_of(headers)
        if httpx.codes.is_success(status):
            return response
        retry_after = retry_after_seconds(headers)
        refusal = read_refusal(response.json_or_none()) if read_refusal and status < 500 else None
        if refusal is not None:
            if isinstance(refusal, RetryableError) and refusal.retry_after is None:
                refusal.retry_after = retry_after
            raise refusal
        problem = f"answered with status {status}: {response.excerpt()}"
        if status in _RETRYABLE_STATUS:
            raise RetryableError(problem, retry_after)
        if status == httpx.codes.NOT_FOUND:
            raise NotPublishedError(f"{self.name} {context}: not there (404)")
        raise SourceError(f"{self.name} {context}: {problem}")

    def acquire_call(self) -> None:
        """Count a call, after waiting for the limit a minute.

        Raises
        ------
        SourceError
            If all calls that the provider allows a day are made, by this run or, where they are counted
            together, by all processes.
        """
        if (limit := self._day_limit) is not None:
            left = self.calls < limit if self.count_call is None else self.count_call(self.name, limit)
            if not left:
                who = "this run made" if self.count_call is None else "all processes together made"
                raise SourceError(f"{self.name}: {who} the {limit} calls allowed a day; run again later")
        self._limiter.try_acquire(self.name)
        self.calls += 1

    def _send_once(
        self,
        request: httpx.Request,
        path: str,
        parse: Callable[[Response], Parsed],
        read_refusal: ReadRefusal | None = None,
    ) -> Parsed:
        """Result of an equal request of before, an error included, else of this one."""
        key = f"{request.method} {request.url} {request.read()!r}"
        if key not in self._results:
            try:
                self._results[key] = self.retry(path, lambda: parse(self._send(request, path, read_refusal)))
            except SourceError as error:
                self._results[key] = error
        result = self._results[key]
        if isinstance(result, SourceError):
            raise result
        return cast(Parsed, result)

    def _send(self, request: httpx.Request, path: str, read_refusal: ReadRefusal | None) -> Response:
        began = time.monotonic()
        stream = self._http.send(request, stream=True)
        try:
            content = bytearray()
            for chunk in stream.iter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise SourceError(f"{self.name} {path}: answered with more than {MAX_BYTES:,} bytes")
                if time.monotonic() - began > MAX_TIMEOUTS * self.settings.timeout_seconds:
                    raise RetryableError(f"was still answering after {MAX_TIMEOUTS} timeouts")
        finally:
            stream.close()
        without_key = content.replace(self.key.encode(), b"***") if self.key else content
        response = Response(bytes(without_key), stream.headers.get("content-type", "").lower())
        return self.raise_for_status(path, response, stream.status_code, stream.headers, read_refusal)

    def _retry_pause(self, error: Exception) -> bool | float:
        """Whether to try again, or after how many seconds."""
        if isinstance(error, RetryableError):
            if error.retry_after is None:
                return True
            return error.retry_after if error.retry_after <= self.settings.max_wait_seconds else False
        return isinstance(error, (httpx.TransportError, httpx.DecodingError))


def _date_of(headers: Mapping[str, Any]) -> datetime | None:
    try:
        stated = parsedate_to_datetime(headers.get("date") or "")
    except (ValueError, TypeError):
        return None
    return stated if stated.tzinfo is not None else None


def retry_after_seconds(headers: Mapping[str, Any]) -> float | None:
    """Seconds of the Retry-After header; a date there is compared with the response's own Date header."""
    asked = (headers.get("retry-after") or "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        until, now = parsedate_to_datetime(asked), parsedate_to_datetime(headers.get("date") or "")
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):  # no date, or one that names no zone
        return None
