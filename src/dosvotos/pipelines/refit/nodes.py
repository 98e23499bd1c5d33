"""Nodes of a refit's proposal."""

import pandas as pd

from dosvotos.contracts.experiment import ExperimentContract, check_unchanged
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import DatasetRecord, LayerRecords, TrainingRecord
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import LineageError
from dosvotos.lineage.chain import check_candidate, check_contract, split_file_hashes, verify_records
from dosvotos.lineage.recompute import (
    RecordedTraining,
    TrainedRecords,
    check_bundle_config,
    recompute_training,
)
from dosvotos.pipelines.refit.summary import print_proposal
from dosvotos.policy.candidate import Candidate
from dosvotos.promotion.gate_policy import GatePolicies
from dosvotos.promotion.proposal import PromotionProposal
from dosvotos.promotion.refit import find_approved, make_refit
from dosvotos.promotion.registration import NewProposal, ProposalRegistry


def recompute_refit(
    contract: ExperimentContract,
    contracts: ContractRegistry,
    bar_table: BarTable,
    macro_tables: MacroTables,
    training: TrainingRecord | None,
    candidate: Candidate | None,
) -> TrainedRecords:
    """Make the records of L2 and L3 again from the stored rows and the bundle; nothing runs over test."""
    if training is None or candidate is None:
        raise LineageError(
            f"no model of {contract.experiment_name} was trained yet; run 'kedro run --pipelines "
            f"data_acquisition,dataset,training,refit --env {contract.experiment_name}'"
        )
    check_contract(contract, contracts.registered(contract))
    check_bundle_config(contract, candidate)
    find_approved(contracts.engine, contract)
    parameters = contract.parameters
    history = stored_history(parameters, bar_table, macro_tables, contract.data_as_of, contract.test_end)
    return recompute_training(contract, history, candidate, RecordedTraining(training.model_id, training.run))


def verify_refit(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    recomputed: TrainedRecords,
    candidate: Candidate,
    train: pd.DataFrame,
    val: pd.DataFrame,
    test: pd.DataFrame,
) -> LayerRecords:
    """Compare the records of L2 and L3 with the same made again, which count from here on.

    Of test its hash is taken and nothing else.
    """
    check_candidate(dataset, training, candidate, contract)
    recorded = TrainedRecords(dataset=dataset, training=training)
    files = split_file_hashes({"train": train, "val": val, "test": test})
    chain = verify_records(contract, recorded, recomputed, candidate, files)
    made = {"dataset": recomputed.dataset, "training": recomputed.training}
    return LayerRecords(contract=contract, **made, chain=chain)


def propose_refit(layers: LayerRecords, contracts: ContractRegistry) -> PromotionProposal:
    """Propose the refit for shadow, beside the approved model whose contract it runs on later data."""
    return make_refit(layers, find_approved(contracts.engine, layers.contract))


def submit_refit(
    proposal: PromotionProposal, layers: LayerRecords, parameters: Parameters
) -> tuple[NewProposal]:
    """Hand the proposal and the records behind it to the registry."""
    check_unchanged(layers.contract, parameters)
    return (NewProposal(proposal, layers, None, None, parameters.data_acquisition.as_of),)


def print_refit(proposal: PromotionProposal, registry: ProposalRegistry, policies: GatePolicies) -> None:
    """Print the proposal as it is registered, and what to do next."""
    print_proposal(registry.latest(proposal.model_id), policies.current().refit_to_shadow)
