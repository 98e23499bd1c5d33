"""The built-in simulated market's section of the parameters."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, NonNegativeInt

from dosvotos.contracts.section import Day, Section
from dosvotos.hashing import digest_json, short

SIMULATOR_VERSION = 2
"""Part of a sample market's id; to be raised when the simulator gives other bars."""

Hazard = Literal[
    "mixed_zone_labels", "disagreeing_duplicates", "flat_bars", "stale_run", "off_session_bars",
    "weekend_bars", "holiday_quotes", "sparse_session", "missing_session", "bad_tick", "close_spike",
    "decimal_comma", "wrong_instrument", "macro_hole", "repeated_monthly", "fabricated_tail",
    "weekend_observations", "future_observation", "nan_padding",
    "session_hundredth", "inverted_session", "bar_at_tenth", "percent_fraction", "swapped_series",
    "early_dates",
]  # fmt: skip
"""Defects of real files that the sample market can imitate."""
HAZARDS: tuple[Hazard, ...] = get_args(Hazard)


def _hazards_by_name(wanted: Any) -> Any:
    """``none`` and ``all`` as lists; a list of names without repeats and in the hazards' own order."""
    if wanted in ("none", "all"):
        return HAZARDS if wanted == "all" else ()
    if isinstance(wanted, list | tuple) and set(wanted) <= set(HAZARDS):
        return tuple(name for name in HAZARDS if name in wanted)
    return wanted


class SampleMarketParams(Section):
    """The built-in simulated market."""

    seed: NonNegativeInt
    start: Day
    """First session stored; the simulation itself always begins at its fixed epoch."""
    edge: Annotated[float, Field(ge=0.0, le=0.9)]
    """Correlation of the planted signal with a session's drift; 0 plants nothing."""
    hazards: Annotated[tuple[Hazard, ...], BeforeValidator(_hazards_by_name)] = ()
    """Defects put into what is delivered: ``none``, ``all`` or a list of names."""
    test_end: Annotated[Day | None, Field(exclude_if=lambda day: day is None)] = None
    """Stands for the wall clock: a test without a stated end goes to the last session by then."""

    @property
    def feed(self) -> str:
        """``sample-`` and 12 digits that change with the simulator's version and all that makes its bars."""
        content = {"simulator": SIMULATOR_VERSION, **self.model_dump(mode="json", exclude={"test_end"})}
        return f"sample-{short(digest_json(content))}"
