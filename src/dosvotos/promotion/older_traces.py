"""What lies beside a trial ledger and is older than it: work whose looks it cannot know."""

import logging
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

from sqlalchemy import Connection, select

from dosvotos.database.connection import database_file
from dosvotos.database.tables import ledger_genesis
from dosvotos.errors import AlteredError
from dosvotos.project import mlflow_url
from dosvotos.promotion.reasons import Reason

Kind = Literal["bundles", "contracts", "mlflow_runs"]
logger = logging.getLogger(__name__)
_FILES: Final[dict[Kind, tuple[str, ...]]] = {
    "bundles": ("data/06_models/**/manifest.json",),
    "contracts": ("data/05_model_input/**/*contract*.json", "data/08_reporting/**/*contract*.json"),
}


class OlderTraces(NamedTuple):
    """Things of one kind that were there before the ledger began."""

    kind: Kind
    n_found: int
    oldest: datetime
    """UTC; of a file when it was last written, of an MLflow run its start."""
    genesis: datetime
    """When the ledger began."""

    @property
    def reason(self) -> Reason:
        """The fact as a code with figures, for a sentence in either language."""
        figures = {
            "count": self.n_found,
            "oldest": f"{self.oldest:%Y-%m-%d}",
            "since": f"{self.genesis:%Y-%m-%d}",
        }
        return Reason(code=f"older_{self.kind}", figures=figures)


def older_traces(connection: Connection, root: Path = Path()) -> tuple[OlderTraces, ...]:
    """Find bundles, contract files and MLflow runs that are older than the trial ledger.

    Parameters
    ----------
    connection : Connection
    root : Path
        The project's; the working folder is, for every command.

    Returns
    -------
    tuple of OlderTraces
        One a kind; empty for a ledger that was there from the start.

    Raises
    ------
    LineageError
        If the database has no ledger genesis.

    Notes
    -----
    Files that were deleted, or copied without their times, and an MLflow server leave no trace here.
    """
    genesis = connection.execute(select(ledger_genesis.c.created_at)).scalar()
    if genesis is None:
        raise AlteredError("ledger_genesis: one row expected, found none")
    times: dict[Kind, list[datetime]] = {kind: _written(root, patterns) for kind, patterns in _FILES.items()}
    times["mlflow_runs"] = _mlflow_starts(root)
    older = {kind: [time for time in found if time < genesis] for kind, found in times.items()}
    return tuple(OlderTraces(kind, len(found), min(found), genesis) for kind, found in older.items() if found)


def _written(root: Path, patterns: Iterable[str]) -> list[datetime]:
    files = (file for pattern in patterns for file in root.glob(pattern))
    return [datetime.fromtimestamp(file.lstat().st_mtime, UTC) for file in files]


def _mlflow_starts(root: Path) -> list[datetime]:
    """Read when the runs of MLflow's SQLite file began; none where MLflow is a server or never ran."""
    file = database_file(mlflow_url(), root.resolve())
    if file is None or not file.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone():
                return []
            starts = connection.execute("SELECT start_time FROM runs WHERE start_time > 0").fetchall()
    except sqlite3.Error as error:
        logger.warning("%s: MLflow's runs cannot be compared with the ledger's age: %s", file, error)
        return []
    return [datetime.fromtimestamp(milliseconds / 1000, UTC) for (milliseconds,) in starts]
