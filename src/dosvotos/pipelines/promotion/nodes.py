"""Nodes of L4's vote."""

from typing import Any

import pandas as pd

from dosvotos.backtest.report import account_digest, findings_of
from dosvotos.backtest.run import trade
from dosvotos.backtest.simulate import policy_targets, tape_of
from dosvotos.contracts.experiment import ExperimentContract, check_unchanged
from dosvotos.contracts.parameters import read_parameters
from dosvotos.contracts.records import BacktestRecord, ChainRecord, DatasetRecord, TrainingRecord
from dosvotos.database.contracts import ContractBook
from dosvotos.database.history import stored_history
from dosvotos.database.ledger import TrialLedger, look_of
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.lineage.chain import (
    Seen,
    chain_records,
    check_chain,
    check_contract,
    seen_bundle,
    seen_contract,
    seen_history,
    seen_splits,
)
from dosvotos.pipelines.promotion.summary import print_summary
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.criteria import Improvement
from dosvotos.promotion.evidence import Evidence, weigh
from dosvotos.promotion.proposal import PromotionProposal, make_proposal
from dosvotos.promotion.registration import ProposalBook, Submission
from dosvotos.reports.validation_pack import write_pack


def find_data_hashes(
    contract: ExperimentContract,
    book: ContractBook,
    bar_table: BarTable,
    macro_tables: MacroTables,
    train: pd.DataFrame,
    val: pd.DataFrame,
    test: pd.DataFrame,
    backtest: BacktestRecord,
) -> dict[str, Seen]:
    """Hash contract, history and splits again: the history as the database has it, the splits' files.

    `backtest` is here so that this comes after it: test is read by nobody before its look is written down.
    """
    registered = book.registered(contract)
    check_contract(contract, registered)
    history = stored_history(
        contract.parameters, bar_table, macro_tables, contract.data_as_of, contract.test_end
    )
    splits = {"train": train, "val": val, "test": test}
    return {**seen_contract(contract), **seen_history(history), **seen_splits(splits)}


def verify_chain(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    backtest: BacktestRecord,
    results: dict[str, Any],
    candidate: Bundle,
    test: pd.DataFrame,
    data_hashes: dict[str, Seen],
) -> tuple[ChainRecord, dict[str, Any]]:
    """Look at every link from L0 to here, the backtest's account run again; and gather the records."""
    account = trade(tape_of(test), policy_targets(candidate.policy, test), contract.parameters)
    found = {
        **data_hashes,
        **seen_bundle(candidate),
        "backtest_hash": Seen(account_digest(account), "the hash of the account run again"),
        "promotion_decision": Seen("PENDING_APPROVAL", "before any vote"),
    }
    chain = check_chain(chain_records(contract, dataset, training, backtest, results), found)
    records = {
        "experiment_contract.json": contract,
        f"DS_{contract.experiment_name}_lineage.json": dataset,
        "training_record.json": training,
        "backtest_record.json": backtest,
        "chain_record.json": chain,
    }
    return chain, {name: record.model_dump(mode="json") for name, record in records.items()}


def weigh_evidence(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    backtest: BacktestRecord,
    results: dict[str, Any],
    ledger: TrialLedger,
) -> Evidence:
    """Ask what luck, strategies without skill, other seeds and missing data leave of the result."""
    looks = ledger.overlapping(look_of(contract, backtest.model_hash))
    return weigh(
        contract,
        dataset.splits["test"],
        dataset.point_in_time,
        training.seeds,
        results,
        looks,
        ledger.genesis(),
    )


def propose_promotion(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    backtest: BacktestRecord,
    results: dict[str, Any],
    comparison: dict[str, Any],
    evidence: Evidence,
    chain: ChainRecord,
) -> PromotionProposal:
    """Put criteria, improvement, evidence and lineage together into L4's vote."""
    interval = comparison["interval_90"]
    improvement = Improvement(
        comparison["status"],
        comparison["sharpe_improvement"],
        comparison["drawdown_improvement"],
        (interval[0], interval[1]) if interval else None,
        comparison["reached"],
    )
    edge = contract.parameters.sample_market.edge
    simulated = dataset.point_in_time == "simulated"
    lineage = {
        "acquisition_hash": dataset.acquisition_hash,
        "dataset_hash": dataset.dataset_hash,
        "config_hash": contract.config_hash,
        "feature_order_hash": dataset.feature_order_hash,
        "norm_stats_hash": dataset.norm_stats_hash,
        "model_hash": training.model_hash,
        "manifest_hash": training.manifest_hash,
        "reward_config_hash": contract.reward_config_hash,
        "backtest_hash": backtest.backtest_hash,
        "test_dataset_hash": backtest.test_dataset_hash,
        "test_period": backtest.test_period,
        "baseline_model_id": backtest.baseline_model_id,
        "mlflow_run_id": training.mlflow_run_id,
        "planted_edge": edge if simulated and edge > 0 else None,
        "oracle_sharpe": results["oracle_sharpe"],
    }
    findings = findings_of(results)
    return make_proposal(contract, training.model_id, findings, improvement, evidence, lineage, chain)


def submit_proposal(
    proposal: PromotionProposal,
    training: TrainingRecord,
    dataset: DatasetRecord,
    results: dict[str, Any],
    comparison: dict[str, Any],
    contract: ExperimentContract,
    records: dict[str, Any],
    parameters: dict[str, Any],
) -> tuple[Submission]:
    """Hand the proposal and its report files to the books."""
    present = read_parameters(parameters)
    check_unchanged(contract, present)
    name = contract.experiment_name
    reports = {
        f"backtest_results_{name}.json": results,
        f"comparison_report_{name}.json": comparison,
        f"promotion_proposal_{name}.json": proposal.model_dump(mode="json"),
        **records,
    }
    return (Submission(proposal, training, dataset, reports, present.data_acquisition.as_of),)


def write_validation_pack(proposal: PromotionProposal, book: ProposalBook) -> None:
    """Write the page a person prints and reads, beside the proposal's files."""
    write_pack(book.engine, book.current(proposal.model_id).id)


def announce(proposal: PromotionProposal, results: dict[str, Any], book: ProposalBook) -> None:
    """Print the proposal as it stands in the books, and what to do next."""
    print_summary(book.current(proposal.model_id), results)
