"""MLflow's alias ``champion`` of an instrument's registered model: a mirror of the production model.

The database decides; MLflow only shows. Whatever the alias points at, it is put right from here, and nobody
reads it back.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from filelock import FileLock

from dosvotos.errors import DosVotosError
from dosvotos.mlflow_tracking import WEB, answers
from dosvotos.project import LOCKS
from dosvotos.redaction import without_secrets

ALIAS: Final = "champion"


class Champion(NamedTuple):
    """A production model, as MLflow is told of it."""

    model_id: str
    manifest_hash: str
    experiment_name: str
    bundle: Path
    """Its folder."""

    @property
    def tags(self) -> dict[str, str]:
        """By which run and version are known."""
        return {"model_id": self.model_id, "manifest_hash": self.manifest_hash}


class Registry(Protocol):
    """Where the alias lives."""

    def point(self, instrument: str, champion: Champion | None) -> bool:
        """Let the alias of an instrument follow; tells whether it had pointed elsewhere."""
        ...


class MlflowAwayError(DosVotosError):
    """MLflow's server does not answer, or MLflow is not installed."""


class MlflowRegistry:
    """MLflow's model registry at an address.

    Parameters
    ----------
    uri : str
        Of a server, or of a SQLite file.
    root : Path
        The project's, for the lock of the file's first use.

    Raises
    ------
    MlflowAwayError
        If a server does not answer within a second.
    """

    def __init__(self, uri: str, root: Path) -> None:
        if not answers(uri):
            raise MlflowAwayError.of("mlflow_away", address=without_secrets(uri))
        from mlflow import MlflowClient

        if uri.startswith(WEB):
            self._client: Any = MlflowClient(uri, uri)
            return
        (root / LOCKS).mkdir(parents=True, exist_ok=True)
        with FileLock(root / LOCKS / "tracking.lock"):  # two first uses would both make the tables
            self._client = MlflowClient(uri, uri)
            self._client.search_experiments(max_results=1)

    def point(self, instrument: str, champion: Champion | None) -> bool:
        """Let the alias of an instrument follow its production model; None takes it away."""
        name = registered_name(instrument)
        model = self._registered(name, make=champion is not None)
        if model is None:
            return False
        aliased = {str(alias): str(version) for alias, version in model.aliases.items()}.get(ALIAS)
        wanted = None if champion is None else self._version(name, champion)
        if aliased == wanted:
            return False
        if wanted is None:
            self._client.delete_registered_model_alias(name, ALIAS)
        else:
            self._client.set_registered_model_alias(name, ALIAS, wanted)
        return True

    def _registered(self, name: str, make: bool) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        return self._client.create_registered_model(name) if make else None

    def _version(self, name: str, champion: Champion) -> str:
        """Find the version that is a model, or register it with its training's run."""
        for version in self._client.search_model_versions(f"name='{name}'"):
            if version.tags.get("manifest_hash") == champion.manifest_hash:
                return str(version.version)
        run = self._run(champion)
        source = f"{run.info.artifact_uri}/bundle"
        made = self._client.create_model_version(name, source, run.info.run_id, tags=champion.tags)
        return str(made.version)

    def _run(self, champion: Champion) -> Any:
        """Find the run of a model's training; one that was trained without MLflow gets a run now."""
        experiment = self._client.get_experiment_by_name(champion.experiment_name)
        if experiment is None:
            experiment_id = self._client.create_experiment(champion.experiment_name)
        else:
            experiment_id = experiment.experiment_id
            same = (
                f"tags.manifest_hash = '{champion.manifest_hash}' and tags.model_id = '{champion.model_id}'"
            )
            if found := self._client.search_runs([experiment_id], same, max_results=1):
                return found[0]
        run = self._client.create_run(experiment_id, run_name=champion.model_id, tags=champion.tags)
        self._client.log_artifacts(run.info.run_id, str(champion.bundle), "bundle")
        self._client.set_terminated(run.info.run_id)
        return run


def registered_name(instrument: str) -> str:
    """Name an instrument's registered model; MLflow takes no slash and no colon."""
    return f"dosvotos-{instrument.replace('/', '-').replace(':', '-')}"
