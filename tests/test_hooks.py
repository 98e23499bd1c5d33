"""What surrounds a run never outlives it, and never decides it."""

from types import SimpleNamespace

import pytest

from dosvotos import hooks, mlflow_tracking
from dosvotos.errors import StaleDataError


def fail() -> None:
    raise RuntimeError("the store is broken")


def test_a_failure_of_mlflow_beside_the_run_is_a_warning(caplog):
    mlflow_tracking.in_background(fail)
    assert mlflow_tracking.active_run_id() is None
    assert "MLflow: the store is broken; this run goes on without it" in caplog.text


def test_a_second_interruption_while_mlflow_is_waited_for_still_releases_the_lock(monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    released = []
    run_hooks = hooks.RunHooks()
    monkeypatch.setattr(run_hooks, "after_pipeline_run", lambda: released.append(True))
    monkeypatch.setattr(mlflow_tracking, "close_run", interrupted)
    monkeypatch.setattr(hooks, "_check_selection", lambda asked: None)
    with pytest.raises(KeyboardInterrupt):
        hooks._guarded(interrupted, run_hooks)()
    assert released == [True]


@pytest.mark.parametrize(("source", "stops"), [("live", True), ("files", True), ("sample", False)])
def test_what_is_overdue_ends_a_run_on_real_data_whether_live_or_from_files(source, stops):
    bars = SimpleNamespace(missing_session="2025-11-25", notes=())
    record = SimpleNamespace(source=source, overdue=("bars",), series=(), bars=bars)
    pipeline = SimpleNamespace(all_outputs=lambda: {"acquisition_record"})
    catalog = SimpleNamespace(load=lambda name: record)
    if not stops:
        hooks.FreshnessHooks().after_pipeline_run(pipeline, catalog)
        return
    with pytest.raises(StaleDataError, match="session 2025-11-25 is missing"):
        hooks.FreshnessHooks().after_pipeline_run(pipeline, catalog)
