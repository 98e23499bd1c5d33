"""Signals on their way to their consumers: after the row's commit, in time, and never twice when once worked.

A consumer takes the signal with the highest sequence, until `valid_until`; docs/live.md has its rules.
"""

import logging
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import ValidationError

from dosvotos.contracts.delivery import DeliveryParams
from dosvotos.contracts.records import InferenceRecord
from dosvotos.errors import DatabaseError, DeliveryError, ParameterError
from dosvotos.files import write_file
from dosvotos.hashing import keyed_digest
from dosvotos.live.courier import Courier
from dosvotos.live.delivered import DeliveredSignal, delivered
from dosvotos.live.reasons import Reason
from dosvotos.live.signals import Standing

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

SECRET_VARIABLE: Final = "DOSVOTOS_WEBHOOK_SECRET"
TIMESTAMP_HEADER: Final = "Dosvotos-Timestamp"
SIGNATURE_HEADER: Final = "Dosvotos-Signature"
_LEAST_SECRET: Final = 32
_LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries; the first ones follow after 1, 2, 4 ..."""
_TAIL: Final = 4096
"""Bytes at a file's end that hold its last line."""


class Consumer(Protocol):
    """One receiver of signals."""

    name: str
    last: int
    """Sequence of the last signal it has; 0 before the first."""

    def send(self, signal: DeliveredSignal) -> None:
        """Hand a signal over; raises DeliveryError."""


class Webhook:
    """An address that each signal is posted to, signed.

    Parameters
    ----------
    params : DeliveryParams
    secret : str
    mark : Path
        File that keeps the last sequence handed over across restarts.
    wall : callable
        Seconds since 1970 by the machine, which the receiver compares with its own clock.
    """

    name = "webhook"

    def __init__(
        self, params: DeliveryParams, secret: str, mark: Path, wall: Callable[[], float] = time.time
    ) -> None:
        self._url, self._timeout = str(params.webhook), params.timeout_seconds
        self._secret, self._mark, self._wall = secret.encode(), mark, wall
        self._client: httpx.Client | None = None
        self.last = _sequence_in(mark)

    def send(self, signal: DeliveredSignal) -> None:
        """Post a signal; any answer but a 2xx is a failure."""
        import httpx

        if self._client is None:
            self._client = httpx.Client(timeout=self._timeout, follow_redirects=False)
        body = signal.model_dump_json().encode()
        try:
            answer = self._client.post(self._url, content=body, headers=self.headers(body))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryError(f"webhook: {type(error).__name__}") from error
        if not answer.is_success:
            raise DeliveryError(f"webhook: answered with status {answer.status_code}")
        self.last = signal.sequence
        try:
            write_file(self._mark, f"{self.last}\n".encode())
        except OSError as error:
            logger.error("%s: cannot be written (%s); a restart may post again", self._mark, error.strerror)

    def headers(self, body: bytes) -> dict[str, str]:
        """Sign a body: HMAC-SHA256 over the timestamp, a point and the body."""
        stamp = str(int(self._wall()))
        return {
            "Content-Type": "application/json",
            TIMESTAMP_HEADER: stamp,
            SIGNATURE_HEADER: f"v1={keyed_digest(self._secret, f'{stamp}.'.encode() + body).hex()}",
        }


class SignalFile:
    """A file that signals are appended to, one JSON document a line, each flushed to disk.

    Parameters
    ----------
    file : Path
    """

    name = "jsonl"

    def __init__(self, file: Path) -> None:
        self._file = file
        self.last, self._is_cut = _end_of(file)

    def send(self, signal: DeliveredSignal) -> None:
        """Append a signal, whole or not at all; after a line that a crash cut off a new one begins."""
        line = b"\n" * self._is_cut + signal.model_dump_json().encode() + b"\n"
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab", buffering=0) as opened:
                length = opened.seek(0, os.SEEK_END)
                if opened.write(line) < len(line):
                    opened.truncate(length)
                    raise DeliveryError(f"{self._file}: the disk is full; free some space")
                os.fsync(opened.fileno())
        except OSError as error:
            raise DeliveryError(f"{self._file}: {error.strerror}; correct its permissions") from error
        self.last, self._is_cut = signal.sequence, False


class SignalDelivery:
    """One consumer's signals, one try at a time.

    Parameters
    ----------
    consumer : Consumer
    notional_usd : float
    standing : callable
        Reads what holds now; a signal that a halt or another model has overtaken is not handed over.
    now : callable
        The loop's clock.
    on_outcome : callable
        Told the consumer's name, and ``delivered``, ``failed`` or ``withheld``.
    """

    def __init__(
        self,
        consumer: Consumer,
        notional_usd: float,
        standing: Callable[[], Standing],
        now: Callable[[], datetime],
        on_outcome: Callable[[str, str], None] = lambda name, outcome: None,
    ) -> None:
        self._consumer, self._notional = consumer, notional_usd
        self._standing, self._now, self._on_outcome = standing, now, on_outcome
        self._failed = (0, 0)
        """The sequence that failed last, and how often."""

    def hand_over(self, record: InferenceRecord) -> float | None:
        """Try to hand a signal over; give the seconds until the next try, None when it is done with."""
        signal = delivered(record, self._notional)
        if signal.sequence <= self._consumer.last:
            return None
        try:
            if (why := overtaken(record, self._now(), self._standing())) is not None:
                logger.warning("%s: %s is not delivered: %s", self._consumer.name, signal.inference_id, why)
                self._on_outcome(self._consumer.name, "withheld")
                return None
            self._consumer.send(signal)
        except (DeliveryError, DatabaseError) as error:
            return self._put_off(signal, error)
        self._on_outcome(self._consumer.name, "delivered")
        return None

    def _put_off(self, signal: DeliveredSignal, error: Exception) -> float:
        sequence, times = self._failed
        times = times + 1 if sequence == signal.sequence else 1
        self._failed = (signal.sequence, times)
        pause = min(2.0 ** (times - 1), _LONGEST_PAUSE)
        logger.warning("%s; %s again in %.0f s", error, signal.inference_id, pause)
        self._on_outcome(self._consumer.name, "failed")
        return pause


class SignalDeliveries:
    """An instrument's signals for all its consumers, each of which has a thread of its own.

    Parameters
    ----------
    deliveries : list of SignalDelivery
    """

    def __init__(self, deliveries: list[SignalDelivery]) -> None:
        self._couriers = [Courier("delivery", one.hand_over) for one in deliveries]

    def take(self, record: InferenceRecord) -> None:
        """Take a row that is committed; only a signal that did not wait on disk is delivered."""
        if record.status == "SIGNAL" and not record.spooled:
            for courier in self._couriers:
                courier.take(record)

    def close(self) -> None:
        """End the threads."""
        for courier in self._couriers:
            courier.close()


def overtaken(record: InferenceRecord, now: datetime, standing: Standing) -> str | None:
    """Say why a committed signal must not be handed over any more; None if it may."""
    control = standing.control
    if record.valid_until is None or now > record.valid_until:
        return f"it was valid until {record.valid_until}"
    if control.state == "HALTED" and record.reason_code != Reason.HALTED:
        return f"HALTED: {control.reason}"
    if control.state == "REDUCING" and record.signal not in (0.0, record.position):
        return f"REDUCING: {control.reason}"
    if record.epoch != standing.epoch and record.signal != 0.0:
        return f"production changed from epoch {record.epoch} to {standing.epoch}"
    return None


def consumers_of(params: DeliveryParams, secret: str | None, folder: Path) -> list[Consumer]:
    """Make the consumers that are set; `folder` keeps what they have across restarts.

    Raises
    ------
    ParameterError
        If a webhook is set without a secret of at least 32 characters.
    """
    found: list[Consumer] = []
    if params.jsonl is not None:
        found.append(SignalFile(Path(params.jsonl)))
    if params.webhook is not None:
        if secret is None or len(secret) < _LEAST_SECRET:
            raise ParameterError(
                f"delivery.webhook: needs {SECRET_VARIABLE} of at least {_LEAST_SECRET} characters in the "
                f"environment, found {len(secret or '')}; 'openssl rand -hex 32' makes one"
            )
        found.append(Webhook(params, secret, folder / "webhook_sequence"))
    return found


def _sequence_in(mark: Path) -> int:
    if not mark.is_file():
        return 0
    text = mark.read_text(encoding="ascii", errors="replace").strip()
    if not text.isdigit():
        logger.warning("%s: holds no number, %.20r; the newest signal may be posted again", mark, text)
        return 0
    return int(text)


def _end_of(file: Path) -> tuple[int, bool]:
    """The sequence of a file's last whole line, 0 without one, and whether another is cut off after it."""
    if not file.is_file():
        return 0, False
    with file.open("rb") as opened:
        opened.seek(-min(_TAIL, opened.seek(0, os.SEEK_END)), os.SEEK_END)
        *whole, rest = opened.read().split(b"\n")
    for line in reversed(whole):
        try:
            return DeliveredSignal.model_validate_json(line).sequence, bool(rest)
        except ValidationError:  # cut off by a crash, or the rest of a line that the tail begins in
            logger.warning("%s: a line is no signal and is left: %.80r", file, line)
    return 0, bool(rest)
