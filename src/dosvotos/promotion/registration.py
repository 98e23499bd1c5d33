"""A proposal enters the books: its files together, its model in staging, one open row an experiment."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, Row

from dosvotos.contracts.records import DatasetRecord, TrainingRecord
from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import add_model, add_proposal, find_model, latest_proposal
from dosvotos.errors import DosVotosError, LineageError
from dosvotos.files import write_folder
from dosvotos.hashing import digest_bytes, short
from dosvotos.promotion.proposal import PromotionProposal


class Submission(NamedTuple):
    """All that is registered at once."""

    proposal: PromotionProposal
    training: TrainingRecord
    dataset: DatasetRecord
    reports: dict[str, Any]
    """The report files' contents, JSON-like, by file name."""
    now: datetime


@dataclass(frozen=True)
class ProposalBook:
    """The proposals of one instrument.

    Attributes
    ----------
    engine : Engine
    instrument : str
    folder : str
        Where an experiment's report files live.
    """

    engine: Engine
    instrument: str
    folder: str

    def store(self, submission: Submission) -> None:
        """Register a proposal, unless the same one stands already or its model is in production.

        A proposal that expired, or that a person approved to shadow only, may be made again.
        """
        if self._standing(submission) is not None:
            return
        proposal = submission.proposal
        folder = (
            Path(self.folder)
            / proposal.model_id
            / f"{submission.now:%Y%m%dT%H%M%S}_{short(proposal.content_hash)}"
        )
        files = {n: to_json_bytes(content) for n, content in submission.reports.items()}
        write_folder(folder, files)
        with writing(self.engine) as connection:
            add_model(connection, self._model_row(submission))
            row = self._proposal_row(submission, files, str(folder))
            add_proposal(connection, row)

    def current(self, model_id: str) -> Row[Any]:
        """The newest proposal of a model.

        Raises
        ------
        DosVotosError
            If the model was never proposed.
        """
        with reading(self.engine) as connection:
            row = latest_proposal(connection, model_id)
        if row is None:
            raise DosVotosError(f"{model_id}: no proposal stands; run the promotion pipeline")
        return row

    def _standing(self, submission: Submission) -> Row[Any] | None:
        proposal = submission.proposal
        with reading(self.engine) as connection:
            model = find_model(connection, proposal.model_id)
            latest = latest_proposal(connection, proposal.model_id)
        if latest is None or model is None:
            return None
        used_up = latest.status == "EXPIRED" or (latest.status == "APPROVED" and model.stage == "shadow")
        same = latest.content_hash == proposal.content_hash
        unchanged = same and latest.recommendation == proposal.recommendation and not used_up
        return latest if unchanged or model.stage == "production" else None

    def _model_row(self, submission: Submission) -> dict[str, Any]:
        proposal, training, dataset, *_ = submission
        return {
            "model_id": proposal.model_id,
            "instrument": self.instrument,
            "experiment_name": proposal.experiment_name,
            "model_path": training.model_path,
            "model_hash": training.model_hash,
            "manifest_hash": training.manifest_hash,
            "norm_stats_path": f"{training.model_path}/norm_stats.json",
            "norm_stats_hash": dataset.norm_stats_hash,
            "config_hash": training.config_hash,
            "feature_order_hash": dataset.feature_order_hash,
            "dataset_hash": training.dataset_hash,
            "trained_by": training.trained_by,
            "metrics": proposal.metrics.model_dump(),
            "lineage": {**proposal.lineage, "date_ranges": dataset.date_ranges},
            "created_at": submission.now,
        }

    def _proposal_row(self, submission: Submission, files: dict[str, bytes], folder: str) -> dict[str, Any]:
        """The row; the findings stand in the report files, whose hashes it holds."""
        proposal = submission.proposal
        return {
            **proposal.model_dump(mode="json", exclude={"findings"}),
            "instrument": self.instrument,
            "report_folder": folder,
            "report_files": {name: digest_bytes(content) for name, content in files.items()},
            "content_hash": proposal.content_hash,
            "created_at": submission.now,
        }


def check_reports(proposal: Row[Any]) -> None:
    """Refuse a proposal whose report files are missing or altered.

    Raises
    ------
    LineageError
        Naming the file.
    """
    for name, digest in proposal.report_files.items():
        path = Path(proposal.report_folder) / name
        if not path.is_file():
            raise LineageError(f"{path}: missing; run the backtest and promotion pipelines again")
        if (found := digest_bytes(path.read_bytes())) != digest:
            raise LineageError(f"{path}: expected SHA-256 {digest}, found {found}")


def to_json_bytes(content: Any) -> bytes:
    """A report as its file holds it."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
