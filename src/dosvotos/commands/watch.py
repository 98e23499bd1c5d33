"""Who is told of the live loop's rows: the log, consumers, a metrics server, a watcher elsewhere."""

import logging
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from dosvotos.contracts.parameters import CalendarParams, Parameters
from dosvotos.contracts.records import InferenceRecord
from dosvotos.database.connection import reading
from dosvotos.database.outbox import count_waiting
from dosvotos.errors import ParameterError
from dosvotos.live.clock import Clock
from dosvotos.live.delivery import SECRET_VARIABLE, SignalDeliveries, SignalDelivery, consumers_of
from dosvotos.live.heartbeat import URL_VARIABLE, Heartbeat
from dosvotos.live.reasons import Reason
from dosvotos.live.signals import SignalTable
from dosvotos.live.tick import row_in_words

logger = logging.getLogger(__name__)


class Watched(NamedTuple):
    """The loop, as those see it who watch it."""

    parameters: Parameters
    book: SignalTable
    clock: Clock
    calendar: Callable[[], CalendarParams]
    open_alerts: Callable[[], Collection[str]]


class Watch:
    """All that is told of a loop's rows.

    Parameters
    ----------
    watched : Watched
    folder : Path
        Keeps what consumers have across restarts.
    metrics_port : int, optional
        On this machine's loopback address; none: no metrics.

    Raises
    ------
    ParameterError
        If a webhook has no secret, or the port is taken.
    """

    def __init__(self, watched: Watched, folder: Path, metrics_port: int | None = None) -> None:
        self._receivers: list[Callable[[InferenceRecord], None]] = [_log_row]
        self._closing: list[Callable[[], None]] = []
        on_outcome = self._serve_metrics(watched, metrics_port) if metrics_port is not None else None
        self._deliver(watched, folder, on_outcome or (lambda name, outcome: None))
        if url := os.environ.get(URL_VARIABLE):
            heartbeat = Heartbeat(url)
            self._receivers.append(heartbeat.take)
            self._closing.append(heartbeat.close)

    def on_row(self, record: InferenceRecord) -> None:
        """Pass a row on to every receiver; nothing waits here."""
        for receive in self._receivers:
            receive(record)

    def close(self) -> None:
        """End all threads, after what was taken is handed over."""
        for close in self._closing:
            close()

    def _serve_metrics(self, watched: Watched, port: int) -> Callable[[str, str], None]:
        from dosvotos.live.metrics import LiveMetrics, Observed

        def waiting() -> int:
            with reading(watched.book.engine) as connection:
                return count_waiting(connection)

        metrics = LiveMetrics(
            Observed(
                watched.book.instrument,
                watched.clock.now,
                watched.calendar,
                watched.book.standing,
                waiting,
                watched.open_alerts,
            )
        )
        try:
            self._closing.append(metrics.serve(port))
        except OSError as error:
            raise ParameterError(f"--metrics {port}: {error.strerror}; choose another port") from error
        self._receivers.append(metrics.on_row)
        return metrics.on_delivery

    def _deliver(self, watched: Watched, folder: Path, on_outcome: Callable[[str, str], None]) -> None:
        params = watched.parameters.delivery
        consumers = consumers_of(params, os.environ.get(SECRET_VARIABLE), folder)
        if not consumers:
            return
        now, standing = watched.clock.now, watched.book.standing
        deliveries = SignalDeliveries(
            [SignalDelivery(one, params.notional_usd, standing, now, on_outcome) for one in consumers]
        )
        self._receivers.append(deliveries.take)
        self._closing.append(deliveries.close)
        if (newest := watched.book.newest()) is not None:  # committed, but perhaps not handed over
            deliveries.take(newest)


def _log_row(record: InferenceRecord) -> None:
    """Log a bar's row, but those of a time without a loop, of which a start may write thousands."""
    if record.reason_code != Reason.LOOP_DOWN:
        logger.info("%s", row_in_words(record))
