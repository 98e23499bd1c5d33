"""Nodes of L4's backtest."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from dosvotos.backtest.evidence import sharpe_difference_interval
from dosvotos.backtest.naive import random_sharpe_percentile, random_traders
from dosvotos.backtest.report import account_digest, account_report
from dosvotos.backtest.simulate import policy_targets, tape_of
from dosvotos.contracts.experiment import ExperimentContract, check_unchanged
from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.contracts.records import BacktestRecord, DatasetRecord, TrainingRecord
from dosvotos.database.contracts import ContractBook
from dosvotos.database.ledger import Look, TrialLedger, look_of
from dosvotos.datasets.models import ProductionModel
from dosvotos.errors import DataError
from dosvotos.lineage.chain import check_candidate, check_contract, check_dataset, check_split
from dosvotos.market.accounting import Account, Tape, run_account
from dosvotos.market.splits import Split, splits_of
from dosvotos.pipelines.tracking import log_backtest
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.criteria import Improvement, improvement_over
from dosvotos.sources.sample import oracle_targets

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
    ledger.record(
        look_of(contract, training.model_hash), contract.experiment_name, present.data_acquisition.as_of
    )
    return test


def backtest_candidate(
    contract: ExperimentContract, training: TrainingRecord, candidate: Bundle, test: pd.DataFrame
) -> dict[str, Any]:
    """Run the served policy over the test window, beside strategies without skill."""
    parameters = contract.parameters
    tape, sessions = tape_of(test), _sessions(contract)
    targets = policy_targets(candidate.policy, test)
    account = _run(tape, targets, parameters)
    report = account_report(account, tape, sessions)
    log_backtest(report["metrics"])
    return {
        "model_id": training.model_id,
        "model_hash": training.model_hash,
        "experiment_name": contract.experiment_name,
        "test_period": _period(contract),
        "backtest_hash": account_digest(account),
        **report,
        **_both_financings(tape, targets, parameters, sessions),
        "naive": _naive(account, tape, parameters, sessions),
        "oracle_sharpe": _oracle_sharpe(tape, test, parameters, sessions),
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
    seen = production.row.lineage["date_ranges"]
    if _touches(contract, seen["train"]) or _touches(contract, seen["val"]):
        return {"status": "not_comparable", "model_id": production.row.model_id}
    tape = tape_of(test)
    account = _run(tape, policy_targets(production.bundle.policy, test), contract.parameters)
    report = account_report(account, tape, _sessions(contract))
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


def _test(contract: ExperimentContract) -> Split:
    return splits_of(contract.parameters)["test"]


def _sessions(contract: ExperimentContract) -> np.ndarray:
    return _test(contract).sessions()


def _period(contract: ExperimentContract) -> str:
    test = _test(contract)
    return f"{test.first} to {test.last}"


def _touches(contract: ExperimentContract, period: str) -> bool:
    first, last = period.split(" to ")
    test = _test(contract)
    return first <= str(test.last) and str(test.first) <= last


def _run(tape: Tape, targets: np.ndarray, parameters: Parameters, financed: bool | None = None) -> Account:
    trading = parameters.trading
    accrues = trading.financing == "policy_rates" if financed is None else financed
    return run_account(tape, targets, trading.costs.per_side, trading.initial_capital, accrues)


def _both_financings(
    tape: Tape, targets: np.ndarray, parameters: Parameters, sessions: np.ndarray
) -> dict[str, Any]:
    plain = account_report(_run(tape, targets, parameters, False), tape, sessions)["metrics"]
    try:
        financed = account_report(_run(tape, targets, parameters, True), tape, sessions)["metrics"]
        note = None
    except DataError as error:
        financed, note = None, str(error)
    return {
        "metrics_without_financing": plain,
        "metrics_with_financing": financed,
        "financing_note": note,
    }


def _naive(account: Account, tape: Tape, parameters: Parameters, sessions: np.ndarray) -> dict[str, Any]:
    trading, evidence = parameters.trading, parameters.evidence
    always = {
        name: account_report(_run(tape, np.full(len(tape.close), side), parameters), tape, sessions)[
            "metrics"
        ]
        for name, side in (("always_long", 1), ("always_short", -1))
    }
    traders = random_traders(account.position, evidence.n_random_traders, evidence.seed)
    random_sharpe = random_sharpe_percentile(
        tape,
        sessions,
        traders,
        trading.costs.per_side,
        trading.initial_capital,
        evidence.naive_percentile,
        trading.financing == "policy_rates",
    )
    return {**always, "random_sharpe_p95": random_sharpe}


def _oracle_sharpe(
    tape: Tape, test: pd.DataFrame, parameters: Parameters, sessions: np.ndarray
) -> float | None:
    edge = parameters.sample_market.edge
    if parameters.data_acquisition.source != "sample" or edge == 0:
        return None
    targets = oracle_targets(test, edge, parameters.trading.costs.per_side)
    sharpe: float | None = account_report(_run(tape, targets, parameters), tape, sessions)["metrics"][
        "sharpe_ratio"
    ]
    return sharpe
