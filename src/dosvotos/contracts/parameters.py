"""The whole parameter tree as one frozen model, so that a typo anywhere stops a run before its first node.

Each top-level key of ``conf/*/parameters`` is one field of `Parameters`. Durations, money and rates carry
their unit in their name; dates are inclusive Bogota sessions.
"""

from collections.abc import Mapping
from datetime import date, time
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from dosvotos.contracts.features import FINANCING_SOURCES, MACRO_SOURCES
from dosvotos.errors import ParameterError

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
SIMULATED_INSTRUMENT = "USD/COP.SIM"

Frequency = Literal["daily", "monthly", "quarterly"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]


class Section(BaseModel):
    """A part of the parameter tree: immutable, no unknown key, no NaN, no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class ExperimentParams(Section):
    """Who the experiment is."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """The name of its folder in conf/."""
    version: Version
    description: str = ""
    instrument: Literal["USD/COP", "USD/COP.SIM"]
    """USD/COP.SIM is the sample market; sample and real data never mix."""


class DataAcquisitionParams(Section):
    """Where L0 finds its data. The one section outside the experiment's hash."""

    source: Literal["sample", "files"]
    folder: str | None = None
    """Folder of ``usdcop_5m`` and ``macro_*`` files, parquet or CSV; needed by ``source: files``."""
    as_of: AwareDatetime
    """What counts as now."""


class SampleMarketParams(Section):
    """The built-in simulated market."""

    seed: NonNegativeInt
    start: date
    """First session stored; the simulation itself always begins at its fixed epoch."""
    edge: Annotated[float, Field(ge=0.0, le=0.9)]
    """Correlation of the planted signal with a session's drift; 0 plants nothing."""


class Period(Section):
    """A closed range of Bogota sessions."""

    start: date
    end: date

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        return self


class TestPeriod(Section):
    """The out-of-sample range; an open end becomes the last complete session when the contract is made."""

    __test__ = False
    start: date
    end: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        return self


class DateRangesParams(Section):
    """CTR-DATE-001: train, val and test, in this order and apart."""

    version: Version
    train: Period
    val: Period
    test: TestPeriod

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if not self.train.end < self.val.start:
            raise ValueError(f"val starts {self.val.start}, train ends {self.train.end}: overlap")
        if not self.val.end < self.test.start:
            raise ValueError(f"test starts {self.test.start}, val ends {self.val.end}: overlap")
        return self


class PublicationRule(Section):
    """When an observation becomes known.

    ``B+k``: k business days after the observation date. ``M+m:Dd`` and ``Q+q:Dd``: day d of the m-th month
    after the period's month or quarter ends; ``BDd`` its d-th business day. At `time`, local to `zone`.
    """

    rule: Annotated[str, Field(pattern=r"^(B\+\d{1,2}|[MQ]\+[1-9]:B?D[1-9]\d?)$")]
    time: time
    zone: str

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{zone!r} is no time zone") from error
        return zone


class MacroVariable(Section):
    """One macro series: what it is, when it becomes known, and which values are possible."""

    description: str
    country: Literal["USA", "COL", "MEX", "CHL", "GLB"]
    frequency: Frequency
    unit: str
    publication: PublicationRule
    ffill_max_days: PositiveInt
    """A value older than this many days after its publication counts as missing."""
    expected_min: float
    expected_max: float

    @model_validator(mode="after")
    def _rule_fits(self) -> Self:
        if self.expected_max <= self.expected_min:
            raise ValueError(f"expected_max {self.expected_max} <= expected_min")
        letter = {"daily": "B", "monthly": "M", "quarterly": "Q"}[self.frequency]
        if not self.publication.rule.startswith(letter):
            raise ValueError(f"a {self.frequency} variable needs a {letter}+ rule")
        return self


class MacroVariablesParams(Section):
    """CTR-L0-SSOT-001: the 40 macro variables."""

    version: Version
    variables: dict[str, MacroVariable]

    @model_validator(mode="after")
    def _features_covered(self) -> Self:
        needed = {**MACRO_SOURCES, **FINANCING_SOURCES}.values()
        if missing := sorted(set(needed) - set(self.variables)):
            raise ValueError(f"variables needed by features are missing: {missing}")
        return self

    def of(self, frequency: Frequency) -> dict[str, MacroVariable]:
        """Variables of one frequency, by name."""
        return {n: v for n, v in self.variables.items() if v.frequency == frequency}


class SuccessCriteriaParams(Section):
    """The specification's criteria; a value equal to its threshold fails."""

    min_sharpe: float
    max_drawdown: Annotated[float, Field(gt=0.0, le=1.0)]
    min_win_rate: Fraction
    min_trades: NonNegativeInt
    improvement_threshold: NonNegativeFloat


class QualityThresholdsParams(Section):
    """CTR-QUAL-001: limits on data and the default success criteria."""

    version: Version
    max_uncovered_sessions: Fraction
    """Share of scheduled test sessions without one complete row above which L4 says REVIEW at best."""
    success_criteria: SuccessCriteriaParams


class EvidenceParams(Section):
    """How much luck the first vote tolerates."""

    min_psr: Fraction
    """Probabilistic Sharpe ratio needed at the first look."""
    max_spa_p_value: Fraction
    """SPA p-value and StepM size at every later look."""
    min_positive_seeds: Fraction
    prior_trials: NonNegativeInt
    """Looks at the test window made outside this ledger."""
    n_random_traders: Annotated[int, Field(ge=20)]
    naive_percentile: Annotated[float, Field(gt=0, lt=100)]
    bootstrap_replications: Annotated[int, Field(ge=100)]
    seed: NonNegativeInt


class FeaturesParams(Section):
    """Choices inside CTR-FEAT-001."""

    range_source: Literal["close", "bars"]
    """Whether true ranges come from closes or from each bar's high and low."""


class SplitsParams(Section):
    """How the date ranges are cut."""

    embargo_sessions: NonNegativeInt
    """Scheduled sessions removed from the end of train and of val."""


class CostsParams(Section):
    """Trading costs in basis points of the traded notional."""

    spread_bps: NonNegativeFloat
    slippage_bps: NonNegativeFloat
    commission_bps: NonNegativeFloat

    @property
    def per_side(self) -> float:
        """Cost of one side as a fraction of the notional: half the spread, slippage and commission."""
        return (self.spread_bps / 2 + self.slippage_bps + self.commission_bps) / 10_000


class TradingParams(Section):
    """How orders fill and what they cost."""

    fill: Literal["next_close"]
    initial_capital: PositiveFloat
    """In the account's currency, USD."""
    costs: CostsParams
    financing: Literal["none", "policy_rates"]


class RewardParams(Section):
    """Reward a bar = scale x (pnl - the charged components), each times its weight.

    `pnl`, `transaction_cost` and `drawdown` are fractions of the equity before the bar. The weight of another
    component is the fraction of equity charged for one unit of it.
    """

    scale: PositiveFloat
    pnl: NonNegativeFloat
    """Gain before fees."""
    transaction_cost: NonNegativeFloat
    """Fees paid."""
    drawdown: NonNegativeFloat
    """Growth of the episode's drawdown."""
    volatility: NonNegativeFloat
    """Square of the gain net of fees, a fraction squared; half the risk aversion of mean and variance."""
    holding: NonNegativeFloat
    """A bar with a position."""
    inactivity: NonNegativeFloat
    """A bar without a position."""
    turnover: NonNegativeFloat
    """A position traded: an opening or a closing is 1, a flip 2."""


class CurriculumPhase(Section):
    """A stretch of training under part of the final costs and penalties."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    timesteps: PositiveInt
    transaction_cost: NonNegativeFloat
    """Multiplies the reward's transaction_cost weight."""
    drawdown: NonNegativeFloat
    """Multiplies the reward's drawdown weight."""


class CurriculumParams(Section):
    """Phases in the order they run."""

    phases: Annotated[tuple[CurriculumPhase, ...], Field(min_length=1)]

    @field_validator("phases")
    @classmethod
    def _named_apart(cls, phases: tuple[CurriculumPhase, ...]) -> tuple[CurriculumPhase, ...]:
        names = [phase.name for phase in phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phase names must differ, were {names}")
        return phases


class HyperparameterParams(Section):
    """PPO's hyperparameters under stable-baselines3's names."""

    n_envs: PositiveInt
    n_steps: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    n_epochs: PositiveInt
    learning_rate: PositiveFloat
    gamma: Fraction
    gae_lambda: Fraction
    clip_range: PositiveFloat
    ent_coef: NonNegativeFloat
    vf_coef: NonNegativeFloat
    max_grad_norm: PositiveFloat
    hidden_sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=4)]

    @model_validator(mode="after")
    def _batch_fits_rollout(self) -> Self:
        rollout = self.n_envs * self.n_steps
        if self.batch_size > rollout:
            raise ValueError(f"batch_size {self.batch_size} exceeds the rollout n_envs x n_steps = {rollout}")
        return self


class TrainingParams(Section):
    """How L3 trains."""

    engine: Literal["fast", "sb3"]
    """Whose arithmetic: compiled, or stable-baselines3's own; either gives a ``stable_baselines3.PPO``."""
    seed: NonNegativeInt
    episode_bars: Annotated[int, Field(ge=2)]
    evaluation_rollouts: PositiveInt
    """Rollouts between two validations."""
    patience: PositiveInt
    """Validations of the last phase without a better one after which training stops."""
    hyperparameters: HyperparameterParams


class InferenceParams(Section):
    """How a tick judges its bar."""

    clock: Literal["wall", "market"]
    """``market`` takes the last stored bar's close as now, for the sample market and for replays."""
    max_bar_age_minutes: PositiveFloat


class Parameters(Section):
    """Every parameter of a run; see conf/base/parameters for the defaults."""

    run_name: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    """Names a run's folders where they should differ from the experiment's; outside the hash."""
    experiment: ExperimentParams
    data_acquisition: DataAcquisitionParams
    sample_market: SampleMarketParams
    date_ranges: DateRangesParams
    macro_variables: MacroVariablesParams
    quality_thresholds: QualityThresholdsParams
    features: FeaturesParams
    splits: SplitsParams
    trading: TradingParams
    reward: RewardParams
    curriculum: CurriculumParams
    training: TrainingParams
    evidence: EvidenceParams
    inference: InferenceParams

    @model_validator(mode="after")
    def _sample_and_real_apart(self) -> Self:
        simulated = self.experiment.instrument == SIMULATED_INSTRUMENT
        if simulated != (self.data_acquisition.source == "sample"):
            raise ValueError(
                f"data_acquisition.source {self.data_acquisition.source!r} does not go with "
                f"experiment.instrument {self.experiment.instrument!r}: the sample market is "
                f"{SIMULATED_INSTRUMENT!r}, real data are 'USD/COP', and the two never mix"
            )
        return self


def read_parameters(tree: Mapping[str, Any]) -> Parameters:
    """Validate a resolved parameter tree.

    Raises
    ------
    ParameterError
        One line a problem: the parameter's full name, the rule and the value found.
    """
    try:
        return Parameters.model_validate(dict(tree))
    except ValidationError as error:
        problems = "\n".join(f"  - {line}" for line in map(_describe, error.errors()))
        raise ParameterError(f"parameters break {error.error_count()} rule(s):\n{problems}") from error


def _describe(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _fields_at(problem["loc"][:-1])
        near = get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {sorted(known)}"
        return f"{where}: unknown parameter; {hint}"
    if problem["type"] == "missing":
        return f"{where}: required, but absent"
    rule = problem["msg"].removeprefix("Value error, ")
    found = "" if isinstance(problem["input"], dict) else f", was {problem['input']!r}"
    return f"{where}: {rule}{found}" if where else rule


def _fields_at(path: tuple[str | int, ...]) -> list[str]:
    model: Any = Parameters
    for part in path:
        fields = getattr(model, "model_fields", {})
        model = fields[part].annotation if part in fields else _member_model(model)
    return list(getattr(model, "model_fields", {}))


def _member_model(container: Any) -> Any:
    members = [a for a in get_args(container) if isinstance(a, type) and issubclass(a, Section)]
    return members[0] if members else None
