"""Nodes of L4's backtest."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from dosvotos.backtest.evidence import sharpe_difference_interval
from dosvotos.backtest.report import account_report
from dosvotos.backtest.run import run_backtest, trade
from dosvotos.backtest.simulate import policy_targets, tape_of
from dosvotos.backtest.window import refuse_in_sample, sample_of, seen_splits
from dosvotos.contracts.experiment import ExperimentContract, check_unchanged
from dosvotos.contracts.parameters import read_parameters
from dosvotos.contracts.records import BacktestRecord, DatasetRecord, TrainingRecord
from dosvotos.database.contracts import ContractBook
from dosvotos.database.ledger import Look, TrialLedger, look_of
from dosvotos.datasets.models import ProductionModel
from dosvotos.lineage.chain import check_candidate, check_contract, check_dataset, check_split
from dosvotos.market.calendar import session_dates
from dosvotos.market.splits import Split, splits_of
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.criteria import Improvement, improvement_over

logger = logging.getLogger(__name__)


def open_test(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    candidate: Bundle,
    test: pd.DataFrame,
    ledger: TrialLedger,
    book: ContractBook,
    parameters: dict[str, Any],
) -> pd.DataFrame:
    """Verify the chain up to here and write the look into the ledger; only then is test handed on."""
    check_contract(contract, book.registered(contract))
    present = read_parameters(parameters)
    check_unchanged(contract, present)
    check_dataset(contract, dataset, candidate.policy.norm_stats)
    check_candidate(dataset, training, candidate, contract)
    check_split(dataset, "test", test)
    days = session_dates(pd.DatetimeIndex(test.index))
    refuse_in_sample(days[0].astype(object), days[-1].astype(object), dataset.date_ranges)
    ledger.record(
        look_of(contract, training.model_hash), contract.experiment_name, present.data_acquisition.as_of
    )
    return test


def backtest_candidate(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    candidate: Bundle,
    test: pd.DataFrame,
) -> dict[str, Any]:
    """Run the served policy over the test window, beside strategies without skill."""
    window = _test(contract)
    report = run_backtest(candidate.policy, test, window.sessions(), contract.parameters)
    return {
        "model_id": training.model_id,
        "model_hash": training.model_hash,
        "experiment_name": contract.experiment_name,
        "test_period": f"{window.first} to {window.last}",
        "sample": sample_of(window.first, window.last, dataset.date_ranges),
        **report,
    }


def backtest_production(
    contract: ExperimentContract,
    training: TrainingRecord,
    production: ProductionModel | None,
    test: pd.DataFrame,
) -> dict[str, Any]:
    """Run the production model over the same bars with the same costs and financing.

    There is nothing to run without a production model, or when the candidate is that model itself.
    """
    if production is None or production.row.model_hash == training.model_hash:
        return {"status": "not_applicable", "model_id": production.row.model_id if production else None}
    window = _test(contract)
    if seen_splits(window.first, window.last, production.row.lineage["date_ranges"]):
        return {"status": "not_comparable", "model_id": production.row.model_id}
    tape = tape_of(test)
    account = trade(tape, policy_targets(production.bundle.policy, test), contract.parameters)
    report = account_report(account, tape, window.sessions())
    return {"status": "compared", "model_id": production.row.model_id, **report}


def compare_with_production(
    contract: ExperimentContract, results: dict[str, Any], production: dict[str, Any]
) -> dict[str, Any]:
    """Set the candidate beside the production model, with the paired difference and its interval."""
    evidence = contract.parameters.evidence
    improvement = Improvement(production["status"], None, None, None, None)
    if production["status"] == "compared":
        interval = sharpe_difference_interval(
            np.array(list(results["daily_returns"].values())),
            np.array(list(production["daily_returns"].values())),
            evidence.bootstrap_replications,
            evidence.seed,
        )
        threshold = contract.parameters.quality_thresholds.success_criteria.improvement_threshold
        improvement = improvement_over(results["metrics"], production["metrics"], interval, threshold)
    return {
        "model_id": results["model_id"],
        "experiment_name": results["experiment_name"],
        "test_period": results["test_period"],
        "baseline_model_id": production["model_id"],
        "status": improvement.status,
        "metrics": results["metrics"],
        "baseline_metrics": production.get("metrics"),
        "sharpe_difference": _difference(results["metrics"], production.get("metrics")),
        "sharpe_improvement": improvement.sharpe,
        "drawdown_improvement": improvement.drawdown,
        "interval_90": list(improvement.interval_90) if improvement.interval_90 else None,
        "reached": improvement.reached,
        "baseline_equity_curve": production.get("equity_curve"),
    }


def seal_backtest(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    results: dict[str, Any],
    comparison: dict[str, Any],
) -> tuple[BacktestRecord, tuple[Look, dict[str, float]]]:
    """Record the backtest and hand its daily returns to the ledger."""
    record = BacktestRecord(
        experiment_name=contract.experiment_name,
        model_id=training.model_id,
        model_hash=training.model_hash,
        dataset_hash=dataset.dataset_hash,
        test_dataset_hash=dataset.splits["test"].digest,
        backtest_hash=results["backtest_hash"],
        test_period=results["test_period"],
        baseline_model_id=comparison["baseline_model_id"],
        promotion_decision="PENDING_APPROVAL",
    )
    metrics = results["metrics"]
    logger.info(
        "L4 %s: %s trades, drawdown %.1f%%, %s",
        record.test_period,
        metrics["total_trades"],
        100 * metrics["max_drawdown"],
        f"Sharpe {metrics['sharpe_ratio']:.2f}"
        if metrics["sharpe_ratio"] is not None
        else "Sharpe undefined",
    )
    return record, (look_of(contract, training.model_hash), results["daily_returns"])


def _difference(new: dict[str, Any], old: dict[str, Any] | None) -> float | None:
    """Difference of two Sharpe ratios; None where one is not defined."""
    if old is None or new["sharpe_ratio"] is None or old["sharpe_ratio"] is None:
        return None
    difference: float = new["sharpe_ratio"] - old["sharpe_ratio"]
    return difference


def _test(contract: ExperimentContract) -> Split:
    return splits_of(contract.parameters)["test"]
