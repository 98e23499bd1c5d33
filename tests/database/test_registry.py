"""A model id stands for one content, and a change of stage or head for one row."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, update

from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import add_model, change_one, find_model
from dosvotos.database.tables import model_registry
from dosvotos.errors import DecisionConflictError, LineageError

HASHES = (
    "manifest_hash", "model_hash", "norm_stats_hash", "config_hash", "feature_order_hash", "dataset_hash",
)  # fmt: skip
MODEL = {
    "model_id": "demo_20261120_aaaaaaaaaaaa", "instrument": "USD/COP.SIM", "experiment_name": "demo",
    "model_path": "data/06_models/demo/a", "trained_by": "ana",
    "created_at": datetime(2026, 11, 20, tzinfo=UTC), **dict.fromkeys(HASHES, "a" * 64),
}  # fmt: skip


@pytest.mark.parametrize("name", [*HASHES, "instrument", "experiment_name"])
def test_an_id_that_exists_with_other_content_is_refused_by_name(engine, name):
    with writing(engine) as connection:
        add_model(connection, MODEL)
    changed = {**MODEL, name: "USD/COP" if name == "instrument" else "b" * 64}
    with pytest.raises(LineageError, match=f"{name} is .* in the registry"), writing(engine) as connection:
        add_model(connection, changed)
    with writing(engine) as connection:
        add_model(connection, MODEL)
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(model_registry)).scalar_one() == 1


def test_an_update_of_no_row_or_of_two_changes_nothing(engine):
    t = model_registry
    with writing(engine) as connection:
        for model_id in ("one", "two"):
            add_model(connection, {**MODEL, "model_id": model_id})
    for chosen in (t.c.model_id == "three", t.c.model_id.in_(["one", "two"])):
        with (
            pytest.raises(DecisionConflictError, match="one row was to change"),
            writing(engine) as connection,
        ):
            change_one(connection, update(t).where(chosen).values(stage="shadow"))
    with writing(engine) as connection:
        change_one(connection, update(t).where(t.c.model_id == "one").values(stage="shadow"))
    with reading(engine) as connection:
        stages = [find_model(connection, model_id).stage for model_id in ("one", "two")]
    assert stages == ["shadow", "staging"]
