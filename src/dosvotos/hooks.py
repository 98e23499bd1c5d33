"""What happens around every run: parameters checked as a whole, one task at a time, stale data reported."""

import logging
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol, DataCatalog
from kedro.pipeline import Pipeline

from dosvotos.contracts.parameters import read_parameters
from dosvotos.contracts.records import AcquisitionRecord
from dosvotos.errors import ParameterError, RunLockedError, StaleDataError
from dosvotos.pipelines.data_acquisition.summary import describe_overdue

_LOCKS = Path("data/.locks")
_ACQUISITION = "acquisition_record"
_WHOLE_CONFIGURATION = {"base", None}


class ParameterHooks:
    """Validates the whole parameter tree before a node runs, whichever pipelines were asked for."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Refuse an unknown key, a broken rule, or an environment that borrows another one's name."""
        logging.getLogger("kedro_mlflow").setLevel(logging.ERROR)  # it sets its own level
        parameters = read_parameters(context.config_loader["parameters"])
        environment = context.env
        if environment not in _WHOLE_CONFIGURATION and parameters.experiment.name != environment:
            raise ParameterError(
                f"experiment.name: must be its folder's name, {environment!r}, was "
                f"{parameters.experiment.name!r}; write 'experiment: {environment}' into "
                f"conf/{environment}/globals.yml"
            )


class CatalogHooks:
    """Puts into the catalog what its YAML cannot read: the validated parameters, and the feed they name."""

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog, parameters: dict[str, Any]) -> None:
        """Save `experiment_parameters`, and bind the tables to their feed."""
        read = read_parameters(parameters["parameters"])
        catalog.save("experiment_parameters", read)
        for name in catalog.filter(type_regex="TableDataset$"):
            catalog[name].bind_feed(read.feed)


class TrackingHooks:
    """Lets one process at a time set up the tracking store, which two first runs would both create."""

    @hook_impl(wrapper=True)
    def after_context_created(self) -> Generator[None, Any, Any]:
        """Hold the store's lock while the hooks inside, kedro-mlflow's among them, do their part."""
        _LOCKS.mkdir(parents=True, exist_ok=True)
        with FileLock(_LOCKS / "tracking.lock"):
            return (yield)


class FreshnessHooks:
    """Ends a run whose L0 finished with live data that are too old, after all of it is stored."""

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Raise StaleDataError, which the command line reports with exit code 3."""
        if _ACQUISITION not in pipeline.all_outputs():
            return
        record: AcquisitionRecord = catalog.load(_ACQUISITION)
        if record.source == "live" and record.overdue:
            raise StaleDataError(describe_overdue(record))


class LockHooks:
    """Lets one process at a time work on a run name; ticks and experiments do not block each other."""

    def __init__(self) -> None:
        self._lock: FileLock | None = None

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Take the run's lock or refuse, before another hook opens anything for the run."""
        name = _task_name(run_params)
        _LOCKS.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_LOCKS / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunLockedError(
                f"run {name!r} is at work in another process; wait for it, or give this one a name of its "
                "own with --params run_name=..."
            ) from error
        self._lock = lock

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Release the lock."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Release the lock after a failure."""
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _task_name(run_params: dict[str, Any]) -> str:
    given = run_params.get("runtime_params") or {}
    name = str(given.get("run_name") or run_params.get("env") or "demo")
    pipelines: Collection[str] = run_params.get("pipeline_names") or ()
    return f"{name}-inference" if list(pipelines) == ["inference"] else name
