"""Nodes of L2."""

import logging
from datetime import datetime

import pandas as pd

from dosvotos.contracts.experiment import ExperimentContract, check_unchanged, project_changes
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import DatasetRecord
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import ParameterError
from dosvotos.hashing import short
from dosvotos.lineage.recompute import make_dataset_record
from dosvotos.market.dataset import SPLITS, feature_rows
from dosvotos.market.features import MarketHistory
from dosvotos.market.normalization import NormStats, fit_norm_stats
from dosvotos.market.splits import splits_of
from dosvotos.users import current_user

logger = logging.getLogger(__name__)


def freeze_contract(
    parameters: Parameters,
    contracts: ContractRegistry,
    bar_table: BarTable,
    ledger: TrialLedger,
    clock: datetime,
) -> ExperimentContract:
    """Draft the experiment's contract; a frozen one stays, and a changed experiment is refused."""
    _refuse_shared_folder(parameters)
    frozen = contracts.frozen(parameters)
    if frozen is None:
        return contracts.draft(parameters, bar_table, ledger, current_user(), clock)
    check_unchanged(frozen, parameters)
    if changes := project_changes(frozen, parameters):
        logger.warning(
            "%s version %s runs under its frozen values; the project has changed since:\n%s",
            frozen.contract_id, frozen.contract_version, "\n".join(changes),
        )  # fmt: skip
    return frozen


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
    logger.info("L2 dataset %s under contract %s", short(record.dataset_hash), short(contract.config_hash))
    return record


def report_dataset(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    train: pd.DataFrame,
    val: pd.DataFrame,
    norm_stats: NormStats,
    macro: pd.DataFrame,
) -> str:
    """Draw what the dataset holds, of test its record alone."""
    from dosvotos.reports.dataset import render_dataset

    variables = contract.parameters.macro_variables.variables
    return render_dataset(dataset, train, val, norm_stats, macro, variables)
