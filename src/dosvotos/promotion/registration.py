"""Register proposals: report files together, the model in staging, one open proposal an experiment."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel
from sqlalchemy import Engine, Row

from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.records import LayerRecords
from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import add_model, add_proposal, find_model, latest_proposal
from dosvotos.errors import DosVotosError
from dosvotos.files import write_folder
from dosvotos.hashing import digest_bytes, short
from dosvotos.promotion.proposal import PromotionProposal
from dosvotos.promotion.report_files import report_files


class NewProposal(NamedTuple):
    """All that is registered at once."""

    proposal: PromotionProposal
    layers: LayerRecords
    report: BacktestReport
    comparison: ComparisonReport
    created_at: datetime


@dataclass(frozen=True)
class ProposalRegistry:
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

    def store(self, new: NewProposal) -> None:
        """Register a proposal, unless the same one stands already or its model is in production.

        A proposal that expired, or that a person approved to shadow only, may be made again.
        """
        if self._stands(new):
            return
        proposal = new.proposal
        name = f"{new.created_at:%Y%m%dT%H%M%S}_{short(proposal.content_hash)}"
        folder = Path(self.folder) / proposal.model_id / name
        files = report_files(_records(new), proposal.experiment_name)
        write_folder(folder, files)
        with writing(self.engine) as connection:
            add_model(connection, self._model_row(new))
            add_proposal(connection, self._proposal_row(new, files, str(folder)))

    def latest(self, model_id: str) -> Row[Any]:
        """Find the newest proposal of a model.

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

    def _stands(self, new: NewProposal) -> bool:
        """Tell whether the same proposal stands already, or its model is in production."""
        proposal = new.proposal
        with reading(self.engine) as connection:
            model = find_model(connection, proposal.model_id)
            latest = latest_proposal(connection, proposal.model_id)
        if latest is None or model is None:
            return False
        used_up = latest.status == "EXPIRED" or (latest.status == "APPROVED" and model.stage == "shadow")
        same = latest.content_hash == proposal.content_hash
        unchanged = same and latest.recommendation == proposal.recommendation and not used_up
        return unchanged or model.stage == "production"

    def _model_row(self, new: NewProposal) -> dict[str, Any]:
        proposal, training, dataset = new.proposal, new.layers.training, new.layers.dataset
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
            "lineage": {**proposal.lineage.model_dump(), "date_ranges": dataset.date_ranges},
            "created_at": new.created_at,
        }

    def _proposal_row(self, new: NewProposal, files: dict[str, bytes], folder: str) -> dict[str, Any]:
        """Make the row; the figures of `findings` stand in the report files, whose hashes it holds."""
        proposal = new.proposal
        return {
            **proposal.model_dump(mode="json", exclude={"findings"}),
            "instrument": self.instrument,
            "report_folder": folder,
            "report_files": {name: digest_bytes(content) for name, content in files.items()},
            "content_hash": proposal.content_hash,
            "created_at": new.created_at,
        }


def _records(new: NewProposal) -> tuple[BaseModel, ...]:
    """List what the report files hold."""
    layers = (getattr(new.layers, name) for name in LayerRecords.model_fields)
    return (*layers, new.report, new.comparison, new.proposal)
