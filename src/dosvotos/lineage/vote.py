"""The second vote on a proposal that is recomputed before it is approved, never believed."""

from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, select

from dosvotos.audit.log import broken_seals, find_breaks, read_audit_log, read_chain
from dosvotos.contracts.differences import record_link
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import ChainRecord, LayerRecords, LinkRecord, TrainingRecord
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.ledger import TrialLedger, look_of
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.odd_values import odd_values_named
from dosvotos.database.registry import find_model, get_model, get_proposal
from dosvotos.database.tables import promotion_proposals
from dosvotos.errors import AlteredError, DecisionConflictError, DecisionError, DosVotosError
from dosvotos.lineage.chain import require_registered, unbroken_chain, verify_records
from dosvotos.lineage.recompute import (
    Baseline,
    PipelineRecords,
    RecordedTraining,
    TrainedRecords,
    check_bundle_config,
    recompute,
    recompute_training,
)
from dosvotos.policy.bundle import open_bundle
from dosvotos.policy.candidate import Candidate, open_candidate, require_bundle
from dosvotos.promotion.agreement import (
    ExpectedRows,
    expected_rows,
    instrument_of,
    model_difference,
    proposal_difference,
    proposal_in,
)
from dosvotos.promotion.criteria import name_links
from dosvotos.promotion.decision import DecisionResult, Vote, check_vote, decide
from dosvotos.promotion.dossier import FILE_NAMES, Dossier, DossierRun, dossier_files, with_run, write_dossier
from dosvotos.promotion.evidence import make_evidence
from dosvotos.promotion.extra_backtests import check_extra_backtests
from dosvotos.promotion.gate_policy import GatePolicies
from dosvotos.promotion.proposal import PromotionProposal, ProposalLineage, make_proposal
from dosvotos.promotion.refit import find_approved, make_refit
from dosvotos.promotion.registration import NewProposal, ProposalRegistry, records_of
from dosvotos.promotion.transaction import Signed, was_answered
from dosvotos.promotion.vote_rules import check_reason
from dosvotos.sealed import is_whole, seal


class Verification(NamedTuple):
    """A proposal computed again from bundle and stored rows."""

    chain: ChainRecord
    """Every record of the dossier and every row, compared with what was computed."""
    recomputed: NewProposal
    """The proposal as it would be made now."""


def decide_verified(
    engine: Engine,
    proposal_id: int,
    vote: Vote,
    now: datetime,
    signed: Signed | None = None,
    key: str | None = None,
) -> DecisionResult:
    """Carry out a person's vote; before an approval compute everything again that is voted on.

    Where a record or a row is not what was computed, a new proposal takes the place of this one: a REJECT
    that names it, which is a veto. Nothing is computed while the instrument is locked.

    Raises
    ------
    DecisionError, DecisionConflictError, BundleError, LineageError
        As `decide`; LineageError also if a file is missing or altered, so that there is nothing to judge by,
        or if a finished extra backtest is not what it is when it is run again.
    """
    check_reason(vote.decision, vote.notes)
    if vote.decision != "APPROVE" or was_answered(engine, key):
        return decide(engine, proposal_id, vote, now, signed=signed, key=key)
    with odd_values_named(f"proposal {proposal_id}"):
        with reading(engine) as connection:
            if breaks := [*find_breaks(read_chain(connection)), *broken_seals(read_audit_log(connection))]:
                raise DecisionConflictError.of("log_not_whole", found=breaks[0])
            proposal = get_proposal(connection, proposal_id)
            check_vote(connection, proposal, vote, now)
        verified = verify_proposal(engine, proposal)
        if verified.chain.broken:
            _refuse(engine, proposal, verified, now)
        check_extra_backtests(engine, proposal.id)
        return decide(engine, proposal_id, vote, now, proposal.dossier_hash, signed, key)


def verify_proposal(engine: Engine, proposal: Row[Any]) -> Verification:
    """Compute a stored proposal again and compare it with its dossier and the rows that repeat it.

    No strategy of one's own is ever run here, whatever the rows say: a server must run no user's code.

    Raises
    ------
    BundleError, LineageError
        If a file is missing or altered, so that there is nothing to judge by, or there is no bundle at all.
    """
    expected = expected_rows(proposal)
    with reading(engine) as connection:
        model = get_model(connection, proposal.model_id)
        rows = _row_links(connection, proposal, model, expected)
    recorded = proposal_in(expected.dossier)
    contract = _registered_contract(engine, recorded.layers.contract)
    training = recorded.layers.training
    candidate = require_bundle(open_candidate(Path(model.model_path), training.manifest_hash))
    run = RecordedTraining(training.model_id, training.run)
    made, remade = _make_again(engine, contract, candidate, run, recorded.proposal.lineage)
    compared = verify_records(contract, _records_of(recorded), made, candidate, {})
    further = (
        record_link("chain", recorded.layers.chain.content, remade.layers.chain.content),
        record_link("proposal's file", recorded.proposal.content, remade.proposal.content),
    )
    return Verification(ChainRecord(links=(*compared.links, *further, *rows)), remade)


def _records_of(new: NewProposal) -> TrainedRecords:
    """Give what the pipelines recorded: of a refit, up to the training."""
    layers = new.layers
    if layers.backtest is None or new.report is None or new.comparison is None:
        return TrainedRecords(dataset=layers.dataset, training=layers.training)
    return PipelineRecords(
        dataset=layers.dataset,
        training=layers.training,
        backtest=layers.backtest,
        report=new.report,
        comparison=new.comparison,
    )


def restore_dossiers(engine: Engine, model_id: str) -> list[Path]:
    """Write every damaged dossier of a model again, to the byte; gives the folders that were.

    What cannot be made again as it was, because the data or a library's figures are others now, stays as it
    is and cannot be approved.
    """
    t = promotion_proposals
    with reading(engine) as connection:
        rows = connection.execute(
            select(t).where(t.c.model_id == model_id, t.c.dossier_hash.is_not(None))
        ).all()
    damaged = [row for row in rows if not is_whole(Path(row.report_folder), row.dossier_hash)]
    return [Path(row.report_folder) for row in damaged if _restore(engine, row)]


def baseline_of(row: Row[Any] | None) -> Baseline | None:
    """Open the bundle of a production model, as a candidate is compared with it."""
    if row is None:
        return None
    bundle = open_bundle(Path(row.model_path), row.manifest_hash)
    return Baseline(row.model_id, row.lineage["date_ranges"], bundle)


def _refuse(engine: Engine, proposal: Row[Any], verified: Verification, now: datetime) -> None:
    """Put a REJECT that names the broken links in a proposal's place, and refuse the vote."""
    made, contract = verified.recomputed, verified.recomputed.layers.contract
    layers = made.layers.model_copy(update={"chain": verified.chain})
    rejected = _rejected(engine, layers, made)
    folder = Path(proposal.report_folder).parents[1]
    registry = ProposalRegistry(engine, instrument_of(contract), str(folder))
    new = NewProposal(rejected, layers, made.report, made.comparison, now)
    replaced_by = registry.replace(proposal.id, new)
    raise DecisionError.of(
        "not_recomputed",
        proposal=proposal.id,
        found=f"{_other_versions(proposal)}{name_links(verified.chain.broken)}",
        replaced_by=replaced_by,
    )


def _rejected(engine: Engine, layers: LayerRecords, made: NewProposal) -> PromotionProposal:
    """Make the vote on records whose chain is broken."""
    evidence, lineage = made.proposal.evidence, made.proposal.lineage
    if made.report is None or made.comparison is None or evidence is None:
        approved = find_approved(engine, layers.contract, lineage.refit_of)
        return make_refit(layers, approved)
    return make_proposal(layers, made.report, made.comparison, evidence, GatePolicies(engine).current())


def _other_versions(proposal: Row[Any]) -> str:
    """Say which libraries are others than those the dossier was made with."""
    then = Dossier.of(proposal).read(DossierRun).versions
    others = [f"{name} {version(name)} now, {of} then" for name, of in then.items() if version(name) != of]
    return f"{', '.join(others)}; " if others else ""


def _row_links(
    connection: Connection, proposal: Row[Any], model: Row[Any], expected: ExpectedRows
) -> tuple[LinkRecord, ...]:
    """Compare the rows of a proposal and of its model with the dossier."""
    differences = {
        "proposal": proposal_difference(connection, proposal, expected),
        "model registry": model_difference(model, expected),
    }
    sealed = expected.dossier.dossier_hash
    whole = {"recorded": sealed, "recomputed": sealed, "field": "content"}
    return tuple(
        LinkRecord(record=name, source="the dossier", **(found._asdict() if found else whole))
        for name, found in differences.items()
    )


def _registered_contract(engine: Engine, contract: ExperimentContract) -> ExperimentContract:
    registered = require_registered(contract, ContractRegistry(engine).registered(contract))
    if registered != contract:
        raise AlteredError.of(
            "contract_altered", contract=contract.contract_id, version=contract.contract_version
        )
    return registered


def _make_again(
    engine: Engine,
    contract: ExperimentContract,
    candidate: Candidate,
    training: RecordedTraining,
    lineage: ProposalLineage,
) -> tuple[TrainedRecords, NewProposal]:
    """Make the layers' records and the proposal again, beside the model that was production then."""
    check_bundle_config(contract, candidate)
    instrument, parameters, baseline_id = (
        instrument_of(contract),
        contract.parameters,
        lineage.baseline_model_id,
    )
    tables = StoredMarket(engine, instrument, parameters.feed).tables
    history = stored_history(parameters, *tables, contract.data_as_of, contract.test_end)
    if lineage.refit_of is not None:
        trained = recompute_training(contract, history, candidate, training)
        return trained, _refit_again(engine, contract, candidate, trained, lineage)
    with reading(engine) as connection:
        baseline = find_model(connection, baseline_id) if baseline_id else None
    if baseline_id and baseline is None:
        raise AlteredError.of("baseline_unregistered", model=baseline_id)
    policy = GatePolicies(engine).current()
    made = recompute(contract, history, candidate, training, baseline_of(baseline), policy)
    layers = LayerRecords(
        contract=contract,
        **{name: getattr(made, name) for name in ("dataset", "training", "backtest")},
        chain=unbroken_chain(contract, made, candidate),
    )
    ledger = TrialLedger(engine, instrument)
    own, earlier = ledger.history(look_of(contract, made.training.model_hash))
    evidence = make_evidence(layers, made.report, own, earlier, ledger.genesis(), policy)
    proposal = make_proposal(layers, made.report, made.comparison, evidence, policy)
    return made, NewProposal(proposal, layers, made.report, made.comparison, contract.created_at)


def _refit_again(
    engine: Engine,
    contract: ExperimentContract,
    candidate: Candidate,
    trained: TrainedRecords,
    lineage: ProposalLineage,
) -> NewProposal:
    """Make the proposal of a refit again; raises ContractError if it is none of the model it names."""
    approved = find_approved(engine, contract, lineage.refit_of)
    chain = unbroken_chain(contract, trained, candidate)
    layers = LayerRecords(contract=contract, dataset=trained.dataset, training=trained.training, chain=chain)
    proposal = make_refit(layers, approved)
    return NewProposal(proposal, layers, None, None, contract.created_at)


def _restore(engine: Engine, row: Row[Any]) -> bool:
    """Make a dossier again from its row and the data, and write it if it is the same to the byte."""
    try:
        files = _files_again(engine, row)
    except DosVotosError:
        return False
    if seal(files)[0] != row.dossier_hash:
        return False
    write_dossier(Path(row.report_folder).parent, files)
    return True


def _files_again(engine: Engine, row: Row[Any]) -> dict[str, bytes]:
    contract = ContractRegistry(engine).of_proposal(row)
    with reading(engine) as connection:
        model = get_model(connection, row.model_id)
    candidate = open_candidate(Path(model.model_path), row.lineage["manifest_hash"])
    training = RecordedTraining(row.model_id, row.run[FILE_NAMES[TrainingRecord]])
    lineage = ProposalLineage.model_validate(row.lineage)
    _, remade = _make_again(engine, contract, candidate, training, lineage)
    return dossier_files(with_run(records_of(remade), row.run), row.experiment_name)
