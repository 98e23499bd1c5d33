"""Reason codes of trading_signals: why a bar has no signal, or one that is not the policy's own."""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """One code a cause; `docs/live.md` has a row for each."""

    NO_BAR = "NO_BAR"
    """The bar had not come by its deadline."""
    TOO_LATE = "TOO_LATE"
    """Bar or decision came after the deadline."""
    LOOP_DOWN = "LOOP_DOWN"
    """No loop was there at the time."""
    CLOCK_JUMP = "CLOCK_JUMP"
    """The machine's clock was set while the bar was waited for."""
    CLOCK_SKEW = "CLOCK_SKEW"
    """The machine's clock is wrong by more than two seconds."""
    FEATURE_MISSING = "FEATURE_MISSING"
    FEATURE_OUT_OF_RANGE = "FEATURE_OUT_OF_RANGE"
    """A feature is infinite, or so many standard deviations off that no market explains it."""
    TIME_OUT_OF_RANGE = "TIME_OUT_OF_RANGE"
    POSITION_OUT_OF_RANGE = "POSITION_OUT_OF_RANGE"
    NO_MODEL = "NO_MODEL"
    MODEL_REFUSED = "MODEL_REFUSED"
    """The production model is not what was voted on."""
    UNSIGNED_VOTE = "unsigned_vote"
    """No valid signed vote covers the production model."""
    NO_HOME = "no_home"
    """The home, without which no vote can be verified, is not there."""
    HALTED = "HALTED"
    DRAWDOWN = "DRAWDOWN"
    """The model's account has lost what a limit allows."""
    FLIPS = "FLIPS"
    """The target was reversed too often; the row's own code is REDUCING."""
    ERRORS = "ERRORS"
    """Too many bars ended with ERROR."""
    LAPSED = "LAPSED"
    """The approval has ended, as its reviewer signed."""
    LIMITS_UNKNOWN = "LIMITS_UNKNOWN"
    """An error while limits were judged."""
    WORSE_THAN_CLAIMED = "WORSE_THAN_CLAIMED"
    """Live returns are worse than the backtest's; the row's own code is REDUCING."""
    WORSE_THAN_SHADOW = "WORSE_THAN_SHADOW"
    """A shadow earns more than production; the row's own code is REDUCING."""
    REDUCING = "REDUCING"
    """The policy wanted more than may be held; the target was reduced."""
    DATABASE_DOWN = "DATABASE_DOWN"
    ERROR = "ERROR"
    """A defect; the log has its traceback."""


OF_LIMITS: Final = frozenset(
    {
        Reason.DRAWDOWN,
        Reason.FLIPS,
        Reason.ERRORS,
        Reason.LAPSED,
        Reason.LIMITS_UNKNOWN,
        Reason.WORSE_THAN_CLAIMED,
        Reason.WORSE_THAN_SHADOW,
    }
)
"""Codes of limits that act by themselves; each is an alert too."""
HALTING: Final = OF_LIMITS | {Reason.HALTED}
"""Codes whose first row is flat and whose others have no signal."""
