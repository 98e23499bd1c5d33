"""The second vote on a proposal whose chain still holds."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine, Row

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import BacktestRecord, ChainRecord, DatasetRecord, TrainingRecord
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractBook
from dosvotos.database.history import stored_history
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.registry import OPEN_STATES, get_model, get_proposal
from dosvotos.errors import LineageError
from dosvotos.lineage.chain import chain_records, check_chain, seen_bundle, seen_contract, seen_history
from dosvotos.policy.bundle import open_bundle
from dosvotos.promotion.criteria import chain_text
from dosvotos.promotion.decision import Outcome, Vote, decide, veto
from dosvotos.promotion.registration import check_reports


def decide_verified(engine: Engine, proposal_id: int, vote: Vote, now: datetime) -> Outcome:
    """Carry out a person's vote; before an approval the chain from L0 to L4 is looked at again.

    A link that does not hold makes the proposal a REJECT that names it, which is a veto.

    Raises
    ------
    DecisionError, DecisionConflictError, BundleError, LineageError
        As `decide`; LineageError also if the proposal's records are missing or cannot be read.
    """
    if vote.decision == "APPROVE":
        with reading(engine) as connection:
            proposal = get_proposal(connection, proposal_id)
        if proposal.status in OPEN_STATES and proposal.recommendation != "REJECT":
            chain = chain_of(engine, proposal)
            if chain.broken:
                veto(engine, proposal_id, chain_text(chain))
    return decide(engine, proposal_id, vote, now)


def chain_of(engine: Engine, proposal: Row[Any]) -> ChainRecord:
    """Look at every link behind a stored proposal.

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
    name = proposal.experiment_name
    contract = _parsed(proposal, "experiment_contract.json", ExperimentContract)
    results = _read(proposal, f"backtest_results_{name}.json")
    records = chain_records(
        contract,
        _parsed(proposal, f"DS_{name}_lineage.json", DatasetRecord),
        _parsed(proposal, "training_record.json", TrainingRecord),
        _parsed(proposal, "backtest_record.json", BacktestRecord),
        results,
    )
    written = _read(proposal, f"promotion_proposal_{name}.json")
    records["proposal's file"] = {**written["lineage"], "recommendation": written["recommendation"]}
    records["proposal"] = {**proposal.lineage, "recommendation": proposal.recommendation}
    records["model registry"] = {k: v for k, v in model._mapping.items() if v is not None}
    registered = ContractBook(engine).registered(contract)
    if registered is None:
        raise LineageError(
            f"{contract.contract_id} version {contract.contract_version}: not in this database; run "
            "'kedro run --pipelines dataset' first"
        )
    history = stored_history(
        registered.parameters,
        *StoredMarket(engine, proposal.instrument, registered.parameters.feed).tables,
        registered.data_as_of,
        registered.test_end,
    )
    bundle = open_bundle(Path(model.model_path), model.manifest_hash)
    found = {**seen_contract(registered), **seen_history(history), **seen_bundle(bundle)}
    return check_chain(records, found)


def _read(proposal: Row[Any], name: str) -> Any:
    if name not in proposal.report_files:
        raise LineageError(
            f"proposal {proposal.id} has no {name}: an older version made it; run the backtest and promotion "
            "pipelines again"
        )
    return json.loads((Path(proposal.report_folder) / name).read_bytes())


def _parsed(proposal: Row[Any], name: str, model: Any) -> Any:
    try:
        return model.model_validate(_read(proposal, name))
    except ValidationError as error:
        raise LineageError(
            f"{proposal.report_folder}/{name}: not a record of this version, see "
            f"{'.'.join(map(str, error.errors()[0]['loc']))}; run the backtest and promotion pipelines again"
        ) from error
