"""The log as a file of JSON lines, for machines: it is rotated, and holds no secret."""

import json
import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from dosvotos.redaction import without_secrets

_MAX_BYTES: Final = 10_000_000
_FILES: Final = 10
"""Older ones beside the current one; together 110 MB at most."""


class JsonLines(logging.Formatter):
    """One JSON object a record: time (UTC), level, logger, message and, if there was one, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record in one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def log_to(file: Path) -> None:
    """Write all that is logged to a file too, from now on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(file, maxBytes=_MAX_BYTES, backupCount=_FILES, encoding="utf-8")
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)
