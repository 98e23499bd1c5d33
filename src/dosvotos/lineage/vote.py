"""The second vote on a proposal whose chain still holds."""

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row

from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import BacktestRecord, ChainRecord, DatasetRecord, TrainingRecord
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.registry import get_model, get_proposal, is_open
from dosvotos.lineage.chain import (
    bundle_hashes,
    chain_records,
    compare_links,
    contract_hashes,
    history_hashes,
    require_registered,
)
from dosvotos.policy.bundle import open_bundle
from dosvotos.promotion.criteria import lineage_criterion
from dosvotos.promotion.decision import DecisionResult, Vote, decide, veto
from dosvotos.promotion.proposal import PromotionProposal
from dosvotos.promotion.report_files import check_reports, read_report


def decide_verified(engine: Engine, proposal_id: int, vote: Vote, now: datetime) -> DecisionResult:
    """Carry out a person's vote; before an approval verify the chain from L0 to L4 again.

    A link that does not hold makes the proposal a REJECT that names it, which is a veto.

    Raises
    ------
    DecisionError, DecisionConflictError, BundleError, LineageError
        As `decide`; LineageError also if the proposal's records are missing or cannot be read.
    """
    if vote.decision == "APPROVE":
        with reading(engine) as connection:
            proposal = get_proposal(connection, proposal_id)
        if is_open(proposal, now) and proposal.recommendation != "REJECT":
            chain = verify_proposal(engine, proposal)
            if chain.broken:
                veto(engine, proposal_id, lineage_criterion(chain))
    return decide(engine, proposal_id, vote, now)


def verify_proposal(engine: Engine, proposal: Row[Any]) -> ChainRecord:
    """Compare every link behind a stored proposal.

    The data are read from the database as of the contract's moment, the model from its bundle; what L2 to L4
    recorded stands beside the proposal and must agree with both, with the registry and with the proposal.

    Raises
    ------
    BundleError, LineageError
        If a file is missing or altered, so that there is nothing to judge by.
    """
    check_reports(proposal)
    with reading(engine) as connection:
        model = get_model(connection, proposal.model_id)
    contract = read_report(proposal, ExperimentContract)
    records = chain_records(
        contract,
        read_report(proposal, DatasetRecord),
        read_report(proposal, TrainingRecord),
        read_report(proposal, BacktestRecord),
        read_report(proposal, BacktestReport),
    )
    file = read_report(proposal, PromotionProposal)
    records["proposal's file"] = {**file.lineage.model_dump(), "recommendation": file.recommendation}
    records["proposal"] = {**proposal.lineage, "recommendation": proposal.recommendation}
    records["model registry"] = {k: v for k, v in model._mapping.items() if v is not None}
    registered = require_registered(contract, ContractRegistry(engine).registered(contract))
    history = stored_history(
        registered.parameters,
        *StoredMarket(engine, proposal.instrument, registered.parameters.feed).tables,
        registered.data_as_of,
        registered.test_end,
    )
    bundle = open_bundle(Path(model.model_path), model.manifest_hash)
    recomputed = {
        **contract_hashes(registered),
        **history_hashes(history, registered.schema_version),
        **bundle_hashes(bundle),
    }
    return compare_links(records, recomputed)
