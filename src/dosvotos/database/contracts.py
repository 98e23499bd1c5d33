"""The experiment contracts, each written once when its training starts, and never changed."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Engine, Row, insert, select, text

from dosvotos.contracts.experiment import ExperimentContract, contract_id_of, make_contract, next_fold
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.window import JudgedWindow
from dosvotos.database.connection import reading, writing
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.market_data import BarTable
from dosvotos.database.people_on_log import trainer_on_log
from dosvotos.database.tables import experiment_contracts
from dosvotos.errors import AlteredError, ContractError, DataError
from dosvotos.market.calendar import BOGOTA
from dosvotos.market.dataset import resolve_test_end
from dosvotos.market.window_status import judge_window

_WHENEVER_STORED = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ContractRegistry:
    """The frozen experiment contracts of a database."""

    engine: Engine

    def of_experiment(self, name: str, version: str) -> dict[str, ExperimentContract]:
        """Read the contracts of an experiment's name and version by contract_id: one, or one a fold."""
        with reading(self.engine) as connection:
            return _of_experiment(connection, name, version)

    def of_hash(self, name: str, config_hash: str) -> ExperimentContract | None:
        """Find an experiment's first contract by its parameters' hash, whatever its version."""
        t = experiment_contracts
        with reading(self.engine) as connection:
            found = _read(connection, t.c.experiment_name == name, t.c.config_hash == config_hash)
        return next(iter(found), None)

    def of_proposal(self, proposal: Row[Any]) -> ExperimentContract:
        """Read the contract that a proposal was made under; raises LineageError if it is not stored here."""
        name, config_hash = proposal.experiment_name, proposal.lineage["config_hash"]
        if (contract := self.of_hash(name, config_hash)) is None:
            raise AlteredError.of("contract_none", proposal=proposal.id, name=name, config_hash=config_hash)
        return contract

    def registered(self, contract: ExperimentContract) -> ExperimentContract | None:
        """Find the stored contract of the same contract_id and version, or None."""
        found = self.of_experiment(contract.experiment_name, contract.experiment_version)
        return found.get(contract.contract_id)

    def frozen(self, parameters: Parameters) -> ExperimentContract | None:
        """Find the stored contract that these parameters name, or None."""
        experiment = parameters.experiment
        return self.of_experiment(experiment.name, experiment.version).get(contract_id_of(parameters))

    def draft(
        self, parameters: Parameters, bar_table: BarTable, ledger: TrialLedger, user: str, clock: datetime
    ) -> ExperimentContract:
        """Make the contract that training would start under now, its test window judged by the wall clock.

        A further fold's stands on the data of the first one.

        Raises
        ------
        ContractError
            If a fold of this experiment is frozen and anything but the fold differs, or `user` is none of
            the log's people.
        """
        with reading(self.engine) as connection:
            user = trainer_on_log(connection, user)
        experiment = parameters.experiment
        for sibling in self.of_experiment(experiment.name, experiment.version).values():
            return next_fold(sibling, parameters, user)
        newest = ledger.newest_session(parameters.feed)
        test_start = pd.Timestamp(parameters.date_ranges.test.start, tz=BOGOTA)
        try:
            test_end, window = _judge_window(parameters, bar_table, newest, clock, test_start)
        except DataError:  # nothing of test is complete: an earlier session is the last, or the error stays
            test_end, window = _judge_window(parameters, bar_table, newest, clock, None)
        return make_contract(parameters, test_end, user, window=window)

    def store(self, contract: ExperimentContract) -> None:
        """Write a contract, in one transaction; the same one again changes nothing.

        Raises
        ------
        ContractError
            If another contract has this contract_id and version, or a fold of it stands on other data.
        """
        with writing(self.engine) as connection:
            if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
                connection.execute(text("LOCK TABLE experiment_contracts IN SHARE ROW EXCLUSIVE MODE"))
            present = _of_experiment(connection, contract.experiment_name, contract.experiment_version)
            if contract.contract_id in present:
                _check_same(present[contract.contract_id], contract)
                return
            for sibling in present.values():
                _check_fold(sibling, contract)
            connection.execute(insert(experiment_contracts).values(_columns(contract)))


def _judge_window(
    parameters: Parameters,
    bar_table: BarTable,
    newest_look: date | None,
    clock: datetime,
    since: datetime | None,
) -> tuple[date, JudgedWindow]:
    """Find the test's end and judge its window, by when the bars opened that did so since a moment."""
    test_end = resolve_test_end(parameters, bar_table.times(parameters.data_acquisition.as_of, since))
    stored = bar_table.times(_WHENEVER_STORED, since)
    ever = bar_table.ever_stored(since) if bar_table.retractions(_WHENEVER_STORED) else stored
    return test_end, judge_window(parameters, test_end, stored, newest_look, clock, ever)


def _columns(contract: ExperimentContract) -> dict[str, Any]:
    return contract.model_dump(mode="python", exclude={"immutable"})


def _of_experiment(connection: Connection, name: str, version: str) -> dict[str, ExperimentContract]:
    t = experiment_contracts
    found = _read(connection, t.c.experiment_name == name, t.c.experiment_version == version)
    return {contract.contract_id: contract for contract in found}


def _read(connection: Connection, *conditions: ColumnElement[bool]) -> list[ExperimentContract]:
    query = select(experiment_contracts).where(*conditions).order_by(experiment_contracts.c.id)
    return [_contract_of(row) for row in connection.execute(query)]


def _contract_of(row: Row[Any]) -> ExperimentContract:
    try:
        return ExperimentContract(**{name: v for name, v in row._mapping.items() if name != "id"})
    except ValidationError as error:
        raise ContractError.of(
            "contract_row", row=row.id, contract=row.contract_id, version=row.contract_version, problem=error
        ) from error


def _check_same(present: ExperimentContract, contract: ExperimentContract) -> None:
    for field in ExperimentContract.model_fields:
        stored, new = getattr(present, field), getattr(contract, field)
        if stored != new:
            raise ContractError(
                f"{contract.contract_id} version {contract.contract_version} is frozen since another run "
                f"started its training: {field} is {stored} there, {new} here; it is immutable. Run "
                "'kedro run --pipelines dataset' again to work under it"
            )


def _check_fold(sibling: ExperimentContract, contract: ExperimentContract) -> None:
    for field in ("test_end", "data_as_of"):
        stored, new = getattr(sibling, field), getattr(contract, field)
        if stored != new:
            raise ContractError(
                f"{contract.contract_id} version {contract.contract_version}: {field} is {new}, but "
                f"{sibling.contract_id}, frozen before, has {stored}, and folds share their data; run "
                "'kedro run --pipelines dataset' again"
            )
