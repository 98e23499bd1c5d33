"""One record a layer: what it made, from what, by hash. Records are the hand-over between pipelines."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.errors import AlteredError, LineageError
from dosvotos.hashing import canonical_json
from dosvotos.jsonfile import read_json

Model = TypeVar("Model", bound=BaseModel)


def is_absent(value: Any) -> bool:
    """Tell whether a newer field has no value, so that an older record's file stays as it was written."""
    return value is None


class Record(BaseModel):
    """An immutable record; hashes are SHA-256, 64 hexadecimal digits.

    `content` is what was made from what; `run` are the facts of one run, such as times and paths, in the
    fields that `run_fields` names (as pydantic's ``include``). Together they are the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    run_fields: ClassVar[Mapping[str, Any]] = {}

    @property
    def content(self) -> dict[str, Any]:
        """The fields that are the same in every run, JSON-like."""
        return self.model_dump(mode="json", exclude=dict(self.run_fields) or None)

    @property
    def run(self) -> dict[str, Any]:
        """The fields that may differ from run to run, JSON-like."""
        return self.model_dump(mode="json", include=dict(self.run_fields))

    def with_run(self, run: Mapping[str, Any]) -> Self:
        """Replace the facts of the run by those of another, as `run` gave them."""
        return self.model_validate_json(canonical_json(_merged(self.content, run)))


def _merged(content: Any, run: Any) -> Any:
    """Put two parts of one JSON tree together."""
    if isinstance(content, dict) and isinstance(run, Mapping):
        return {**content, **{name: _merged(content.get(name), value) for name, value in run.items()}}
    if isinstance(content, list) and isinstance(run, list):
        return [_merged(*pair) for pair in zip(content, run, strict=True)]
    return run


def parse_record(model: type[Model], content: bytes, name: str) -> Model:
    """Parse a record's JSON.

    Raises
    ------
    LineageError
        Naming the first field that is not as this version writes it.
    """
    try:
        read_json(content)
        return model.model_validate_json(content)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"]) or "its JSON"
        raise LineageError.of("record_version", name=name, field=field) from error
    except ValueError as error:
        raise AlteredError.of("record_json", name=name, problem=error) from error


class FetchOutcome(Record):
    """L0: how the fetch of the bars or of one macro variable ended."""

    subject: str
    source: str | None
    """Who answered; None when nobody did, or nothing new is due."""
    due: bool = True
    notes: tuple[str, ...] = ()


class InjectedDefects(Record):
    """L0: how often one kind of defect was put into a sample market on purpose."""

    hazard: str
    events: int
    rows: int
    """Bars or observations changed, added or left out."""


class FileRecord(Record):
    """L0: a file of a desk's own feed that was taken."""

    name: str
    source_hash: str
    """Of its bytes."""


class FetchRecord(Record):
    """L0: which source answered, for which market, and when."""

    source: str
    feed: str
    fetched_at: AwareDatetime
    source_hash: str
    """Hash of the source's answer before it was checked."""
    outcomes: tuple[FetchOutcome, ...]
    origin: str = "bars"
    """Where the bars are from, as an error names them: their file."""
    macro_origin: str = "macro"
    """The same of the observations."""
    injected: tuple[InjectedDefects, ...] = ()
    """Defects of a sample market, by kind; none of real data."""
    files: tuple[FileRecord, ...] = ()
    """New files of a folder that bars come in; each is a delivery."""


class FindingCount(Record):
    """L0: how many findings of this delivery were quarantined, and how many reported."""

    quarantined: int = 0
    reported: int = 0


class BarState(Record):
    """What L0 has of the bars."""

    source: str | None
    bars: int
    new: int
    first_bar: AwareDatetime | None
    last_bar: AwareDatetime | None
    missing_session: str | None
    """The last session that has ended, if its bars are not there."""
    findings: FindingCount
    notes: tuple[str, ...]


class SeriesState(Record):
    """What L0 has of one macro variable."""

    variable: str
    priority: str
    source: str | None
    """Who answered this time."""
    rows: int
    new: int
    last_observation: str | None
    published_at: AwareDatetime | None
    age_days: float | None
    """Since its publication."""
    limit_days: int
    """Age at which features count it as missing."""
    findings: FindingCount
    notes: tuple[str, ...]

    @property
    def stale(self) -> bool:
        """Whether there is nothing within the limit."""
        return self.age_days is None or self.age_days > self.limit_days


class AcquisitionRecord(Record):
    """L0: what was fetched and stored."""

    instrument: str
    feed: str
    source: str
    extraction_hash: str
    """Hash of the checked bars and observations."""
    source_hash: str
    extraction_timestamp: AwareDatetime
    deliveries: tuple[int, ...] = ()
    """What ``dosvotos data retract`` takes back; none if nothing came."""
    bars: BarState
    series: tuple[SeriesState, ...]

    @property
    def overdue(self) -> tuple[str, ...]:
        """What a live source owes: the last session's bars, and HIGH-priority variables past their limit."""
        bars = ("bars",) if self.bars.missing_session else ()
        return bars + tuple(s.variable for s in self.series if s.stale and s.priority == "HIGH")


class SplitRecord(Record):
    """One split of a dataset."""

    path: str
    digest: str
    first_session: str
    last_session: str
    sessions: int
    uncovered_sessions: int
    """Scheduled sessions without one complete row."""
    bars: int
    complete_rows: int
    missing_by_feature: dict[str, int]
    """A row with several missing features counts under each."""
    missing_by_reason: dict[str, int]
    """The same by ``feature: reason variable``."""


class FeatureDrift(Record):
    """Whether a feature has left what train held, by one mean a session."""

    feature: str
    rule: str
    """``cusum``: a sum of what session means lie off; ``support``: a level beyond train's range."""
    statistic: float | None
    """The largest, in standard deviations of train's session means; None if no session has the feature."""
    limit: float
    first_alarm: str | None
    """Bogota date of the first session beyond the limit."""
    sessions_beyond: int


class DatasetRecord(Record):
    """L2 (the specification's L2Output)."""

    experiment_name: str
    contract_id: str
    dataset_hash: str
    config_hash: str
    feature_order_hash: str
    norm_stats_hash: str
    acquisition_hash: str
    """Hash of the bars and observations read from the database as of the contract's data_as_of."""
    date_ranges: dict[str, str]
    ohlcv_rows: int
    macro_sources: dict[str, str]
    point_in_time: str
    """``simulated``, ``proven`` by vintages, or ``unproven``."""
    dataset_path: str
    row_count: int
    """Rows with all features, in the three splits together."""
    dropped_rows: int
    """Rows without."""
    dropped_by_reason: dict[str, int]
    """By ``feature: reason variable``; a row with several missing features counts under each."""
    splits: dict[str, SplitRecord]
    drift: tuple[FeatureDrift, ...] | None = Field(default=None, exclude_if=is_absent)
    """Of val from train; None in records from before it, and of a train too short for it."""


class SeedRecord(Record):
    """L3: the training of one seed."""

    seed: int
    model_hash: str
    best_val_reward: float
    """Net return on val under the final costs of the seed's best policy."""
    best_reward: float | None
    timesteps: int
    duration_seconds: float
    """Of work on it, interruptions left out."""


class LinearFit(Record):
    """L3: the linear rival of a candidate, and how its penalty and its threshold did on val."""

    model_hash: str
    ridge_penalty: float
    """Added to the variance of each normalised feature."""
    entry_threshold: float
    """Forecast from which a position is opened, in standard deviations of the forecasts on train."""
    val_sharpe: float | None
    """Annual, net; by it penalty and threshold were chosen. None if it never trades."""
    val_return: float
    val_exposure: float
    """Share of val's bars with a position."""
    val_trades: int


class FoldRecord(Record):
    """L3: one fold of a line: what it was trained on, and what came of it."""

    fold: int
    date_ranges: dict[str, str]
    """Train, val and test of the fold."""
    dataset_hash: str
    """Of the rows of its train and val; those of test are in the line's."""
    norm_stats_hash: str
    manifest_hash: str
    """Of its bundle."""
    model_hash: str
    seed: int
    best_val_reward: float
    """Net return on its val under the final costs of the policy that was kept."""


class TrainingRecord(Record):
    """L3 (the specification's L3Output); of an own strategy, where nothing is trained, what L4 enters."""

    run_fields: ClassVar[Mapping[str, Any]] = {
        "model_path": True,
        "training_duration_seconds": True,
        "torch_threads": True,
        "blas_threads": True,
        "mlflow_run_id": True,
        "seeds": {"__all__": {"duration_seconds"}},
    }

    experiment_name: str
    model_id: str
    model_hash: str
    model_path: str
    manifest_hash: str
    dataset_hash: str
    config_hash: str
    reward_config_hash: str
    curriculum_final_phase: str
    training_duration_seconds: float
    """Of all seeds together."""
    timesteps: int
    best_val_reward: float
    """Net return on val under the final costs of the policy that was kept."""
    best_reward: float | None
    """Best mean reward of recent episodes in the last phase; None when none ended."""
    engine: str
    seed: int
    """The candidate's: the best on val."""
    seeds: tuple[SeedRecord, ...]
    """Every seed of the contract, in its order."""
    linear_rival: LinearFit | None = Field(default=None, exclude_if=is_absent)
    """None under contracts from before the linear rival."""
    torch_threads: int
    blas_threads: int | None
    trained_by: str
    mlflow_run_id: str | None
    folds: Annotated[tuple[FoldRecord, ...], Field(exclude_if=lambda folds: not folds)] = ()
    """Of a line, in order; the other fields are then about the last one, which is the candidate."""
    targets: Annotated[str | None, Field(exclude_if=is_absent)] = None
    """Of an own strategy: its ``candidate.targets``."""


class BacktestRecord(Record):
    """L4: the out-of-sample backtest."""

    experiment_name: str
    model_id: str
    model_hash: str
    dataset_hash: str
    test_dataset_hash: str
    backtest_hash: str
    test_period: str
    baseline_model_id: str | None
    promotion_decision: str


class Recomputed(Record):
    """L4: a value computed again from the thing itself."""

    value: str
    source: str
    """What it was computed from, as ``the hash of the split files``."""


class LinkRecord(Record):
    """L4: one link of the chain: the value a record holds, and the same value computed again.

    Files of older runs call them ``said``, ``found`` and ``where``.
    """

    record: str
    """Which record, as ``dataset record``."""
    field: str
    recorded: str = Field(validation_alias=AliasChoices("recorded", "said"))
    recomputed: str = Field(validation_alias=AliasChoices("recomputed", "found"))
    source: str = Field(validation_alias=AliasChoices("source", "where"))
    """What `recomputed` was computed from, as ``the hash of the split files``."""

    @property
    def holds(self) -> bool:
        """Whether both values are the same."""
        return self.recorded == self.recomputed


class ChainRecord(Record):
    """L4: the chain from L0 to L4, each link verified before the vote."""

    links: tuple[LinkRecord, ...]

    @property
    def broken(self) -> tuple[LinkRecord, ...]:
        """The links that do not hold."""
        return tuple(link for link in self.links if not link.holds)


class LayerRecords(Record):
    """L4: what the layers made on the way to a proposal, computed again, and how their records compare."""

    contract: ExperimentContract
    dataset: DatasetRecord
    training: TrainingRecord
    backtest: BacktestRecord | None = Field(default=None, exclude_if=is_absent)
    """None of a refit, whose test nobody has opened."""
    chain: ChainRecord

    @property
    def tested(self) -> BacktestRecord:
        """The backtest's record; raises LineageError for a refit, which has none."""
        if self.backtest is None:
            raise LineageError.of(
                "refit_untested", model=self.training.model_id, experiment=self.training.experiment_name
            )
        return self.backtest


class LedgerGenesis(Record):
    """L4: the trial ledger's identity."""

    id: str
    created_at: str


class InferenceRecord(Record):
    """L5: one bar's row of trading_signals."""

    inference_id: str
    """``inf_YYYYMMDD_HHMMSS`` of the bar's close, UTC."""
    instrument: str
    timestamp: AwareDatetime
    """Bar open, UTC."""
    status: Literal["SIGNAL", "NO_SIGNAL"]
    reason_code: str | None
    """Why there is no signal, or why it is not the policy's own; `live.reasons` lists the codes."""
    detail: str | None = None
    """The reason with what was found."""
    model_id: str | None
    model_hash: str | None
    manifest_hash: str | None = None
    norm_stats_hash: str | None = None
    epoch: int
    """How often the instrument's production model had changed."""
    feature_hash: str | None
    inference_hash: str | None = None
    """Of all that decided and of what was decided, without times of the machine."""
    signal: float | None
    """Target position in [-1, 1]."""
    confidence: float | None
    position: float
    """The model's own, before this row."""
    advised_target: float | None = None
    """What a consumer should hold after this row: the target, or 0 from the third NO_SIGNAL in a row on."""
    valid_until: AwareDatetime | None = None
    """The close of the bar at which the signal fills; later it is none."""
    macro_late: tuple[str, ...] = ()
    """Variables served on an older value than their publication rules promise."""
    spooled: bool = False
    """Whether the row waited on disk, since the database could not be reached; nobody acted on it."""
    latency_ms: float
    """Milliseconds from the bar being at hand to the decision."""
    checkpoint: str | None = None
    """The log of decisions as it was then, signed by the server's key."""
