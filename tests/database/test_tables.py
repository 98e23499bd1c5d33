from datetime import UTC, date, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import delete, inspect, update
from sqlalchemy.exc import DBAPIError, StatementError

from dosvotos.contracts.experiment import make_contract
from dosvotos.database.connection import reading, writing
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.ledger import Look, TrialLedger
from dosvotos.database.tables import experiment_contracts, metadata, oos_trials

NOW = datetime(2026, 8, 3, tzinfo=UTC)
SPECIFIED = {
    "promotion_proposals": {
        "id", "model_id", "experiment_name", "recommendation", "confidence", "metrics", "vs_baseline",
        "criteria_results", "status", "reviewer", "reviewer_notes", "approved_at", "lineage", "created_at",
    },
    "approval_audit_log": {
        "id", "action", "model_id", "proposal_id", "reviewer", "notes", "previous_production_model",
        "created_at",
    },
    "model_registry": {
        "id", "model_id", "experiment_name", "model_path", "model_hash", "norm_stats_path",
        "norm_stats_hash", "config_hash", "feature_order_hash", "dataset_hash", "stage", "metrics",
        "lineage", "created_at", "promoted_at", "archived_at",
    },
    "experiment_contracts": {
        "id", "contract_id", "experiment_name", "experiment_version", "config_hash", "feature_order_hash",
        "reward_config_hash", "frozen_config", "created_at",
    },
    "trading_signals": {
        "timestamp", "model_id", "signal", "confidence", "feature_hash", "inference_latency_ms",
    },
}  # fmt: skip


@pytest.mark.parametrize("table", sorted(SPECIFIED))
def test_every_column_of_the_specification_is_there(engine, table):
    columns = {column["name"] for column in inspect(engine).get_columns(table)}
    assert SPECIFIED[table] <= columns


def test_the_migrations_build_exactly_the_tables(engine):
    with reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        found = inspect(connection)
        for table in metadata.sorted_tables:
            assert (
                found.get_pk_constraint(table.name)["constrained_columns"] == table.primary_key.columns.keys()
            )


def test_contracts_are_append_only_by_trigger(engine, parameters):
    ContractRegistry(engine).store(make_contract(parameters, date(2026, 7, 31), "ana"))
    for change in (update(experiment_contracts).values(trained_by="bob"), delete(experiment_contracts)):
        with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
            connection.execute(change)


def test_a_look_takes_its_returns_once_and_nothing_else(engine):
    ledger = TrialLedger(engine, "USD/COP.SIM")
    look = Look("sample-1", "a" * 64, date(2025, 7, 1), date(2026, 7, 31), "d" * 64)
    ledger.record(look, "demo", NOW)
    ledger.store(look, {"2025-07-01": 0.5})
    ledger.store(look, {"2025-07-01": 0.9})
    assert ledger.history(look).own.daily_returns == {"2025-07-01": 0.5}
    for change in (
        update(oos_trials).values(daily_returns={"2025-07-01": 0.9}),
        update(oos_trials).values(experiment_name="other"),
        update(oos_trials).values(account_digest="e" * 64),
        delete(oos_trials),
    ):
        with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
            connection.execute(change)


def test_a_naive_time_never_enters(engine):
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(StatementError, match="timezone-aware"):
        TrialLedger(engine, "USD/COP").record(
            Look("m", "a", date(2025, 1, 1), date(2025, 2, 1), "d"), "x", naive
        )
