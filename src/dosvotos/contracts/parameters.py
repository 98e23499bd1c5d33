"""The whole parameter tree as one frozen model, so that a typo anywhere stops a run before its first node.

Each top-level key of ``conf/*/parameters`` is one field of `Parameters`. Durations, money and rates carry
their unit in their name; dates are inclusive Bogota sessions.
"""

import re
from collections.abc import Mapping
from datetime import time
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from dosvotos.contracts.acquisition import DataAcquisitionParams, MacroVariablesParams
from dosvotos.contracts.broken_rules import describe_problem
from dosvotos.contracts.delivery import DeliveryParams
from dosvotos.contracts.live_limits import StatedLimits
from dosvotos.contracts.quality_thresholds import QualityThresholdsParams
from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.contracts.section import ClockTime, Day, Fraction, Items, Section, Version
from dosvotos.errors import ParameterError
from dosvotos.hashing import digest_json
from dosvotos.plain_text import check_text

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
SIMULATED_INSTRUMENT = "USD/COP.SIM"
REAL_FEED = "market"
REWARD_CONTRACT_ID = "CTR-REWARD-001"
REWARD_VERSION = "1.0.0"
"""Of the reward's formula, which `RewardParams` weighs; its weights are the experiment's own."""


class ExperimentParams(Section):
    """Who the experiment is."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """The name of its folder in conf/."""
    version: Version
    description: Annotated[str, AfterValidator(check_text)] = ""
    instrument: Literal["USD/COP", "USD/COP.SIM"]
    """USD/COP.SIM is the sample market; sample and real data never mix."""


Sentence = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(check_text)]


class ModelParams(Section):
    """Who answers for the experiment's models and what they are for, as the model inventory lists it."""

    owner: Sentence | None = None
    """The person or desk that answers for it."""
    purpose: Sentence | None = None
    permitted_use: Sentence | None = None
    """What its signals may be used for; any other use is none that was approved."""
    tier: Annotated[int, Field(ge=1, le=3)] | None = None
    """By the harm a wrong signal does: 1 the most."""


class OpenPeriod(Section):
    """A range of Bogota sessions; an open end becomes the last complete session when the contract is made."""

    start: Day
    end: Day | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        return self


class Period(OpenPeriod):
    """A closed range of Bogota sessions."""

    end: Day


class DateRangesParams(Section):
    """CTR-DATE-001: train, val and test, in this order and apart."""

    version: Version
    train: Period
    val: Period
    test: OpenPeriod

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if not self.train.end < self.val.start:
            raise ValueError(f"val starts {self.val.start}, train ends {self.train.end}: overlap")
        if not self.val.end < self.test.start:
            raise ValueError(f"test starts {self.test.start}, val ends {self.val.end}: overlap")
        return self


class CalendarException(Section):
    """A date on which the market keeps other hours than the calendar says, or none."""

    reason: Annotated[str, Field(min_length=1)]
    closed: bool = False
    opens: ClockTime | None = None
    """Bogota, on the five-minute grid from 08:00."""
    closes: ClockTime | None = None
    """The end of its last bar, at 13:00 at the latest."""

    @model_validator(mode="after")
    def _closed_or_open(self) -> Self:
        if self.closed != (self.opens is None and self.closes is None):
            raise ValueError("state either closed: true, or both opens and closes")
        if not self.closed:
            if self.opens is None or self.closes is None:
                raise ValueError("opens and closes belong together")
            if not time(8) <= self.opens < self.closes <= time(13):
                raise ValueError(f"must open before it closes, within 08:00 to 13:00, was {self.hours}")
            if any(at.minute % 5 or at.second or at.microsecond for at in (self.opens, self.closes)):
                raise ValueError(f"must open and close on the five-minute grid, was {self.hours}")
        return self

    @property
    def hours(self) -> str:
        """``08:00 to 12:00``."""
        return f"{self.opens:%H:%M} to {self.closes:%H:%M}"


class CalendarParams(Section):
    """The sessions of CTR-DATE-001 that differ from the calendar; frozen with a contract, never compared."""

    version: Version = "1.0.0"
    exceptions: dict[Day, CalendarException] = {}
    """By Bogota date."""


class EvidenceParams(Section):
    """What the first vote asks beyond the house's policy, never less."""

    min_positive_seeds: Fraction
    prior_trials: NonNegativeInt
    """Looks at the test window made outside this ledger."""
    n_random_traders: Annotated[int, Field(ge=20)]
    naive_percentile: Annotated[float, Field(gt=0, lt=100)]


OWN_FILES = (".csv", ".parquet")
"""Endings of a file of targets."""
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class CandidateParams(Section):
    """A strategy of one's own, which L4 judges instead of a trained model."""

    targets: str
    """``module:function``, or a file of bar and target (.csv, .parquet) below conf/, src/ or data/."""

    @field_validator("targets")
    @classmethod
    def _function_or_file(cls, targets: str) -> str:
        path = PurePosixPath(targets)
        if _FUNCTION.fullmatch(targets):
            return targets
        if path.suffix not in OWN_FILES:
            raise ValueError("must be module:function, or a file that ends in .csv or .parquet")
        if path.is_absolute() or ".." in path.parts or path.parts[0] not in ("conf", "src", "data"):
            raise ValueError("a file of targets lies below the project's conf/, src/ or data/")
        return targets

    @property
    def is_file(self) -> bool:
        """Whether the targets stand in a file, so that nothing shows what they knew."""
        return self.targets.endswith(OWN_FILES)


class FeaturesParams(Section):
    """Choices inside CTR-FEAT-001."""

    range_source: Literal["close", "bars"]
    """Whether true ranges come from closes or from each bar's high and low."""


class SplitsParams(Section):
    """How the date ranges are cut."""

    mode: Literal["single", "walk_forward"]
    """``walk_forward`` cuts the test range into folds, and pools them into one verdict: a line."""
    embargo_sessions: NonNegativeInt
    """Scheduled sessions removed from the end of train and of val."""
    folds: PositiveInt | None = None
    """Into how many consecutive test windows walk_forward cuts the test range."""
    fold: PositiveInt | None = None
    """The one, 1 the first, that this contract is about; none: all of them, the line."""
    train_window: Literal["expanding", "rolling"] | None = None
    """Whether a later fold's train keeps its start, or its length."""

    @model_validator(mode="after")
    def _folds_where_they_belong(self) -> Self:
        given = {"folds": self.folds, "fold": self.fold, "train_window": self.train_window}
        if self.mode == "single":
            if stated := [name for name, value in given.items() if value is not None]:
                raise ValueError(f"{stated} belong to mode walk_forward, mode was 'single'")
        elif absent := [name for name in ("folds", "train_window") if given[name] is None]:
            raise ValueError(f"mode walk_forward needs {absent}")
        elif self.fold is None and self.folds == 1:
            raise ValueError("folds: a line has at least 2, was 1; one window is mode single")
        elif self.fold is not None and self.fold > self.folds:  # type: ignore[operator]
            raise ValueError(f"fold must be one of the {self.folds} folds, was {self.fold}")
        return self

    @property
    def is_line(self) -> bool:
        """Whether all folds of a walk-forward are pooled into one look and one verdict."""
        return self.mode == "walk_forward" and self.fold is None


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

    @property
    def digest(self) -> str:
        """Hash of everything an account depends on beside bars and decisions."""
        return digest_json(self.model_dump(mode="json"))


class RewardParams(Section):
    """Reward a bar = scale x (pnl - the charged components), each times its weight.

    `pnl`, `transaction_cost` and `drawdown` are fractions of the equity before the bar. The weight of another
    component is the fraction of equity charged for one unit of it.
    """

    scale: PositiveFloat
    credit_bars: Annotated[NonNegativeInt, Field(exclude_if=lambda bars: bars == 0)] = 0
    """Bars of the session whose gain is rewarded in advance, when a position is taken; the sum stays."""
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

    phases: Annotated[Items[CurriculumPhase], Field(min_length=1)]

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
    hidden_sizes: Annotated[Items[PositiveInt], Field(min_length=1, max_length=4)]

    @model_validator(mode="after")
    def _batch_fits_rollout(self) -> Self:
        rollout = self.n_envs * self.n_steps
        if self.batch_size > rollout:
            raise ValueError(f"batch_size {self.batch_size} exceeds the rollout n_envs x n_steps = {rollout}")
        return self


Seed = Annotated[int, Field(ge=0, lt=2**31)]
Selection = Literal["return", "sharpe"]
Start = Literal["random", "linear"]


class TrainingParams(Section):
    """How L3 trains."""

    engine: Literal["fast", "sb3", "linear"]
    """PPO by compiled arithmetic or by stable-baselines3's own, or the linear rival alone."""
    seeds: Annotated[Items[Seed], Field(min_length=1)]
    """Each is trained; the best on val is the candidate."""
    episode_bars: Annotated[int, Field(ge=2)]
    evaluation_rollouts: PositiveInt
    """Rollouts between two validations."""
    patience: PositiveInt
    """Validations of the last phase without a better one after which training stops."""
    selection: Annotated[Selection, Field(exclude_if=lambda selection: selection == "return")] = "return"
    """Which policy is kept: the best on val by net return, or by daily Sharpe ratio, as L4 judges.

    Left out, as in contracts from before there was a choice, the return decides.
    """
    average_weights: Annotated[bool, Field(exclude_if=lambda averages: not averages)] = False
    """Whether the last phase's mean weights are validated and kept, instead of the latest ones."""
    start: Annotated[Start, Field(exclude_if=lambda start: start == "random")] = "random"
    """Weights before the first step: random, or such that the network trades as the linear rival."""
    flat_overnight: Annotated[bool, Field(exclude_if=lambda flat: not flat)] = False
    """Whether the network has a unit that leaves the market at each session's last close."""
    hyperparameters: HyperparameterParams

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("seeds must differ: the same seed gives the same model")
        return seeds

    @model_validator(mode="after")
    def _linear_draws_nothing(self) -> Self:
        if self.engine == "linear" and len(self.seeds) > 1:
            raise ValueError(
                f"engine linear draws nothing, so every seed gives the same model; state one of {self.seeds}"
            )
        return self

    @model_validator(mode="after")
    def _start_has_its_units(self) -> Self:
        if self.start == "random" and not self.flat_overnight:
            return self
        if self.engine == "linear":
            raise ValueError("engine linear has no hidden units: leave start and flat_overnight out")
        if min(self.hyperparameters.hidden_sizes) < 2:
            raise ValueError(
                "start linear and flat_overnight need a unit each: hyperparameters.hidden_sizes must be 2 or "
                f"more, were {self.hyperparameters.hidden_sizes}"
            )
        return self


class InferenceParams(Section):
    """How a tick judges its bar."""

    clock: Literal["wall", "market"]
    """``market`` takes the last stored bar's close as now, for the sample market and for replays."""
    limits: Annotated[StatedLimits | None, Field(exclude_if=lambda limits: limits is None)] = None
    """Stricter than the house's; null takes those of its policy."""


class Parameters(Section):
    """Every parameter of a run; see conf/base/parameters for the defaults."""

    run_name: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    """Names a run's folders where they should differ from the experiment's; outside the hash."""
    experiment: ExperimentParams
    candidate: Annotated[CandidateParams | None, Field(exclude_if=lambda own: own is None)] = None
    """A strategy of one's own; without it L3 trains the candidate."""
    model: Annotated[ModelParams | None, Field(exclude_if=lambda stated: stated is None)] = None
    """Its entry in the model inventory; without it the inventory says so."""
    data_acquisition: DataAcquisitionParams
    sample_market: SampleMarketParams
    date_ranges: DateRangesParams
    calendar: CalendarParams = CalendarParams()
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
    delivery: DeliveryParams = DeliveryParams()
    _stated: dict[str, Any] | None = PrivateAttr(default=None)

    @property
    def stated(self) -> dict[str, Any] | None:
        """What conf/<experiment> and --params say, by ``section.name``; None where that is not known."""
        return self._stated

    @property
    def feed(self) -> str:
        """The market among those an instrument's tables may hold: ``market``, or a sample market's id."""
        return self.sample_market.feed if self.data_acquisition.source == "sample" else REAL_FEED

    @model_validator(mode="after")
    def _nothing_to_train_in_folds(self) -> Self:
        if self.candidate is not None and self.splits.mode == "walk_forward":
            raise ValueError(
                "candidate.targets: an own strategy is trained on no fold; take splits.mode 'single', whose "
                "test is all folds together"
            )
        return self

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


def read_parameters(tree: Mapping[str, Any], stated: dict[str, Any] | None = None) -> Parameters:
    """Validate a resolved parameter tree; `stated` is the part of it that the experiment states itself.

    Raises
    ------
    ParameterError
        One line a problem: the parameter's full name, the rule and the value found.
    """
    try:
        parameters = Parameters.model_validate(dict(tree))
    except ValidationError as error:
        problems = "\n".join(f"  - {describe_problem(each, Parameters)}" for each in error.errors())
        raise ParameterError(
            f"parameters break {error.error_count()} rule(s); correct them in conf/ or --params:\n{problems}"
        ) from error
    parameters._stated = stated
    return parameters
