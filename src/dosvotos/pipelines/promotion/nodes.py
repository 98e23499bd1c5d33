"""Nodes of L4's vote."""

import logging

import pandas as pd

from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.experiment import ExperimentContract, check_unchanged
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import (
    BacktestRecord,
    ChainRecord,
    DatasetRecord,
    LayerRecords,
    TrainingRecord,
)
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.ledger import TrialLedger, look_of
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import LineageError
from dosvotos.lineage.chain import check_contract, check_split, split_file_hashes, verify_records
from dosvotos.lineage.recompute import (
    PipelineRecords,
    RecordedTraining,
    check_bundle_config,
    recompute_later_layers,
    remake_dataset,
)
from dosvotos.lineage.vote import baseline_of, restore_dossiers
from dosvotos.live.production import ProductionModel
from dosvotos.market.splits import splits_of
from dosvotos.pipelines.promotion.summary import print_proposal
from dosvotos.policy.candidate import Candidate
from dosvotos.promotion.evidence import Evidence, make_evidence
from dosvotos.promotion.gate_policy import GatePolicies, current_policy
from dosvotos.promotion.luck import questions_of
from dosvotos.promotion.notices import notices_of
from dosvotos.promotion.proposal import PromotionProposal, make_proposal
from dosvotos.promotion.registration import NewProposal, ProposalRegistry
from dosvotos.reports.validation_pack import write_pack

logger = logging.getLogger(__name__)


def recompute_dataset(
    contract: ExperimentContract, contracts: ContractRegistry, bar_table: BarTable, macro_tables: MacroTables
) -> tuple[DatasetRecord, pd.DataFrame]:
    """Make L2's record and its rows again, from the stored ones.

    The contract of an own strategy, which the backtest freezes, is checked by the node after this one.
    """
    if contract.parameters.candidate is None:
        check_contract(contract, contracts.registered(contract))
    history = stored_history(
        contract.parameters, bar_table, macro_tables, contract.data_as_of, contract.test_end
    )
    return remake_dataset(contract, history)


def recompute_records(
    contract: ExperimentContract,
    contracts: ContractRegistry,
    dataset: DatasetRecord,
    rows: pd.DataFrame,
    training: TrainingRecord,
    candidate: Candidate,
    production: ProductionModel | None,
    ledger: TrialLedger,
) -> PipelineRecords:
    """Make the records of L3 and L4 again, from the rows made again and the bundle.

    No model runs over test before its look is written down.
    """
    check_contract(contract, contracts.registered(contract))
    check_bundle_config(contract, candidate)
    ledger.require(look_of(contract, candidate.model_hash))
    for name, split in splits_of(contract.parameters).items():
        check_split(dataset, name, split.select(rows))
    baseline = baseline_of(production.row if production else None)
    recorded = RecordedTraining(training.model_id, training.run)
    policy = GatePolicies(ledger.engine).current()
    return recompute_later_layers(contract, dataset, rows, candidate, recorded, baseline, policy)


def collect_records(
    dataset: DatasetRecord,
    training: TrainingRecord,
    backtest: BacktestRecord,
    report: BacktestReport,
    comparison: ComparisonReport,
    train: pd.DataFrame,
    val: pd.DataFrame,
    test: pd.DataFrame,
) -> tuple[PipelineRecords, dict[str, dict[str, str]]]:
    """Gather what the pipelines recorded, and hash the splits' files."""
    recorded = PipelineRecords(
        dataset=dataset, training=training, backtest=backtest, report=report, comparison=comparison
    )
    return recorded, split_file_hashes({"train": train, "val": val, "test": test})


def verify_chain(
    contract: ExperimentContract,
    recorded: PipelineRecords,
    recomputed: PipelineRecords,
    candidate: Candidate,
    split_files: dict[str, dict[str, str]],
) -> tuple[ChainRecord, LayerRecords]:
    """Compare every record from L2 to here with the same made again; from here on the latter count."""
    production = recomputed.comparison.baseline_model_id
    if (beside := recorded.comparison.baseline_model_id) != production:
        raise LineageError(
            f"comparison report: made beside {beside}, but production is {production}; run the backtest "
            "pipeline again"
        )
    chain = verify_records(contract, recorded, recomputed, candidate, split_files)
    made = {name: getattr(recomputed, name) for name in ("dataset", "training", "backtest")}
    return chain, LayerRecords(contract=contract, **made, chain=chain)


def assess_evidence(
    layers: LayerRecords, recomputed: PipelineRecords, ledger: TrialLedger, policies: GatePolicies
) -> Evidence:
    """Assess what luck, strategies without skill, other seeds and missing data leave of the result."""
    own, earlier = ledger.history(look_of(layers.contract, layers.training.model_hash))
    return make_evidence(layers, recomputed.report, own, earlier, ledger.genesis(), policies.current())


def propose_promotion(
    layers: LayerRecords, recomputed: PipelineRecords, evidence: Evidence, policies: GatePolicies
) -> PromotionProposal:
    """Put criteria, improvement, evidence and lineage together into L4's vote, under the house's policy."""
    return make_proposal(layers, recomputed.report, recomputed.comparison, evidence, policies.current())


def submit_proposal(
    proposal: PromotionProposal, layers: LayerRecords, recomputed: PipelineRecords, parameters: Parameters
) -> tuple[NewProposal]:
    """Hand the proposal and every layer's record to the registry."""
    check_unchanged(layers.contract, parameters)
    report, comparison = recomputed.report, recomputed.comparison
    return (NewProposal(proposal, layers, report, comparison, parameters.data_acquisition.as_of),)


def write_dossiers_again(proposal: PromotionProposal, registry: ProposalRegistry) -> None:
    """Write damaged dossiers of this model again, to the byte."""
    for folder in restore_dossiers(registry.engine, proposal.model_id):
        logger.warning("L4 %s: was damaged, and is whole again", folder)


def write_validation_pack(proposal: PromotionProposal, registry: ProposalRegistry) -> None:
    """Write the page a person prints and reads, beside the proposal's dossier."""
    write_pack(registry.engine, registry.latest(proposal.model_id).id)


def print_summary(
    proposal: PromotionProposal, recomputed: PipelineRecords, registry: ProposalRegistry
) -> None:
    """Print the proposal as it is registered, and what to do next."""
    looks = TrialLedger(registry.engine, registry.instrument).looks()
    registered = registry.latest(proposal.model_id)
    with reading(registry.engine) as connection:
        questions = questions_of(looks, current_policy(connection).evidence)
        notices = notices_of(connection, registered)
    print_proposal(registered, recomputed.report, questions, notices)
