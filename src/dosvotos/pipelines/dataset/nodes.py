"""Nodes of L2."""

import logging
from datetime import UTC, datetime

import pandas as pd

from dosvotos.contracts.experiment import (
    ExperimentContract,
    check_unchanged,
    contract_id_of,
    make_contract,
    next_fold,
)
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import DatasetRecord
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import ParameterError
from dosvotos.hashing import short
from dosvotos.lineage.recompute import make_dataset_record
from dosvotos.market.dataset import SPLITS, feature_rows, resolve_test_end
from dosvotos.market.drift import feature_drift
from dosvotos.market.features import MarketHistory
from dosvotos.market.normalization import NormStats, fit_norm_stats
from dosvotos.market.splits import splits_of
from dosvotos.market.window_status import judge_window
from dosvotos.users import current_user

logger = logging.getLogger(__name__)

_WHENEVER_STORED = datetime.max.replace(tzinfo=UTC)


def freeze_contract(
    parameters: Parameters,
    contracts: ContractRegistry,
    bar_table: BarTable,
    ledger: TrialLedger,
    clock: datetime,
) -> ExperimentContract:
    """Make the experiment's contract and judge its window, or find the one made before and refuse changes."""
    _refuse_shared_folder(parameters)
    made = contracts.of_experiment(parameters.experiment.name, parameters.experiment.version)
    if (frozen := made.get(contract_id_of(parameters))) is not None:
        check_unchanged(frozen, parameters)
        return frozen
    if made:
        return next_fold(next(iter(made.values())), parameters, current_user())
    test_end = resolve_test_end(parameters, bar_table.times(parameters.data_acquisition.as_of))
    stored, newest = bar_table.times(_WHENEVER_STORED), ledger.newest_session(parameters.feed)
    window = judge_window(parameters, test_end, stored, newest, clock)
    return make_contract(parameters, test_end, current_user(), window=window)


def _refuse_shared_folder(parameters: Parameters) -> None:
    name, fold = parameters.experiment.name, parameters.splits.fold
    if fold is not None and fold > 1 and parameters.run_name in (None, name):
        raise ParameterError(
            f"splits.fold: fold {fold} would write over fold 1's files; give the run a name of its own: "
            f"--params splits.fold={fold},run_name={name}_fold{fold}"
        )


def select_history(
    contract: ExperimentContract, bar_table: BarTable, macro_tables: MacroTables
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read session bars and observations up to the test's end, as known when the contract was made."""
    history = stored_history(
        contract.parameters, bar_table, macro_tables, contract.data_as_of, contract.test_end
    )
    return history.bars, history.macro


def compute_features(contract: ExperimentContract, bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
    """Compute the 13 market features of every session bar, raw, with the closes they trade at."""
    return feature_rows(MarketHistory(bars, macro), contract.parameters)


def split_dataset(
    contract: ExperimentContract, features: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, NormStats]:
    """Cut train, val and test with an embargo between them; fit the statistics on train alone."""
    splits = splits_of(contract.parameters)
    train, val, test = (splits[name].select(features) for name in SPLITS)
    return train, val, test, fit_norm_stats(train)


def seal_dataset(
    contract: ExperimentContract,
    bars: pd.DataFrame,
    macro: pd.DataFrame,
    train: pd.DataFrame,
    val: pd.DataFrame,
    test: pd.DataFrame,
    norm_stats: NormStats,
) -> DatasetRecord:
    """Record the dataset, its hashes, and what is missing in it and why."""
    rows = dict(zip(SPLITS, (train, val, test), strict=True))
    record = make_dataset_record(contract, MarketHistory(bars, macro), rows, norm_stats)
    for split, part in record.splits.items():
        logger.info("L2 %s: %s bars, %s complete", split, f"{part.bars:,}", f"{part.complete_rows:,}")
    return record


def report_dataset(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    train: pd.DataFrame,
    val: pd.DataFrame,
    norm_stats: NormStats,
    macro: pd.DataFrame,
) -> tuple[str, pd.DataFrame]:
    """Draw what the dataset holds, of test its record alone; and val's drift from train as a table."""
    from dosvotos.reports.dataset import render_dataset

    variables = contract.parameters.macro_variables.variables
    page = render_dataset(dataset, train, val, norm_stats, macro, variables)
    return page, feature_drift(train, val, norm_stats)


def register_contract(contract: ExperimentContract, dataset: DatasetRecord) -> tuple[ExperimentContract]:
    """Store the contract once its dataset stands: from here on it is immutable."""
    logger.info("L2 dataset %s under contract %s", short(dataset.dataset_hash), short(contract.config_hash))
    return (contract,)
