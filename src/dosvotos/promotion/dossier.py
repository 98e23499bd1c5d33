"""The dossier of a proposal: one sealed folder of everything that is voted on, and its only reader."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import AwareDatetime
from sqlalchemy import Row

from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport, ExtraBacktestReport
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import (
    BacktestRecord,
    ChainRecord,
    DatasetRecord,
    Model,
    Record,
    TrainingRecord,
    parse_record,
)
from dosvotos.errors import AlteredError, LineageError
from dosvotos.hashing import canonical_json, digest_json, short
from dosvotos.promotion.proposal import PromotionProposal
from dosvotos.sealed import MANIFEST, open_sealed, read_sealed_file, seal, write_sealed

DossierRecords = tuple[Record | ExperimentContract, ...]
_DISTRIBUTIONS: Final = ("numpy", "arch", "holidays")


class DossierRun(Record):
    """When a dossier was first made, and by which versions of the libraries its figures depend on."""

    run_fields: ClassVar[Mapping[str, Any]] = {"created_at": True, "versions": True}

    created_at: AwareDatetime
    versions: dict[str, str]
    """By distribution: numpy, arch, holidays."""

    @classmethod
    def now(cls, moment: datetime) -> Self:
        """Take the versions installed."""
        return cls(created_at=moment, versions={name: version(name) for name in _DISTRIBUTIONS})


FILE_NAMES: Final[dict[type[Any], str]] = {
    ExperimentContract: "experiment_contract.json",
    DatasetRecord: "DS_{experiment}_lineage.json",
    TrainingRecord: "training_record.json",
    BacktestRecord: "backtest_record.json",
    ChainRecord: "chain_record.json",
    BacktestReport: "backtest_results_{experiment}.json",
    ComparisonReport: "comparison_report_{experiment}.json",
    PromotionProposal: "promotion_proposal_{experiment}.json",
    DossierRun: "run.json",
}
FOR_PEOPLE: Final = (BacktestReport, ComparisonReport, PromotionProposal)
"""The specification's three files, whose latest copy also stands in the experiment's folder."""
_OF_THE_TEST: Final = (BacktestRecord, BacktestReport, ComparisonReport)
"""What the dossier of a refit does not hold: nobody has opened its test."""


@dataclass(frozen=True)
class Dossier:
    """A proposal's files as they were read, each once and by its hash.

    Attributes
    ----------
    folder : Path
    dossier_hash : str or None
        Of the manifest; None for a proposal made before dossiers.
    experiment : str
    files : mapping of bytes by file name
    """

    folder: Path
    dossier_hash: str | None
    experiment: str
    files: Mapping[str, bytes]

    @classmethod
    def open(cls, folder: Path, dossier_hash: str, experiment: str) -> Self:
        """Read a dossier and verify every byte of it.

        Raises
        ------
        LineageError
            Naming the file that is missing, added or altered.
        """
        return cls(folder, dossier_hash, experiment, open_sealed(folder, dossier_hash))

    @classmethod
    def of(cls, proposal: Row[Any]) -> Self:
        """Read the dossier of a stored proposal; of one made before dossiers, the files its row names."""
        folder = Path(proposal.report_folder)
        if proposal.dossier_hash is not None:
            return cls.open(folder, proposal.dossier_hash, proposal.experiment_name)
        files = {name: read_sealed_file(folder / name, d) for name, d in proposal.report_files.items()}
        return cls(folder, None, proposal.experiment_name, files)

    @property
    def kinds(self) -> tuple[type[Any], ...]:
        """The records it must hold, in their order: a refit's holds none of a test."""
        refit = self.read(PromotionProposal).lineage.refit_of is not None
        return tuple(kind for kind in FILE_NAMES if not (refit and kind in _OF_THE_TEST))

    def read_if_tested(self, model: type[Model]) -> Model | None:
        """Read a record of the test; None of a refit, which has none. Raises as `read`."""
        return self.read(model) if model in self.kinds else None

    def read(self, model: type[Model]) -> Model:
        """Read one record.

        Raises
        ------
        LineageError
            If there is none, or another version wrote it.
        """
        name = FILE_NAMES[model].format(experiment=self.experiment)
        if (content := self.files.get(name)) is None:
            if model in _OF_THE_TEST and model not in self.kinds:
                raise LineageError.of("dossier_untested", folder=self.folder, name=name)
            raise LineageError.of("dossier_without", folder=self.folder, name=name)
        return parse_record(model, content, str(self.folder / name))


def read_report(proposal: Row[Any], model: type[Model]) -> Model:
    """Read one record of a stored proposal's dossier; raises as `Dossier.of` and `Dossier.read`."""
    return Dossier.of(proposal).read(model)


def read_tested(proposal: Row[Any], model: type[Model]) -> Model | None:
    """Read a record of a stored proposal's test; None of a refit. Raises as `read_report`."""
    return Dossier.of(proposal).read_if_tested(model)


def content_hash(records: Iterable[Record | ExperimentContract]) -> str:
    """Hash what records say, the facts of the run left out."""
    return digest_json({FILE_NAMES[type(one)]: _content(one) for one in records})


def run_of(records: Iterable[Record | ExperimentContract]) -> dict[str, Any]:
    """Gather the facts of the run, by record."""
    return {FILE_NAMES[type(one)]: one.run for one in records if isinstance(one, Record) and one.run_fields}


def with_run(records: DossierRecords, run: Mapping[str, Any]) -> DossierRecords:
    """Give records the facts of an earlier run, as `run_of` gathered them."""
    return tuple(
        one.with_run(run[name]) if isinstance(one, Record) and (name := FILE_NAMES[type(one)]) in run else one
        for one in records
    )


def dossier_files(records: Iterable[Record | ExperimentContract], experiment: str) -> dict[str, bytes]:
    """Write records as their files' contents, by file name."""
    return {FILE_NAMES[type(one)].format(experiment=experiment): to_json_bytes(one) for one in records}


def write_dossier(parent: Path, files: Mapping[str, bytes]) -> Path:
    """Write a dossier into a folder named by its hash, over a damaged one; gives the folder."""
    folder = parent / short(seal(files)[0])
    write_sealed(folder, files)
    return folder


def to_json_bytes(record: Record | ExperimentContract) -> bytes:
    """Write a record as its file holds it: fields in their order, keys of mappings sorted.

    Equal records are equal bytes, also where a database gave a mapping's keys in an order of its own.
    """
    in_order = record.model_validate_json(canonical_json(record.model_dump(mode="json")))
    return (in_order.model_dump_json(indent=2) + "\n").encode()


def read_extra_backtest(request: Row[Any]) -> ExtraBacktestReport:
    """Read the report of an extra backtest that is done; raises as `Dossier.of`.

    A whole report of another request is refused too.
    """
    if not isinstance(request.result_file, str):
        raise AlteredError.of("value_altered", found=repr(request.result_file), kind="path")
    path = Path(request.result_file)
    if (path.parent / MANIFEST).exists():
        content = open_sealed(path.parent, request.result_hash).get(path.name)
        if content is None:
            raise LineageError.of("sealed_missing", path=path)
    else:  # made before extra backtests had folders of their own
        content = read_sealed_file(path, request.result_hash)
    report = parse_record(ExtraBacktestReport, content, str(path))
    period = f"{request.start_date} to {request.end_date}"
    asked = request.id, request.proposal_id, period, request.sample
    if (found := (report.backtest_id, report.proposal_id, report.test_period, report.sample)) != asked:
        raise LineageError.of(
            "extra_exchanged",
            path=path,
            found=found[0],
            found_proposal=found[1],
            found_period=found[2],
            found_model=found[3],
            asked=asked[0],
            asked_proposal=asked[1],
            asked_period=asked[2],
            asked_model=asked[3],
        )
    return report


def _content(record: Record | ExperimentContract) -> dict[str, Any]:
    return record.content if isinstance(record, Record) else record.model_dump(mode="json")
