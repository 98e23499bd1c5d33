"""What happens around every run: parameters and names checked, one task at a time, MLflow, stale data."""

import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack, chdir
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cached_property, wraps
from importlib import import_module
from inspect import signature
from pathlib import Path
from threading import Thread
from typing import Any

import click
from filelock import Timeout
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.framework.session import KedroServiceSession, KedroSession
from kedro.io import CatalogProtocol, DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import ParallelRunner

from dosvotos import mlflow_figures, mlflow_process, mlflow_tracking
from dosvotos.contracts.parameters import read_parameters
from dosvotos.contracts.records import AcquisitionRecord
from dosvotos.database.connection import absolute_url, has_database, open_database
from dosvotos.database.outbox import is_due, send_in_background
from dosvotos.errors import DatabaseError, ParameterError, RunLockedError, SelectionError, StaleDataError
from dosvotos.mlflow_process import in_background
from dosvotos.mlflow_tracking import MlflowSettings
from dosvotos.project import exclusive_lock
from dosvotos.promotion.floors import refuse_looser
from dosvotos.promotion.gate_policy import packaged_policy
from dosvotos.promotion.notify import sendable_kinds
from dosvotos.promotion.production_warnings import production_warnings
from dosvotos.training.seeds import dismiss_workers, prepare_workers

logger = logging.getLogger(__name__)

_ACQUISITION = "acquisition_record"
_TRAINING = "training_record"
_JUDGED = "judged_record"
_BACKTEST = "backtest_results"
_PARTS = ("tags", "node_names", "from_nodes", "to_nodes", "from_inputs", "to_outputs")
"""Options of a run that take a part of its pipelines."""


class Context(KedroContext):
    """Kedro's context, in which MLflow is set up when somebody asks for it, such as ``kedro mlflow ui``."""

    @cached_property
    def mlflow(self) -> Any:
        """kedro-mlflow's configuration; its hook would set it up, and wait for a server, in every run."""
        return mlflow_tracking.set_up_mlflow(MlflowSettings.of(self))


class ParameterHooks:
    """Validates the whole parameter tree before a node runs, and puts it into the catalog."""

    _stated: dict[str, Any] | None = None

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Refuse an unknown key, a broken rule, evidence below the house's, or another environment's name."""
        tree = context.config_loader["parameters"]
        context.config_loader["parameters"] = tree  # read once: Kedro would read and merge all files again
        self._stated = context.config_loader.stated_parameters()
        parameters = read_parameters(tree)
        refuse_looser(parameters, packaged_policy())
        name, environment = parameters.experiment.name, context.env
        if environment not in ("base", None) and name != environment:
            raise ParameterError(
                f"experiment.name: must be its folder's name, {environment!r}, was {name!r}; write "
                f"'experiment: {environment}' into conf/{environment}/globals.yml"
            )

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog, parameters: dict[str, Any]) -> None:
        """Save `experiment_parameters` and the wall clock, and bind the tables to their feed: YAML cannot."""
        read = read_parameters(parameters["parameters"], self._stated)
        catalog.save("experiment_parameters", read)
        catalog.save("clock", datetime.now(UTC))
        for name in catalog.filter(type_regex="TableDataset$"):
            catalog[name].bind_feed(read.feed)


class CandidateHooks:
    """Refuses to train where the experiment states a strategy of its own, before anything runs."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Say which pipelines judge an own strategy."""
        if "train_policy" not in {node.name for node in pipeline.nodes}:
            return
        parameters = catalog.load("experiment_parameters")
        if parameters.candidate is not None:
            raise SelectionError(
                f"candidate.targets is {parameters.candidate.targets}, so nothing is trained; run 'kedro run "
                "--pipelines data_acquisition,dataset,backtest,promotion --env "
                f"{parameters.experiment.name}'"
            )


class RunHooks:
    """Lets one process at a time work on a run name, in the project's root; other names do not wait."""

    def __init__(self) -> None:
        self._root = Path()
        self._held = ExitStack()

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Count the database's path from the project's root, and keep the root for the nodes."""
        self._root = context.project_path
        credentials = context.config_loader["credentials"]
        credentials["database"]["url"] = absolute_url(credentials["database"]["url"], self._root)
        context.config_loader["credentials"] = credentials

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Take the run's lock or refuse, before another hook opens anything for the run."""
        name = _run_name(run_params)
        try:
            self._held.enter_context(exclusive_lock(name, self._root))
        except Timeout as error:
            raise RunLockedError(
                f"run {name!r} is at work in another process; wait for it, or give this one a name of its "
                "own with --params run_name=..."
            ) from error
        self._held.enter_context(chdir(self._root))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Release the lock and go back to the folder the run was started from, if it holds one."""
        self._held.close()


class MlflowHooks:
    """Opens an MLflow run for a training and logs it and its backtest; other pipelines import no MLflow."""

    __name__ = "mlflow_hook"  # Kedro loads no plugin's hooks under a name that is taken: kedro-mlflow's

    _context: KedroContext

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep what says where MLflow is and what the experiment states."""
        self._context = context

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Begin to connect, if there is anything to log or an earlier process of this name to end."""
        outputs, context, name = pipeline.all_outputs(), self._context, _run_name(run_params)
        died = mlflow_tracking.has_dead_run(name, context.project_path)
        if not mlflow_tracking.is_installed() or not (died or {_TRAINING, _BACKTEST} & outputs):
            return
        mlflow_process.start()
        in_background(mlflow_tracking.connect, MlflowSettings.of(context))
        if died:
            in_background(mlflow_tracking.end_dead_run, name, context.project_path)
        if _TRAINING in outputs:
            folder = Path(context.config_loader.conf_source) / str(context.env)
            runtime = run_params.get("runtime_params") or {}
            own = mlflow_figures.own_parameters(folder, runtime, context.config_loader["parameters"])
            tags = {"env": str(context.env), "pipelines": ", ".join(run_params["pipeline_names"] or ("all",))}
            in_background(mlflow_tracking.open_run, name, context.project_path, own, tags)

    @hook_impl
    def after_node_run(self, node: Node, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Log what L3 reports, and what L4 found to the run of the training it is about."""
        if node.name == "report_training":
            contract, record = inputs["experiment_contract"], inputs[_TRAINING]
            metrics, page = inputs["training_metrics"], outputs["training_report"]
            bundle = self._context.project_path / record.model_path
            log = mlflow_figures.training_log(contract, record, metrics, page, bundle)
            in_background(mlflow_tracking.log_training, log)
        if _BACKTEST in outputs:
            figures = mlflow_figures.backtest_figures(outputs[_BACKTEST].metrics)
            in_background(mlflow_tracking.log_backtest, inputs[_JUDGED].mlflow_run_id, figures)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """End the run."""
        mlflow_process.close_run("FINISHED")


class OutboxHooks:
    """Tells people and other systems, after a run, what has happened; nobody waits for them."""

    _context: KedroContext

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep what says where the database is."""
        self._context = context

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Let a process of its own send what is due."""
        root = self._context.project_path
        url = absolute_url(self._context.config_loader["credentials"]["database"]["url"], root)
        if not (kinds := sendable_kinds()) or not has_database(url):
            return
        try:
            due = is_due(open_database(url), datetime.now(UTC), kinds)
        except DatabaseError as error:
            logger.warning("outbox: %s; what waits there is sent later", error)
            return
        if due:
            send_in_background(root, url)


class TrainingHooks:
    """Has torch loaded while the layers before a training work, and arch while it goes on."""

    _assesses_evidence = False

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Start what loads torch, if there is a training to come.

        Under a command alone: processes import the main module, and a script might run its session once more.
        """
        names = {node.name for node in pipeline.nodes}
        self._assesses_evidence = "assess_evidence" in names
        if "train_policy" not in names or click.get_current_context(silent=True) is None:
            return
        if catalog.load("experiment_parameters").training.engine != "linear":
            prepare_workers()

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Load what L4 needs, while this process waits for those that train."""
        if node.name == "train_policy" and self._assesses_evidence:
            Thread(target=import_module, args=["arch.bootstrap"], daemon=True).start()

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Leave it to the run that it was started for."""
        dismiss_workers()


class FreshnessHooks:
    """Ends a run whose L0 finished with live data or files that are too old, after all of it is stored."""

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Raise StaleDataError, which the command line reports with exit code 3."""
        if _ACQUISITION not in pipeline.all_outputs():
            return
        from dosvotos.pipelines.data_acquisition.summary import describe_overdue

        record: AcquisitionRecord = catalog.load(_ACQUISITION)
        if record.source != "sample" and record.overdue:
            raise StaleDataError(describe_overdue(record))


class PartHooks:
    """Says which nodes a part of a pipeline has run, since only whole layers report what they found."""

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Name them in one line."""
        if any(run_params.get(option) for option in _PARTS) and not run_params.get("only_missing_outputs"):
            logger.info("ran %s", ", ".join(node.name for node in pipeline.nodes))


class ProductionHooks:
    """Names a production model that nothing should be signalled by, whatever command is run."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Warn in one line a model."""
        url = context.config_loader["credentials"]["database"]["url"]
        for line in production_warnings(absolute_url(url, context.project_path)):
            logger.warning(line)


def guard_runs(run_hooks: RunHooks) -> None:
    """Let every session refuse a selection it cannot run, and clean up whatever ends its run.

    Kedro tells its hooks of no KeyboardInterrupt, such as Ctrl-C or a kernel's stop button, and of no error
    that another hook raises before the first node.
    """
    for session in (KedroSession, KedroServiceSession):
        session.run = _guarded(session.run, run_hooks)


def _guarded(run: Callable[..., Any], run_hooks: RunHooks) -> Callable[..., Any]:
    parameters = signature(run)

    @wraps(run)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            _check_selection(parameters.bind(*args, **kwargs).arguments)
            return run(*args, **kwargs)
        except BaseException as error:
            try:
                mlflow_process.close_run("FAILED" if isinstance(error, Exception) else "KILLED")
            finally:  # a second Ctrl-C, while MLflow is waited for, leaves no lock behind
                dismiss_workers()
                run_hooks.after_pipeline_run()
            raise

    return guarded


def _check_selection(asked: dict[str, Any]) -> None:
    """Refuse, in one line, names that are not there and a runner that cannot work."""
    if isinstance(asked.get("runner"), ParallelRunner):
        raise SelectionError(
            "ParallelRunner: nodes share database handles and a run's lock, which no other process can take "
            "over; use SequentialRunner (the default) or ThreadRunner"
        )
    single = asked.get("pipeline_name")
    names = [single] if single else asked.get("pipeline_names") or ["__default__"]
    _check_known("pipeline", names, pipelines)
    if "lineage" in names:
        raise SelectionError(
            "lineage: is a picture for 'make viz' and cannot be run, since no pipeline gives a person's "
            "vote; use 'kedro run' without it, then 'make app' or 'dosvotos vote'"
        )
    whole = sum((pipelines[name] for name in names), Pipeline([]))
    nodes = {node.name for node in whole.nodes}
    for option in ("node_names", "from_nodes", "to_nodes"):
        _check_known("node", asked.get(option), nodes)
    _check_known("tag", asked.get("tags"), {tag for node in whole.nodes for tag in node.tags})
    for option in ("from_inputs", "to_outputs"):
        _check_known("dataset", asked.get(option), whole.datasets())


def _check_known(kind: str, names: Iterable[str] | None, known: Collection[str]) -> None:
    for name in names or ():
        if name not in known:
            public = sorted(one for one in known if not one.startswith("_"))
            near = " or ".join(map(repr, get_close_matches(name, public)))
            hint = f"did you mean {near}?" if near else f"there are: {', '.join(public)}"
            raise SelectionError(f"unknown {kind} {name!r}; {hint}")


def _run_name(run_params: dict[str, Any]) -> str:
    given = run_params.get("runtime_params") or {}
    name = str(given.get("run_name") or run_params.get("env") or "demo")
    return f"{name}-inference" if list(run_params.get("pipeline_names") or ()) == ["inference"] else name
