"""Nodes of L4's vote."""

import pandas as pd

from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport, account_digest
from dosvotos.backtest.run import trade
from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.experiment import ExperimentContract, check_unchanged
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import (
    BacktestRecord,
    ChainRecord,
    DataHashes,
    DatasetRecord,
    LayerRecords,
    Recomputed,
    TrainingRecord,
)
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.ledger import TrialLedger, look_of
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.lineage.chain import (
    bundle_hashes,
    chain_records,
    check_contract,
    compare_links,
    contract_hashes,
    history_hashes,
    split_hashes,
)
from dosvotos.market.accounting import Tape
from dosvotos.pipelines.promotion.summary import print_proposal
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.evidence import Evidence, make_evidence
from dosvotos.promotion.proposal import PromotionProposal, make_proposal
from dosvotos.promotion.registration import NewProposal, ProposalRegistry
from dosvotos.reports.validation_pack import write_pack


def recompute_data_hashes(
    contract: ExperimentContract,
    contracts: ContractRegistry,
    bar_table: BarTable,
    macro_tables: MacroTables,
    train: pd.DataFrame,
    val: pd.DataFrame,
    test: pd.DataFrame,
    backtest: BacktestRecord,
) -> DataHashes:
    """Hash contract, history and splits again: the history as the database has it, the splits' files.

    `backtest` is here so that this comes after it: test is read by nobody before its look is written down.
    """
    check_contract(contract, contracts.registered(contract))
    history = stored_history(
        contract.parameters, bar_table, macro_tables, contract.data_as_of, contract.test_end
    )
    splits = {"train": train, "val": val, "test": test}
    of_history = history_hashes(history, contract.schema_version)
    return DataHashes(fields=contract_hashes(contract) | of_history | split_hashes(splits))


def verify_chain(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    backtest: BacktestRecord,
    report: BacktestReport,
    candidate: Bundle,
    test: pd.DataFrame,
    data_hashes: DataHashes,
) -> tuple[ChainRecord, LayerRecords]:
    """Compare every link from L0 to here, the account run again, and gather the layers' records."""
    account = trade(Tape.from_rows(test), policy_targets(candidate.policy, test), contract.parameters)
    digest = account_digest(account)
    recomputed = {
        **data_hashes.fields,
        **bundle_hashes(candidate),
        "backtest_hash": Recomputed(value=digest, source="the hash of the account run again"),
        "promotion_decision": Recomputed(value="PENDING_APPROVAL", source="before any vote"),
    }
    chain = compare_links(chain_records(contract, dataset, training, backtest, report), recomputed)
    layers = LayerRecords(
        contract=contract, dataset=dataset, training=training, backtest=backtest, chain=chain
    )
    return chain, layers


def assess_evidence(layers: LayerRecords, report: BacktestReport, ledger: TrialLedger) -> Evidence:
    """Assess what luck, strategies without skill, other seeds and missing data leave of the result."""
    looks = ledger.overlapping(look_of(layers.contract, layers.backtest.model_hash))
    return make_evidence(layers, report, looks, ledger.genesis())


def propose_promotion(
    layers: LayerRecords, report: BacktestReport, comparison: ComparisonReport, evidence: Evidence
) -> PromotionProposal:
    """Put criteria, improvement, evidence and lineage together into L4's vote."""
    return make_proposal(layers, report, comparison, evidence)


def submit_proposal(
    proposal: PromotionProposal,
    layers: LayerRecords,
    report: BacktestReport,
    comparison: ComparisonReport,
    parameters: Parameters,
) -> tuple[NewProposal]:
    """Hand the proposal and every layer's record to the registry."""
    check_unchanged(layers.contract, parameters)
    return (NewProposal(proposal, layers, report, comparison, parameters.data_acquisition.as_of),)


def write_validation_pack(proposal: PromotionProposal, registry: ProposalRegistry) -> None:
    """Write the page a person prints and reads, beside the proposal's files."""
    write_pack(registry.engine, registry.latest(proposal.model_id).id)


def print_summary(proposal: PromotionProposal, report: BacktestReport, registry: ProposalRegistry) -> None:
    """Print the proposal as it is registered, and what to do next."""
    print_proposal(registry.latest(proposal.model_id), report)
