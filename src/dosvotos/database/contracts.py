"""The experiment contracts, written once and never changed."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Engine, Row, insert, select

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import experiment_contracts
from dosvotos.errors import ContractError, LineageError


@dataclass(frozen=True)
class ContractRegistry:
    """The frozen experiment contracts of a database."""

    engine: Engine

    def of_experiment(self, name: str, version: str) -> dict[str, ExperimentContract]:
        """Read the contracts of an experiment's name and version by contract_id: one, or one a fold."""
        t = experiment_contracts
        found = self._read(t.c.experiment_name == name, t.c.experiment_version == version)
        return {contract.contract_id: contract for contract in found}

    def of_hash(self, name: str, config_hash: str) -> ExperimentContract | None:
        """Find an experiment's first contract by its parameters' hash, whatever its version."""
        t = experiment_contracts
        return next(iter(self._read(t.c.experiment_name == name, t.c.config_hash == config_hash)), None)

    def registered(self, contract: ExperimentContract) -> ExperimentContract | None:
        """Find the stored contract of the same contract_id and version, or None."""
        found = self.of_experiment(contract.experiment_name, contract.experiment_version)
        return found.get(contract.contract_id)

    def _read(self, *conditions: ColumnElement[bool]) -> list[ExperimentContract]:
        query = select(experiment_contracts).where(*conditions).order_by(experiment_contracts.c.id)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return [_contract_of(row) for row in rows]

    def store(self, contract: ExperimentContract) -> None:
        """Write a contract; the same one again changes nothing.

        Raises
        ------
        ContractError
            If another contract has this contract_id and version.
        """
        present = self.registered(contract)
        if present is None:
            columns = contract.model_dump(mode="python", exclude={"immutable"})
            with writing(self.engine) as connection:
                connection.execute(insert(experiment_contracts).values(columns))
        elif present != contract:
            raise ContractError(
                f"{contract.contract_id} version {contract.contract_version} exists with config_hash "
                f"{present.config_hash} as of {present.data_as_of}; it is immutable"
            )


def _contract_of(row: Row[Any]) -> ExperimentContract:
    try:
        return ExperimentContract(**{k: v for k, v in row._mapping.items() if k != "id"})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "its hash"
        raise LineageError(
            f"experiment_contracts, row {row.id} ({row.contract_id}): {field}: "
            f"{first['msg']}; the row is not what Dos Votos wrote, restore the database from its backup"
        ) from error
