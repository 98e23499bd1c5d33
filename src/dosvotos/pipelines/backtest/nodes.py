"""Nodes of L4's backtest."""

import logging
from datetime import datetime
from pathlib import Path

import pandas as pd

from dosvotos.backtest.production import ComparisonReport, ProductionBacktest
from dosvotos.backtest.report import BacktestReport
from dosvotos.backtest.window import refuse_in_sample
from dosvotos.contracts.experiment import ExperimentContract, check_draft, check_unchanged
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import BacktestRecord, DatasetRecord, TrainingRecord
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.ledger import Look, TrialLedger, look_of
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import LineageError
from dosvotos.lineage.chain import check_candidate, check_contract, check_dataset, check_sessions, check_split
from dosvotos.lineage.recompute import (
    backtest_baseline,
    compare,
    make_backtest_record,
    make_report,
    make_strategy_record,
)
from dosvotos.lineage.vote import baseline_of
from dosvotos.live.production import ProductionModel
from dosvotos.market.calendar import session_dates
from dosvotos.market.normalization import NormStats
from dosvotos.policy.candidate import Candidate
from dosvotos.policy.strategy import read_strategy
from dosvotos.policy.strategy_leaks import check_strategy
from dosvotos.promotion.gate_policy import GatePolicies
from dosvotos.users import current_user

logger = logging.getLogger(__name__)
_NOTHING_TRAINED = (
    "no model of {name} was trained yet; run 'kedro run --pipelines training' first, or state "
    "candidate.targets to judge a strategy of your own"
)


def enter_candidate(  # noqa: PLR0913, PLR0917
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord | None,
    trained: Candidate | None,
    val: pd.DataFrame,
    folder: Path,
    contracts: ContractRegistry,
    bar_table: BarTable,
    macro_tables: MacroTables,
    ledger: TrialLedger,
    parameters: Parameters,
    clock: datetime,
) -> tuple[Candidate, TrainingRecord]:
    """Enter the candidate: what L3 trained, or a strategy of one's own that passes the leak check.

    An own strategy's contract is frozen here, and its dataset's whole history read for the leak check; its
    test is not touched.
    """
    if contract.parameters.candidate is None:
        if training is None or trained is None:
            raise LineageError(_NOTHING_TRAINED.format(name=contract.experiment_name))
        return trained, training
    check_sessions(contract, dataset)
    check_split(dataset, "val", val)
    strategy = read_strategy(folder, contract)
    if not contract.parameters.candidate.is_file:
        history = stored_history(
            contract.parameters, bar_table, macro_tables, contract.data_as_of, contract.test_end
        )
        report = check_strategy(strategy, contract.parameters, history.bars, history.macro)
        logger.info(
            "L4 %s: nothing saw the future in %s probes", strategy.reference, sum(report.probes.values())
        )
    if contracts.registered(contract) is None:
        check_draft(contract, contracts.draft(parameters, bar_table, ledger, current_user(), clock))
        contracts.store(contract)
    strategy.seal()
    return strategy, make_strategy_record(contract, dataset, strategy, val)


def open_test(  # noqa: PLR0913, PLR0917
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    candidate: Candidate,
    norm_stats: NormStats,
    test: pd.DataFrame,
    ledger: TrialLedger,
    contracts: ContractRegistry,
    parameters: Parameters,
    clock: datetime,
) -> pd.DataFrame:
    """Verify the chain up to here and write the look into the ledger; only then hand test on."""
    check_contract(contract, contracts.registered(contract))
    check_unchanged(contract, parameters)
    check_dataset(contract, dataset, norm_stats)
    check_candidate(dataset, training, candidate, contract)
    check_split(dataset, "test", test)
    days = session_dates(pd.DatetimeIndex(test.index))
    refuse_in_sample(days[0].astype(object), days[-1].astype(object), dataset.date_ranges)
    ledger.record(look_of(contract, training.model_hash), contract.experiment_name, clock)
    return test


def backtest_candidate(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    candidate: Candidate,
    test: pd.DataFrame,
    ledger: TrialLedger,
    policies: GatePolicies,
) -> BacktestReport:
    """Run the candidate over the opened test window, beside strategies without skill."""
    ledger.require(look_of(contract, training.model_hash))
    check_split(dataset, "test", test)
    return make_report(contract, dataset, training, candidate, test, policies.current())


def backtest_production(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    candidate: Candidate,
    production: ProductionModel | None,
    test: pd.DataFrame,
) -> ProductionBacktest:
    """Run the production model over the same bars with the same costs and financing."""
    check_split(dataset, "test", test)
    baseline = baseline_of(production.row if production else None)
    return backtest_baseline(contract, candidate, baseline, test)


def compare_with_production(
    contract: ExperimentContract,
    report: BacktestReport,
    production: ProductionBacktest,
    policies: GatePolicies,
) -> ComparisonReport:
    """Compare the candidate with the production model, the paired difference and its interval included."""
    return compare(contract, report, production, policies.current())


def seal_backtest(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    report: BacktestReport,
    comparison: ComparisonReport,
) -> tuple[BacktestRecord, tuple[Look, dict[str, float]]]:
    """Record the backtest and hand its daily returns to the ledger."""
    record = make_backtest_record(dataset, training, report, comparison)
    metrics = report.metrics
    sharpe = "undefined" if metrics.sharpe_ratio is None else f"{metrics.sharpe_ratio:.2f}"
    found = f"{metrics.total_trades} trades, drawdown {metrics.max_drawdown:.1%}, Sharpe {sharpe}"
    logger.info("L4 %s: %s", record.test_period, found)
    return record, (look_of(contract, training.model_hash), report.daily_returns)
