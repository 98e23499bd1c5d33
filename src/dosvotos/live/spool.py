"""Rows that could not be written: kept on disk until the database is back."""

import logging
import os
from pathlib import Path

from pydantic import ValidationError

from dosvotos.contracts.records import InferenceRecord

logger = logging.getLogger(__name__)


class Spool:
    """A file of rows, one JSON document a line, appended and flushed to disk row by row.

    Parameters
    ----------
    file : Path
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._rows = self._read()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> list[InferenceRecord]:
        """The rows that wait, in the order they came."""
        return list(self._rows)

    def add(self, record: InferenceRecord) -> InferenceRecord:
        """Keep a row, and give it with its mark; on a full disk in memory alone, which the log says."""
        kept = record.model_copy(update={"spooled": True})
        self._rows.append(kept)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as opened:
                opened.write(kept.model_dump_json() + "\n")
                opened.flush()
                os.fsync(opened.fileno())
        except OSError as error:
            logger.error("%s: cannot be written (%s); its rows are kept in memory", self.file, error.strerror)
        return kept

    def clear(self) -> None:
        """Forget all rows: the database has them."""
        self._rows = []
        self.file.unlink(missing_ok=True)

    def _read(self) -> list[InferenceRecord]:
        if not self.file.exists():
            return []
        rows = []
        for line in self.file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                rows.append(InferenceRecord.model_validate_json(line))
            except ValidationError:  # the last line of a process that was killed while it wrote
                logger.warning("%s: a line is cut off and left out: %.80r", self.file, line)
        return rows
