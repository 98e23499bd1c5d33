"""Register proposals: the dossier, the model in staging, one open proposal an experiment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row

from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.records import DatasetRecord, LayerRecords, TrainingRecord
from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import (
    OPEN_STATES,
    add_model,
    add_proposal,
    find_model,
    latest_proposal,
    state_of,
    supersede_proposal,
)
from dosvotos.errors import DosVotosError
from dosvotos.files import write_file
from dosvotos.hashing import digest_bytes
from dosvotos.promotion.dossier import (
    FILE_NAMES,
    FOR_PEOPLE,
    DossierRecords,
    DossierRun,
    content_hash,
    dossier_files,
    run_of,
    with_run,
    write_dossier,
)
from dosvotos.promotion.notify import announce_proposal
from dosvotos.promotion.proposal import PromotionProposal, served_statistics
from dosvotos.promotion.standing import waits_for_signed_vote
from dosvotos.promotion.vote_rules import closing_vote, earlier_votes
from dosvotos.sealed import seal


class NewProposal(NamedTuple):
    """All that is registered at once."""

    proposal: PromotionProposal
    layers: LayerRecords
    report: BacktestReport | None
    """None of a refit, as `comparison`."""
    comparison: ComparisonReport | None
    created_at: datetime


def records_of(new: NewProposal) -> DossierRecords:
    """List the records of a proposal's dossier."""
    layers = (getattr(new.layers, name) for name in LayerRecords.model_fields)
    records = (*layers, new.report, new.comparison, new.proposal, DossierRun.now(new.created_at))
    return tuple(one for one in records if one is not None)


def proposal_columns(
    records: DossierRecords, files: Mapping[str, bytes], instrument: str, folder: Path
) -> dict[str, Any]:
    """Write the row of a proposal: an index of its dossier, whose `files` are what `records` write.

    The figures of ``findings`` stand in the dossier alone; a refit's metrics and evidence are empty.
    """
    proposal = next(one for one in records if isinstance(one, PromotionProposal))
    run = next(one for one in records if isinstance(one, DossierRun))
    fields = proposal.model_dump(mode="json", exclude={"findings", "status"})
    return {
        **fields,
        "metrics": fields["metrics"] or {},
        "evidence": fields["evidence"] or {},
        "instrument": instrument,
        "report_folder": str(folder),
        "report_files": {name: digest_bytes(content) for name, content in files.items()},
        "dossier_hash": seal(files)[0],
        "content_hash": content_hash(records),
        "run": run_of(records),
        "created_at": run.created_at,
    }


def model_columns(new: NewProposal, instrument: str) -> dict[str, Any]:
    """Write a model's row in the registry, but for its stage and when it was made."""
    proposal, training, dataset = new.proposal, new.layers.training, new.layers.dataset
    return {
        "model_id": proposal.model_id,
        "instrument": instrument,
        "experiment_name": proposal.experiment_name,
        "model_path": training.model_path,
        "model_hash": training.model_hash,
        "manifest_hash": training.manifest_hash,
        "norm_stats_path": "none" if training.targets else f"{training.model_path}/norm_stats.json",
        "norm_stats_hash": served_statistics(new.layers),
        "config_hash": training.config_hash,
        "feature_order_hash": dataset.feature_order_hash,
        "dataset_hash": training.dataset_hash,
        "trained_by": training.trained_by,
        "metrics": proposal.metrics.model_dump(mode="json") if proposal.metrics else None,
        "lineage": {**proposal.lineage.model_dump(mode="json"), "date_ranges": _ranges_of(training, dataset)},
    }


def _ranges_of(training: TrainingRecord, dataset: DatasetRecord) -> dict[str, str]:
    """Give the dates that the candidate was trained and chosen on: of a line, the last fold's."""
    return training.folds[-1].date_ranges if training.folds else dataset.date_ranges


@dataclass(frozen=True)
class ProposalRegistry:
    """The proposals of one instrument.

    Attributes
    ----------
    engine : Engine
    instrument : str
    folder : str
        Where an experiment's dossiers live, and the latest copy of its three files.
    """

    engine: Engine
    instrument: str
    folder: str

    def store(self, new: NewProposal) -> None:
        """Register a proposal, unless the same one stands already or its model serves by signed vote.

        The same content made again takes over the facts of the run first written, so that its dossier is the
        same to the byte: one that was damaged is whole again. A proposal that expired, or that a person
        approved to shadow only, may be made again from the same dossier.
        """
        with reading(self.engine) as connection:
            model = find_model(connection, new.proposal.model_id)
            latest = latest_proposal(connection, new.proposal.model_id)
            serves = model is not None and model.stage == "production"
            if serves and not waits_for_signed_vote(connection, self.instrument):
                return
        records = records_of(new)
        if latest is not None and latest.run and latest.content_hash == content_hash(records):
            records = with_run(records, latest.run)
        columns = self._write(records, new.proposal)
        if latest is None or model is None or not _stands(latest, model, columns, new.created_at):
            self._add(new, {**columns, "created_at": new.created_at})

    def replace(self, proposal_id: int, new: NewProposal) -> int:
        """Register a proposal in the place of one whose chain no longer holds; gives its id."""
        columns = self._write(records_of(new), new.proposal)
        with writing(self.engine) as connection:
            supersede_proposal(connection, proposal_id)
            replacing = add_proposal(connection, columns)
            announce_proposal(connection, replacing, {"status": OPEN_STATES[0], **columns}, new.created_at)
            return replacing

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

    def _write(self, records: DossierRecords, proposal: PromotionProposal) -> dict[str, Any]:
        """Write a dossier and its copies for people; gives the columns of its row."""
        files = dossier_files(records, proposal.experiment_name)
        self._publish(files, proposal.experiment_name)
        folder = write_dossier(Path(self.folder) / proposal.model_id, files)
        return proposal_columns(records, files, self.instrument, folder)

    def _publish(self, files: Mapping[str, bytes], experiment: str) -> None:
        """Write the specification's three files from the dossier, for people; a refit has the last alone."""
        for name in (FILE_NAMES[record].format(experiment=experiment) for record in FOR_PEOPLE):
            if name in files:
                write_file(Path(self.folder) / name, files[name])

    def _add(self, new: NewProposal, columns: dict[str, Any]) -> None:
        with writing(self.engine) as connection:
            model = {**model_columns(new, self.instrument), "created_at": new.created_at}
            add_model(connection, model)
            row = {**columns, "status": self._first_status(connection, model)}
            announce_proposal(connection, add_proposal(connection, row), row, new.created_at)

    def _first_status(self, connection: Connection, model: Mapping[str, Any]) -> str:
        """Give a new proposal's status: a model that a person rejected stays closed."""
        votes = earlier_votes(connection, model["manifest_hash"], model["model_hash"], self.instrument)
        return "REJECTED" if closing_vote(votes) else "PENDING_APPROVAL"


def _stands(latest: Row[Any], model: Row[Any], columns: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether a model's newest proposal is this one, and neither expired nor used up by a shadow."""
    state = state_of(latest, now)
    used_up = state == "EXPIRED" or (state == "APPROVED" and model.stage == "shadow")
    return latest.dossier_hash == columns["dossier_hash"] and not used_up
