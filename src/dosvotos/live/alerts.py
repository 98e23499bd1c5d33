"""What a person must know of: logged as an error once, until it is over."""

import logging
from typing import Protocol

logger = logging.getLogger(__name__)


class Alerts(Protocol):
    """Where alerts go."""

    def raise_alert(self, code: str, message: str) -> None:
        """Raise an alert; the same code with the same message is none while it lasts."""

    def clear(self, code: str) -> None:
        """Note that it is over."""


class LoggedAlerts:
    """Alerts in the log, each once until it is cleared."""

    def __init__(self) -> None:
        self.open: dict[str, str] = {}

    def raise_alert(self, code: str, message: str) -> None:
        """Log an alert, unless it is open with the same message."""
        if self.open.get(code) != message:
            self.open[code] = message
            logger.error("ALERT %s: %s", code, message)

    def clear(self, code: str) -> None:
        """Log that an open alert is over."""
        if self.open.pop(code, None) is not None:
            logger.warning("ALERT %s: over", code)
