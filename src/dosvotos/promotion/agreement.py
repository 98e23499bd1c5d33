"""Whether the rows of the database say what the dossier says, and what the votes made of a proposal."""

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, select

from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.differences import Difference, first_difference
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import (
    BacktestRecord,
    ChainRecord,
    DatasetRecord,
    LayerRecords,
    Record,
    TrainingRecord,
)
from dosvotos.database.tables import approval_audit_log, promotion_proposals
from dosvotos.errors import DecisionConflictError, LineageError
from dosvotos.promotion.dossier import Dossier, DossierRecords, DossierRun
from dosvotos.promotion.proposal import PromotionProposal
from dosvotos.promotion.registration import NewProposal, model_columns, proposal_columns

_STATUS_OF: Final = {
    "APPROVE": "APPROVED", "REJECT": "REJECTED", "REQUEST_MORE_TESTS": "MORE_TESTS_REQUESTED",
}  # fmt: skip
_OF_THE_VOTE: Final = frozenset({"metrics", "lineage"})
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
    kinds: tuple[type[Record | ExperimentContract], ...] = (
        ExperimentContract, DatasetRecord, TrainingRecord, BacktestRecord, ChainRecord, BacktestReport,
        ComparisonReport, PromotionProposal, DossierRun,
    )  # fmt: skip
    return tuple(dossier.read(kind) for kind in kinds)


def proposal_in(dossier: Dossier) -> NewProposal:
    """Read a dossier as what was once registered."""
    layers = LayerRecords(
        contract=dossier.read(ExperimentContract),
        dataset=dossier.read(DatasetRecord),
        training=dossier.read(TrainingRecord),
        backtest=dossier.read(BacktestRecord),
        chain=dossier.read(ChainRecord),
    )
    made_at = dossier.read(DossierRun).created_at
    return NewProposal(
        dossier.read(PromotionProposal),
        layers,
        dossier.read(BacktestReport),
        dossier.read(ComparisonReport),
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
        raise LineageError(
            f"proposal {proposal.id}: made before dossiers; it can be read, and approved only after the "
            "backtest and promotion pipelines ran again"
        )
    dossier = Dossier.of(proposal)
    new = proposal_in(dossier)
    instrument = instrument_of(new.layers.contract)
    return ExpectedRows(
        dossier,
        proposal_columns(records_in(dossier), instrument, dossier.folder, proposal.dossier_hash),
        model_columns(new, instrument),
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
    return first_difference({name: getattr(row, name) for name in columns}, columns)


def check_status(connection: Connection, row: Row[Any]) -> None:
    """Refuse an open proposal that the votes or a newer proposal have closed.

    Raises
    ------
    DecisionConflictError
        Naming the vote or the newer proposal.
    """
    t = approval_audit_log
    votes = connection.execute(select(t).where(t.c.proposal_id == row.id).order_by(t.c.id)).all()
    status = _STATUS_OF[votes[-1].action] if votes else "PENDING_APPROVAL"
    if row.status != status:
        said = f"vote {votes[-1].id} of the audit log made it {status}" if votes else "nobody has voted on it"
        raise DecisionConflictError(f"proposal {row.id}: status is {row.status}, but {said}")
    p = promotion_proposals
    same = (p.c.experiment_name == row.experiment_name) & (p.c.instrument == row.instrument)
    newer = connection.execute(select(p.c.id).where(same, p.c.id > row.id).order_by(p.c.id)).scalar()
    if newer is not None:
        raise DecisionConflictError(f"proposal {row.id}: proposal {newer} of the same experiment replaced it")


def check_head(head: Row[Any], production: Row[Any] | None) -> None:
    """Refuse to decide while head row and registry name different production models.

    Raises
    ------
    DecisionConflictError
    """
    named = production.model_id if production else None
    if head.production_model_id != named:
        raise DecisionConflictError(
            f"{head.instrument}: its head row names {head.production_model_id} as production, the registry "
            f"{named}; one of them was altered, see 'dosvotos audit verify'"
        )


def _is_made_again(connection: Connection, row: Row[Any]) -> bool:
    """Tell whether an older proposal has the same dossier: this one expired or was used up by a shadow."""
    p = promotion_proposals
    older = select(p.c.id).where(p.c.dossier_hash == row.dossier_hash, p.c.id < row.id)
    return connection.execute(older.limit(1)).first() is not None


def _json_like(columns: dict[str, Any]) -> dict[str, Any]:
    return {n: v.isoformat() if hasattr(v, "isoformat") else v for n, v in columns.items()}
