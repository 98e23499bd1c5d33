"""What an experiment may ask of evidence and live limits: the house's policy, or more."""

from typing import NamedTuple

from dosvotos.contracts.live_limits import LiveLimits
from dosvotos.contracts.parameters import Parameters
from dosvotos.errors import ParameterError
from dosvotos.promotion.gate_policy import EvidenceFloors, GatePolicy


class _Floor(NamedTuple):
    parameter: str
    stated: float
    floor: float
    is_least: bool
    """Whether the floor is the least that may be stated, not the most."""

    @property
    def is_kept(self) -> bool:
        return self.stated >= self.floor if self.is_least else self.stated <= self.floor

    def __str__(self) -> str:
        side = "least" if self.is_least else "most"
        return f"{self.parameter}: must be at {side} {self.floor:g}, was {self.stated:g}"


def refuse_looser(parameters: Parameters, policy: GatePolicy) -> None:
    """Refuse an experiment that asks less of the evidence, or lets its model do more live, than the house.

    Raises
    ------
    ParameterError
        Naming each such parameter, its value and the policy's.
    """
    floors = (*_floors(parameters, policy.evidence), *_of_live(parameters, policy.live_limits))
    looser = [one for one in floors if not one.is_kept]
    if not looser:
        return
    lines = "\n".join(f"  - {one}" for one in looser)
    raise ParameterError(
        f"the house's policy, version {policy.version}, is stricter:\n{lines}\n"
        "An experiment may only be stricter: correct its parameters, or have an admin set another policy."
    )


def _of_live(parameters: Parameters, house: LiveLimits) -> tuple[_Floor, ...]:
    stated = parameters.inference.limits
    own = {} if stated is None else stated.model_dump(exclude_none=True)
    return tuple(
        _Floor(f"inference.limits.{name}", value, getattr(house, name), False) for name, value in own.items()
    )


def _floors(parameters: Parameters, floors: EvidenceFloors) -> tuple[_Floor, ...]:
    asked, data = parameters.evidence, parameters.quality_thresholds
    return (
        _Floor("evidence.min_positive_seeds", asked.min_positive_seeds, floors.min_positive_seeds, True),
        _Floor("evidence.n_random_traders", asked.n_random_traders, floors.n_random_traders, True),
        _Floor("evidence.naive_percentile", asked.naive_percentile, floors.naive_percentile, True),
        _Floor(
            "quality_thresholds.max_uncovered_sessions",
            data.max_uncovered_sessions,
            floors.max_uncovered_sessions,
            False,
        ),
    )
