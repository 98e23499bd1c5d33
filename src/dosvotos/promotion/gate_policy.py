"""The house's policy: what may be promoted is not the experiment's to say."""

from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from dosvotos.backtest.resampling import Bootstrap
from dosvotos.contracts.parameters import SuccessCriteriaParams
from dosvotos.contracts.records import Record

Level = Annotated[float, Field(gt=0, lt=0.5)]
Share = Annotated[float, Field(ge=0, le=1)]


class EvidenceFloors(Record):
    """What a proposal has to prove at least."""

    first_look_level: Level
    """Chance of luck tolerated at the first look at a window."""
    later_look_level: Level
    """The same at a later look, before it is divided by looks times models."""
    family_level: Level
    """Of SPA and StepM among several looks."""
    naive_percentile: Annotated[float, Field(gt=0, lt=100)]
    n_random_traders: Annotated[int, Field(ge=20)]
    min_positive_seeds: Share
    max_uncovered_sessions: Share
    """Share of scheduled test sessions without one complete row."""
    bootstrap_replications: Annotated[int, Field(ge=100)]
    seed: int

    @property
    def bootstrap(self) -> Bootstrap:
        """How windows are resampled."""
        return Bootstrap(self.bootstrap_replications, self.seed)


class TripwireBounds(Record):
    """The loosest tripwires an approval may state."""

    max_drawdown: Share
    """From the peak since approval, a positive fraction."""
    max_age_days: Annotated[int, Field(gt=0)]


class GatePolicy(Record):
    """One version of the house's floors for evidence, success criteria and votes."""

    version: Annotated[int, Field(ge=1)]
    evidence: EvidenceFloors
    success_criteria: SuccessCriteriaParams
    quorum: Annotated[int, Field(ge=1, le=2)]
    """Approvals that production needs."""
    refit_to_shadow: bool
    tripwires: TripwireBounds


@cache
def packaged_policy() -> GatePolicy:
    """Read version 1, which comes with the package."""
    text = Path(__file__).with_name("policy_v1.yml").read_text(encoding="utf-8")
    return GatePolicy.model_validate(yaml.safe_load(text))
