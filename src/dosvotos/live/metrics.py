"""What a Prometheus server is shown of the loop: counted as rows are written, and read when it asks."""

import logging
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dosvotos.contracts.parameters import CalendarParams
from dosvotos.contracts.records import InferenceRecord
from dosvotos.errors import DatabaseError
from dosvotos.live.schedule import bars_closed
from dosvotos.live.signals import Standing
from dosvotos.market.calendar import BAR

logger = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
_DECISION: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_DELAY: Final = (1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 240.0, 300.0)
"""Upper bounds in seconds."""


class Observed(NamedTuple):
    """Where the metrics' figures come from."""

    instrument: str
    now: Callable[[], datetime]
    calendar: Callable[[], CalendarParams]
    standing: Callable[[], Standing]
    """Reads the database; so does `waiting`."""
    waiting: Callable[[], int]
    """Counts the outbox's messages that are not sent yet."""
    open_alerts: Callable[[], Collection[str]]


class LiveMetrics:
    """The loop's metrics.

    Parameters
    ----------
    observed : Observed
    """

    def __init__(self, observed: Observed) -> None:
        self._now, self._instrument = observed.now, observed.instrument
        self.registry = CollectorRegistry()
        self._rows = Counter(
            "dosvotos_rows", "Rows written, by status and reason", ["instrument", "status", "reason"],
            registry=self.registry,
        )  # fmt: skip
        self._deliveries = Counter(
            "dosvotos_deliveries", "Signals delivered, failed tries, and signals withheld",
            ["instrument", "consumer", "outcome"], registry=self.registry,
        )  # fmt: skip
        self._decision = Histogram(
            "dosvotos_inference_seconds", "From the bar being at hand to the decision",
            ["instrument"], buckets=_DECISION, registry=self.registry,
        )  # fmt: skip
        self._delay = Histogram(
            "dosvotos_bar_to_row_seconds", "From a bar's close to its row's commit",
            ["instrument"], buckets=_DELAY, registry=self.registry,
        )  # fmt: skip
        self._macro_late = Gauge(
            "dosvotos_macro_late", "Variables older than their rules promise, in the last row with features",
            ["instrument"], registry=self.registry,
        )  # fmt: skip
        self.registry.register(_AsOfNow(observed))

    def on_row(self, record: InferenceRecord) -> None:
        """Count a row."""
        name = record.instrument
        self._rows.labels(name, record.status, record.reason_code or "").inc()
        if record.feature_hash is not None:
            self._decision.labels(name).observe(record.latency_ms / 1000)
            self._macro_late.labels(name).set(len(record.macro_late))
        if record.status == "SIGNAL" and not record.spooled:
            close = record.timestamp + BAR.to_pytimedelta()
            self._delay.labels(name).observe((self._now() - close).total_seconds())

    def on_delivery(self, consumer: str, outcome: str) -> None:
        """Count a try to deliver."""
        self._deliveries.labels(self._instrument, consumer, outcome).inc()

    def serve(self, port: int) -> Callable[[], None]:
        """Answer on this machine's loopback address; what is returned ends it.

        Raises
        ------
        OSError
            If the port is taken.
        """
        server, thread = start_http_server(port, addr=LOOPBACK, registry=self.registry)

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return close


class _AsOfNow(Collector):
    """What holds when the server asks."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def describe(self) -> list[Metric]:
        """Name nothing beforehand, so that registering reads no database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give the figures; those of the database are missing while it is down."""
        observed, name = self._observed, [self._observed.instrument]
        now = observed.now()
        due = bars_closed(observed.calendar(), now - timedelta(days=1), now)
        yield _gauge("dosvotos_bars_scheduled_24h", "Bars that closed within 24 hours", name, due)
        alerts = GaugeMetricFamily(
            "dosvotos_alerts_open", "Alerts not over yet", labels=["instrument", "code"]
        )
        for code, n in Tally(observed.open_alerts()).items():
            alerts.add_metric([*name, code], n)
        yield alerts
        try:
            standing, waiting = observed.standing(), observed.waiting()
        except DatabaseError as error:
            logger.warning("metrics: %s", error)
            yield _gauge("dosvotos_database_up", "Whether the database can be read", name, 0)
            return
        yield _gauge("dosvotos_database_up", "Whether the database can be read", name, 1)
        yield _gauge("dosvotos_epoch", "How often production has changed", name, standing.epoch)
        state = standing.control.state
        yield _gauge("dosvotos_halted", "Whether signals are halted", name, int(state == "HALTED"))
        yield _gauge("dosvotos_reducing", "Whether targets may only shrink", name, int(state == "REDUCING"))
        yield _gauge("dosvotos_outbox_waiting", "Messages of the house not sent yet", name, waiting)


def _gauge(name: str, words: str, labels: list[str], value: float) -> GaugeMetricFamily:
    made = GaugeMetricFamily(name, words, labels=["instrument"])
    made.add_metric(labels, value)
    return made
