"""The registry of contracts: one row a contract and version, whoever comes first."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from threading import Barrier

import pytest
from sqlalchemy import Engine, func, insert, select, text

from dosvotos.contracts.experiment import ExperimentContract, make_contract, next_fold
from dosvotos.database.connection import reading, writing
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.tables import experiment_contracts
from dosvotos.errors import ContractError
from tests.conftest import parameters_of

END = date(2026, 7, 31)


def of_user(user: str) -> ExperimentContract:
    return make_contract(parameters_of(), END, user)


def n_rows(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(experiment_contracts)).scalar_one()


def test_a_contract_comes_back_as_it_was_stored(engine):
    contract = of_user("ana").model_copy(update={"stated": {"training.seeds": [1], "reward.scale": 1e-5}})
    ContractRegistry(engine).store(contract)
    assert ContractRegistry(engine).registered(contract) == contract
    assert ContractRegistry(engine).frozen(parameters_of()) == contract
    assert ContractRegistry(engine).frozen(parameters_of(experiment={"version": "1.0.1"})) is None


def test_of_two_runs_at_once_one_wins_and_the_other_is_told(engine):
    start, said = Barrier(6), []

    def store(user: str) -> str | None:
        start.wait()
        try:
            ContractRegistry(engine).store(of_user(user))
        except ContractError as error:
            said.append(str(error))
            return None
        return user

    with ThreadPoolExecutor(6) as pool:
        won = {*pool.map(store, ("ana", "bob", "eve") * 2)} - {None}
    stored = ContractRegistry(engine).frozen(parameters_of())
    assert (won, n_rows(engine), len(said)) == ({stored.trained_by}, 1, 4)
    assert all(f"trained_by is {stored.trained_by} there" in message for message in said)


def folded(fold: int) -> dict:
    return {"mode": "walk_forward", "folds": 3, "fold": fold, "train_window": "rolling"}


def test_a_fold_on_other_data_than_the_first_is_refused(engine):
    registry = ContractRegistry(engine)
    first = make_contract(parameters_of(splits=folded(1)), END, "ana")
    registry.store(first)
    with pytest.raises(ContractError, match=r"fold-2-of-3.*test_end is 2026-07-30.*folds share their data"):
        registry.store(make_contract(parameters_of(splits=folded(2)), date(2026, 7, 30), "ana"))
    registry.store(next_fold(first, parameters_of(splits=folded(2)), "ana"))
    assert n_rows(engine) == 2


def test_a_row_from_before_schemas_reads_as_schema_1_with_its_hash(engine):
    columns = of_user("ana").model_dump(exclude={"immutable", "schema_version", "stated"})
    with writing(engine) as connection:
        connection.execute(insert(experiment_contracts).values(columns))
    found = ContractRegistry(engine).frozen(parameters_of())
    assert (found.schema_version, found.stated, found.config_hash) == (1, None, columns["config_hash"])


def test_an_edited_row_is_named_with_what_is_wrong(engine):
    ContractRegistry(engine).store(of_user("ana"))
    with writing(engine) as connection:
        sqlite = connection.dialect.name == "sqlite"
        connection.execute(
            text(
                "DROP TRIGGER experiment_contracts_no_update" + ("" if sqlite else " ON experiment_contracts")
            )
        )
        connection.execute(text(f"UPDATE experiment_contracts SET config_hash = '{'0' * 64}'"))
    with pytest.raises(ContractError, match=r"row 1 \(CTR-EXP-demo version 1\.0\.0\).*config_hash is 0000"):
        ContractRegistry(engine).frozen(parameters_of())
