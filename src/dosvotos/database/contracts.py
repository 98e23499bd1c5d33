"""The experiment contracts, written once and never changed."""

from dataclasses import dataclass

from sqlalchemy import Engine, insert, select

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import experiment_contracts
from dosvotos.errors import ContractError


@dataclass(frozen=True)
class ContractBook:
    """Every frozen contract of this database."""

    engine: Engine

    def made_of(self, name: str, version: str) -> dict[str, ExperimentContract]:
        """Read the contracts of an experiment's name and version by contract_id: one, or one a fold."""
        t = experiment_contracts
        query = select(t).where(t.c.experiment_name == name, t.c.experiment_version == version)
        with reading(self.engine) as connection:
            rows = connection.execute(query.order_by(t.c.id)).all()
        made = (ExperimentContract(**{k: v for k, v in row._mapping.items() if k != "id"}) for row in rows)
        return {contract.contract_id: contract for contract in made}

    def registered(self, contract: ExperimentContract) -> ExperimentContract | None:
        """Find the stored contract of the same contract_id and version, or None."""
        made = self.made_of(contract.experiment_name, contract.experiment_version)
        return made.get(contract.contract_id)

    def of_hash(self, name: str, config_hash: str) -> ExperimentContract | None:
        """Find an experiment's contract by its parameters' hash, whatever its version."""
        t = experiment_contracts
        query = select(t.c.experiment_version).where(
            t.c.experiment_name == name, t.c.config_hash == config_hash
        )
        with reading(self.engine) as connection:
            version = connection.execute(query.order_by(t.c.id)).scalar()
        made = self.made_of(name, version).values() if version else ()
        return next((contract for contract in made if contract.config_hash == config_hash), None)

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
