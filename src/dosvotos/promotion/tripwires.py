"""Tripwires: when an approval lapses, stated in what is signed and bounded by the house's policy."""

from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated, Final

from packaging.requirements import Requirement
from pydantic import Field

from dosvotos.contracts.live_limits import CLAIM_LEVEL
from dosvotos.contracts.records import Record, is_absent
from dosvotos.errors import DecisionError
from dosvotos.hashing import digest_json
from dosvotos.promotion.gate_policy import Level, TripwireBounds

PACKAGE: Final = "dosvotos"


class Lapses(Record):
    """What ends an approval, whatever its model does."""

    max_drawdown: Annotated[float, Field(gt=0, le=1)]
    """From the live account's peak since approval, a positive fraction."""
    max_age_days: Annotated[int, Field(gt=0)]
    claim_level: Annotated[Level | None, Field(exclude_if=is_absent)] = None
    """How often live may ever be called worse than claimed, or a shadow other than production, though neither
    is so; None of an approval from before it was stated."""
    contract: str
    """The contract's config_hash: another one is another model."""
    library_lock: str
    """Of the libraries' versions under which it was approved; see `library_lock`."""

    @property
    def level(self) -> float:
        """Of the bounds that are looked at after each session."""
        return CLAIM_LEVEL if self.claim_level is None else self.claim_level

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, as the decision's text states it."""
        return digest_json(self.model_dump())


class StatedTripwires(Record):
    """The tripwires a reviewer states; what is left out is the policy's bound."""

    max_drawdown: Annotated[float, Field(gt=0, le=1)] | None = None
    max_age_days: Annotated[int, Field(gt=0)] | None = None
    claim_level: Level | None = None

    def within(self, bounds: TripwireBounds, contract: str) -> Lapses:
        """Complete them for a contract.

        Raises
        ------
        DecisionError
            If one is looser than the policy's bound.
        """
        values = {}
        for name, bound in bounds.model_dump().items():
            stated = getattr(self, name)
            if stated is not None and bounds.is_looser(name, stated):
                if name == "claim_level":
                    raise DecisionError.of("lapses_level", tripwire=name, bound=bound, found=stated)
                raise DecisionError.of("lapses_bound", tripwire=name, bound=bound, found=stated)
            values[name] = bound if stated is None else stated
        return Lapses(**values, contract=contract, library_lock=library_lock())


@cache
def library_lock() -> str:
    """Hash the versions of every library Dos Votos needs to run; another version is another lock."""
    try:
        needed = [Requirement(line) for line in requires(PACKAGE) or ()]
    except PackageNotFoundError as error:
        raise DecisionError(
            f"{PACKAGE}: is not installed, so its libraries are not known; install it (pip install -e .)"
        ) from error
    names = sorted({one.name.lower() for one in needed if one.marker is None})
    return digest_json({name: version(name) for name in names})
