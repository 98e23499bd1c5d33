"""Nodes of L4's vote."""

from typing import Any

from dosvotos.backtest.report import findings_of
from dosvotos.contracts.experiment import ExperimentContract, check_unchanged
from dosvotos.contracts.parameters import read_parameters
from dosvotos.contracts.records import BacktestRecord, DatasetRecord, TrainingRecord
from dosvotos.database.ledger import TrialLedger, look_of
from dosvotos.pipelines.promotion.summary import print_summary
from dosvotos.promotion.criteria import Improvement
from dosvotos.promotion.evidence import Evidence, weigh
from dosvotos.promotion.proposal import PromotionProposal, make_proposal
from dosvotos.promotion.registration import ProposalBook, Submission


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
) -> PromotionProposal:
    """Put criteria, improvement and evidence together into L4's vote."""
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
    return make_proposal(contract, training.model_id, findings, improvement, evidence, lineage)


def submit_proposal(
    proposal: PromotionProposal,
    training: TrainingRecord,
    dataset: DatasetRecord,
    results: dict[str, Any],
    comparison: dict[str, Any],
    contract: ExperimentContract,
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
    }
    return (Submission(proposal, training, dataset, reports, present.data_acquisition.as_of),)


def announce(proposal: PromotionProposal, results: dict[str, Any], book: ProposalBook) -> None:
    """Print the proposal as it stands in the books, and what to do next."""
    print_summary(book.current(proposal.model_id), results)
