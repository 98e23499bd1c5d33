"""CTR-QUAL-001: limits on data and the default success criteria."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dosvotos.contracts.section import Fraction, Items, Section, Version


class SuccessCriteriaParams(Section):
    """The specification's criteria; a value equal to its threshold fails."""

    min_sharpe: float
    max_drawdown: Annotated[float, Field(gt=0.0, le=1.0)]
    min_win_rate: Fraction
    min_trades: NonNegativeInt
    improvement_threshold: NonNegativeFloat


class LevelParams(Section):
    """How far bars may lie from what else is known of their pair; natural logs."""

    session: Annotated[float, Field(gt=0.0, le=0.2)] = 0.07
    """A session's median close from the daily value of its day; over d days the square root of d times it."""
    median: Annotated[float, Field(gt=0.0, le=0.2)] = 0.025
    """That distance, signed: its median over five or more sessions, and each of four or more in a row."""
    jump: Annotated[float, Field(gt=0.0, le=0.5)] = 0.12
    """One session from the next where no daily series tells; over d days the square root of d times it."""
    bar: Annotated[float, Field(gt=0.0, le=0.5)] = 0.20
    """Any price of a bar from its session's median close."""
    max_wrong_share: Fraction = 0.34
    """Share of wrong sessions up to which they alone are quarantined; above it the delivery is refused."""


class ChangeParams(Section):
    """How much of what is stored a delivery may change without being asked to."""

    max_share: Fraction = 0.10
    """Share of the stored values it holds, of the bars or of one macro variable."""
    min_changed: PositiveInt = 12
    """Fewer changed values than these are corrections."""


class BarQualityParams(Section):
    """Limits on 5-minute bars."""

    agree_within: NonNegativeFloat
    """COP. Closes of one instant that differ by no more are the same bar."""
    preferred_sources: Items[str]
    """Whose bar is kept when sources disagree, best first; others follow by name."""
    doubtful: Literal["report", "quarantine"]
    """What becomes of spikes, wicks and sessions without a market: real bars that look wrong."""
    spike_sigmas: PositiveFloat
    """Robust standard deviations of a 5-minute move, against the closes before and after."""
    spike_moves: PositiveFloat
    """Root mean square 5-minute moves of the half hour on each side, at least, as well."""
    wick_sigmas: PositiveFloat
    """The same for a high or low beyond every close around it."""
    wick_moves: PositiveFloat
    min_tick_bps: PositiveFloat
    """A smaller spike or wick is never a bad tick."""
    stale_bars: Annotated[int, Field(ge=2)]
    """Equal closes in a row from which a run is stale."""
    flat_session_share: Annotated[float, Field(gt=0.5, le=1.0)]
    """Share of a session's closes that repeat the one before, from which no market stands behind them."""
    max_flat_share: Fraction
    """Share of a session's bars with open = high = low = close above which it is reported."""
    min_session_share: Fraction
    """Share of its 60 bars below which a session is reported as sparse."""
    level: LevelParams = LevelParams()


class ByFrequency(Section):
    """A number of observations, by frequency."""

    daily: PositiveInt
    monthly: PositiveInt
    quarterly: PositiveInt


class RelationParams(Section):
    """Which ratio of two macro series is true: the median of so many values in a row lies within it."""

    variable: str
    against: str
    low: PositiveFloat
    high: PositiveFloat
    values: PositiveInt
    """1 where the ratio of a single day must hold."""
    simulated: bool = True
    """Whether the sample market, whose series do not know each other, keeps it too."""


class MacroQualityParams(Section):
    """Limits on macro observations; ranges and step ratios are each variable's own."""

    lasting: ByFrequency
    """Observations on a new level, beyond the step ratio, from which it can be a true one."""
    splice_steps: PositiveFloat
    """A jump beyond the step ratio and this many times the series' 99% step is another instrument, however
    long it lasts."""
    max_repeat_odds: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Chance, from a monthly or quarterly series' decimals and steps, below which a repeat is a copy."""
    min_copies: Annotated[int, Field(ge=2)]
    """Series of one country and source copied in one period, from which its other repeats are copies."""
    max_expected_runs: PositiveFloat
    """Expected number of such runs of equal values in the whole series, below which one is fabricated."""
    max_tail_odds: Annotated[float, Field(gt=0.0, lt=1.0)]
    """The same for the run at the series' end, as a chance."""
    usual_repeats: Fraction
    """Share of repeats from which a series is a rate that stands still, and repeats say nothing."""
    gap: ByFrequency
    """Missing periods in a row from which a gap is reported."""
    relations: Items[RelationParams] = ()
    """What series must be to each other."""


class QualityThresholdsParams(Section):
    """CTR-QUAL-001: limits on data and the default success criteria."""

    version: Version
    bars: BarQualityParams
    macro: MacroQualityParams
    changes: ChangeParams = ChangeParams()
    max_uncovered_sessions: Fraction
    """Share of scheduled test sessions without one complete row above which L4 says REVIEW at best."""
    success_criteria: SuccessCriteriaParams
