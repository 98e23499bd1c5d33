"""What a model may do live before L5 acts by itself."""

from typing import Annotated, Final, Self

from pydantic import Field, PositiveInt

from dosvotos.contracts.section import Section

CLAIM_LEVEL: Final = 0.05
"""Chance of a false claim about live returns over all looks together, where nobody has signed another."""

Drawdown = Annotated[float, Field(gt=0.0, le=1.0)]


class LiveLimits(Section):
    """The house's limits: reaching one reduces or halts an instrument's signals until an admin's RESUME."""

    reduce_at_drawdown: Drawdown = 0.10
    """From the model account's peak, marked to market: from here on no position is opened or enlarged."""
    halt_at_drawdown: Drawdown = 0.15
    """From here on the instrument is flat."""
    flips_an_hour: PositiveInt = 6
    """Reversals of the target within twelve bars, at which no position is opened any more."""
    errors_an_hour: PositiveInt = 3
    """Bars within twelve that ended with ERROR, at which the instrument is flat."""

    def tightened(self, stated: "StatedLimits | None") -> Self:
        """Give these limits with an experiment's own where those are stricter."""
        own = {} if stated is None else stated.model_dump(exclude_none=True)
        return self.model_copy(update={name: min(value, getattr(self, name)) for name, value in own.items()})

    def looser_than(self, other: "LiveLimits") -> list[str]:
        """Name the limits that let more pass than another's."""
        return [name for name in LiveLimits.model_fields if getattr(self, name) > getattr(other, name)]


class StatedLimits(Section):
    """Limits an experiment states for its own model; what is left out is the house's."""

    reduce_at_drawdown: Drawdown | None = None
    halt_at_drawdown: Drawdown | None = None
    flips_an_hour: PositiveInt | None = None
    errors_an_hour: PositiveInt | None = None
