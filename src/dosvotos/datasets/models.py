"""The model L3 proposes and the model L5 serves: two datasets, and between them a person's vote."""

from pathlib import Path
from typing import Any, NamedTuple

from kedro.io import AbstractDataset, DatasetError

from dosvotos.contracts.records import Record
from dosvotos.database.connection import open_database
from dosvotos.datasets.files import RecordDataset, local_path
from dosvotos.files import write_file
from dosvotos.live.production import ProductionModel, open_production
from dosvotos.policy.bundle import Bundle, write_bundle
from dosvotos.policy.candidate import Candidate, line_files, open_candidate
from dosvotos.policy.forward import ServedPolicy
from dosvotos.project import at_root


class TrainedModel(NamedTuple):
    """What L3 hands to the candidate's bundle."""

    policy: ServedPolicy
    files: dict[str, bytes]
    """Further files of the bundle; ``model.zip`` is SB3's own, and absent where SB3 trained nothing."""
    zip_name: str
    """Name under which SB3's zip also stands beside the bundles."""
    earlier: tuple["TrainedModel", ...] = ()
    """Of a line: the models of the folds before, in order."""


def write_model(folder: Path, model: TrainedModel) -> Bundle:
    """Write a model's bundle below a folder, of a line after those of its earlier folds; gives the bundle."""
    earlier = tuple(write_bundle(folder, one.policy, one.files) for one in model.earlier)
    of_line = line_files(earlier) if earlier else {}
    return write_bundle(folder, model.policy, {**model.files, **of_line})


class CandidatePointer(Record):
    """Which of an experiment's bundles is the candidate."""

    manifest_hash: str
    model_hash: str


_POINTER = f"{CandidatePointer.__module__}.{CandidatePointer.__name__}"


class _PointedAt(AbstractDataset[Any, Any]):
    """One of the immutable folders below an experiment's models, and a pointer to it.

    Parameters
    ----------
    folder : str
    """

    pointer_name: str

    def __init__(self, folder: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = local_path(folder)
        self._pointer = RecordDataset(filepath=str(self._folder / self.pointer_name), model=_POINTER)
        self.metadata = metadata

    def load(self) -> Candidate | None:
        """Open what is pointed at and check every byte of it; None before anything is."""
        with at_root():
            if not self._pointer.exists():
                return None
            pointer = self._pointer.load()
            assert isinstance(pointer, CandidatePointer)
            return open_candidate(self._folder / pointer.manifest_hash, pointer.manifest_hash)

    def _point_at(self, candidate: Candidate) -> None:
        pointer = CandidatePointer(manifest_hash=candidate.manifest_hash, model_hash=candidate.model_hash)
        self._pointer.save(pointer)

    def _describe(self) -> dict[str, Any]:
        return {"folder": str(self._folder)}

    def _exists(self) -> bool:
        with at_root():
            return bool(self._pointer.exists())


class CandidateModelDataset(_PointedAt):
    """The newest trained model of an experiment: bundle, pointer, and SB3's zip under its name."""

    pointer_name = "candidate.json"

    def save(self, data: TrainedModel) -> None:
        """Write the bundle, of a line after those of its earlier folds, then point at it."""
        bundle = write_model(self._folder, data)
        if (sb3_zip := data.files.get("model.zip")) is not None:
            write_file(self._folder / data.zip_name, sb3_zip)
        self._point_at(bundle)


class JudgedModelDataset(_PointedAt):
    """What L4 judges: the trained model, or the sealed copy of an own strategy."""

    pointer_name = "judged.json"

    def save(self, data: Candidate) -> None:
        """Point at it; its folder was written when it was made."""
        self._point_at(data)


class ProductionModelDataset(AbstractDataset[None, ProductionModel | None]):
    """The instrument's production model; ``None`` when there is none. Only the second vote writes it."""

    def __init__(
        self, instrument: str, credentials: dict[str, str], metadata: dict[str, Any] | None = None
    ) -> None:
        self._instrument = instrument
        self._url = credentials["url"]
        self.metadata = metadata

    def load(self) -> ProductionModel | None:
        """Open it, if bundle, registry, head row, proposal and vote say the same of it."""
        with at_root():
            return open_production(open_database(self._url), self._instrument)

    def save(self, data: None) -> None:
        """Refuse: a model reaches production by the second vote only."""
        raise DatasetError("production_model is written by an approval, never by a pipeline")

    def _describe(self) -> dict[str, Any]:
        return {"instrument": self._instrument}
