"""A call to a watcher elsewhere after each row: when the calls end, the machine may be dead."""

import logging
from typing import Final

from dosvotos.contracts.records import InferenceRecord
from dosvotos.live.courier import Courier
from dosvotos.live.reasons import Reason

logger = logging.getLogger(__name__)

URL_VARIABLE: Final = "DOSVOTOS_HEARTBEAT_URL"
_PATIENCE: Final = 5.0
"""Seconds for an answer, which nobody waits for."""


class Heartbeat:
    """Calls an address, in a thread of its own; the address is a secret and is in no log.

    Parameters
    ----------
    url : str
    """

    def __init__(self, url: str) -> None:
        self._url, self._fails = url, False
        self._courier = Courier("heartbeat", self._call)

    def take(self, record: InferenceRecord) -> None:
        """Call after a row; those that a start writes of a time without a loop are no sign of life."""
        if record.reason_code != Reason.LOOP_DOWN:
            self._courier.take(record)

    def close(self) -> None:
        """End the thread."""
        self._courier.close()

    def _call(self, record: InferenceRecord) -> None:
        """Call once; the next row calls again."""
        import httpx

        try:
            answer = httpx.get(self._url, timeout=_PATIENCE)
            problem = None if answer.is_success else f"answered with status {answer.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = type(error).__name__
        if problem is not None and not self._fails:
            logger.warning("%s: %s", URL_VARIABLE, problem)
        if problem is None and self._fails:
            logger.info("%s: answers again", URL_VARIABLE)
        self._fails = problem is not None
