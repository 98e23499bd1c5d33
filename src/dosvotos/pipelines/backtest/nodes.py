"""Nodes of L4's backtest."""

import logging

import pandas as pd

from dosvotos.backtest.production import ComparisonReport, ProductionBacktest, make_comparison
from dosvotos.backtest.report import BacktestReport, account_report
from dosvotos.backtest.run import run_backtest, trade
from dosvotos.backtest.simulate import policy_targets
from dosvotos.backtest.window import refuse_in_sample, sample_of, seen_splits
from dosvotos.contracts.experiment import ExperimentContract, check_unchanged
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import BacktestRecord, DatasetRecord, TrainingRecord
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.ledger import Look, TrialLedger, look_of
from dosvotos.lineage.chain import check_candidate, check_contract, check_dataset, check_split
from dosvotos.live.production import ProductionModel
from dosvotos.market.accounting import Tape
from dosvotos.market.calendar import session_dates
from dosvotos.market.splits import splits_of
from dosvotos.policy.bundle import Bundle

logger = logging.getLogger(__name__)


def open_test(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    candidate: Bundle,
    test: pd.DataFrame,
    ledger: TrialLedger,
    contracts: ContractRegistry,
    parameters: Parameters,
) -> pd.DataFrame:
    """Verify the chain up to here and write the look into the ledger; only then hand test on."""
    check_contract(contract, contracts.registered(contract))
    check_unchanged(contract, parameters)
    check_dataset(contract, dataset, candidate.policy.norm_stats)
    check_candidate(dataset, training, candidate, contract)
    check_split(dataset, "test", test)
    days = session_dates(pd.DatetimeIndex(test.index))
    refuse_in_sample(days[0].astype(object), days[-1].astype(object), dataset.date_ranges)
    ledger.record(
        look_of(contract, training.model_hash), contract.experiment_name, parameters.data_acquisition.as_of
    )
    return test


def backtest_candidate(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    candidate: Bundle,
    test: pd.DataFrame,
    ledger: TrialLedger,
) -> BacktestReport:
    """Run the served policy over the opened test window, beside strategies without skill."""
    ledger.require(look_of(contract, training.model_hash))
    check_split(dataset, "test", test)
    window = splits_of(contract.parameters)["test"]
    result = run_backtest(candidate.policy, test, window.sessions(), contract.parameters)
    return BacktestReport(
        **dict(result),
        model_id=training.model_id,
        model_hash=training.model_hash,
        experiment_name=contract.experiment_name,
        test_period=f"{window.first} to {window.last}",
        sample=sample_of(window.first, window.last, dataset.date_ranges),
    )


def backtest_production(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    production: ProductionModel | None,
    test: pd.DataFrame,
) -> ProductionBacktest:
    """Run the production model over the same bars with the same costs and financing.

    There is nothing to run without a production model, or when the candidate is that model itself.
    """
    if production is None:
        return ProductionBacktest(status="not_applicable", model_id=None)
    model, window = production.row, splits_of(contract.parameters)["test"]
    if model.model_hash == training.model_hash:
        return ProductionBacktest(status="not_applicable", model_id=model.model_id)
    if seen_splits(window.first, window.last, model.lineage["date_ranges"]):
        return ProductionBacktest(status="not_comparable", model_id=model.model_id)
    check_split(dataset, "test", test)
    tape = Tape.from_rows(test)
    account = trade(tape, policy_targets(production.bundle.policy, test), contract.parameters)
    report = account_report(account, tape, window.sessions())
    return ProductionBacktest(status="compared", model_id=model.model_id, **dict(report))


def compare_with_production(
    contract: ExperimentContract, report: BacktestReport, production: ProductionBacktest
) -> ComparisonReport:
    """Compare the candidate with the production model, the paired difference and its interval included."""
    parameters = contract.parameters
    threshold = parameters.quality_thresholds.success_criteria.improvement_threshold
    return make_comparison(report, production, threshold, parameters.evidence)


def seal_backtest(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    report: BacktestReport,
    comparison: ComparisonReport,
) -> tuple[BacktestRecord, tuple[Look, dict[str, float]]]:
    """Record the backtest and hand its daily returns to the ledger."""
    record = BacktestRecord(
        experiment_name=contract.experiment_name,
        model_id=training.model_id,
        model_hash=training.model_hash,
        dataset_hash=dataset.dataset_hash,
        test_dataset_hash=dataset.splits["test"].digest,
        backtest_hash=report.backtest_hash,
        test_period=report.test_period,
        baseline_model_id=comparison.baseline_model_id,
        promotion_decision="PENDING_APPROVAL",
    )
    metrics = report.metrics
    sharpe = "undefined" if metrics.sharpe_ratio is None else f"{metrics.sharpe_ratio:.2f}"
    found = f"{metrics.total_trades} trades, drawdown {metrics.max_drawdown:.1%}, Sharpe {sharpe}"
    logger.info("L4 %s: %s", record.test_period, found)
    return record, (look_of(contract, training.model_hash), report.daily_returns)
