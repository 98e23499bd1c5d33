"""Whether the rows of the database say what the dossier says, and what the votes made of a proposal."""

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, or_, select

from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.differences import Difference, first_difference
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import (
    BacktestRecord,
    ChainRecord,
    DatasetRecord,
    LayerRecords,
    TrainingRecord,
)
from dosvotos.database.registry import PROMOTING, production_rows, replacing_proposal, restored_epoch
from dosvotos.database.tables import approval_audit_log, promotion_proposals
from dosvotos.errors import DecisionConflictError, LineageError
from dosvotos.promotion.dossier import Dossier, DossierRecords, DossierRun, dossier_files
from dosvotos.promotion.proposal import PromotionProposal
from dosvotos.promotion.registration import NewProposal, model_columns, proposal_columns
from dosvotos.promotion.vote_rules import ModelStage, columns_after, last_decision, reopened_at

_OF_THE_VOTE: Final = frozenset({"metrics", "lineage", "created_at"})
"""Columns of a model that the approval writes; before it they are those of its first proposal."""


class ExpectedRows(NamedTuple):
    """A proposal's dossier, and the rows that must repeat it."""

    dossier: Dossier
    proposal: dict[str, Any]
    model: dict[str, Any]

    @property
    def figures(self) -> dict[str, Any]:
        """The columns of the model that an approval writes."""
        return {name: self.model[name] for name in sorted(_OF_THE_VOTE)}


def records_in(dossier: Dossier) -> DossierRecords:
    """Read every record of a dossier, in the order they are written."""
    return tuple(dossier.read(kind) for kind in dossier.kinds)


def proposal_in(dossier: Dossier) -> NewProposal:
    """Read a dossier as what was once registered."""
    layers = LayerRecords(
        contract=dossier.read(ExperimentContract),
        dataset=dossier.read(DatasetRecord),
        training=dossier.read(TrainingRecord),
        backtest=dossier.read_if_tested(BacktestRecord),
        chain=dossier.read(ChainRecord),
    )
    made_at = dossier.read(DossierRun).created_at
    return NewProposal(
        dossier.read(PromotionProposal),
        layers,
        dossier.read_if_tested(BacktestReport),
        dossier.read_if_tested(ComparisonReport),
        made_at,
    )


def instrument_of(contract: ExperimentContract) -> str:
    """The instrument that a contract is about."""
    return contract.parameters.experiment.instrument


def expected_rows(proposal: Row[Any]) -> ExpectedRows:
    """Read a proposal's dossier, and write the rows as it would have them.

    Raises
    ------
    LineageError
        If a file of the dossier is missing or altered, or the proposal was made before dossiers.
    """
    if proposal.dossier_hash is None:
        raise LineageError.of("before_dossiers", proposal=proposal.id)
    dossier = Dossier.of(proposal)
    new, records = proposal_in(dossier), records_in(dossier)
    files = dossier_files(records, dossier.experiment)
    _check_nothing_more(dossier, files)
    instrument = instrument_of(new.layers.contract)
    return ExpectedRows(
        dossier,
        proposal_columns(records, files, instrument, dossier.folder),
        {**model_columns(new, instrument), "created_at": new.created_at},
    )


def proposal_difference(connection: Connection, row: Row[Any], expected: ExpectedRows) -> Difference | None:
    """Find the first column of a proposal that is not its dossier's; `recorded` is the row's."""
    columns = dict(expected.proposal)
    if _is_made_again(connection, row):
        columns["created_at"] = row.created_at
    found = {name: getattr(row, name) for name in columns}
    return first_difference(_json_like(found), _json_like(columns))


def model_difference(row: Row[Any], expected: ExpectedRows, voted: bool = False) -> Difference | None:
    """Find the first column of a model's row that is not its dossier's; `recorded` is the row's.

    Parameters
    ----------
    row : row of model_registry
    expected : ExpectedRows
        By the dossier of the proposal in question.
    voted : bool
        Whether that proposal was approved, so that its figures are the row's too.
    """
    left_out = frozenset() if voted else _OF_THE_VOTE
    columns = {name: value for name, value in expected.model.items() if name not in left_out}
    return first_difference(_json_like({name: getattr(row, name) for name in columns}), _json_like(columns))


def check_status(connection: Connection, row: Row[Any]) -> None:
    """Refuse an open proposal whose state is not what the votes and newer proposals made of it.

    Raises
    ------
    DecisionConflictError
        Naming the column, or the newer proposal.
    """
    last = last_decision(connection, row.id)
    for name, value in columns_after(last, reopened_at(connection, row.id)).items():
        if (found := row._mapping[name]) != value:
            altered = {"proposal": row.id, "column": name, "found": found}
            if last is None:
                raise DecisionConflictError.of("status_without_vote", **altered)
            raise DecisionConflictError.of("status_altered", **altered, vote=last.id, voted=value)
    if (newer := replacing_proposal(connection, row)) is not None:
        raise DecisionConflictError.of("proposal_replaced", proposal=row.id, newer=newer)


def check_head(connection: Connection, instrument: str) -> None:
    """Refuse to decide while head row, registry and log disagree on an instrument's production model.

    Raises
    ------
    DecisionConflictError
    """
    model, head, vote, *_ = production_rows(connection, instrument)
    named = (head.production_model_id, head.epoch) if head else (None, 0)
    registered = model.model_id if model else None
    voted = (vote.model_id, vote.epoch) if vote else (None, restored_epoch(connection, instrument))
    if named[0] != registered:
        raise DecisionConflictError.of(
            "registry_disagrees", instrument=instrument, head=named[0], registry=registered
        )
    if named != voted:
        raise DecisionConflictError.of(
            "log_disagrees",
            instrument=instrument,
            head=named[0],
            epoch=named[1],
            voted=voted[0],
            voted_epoch=voted[1],
        )


def stage_difference(connection: Connection, row: Row[Any]) -> Difference | None:
    """Find the first of a model's stage, promotion and archiving that is not what the votes made of it."""
    a = approval_audit_log
    about = or_(a.c.model_id == row.model_id, a.c.previous_production_model == row.model_id)
    follows = ModelStage()
    deciding = (about & a.c.action.in_(PROMOTING)) | (a.c.action == "RESTORE")
    for vote in connection.execute(select(a).where(deciding).order_by(a.c.id)):
        if vote.action == "RESTORE":
            follows = follows.restored()
        elif row.model_id == vote.model_id or vote.new_stage == "production":
            follows = follows.after(vote, row.model_id)
    expected = follows._asdict()
    return first_difference(_json_like({name: getattr(row, name) for name in expected}), _json_like(expected))


def _check_nothing_more(dossier: Dossier, written: dict[str, bytes]) -> None:
    """Refuse a dossier whose files say what their records do not: people read the files."""
    for name in sorted(written.keys() | dossier.files.keys()):
        if dossier.files.get(name) != written.get(name):
            raise LineageError.of("copy_altered", path=dossier.folder / name)


def _is_made_again(connection: Connection, row: Row[Any]) -> bool:
    """Tell whether an older proposal has the same dossier: this one expired or was used up by a shadow."""
    p = promotion_proposals
    older = select(p.c.id).where(p.c.dossier_hash == row.dossier_hash, p.c.id < row.id)
    return connection.execute(older.limit(1)).first() is not None


def _json_like(columns: dict[str, Any]) -> dict[str, Any]:
    return {n: v.isoformat() if hasattr(v, "isoformat") else v for n, v in columns.items()}
