"""Nodes of L2."""

import logging
from collections import Counter

import pandas as pd

from dosvotos.contracts.experiment import (
    ExperimentContract,
    check_unchanged,
    contract_id_of,
    make_contract,
    next_fold,
)
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import DatasetRecord, SplitRecord
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import history_hash, stored_history
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import ParameterError
from dosvotos.hashing import combine, short
from dosvotos.market.dataset import SPLITS, describe_split, feature_rows, point_in_time, resolve_test_end
from dosvotos.market.drift import feature_drift
from dosvotos.market.features import MarketHistory
from dosvotos.market.missing import missing_reasons
from dosvotos.market.normalization import NormStats, fit_norm_stats
from dosvotos.market.splits import splits_of
from dosvotos.users import current_user

logger = logging.getLogger(__name__)


def freeze_contract(
    parameters: Parameters, contracts: ContractRegistry, bar_table: BarTable
) -> ExperimentContract:
    """Make the experiment's contract, or find the one made before and refuse any difference."""
    _refuse_shared_folder(parameters)
    made = contracts.of_experiment(parameters.experiment.name, parameters.experiment.version)
    if (frozen := made.get(contract_id_of(parameters))) is not None:
        check_unchanged(frozen, parameters)
        return frozen
    if made:
        return next_fold(next(iter(made.values())), parameters, current_user())
    test_end = resolve_test_end(parameters, bar_table.times(parameters.data_acquisition.as_of))
    return make_contract(parameters, test_end, current_user())


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
    name, parameters = contract.experiment_name, contract.parameters
    splits, history = splits_of(parameters), MarketHistory(bars, macro)
    parts: dict[str, SplitRecord] = {}
    for split, rows in zip(SPLITS, (train, val, test), strict=True):
        variables, calendar = parameters.macro_variables.variables, parameters.calendar
        reasons = missing_reasons(rows, history, variables, calendar)
        parts[split] = describe_split(splits[split], rows, reasons, f"DS_{name}_{split}.parquet")
    complete = sum(part.complete_rows for part in parts.values())
    record = DatasetRecord(
        experiment_name=name,
        contract_id=contract.contract_id,
        dataset_hash=combine(part.digest for part in parts.values()),
        config_hash=contract.config_hash,
        feature_order_hash=FEATURE_ORDER_HASH,
        norm_stats_hash=norm_stats.digest,
        acquisition_hash=history_hash(history),
        date_ranges={k: f"{p.first_session} to {p.last_session}" for k, p in parts.items()},
        ohlcv_rows=len(bars),
        macro_sources=dict(macro.groupby("variable")["source"].last()),
        point_in_time=point_in_time(macro),
        dataset_path=parts["train"].path,
        row_count=complete,
        dropped_rows=sum(part.bars for part in parts.values()) - complete,
        dropped_by_reason=dict(sum((Counter(part.missing_by_reason) for part in parts.values()), Counter())),
        splits=parts,
    )
    for split, part in parts.items():
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
