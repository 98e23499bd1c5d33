"""Which of the project's files nothing needs any more: no proposal, contract, look, extra backtest or vote.

The database is never touched, and what it names stays. What goes can be made again, or was never referred to.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, Row, select

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import parse_record
from dosvotos.database.registry import is_open, list_models, list_proposals
from dosvotos.database.tables import backtest_requests, ledger_genesis, oos_trials
from dosvotos.errors import DosVotosError, LineageError
from dosvotos.policy.candidate import Line, open_candidate

Kind = Literal["bundle", "dossier", "extra backtest", "data", "page", "MLflow run"]
SETTLED_AFTER: Final = timedelta(hours=1)
"""Younger things stay: who wrote them may be about to name them in the database."""
MODELS: Final = Path("data/06_models")
REPORTS: Final = Path("data/08_reporting")
_INPUT: Final = Path("data/05_model_input")
_TABLES: Final = (
    "data/01_raw", "data/02_intermediate", "data/03_primary", "data/04_feature", str(_INPUT),
)  # fmt: skip
_OUTPUT: Final = Path("data/07_model_output")
_POINTERS: Final = ("candidate.json", "judged.json")
_HASH_DIGITS: Final = 64
_DOSSIER_DIGITS: Final = 12
_SERVING: Final = ("production", "shadow")


class Piece(NamedTuple):
    """A file, a folder or an MLflow run, and why it goes or stays."""

    kind: Kind
    path: Path
    """From the project's root."""
    size: int
    """Bytes."""
    why: str


class Plan(NamedTuple):
    """What would go, and what stays."""

    removable: tuple[Piece, ...]
    kept: tuple[Piece, ...]


@dataclass(frozen=True)
class Needs:
    """What the database, and work that is on its way into it, need of the files below a root.

    Attributes
    ----------
    root : Path
    now : datetime, timezone-aware
    genesis : datetime or None
        When the trial ledger began; older things betray a ledger that was exchanged, so they stay.
    busy : collection of str
        Runs that another process works on.
    models, proposals, requests : sequence of rows
    looks : set of str
        Model hashes in the trial ledger.
    """

    root: Path
    now: datetime
    genesis: datetime | None
    busy: Collection[str]
    models: list[Row[Any]]
    proposals: list[Row[Any]]
    requests: list[Row[Any]]
    looks: frozenset[str]

    @cached_property
    def manifests(self) -> dict[str, str]:
        """Why a bundle is needed, by its manifest's hash."""
        why = {row.manifest_hash: f"{row.model_id} is registered" for row in self.models}
        for pointer in _glob(self.root, MODELS, *(f"*/{name}" for name in _POINTERS)):
            why.setdefault(_pointed_at(pointer), f"{pointer.name} points at it")
        for manifest_hash, reason in list(why.items()):
            for folder in _glob(self.root, MODELS, manifest_hash, f"*/{manifest_hash}"):
                why |= dict.fromkeys(_folds(folder), f"a fold of the line whose {reason}")
        return why

    @cached_property
    def dossiers(self) -> dict[Path, str]:
        """Why a dossier is needed, by its folder."""
        return {self.root / row.report_folder: f"proposal {row.id}" for row in self.proposals}

    @cached_property
    def extra_backtests(self) -> dict[str, str]:
        """Why the folder of an extra backtest is needed, by its name; of a failed one it is not."""
        return {
            str(row.id): f"extra backtest {row.id} is {row.status}"
            for row in self.requests
            if row.status != "failed"
        }

    @cached_property
    def runs(self) -> dict[str, str]:
        """Why a run's data and pages are needed, by its name."""
        stage = {row.model_id: row.stage for row in self.models}
        why: dict[str, str] = {}
        for row in self.proposals:
            if is_open(row, self.now):
                why[_run_of(row)] = f"proposal {row.id} is open"
            elif stage.get(row.model_id) in _SERVING:
                why.setdefault(_run_of(row), f"{row.model_id} is in {stage[row.model_id]}")
        for run in runs_of(self.root):
            if (pending := self._pending(run)) is not None:
                why.setdefault(run, pending)
        return {**why, **dict.fromkeys(self.busy, "another process works on it")}

    def age(self, path: Path) -> str | None:
        """Why a thing stays by its age alone."""
        written = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
        return self.age_of(written)

    def age_of(self, written: datetime) -> str | None:
        """Why a thing that was written then stays by its age alone."""
        if self.genesis is None or written < self.genesis:
            return "older than the trial ledger, whose age it is a witness of"
        if written > self.now - SETTLED_AFTER:
            return "written within the hour"
        return None

    def _pending(self, run: str) -> str | None:
        """Why a run goes on: what it has made was not proposed yet."""
        proposed = {row.lineage.get("config_hash") for row in self.proposals if _run_of(row) == run}
        file = self.root / _INPUT / run / "experiment_contract.json"
        if not file.exists():
            return None if proposed else "nothing of it was proposed yet"
        try:
            contract = parse_record(ExperimentContract, file.read_bytes(), str(file))
        except DosVotosError:
            return "its contract cannot be read"
        if contract.config_hash in proposed:
            return None
        return f"version {contract.contract_version} of its contract was not proposed yet"


def read_needs(connection: Connection, root: Path, now: datetime, busy: Collection[str]) -> Needs:
    """Read what the database needs, in one view of it."""
    return Needs(
        root=root,
        now=now,
        genesis=connection.execute(select(ledger_genesis.c.created_at)).scalar(),
        busy=busy,
        models=list_models(connection),
        proposals=list_proposals(connection),
        requests=list(connection.execute(select(backtest_requests)).all()),
        looks=frozenset(connection.execute(select(oos_trials.c.model_hash)).scalars()),
    )


def plan_files(needs: Needs) -> Plan:
    """Sort bundles, dossiers, extra backtests, tables and pages into what goes and what stays."""
    found = [*_bundles(needs), *_sealed_reports(needs), *_tables(needs), *_pages(needs)]
    return sort_pieces(found)


def sort_pieces(found: Iterable[tuple[Piece, bool]]) -> Plan:
    """Make a plan of pieces that are told to stay (True) or to go."""
    pieces = list(found)
    return Plan(
        tuple(piece for piece, stays in pieces if not stays), tuple(piece for piece, stays in pieces if stays)
    )


def runs_of(root: Path) -> list[str]:
    """Name the runs that left anything under data/."""
    folders = (*_TABLES, MODELS, _OUTPUT, REPORTS)
    names = {path.name for folder in folders for path in (root / folder).glob("*") if path.is_dir()}
    return sorted(names - {"drills"})


def size_of(path: Path) -> int:
    """Count the bytes of a file, or of all files of a folder."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())


def _bundles(needs: Needs) -> Iterator[tuple[Piece, bool]]:
    for folder in _glob(needs.root, MODELS, "*", "*/*"):
        if not _is_hash(folder.name, _HASH_DIGITS) or not folder.is_dir():
            continue
        why = needs.manifests.get(folder.name) or needs.age(folder) or _busy(needs, MODELS, folder)
        yield _piece(needs, "bundle", folder, why or _looked_at(needs, folder), "was never proposed")


def _looked_at(needs: Needs, folder: Path) -> str | None:
    """Why a bundle that nothing names stays: the ledger knows its policy, or it is none that we know."""
    try:
        candidate = open_candidate(folder, folder.name)
    except DosVotosError:
        return "it cannot be read, so nobody knows what it was"
    return "a look of the trial ledger is at it" if candidate.model_hash in needs.looks else None


def _sealed_reports(needs: Needs) -> Iterator[tuple[Piece, bool]]:
    for folder in _glob(needs.root, REPORTS, "*/*/*"):
        if _is_hash(folder.name, _DOSSIER_DIGITS) and folder.is_dir():
            why = needs.dossiers.get(folder) or needs.age(folder)
            yield _piece(needs, "dossier", folder, why, "belongs to no proposal")
    for folder in _glob(needs.root, REPORTS, "*/*/extra/*"):
        why = needs.extra_backtests.get(folder.name) or needs.age(folder)
        yield _piece(needs, "extra backtest", folder, why, "failed, or was never asked for")


def _tables(needs: Needs) -> Iterator[tuple[Piece, bool]]:
    for run in runs_of(needs.root):
        files = [file for folder in _TABLES for file in _glob(needs.root, Path(folder), f"{run}/*.parquet")]
        recomputed = _glob(needs.root, _OUTPUT / run, "recomputed_rows.parquet")
        for file in [*files, *recomputed]:
            yield _piece(needs, "data", file, needs.runs.get(run), "kedro run makes it again")


def _pages(needs: Needs) -> Iterator[tuple[Piece, bool]]:
    for run in runs_of(needs.root):
        for page in _glob(needs.root, REPORTS / run, "*.html", "*/*.html"):
            again = "kedro run" if page.parent.name == run else "dosvotos pack"
            yield _piece(needs, "page", page, needs.runs.get(run), f"{again} writes it again")


def _piece(needs: Needs, kind: Kind, path: Path, stays: str | None, goes: str) -> tuple[Piece, bool]:
    piece = Piece(kind, path.relative_to(needs.root), size_of(path), stays or goes)
    return piece, stays is not None


def _busy(needs: Needs, stage: Path, path: Path) -> str | None:
    run = path.relative_to(needs.root / stage).parts[0]
    return "another process works on it" if run in needs.busy else None


def _pointed_at(pointer: Path) -> str:
    try:
        return str(json.loads(pointer.read_bytes())["manifest_hash"])
    except (ValueError, KeyError, TypeError) as error:
        raise LineageError(f"{pointer}: names no manifest; run L3 or L4 of its experiment again") from error


def _folds(folder: Path) -> list[str]:
    """Give the manifests of the earlier folds of a line; none of anything else, or of what cannot be read."""
    try:
        candidate = open_candidate(folder, folder.name)
    except DosVotosError:
        return []
    return [bundle.manifest_hash for bundle in candidate.earlier] if isinstance(candidate, Line) else []


def _run_of(proposal: Row[Any]) -> str:
    """Name a proposal's run, the folder below REPORTS; before dossiers the path ended higher up."""
    parts = Path(proposal.report_folder).parts
    return parts[parts.index(REPORTS.name) + 1] if REPORTS.name in parts else str(proposal.experiment_name)


def _glob(root: Path, folder: Path, *patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in (root / folder).glob(pattern))


def _is_hash(name: str, digits: int) -> bool:
    return len(name) == digits and set(name) <= set("0123456789abcdef")
