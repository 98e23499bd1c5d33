"""The house's policy: what may be promoted is not the experiment's to say."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

import yaml
from pydantic import Field, ValidationError
from sqlalchemy import Connection, Engine, select

from dosvotos.backtest.resampling import Bootstrap
from dosvotos.contracts.quality_thresholds import SuccessCriteriaParams
from dosvotos.contracts.records import Record
from dosvotos.database.connection import reading
from dosvotos.database.tables import gate_policies
from dosvotos.errors import LineageError

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


class PolicyInForce(NamedTuple):
    """A policy and who set it."""

    policy: GatePolicy
    set_by: str | None
    """None for the packaged one."""
    reason: str
    signature: str | None
    created_at: datetime | None


def packaged_in_force() -> PolicyInForce:
    """Give version 1, which nobody set."""
    return PolicyInForce(packaged_policy(), None, "it comes with Dos Votos", None, None)


@dataclass(frozen=True)
class GatePolicies:
    """The house's policies in a database."""

    engine: Engine

    def current(self) -> GatePolicy:
        """Read the policy that counts now."""
        with reading(self.engine) as connection:
            return current_policy(connection)


def current_policy(connection: Connection) -> GatePolicy:
    """Read the policy that counts; raises as `policy_in_force`."""
    return policy_in_force(connection).policy


def policy_in_force(connection: Connection) -> PolicyInForce:
    """Read the policy that counts: the last one set, or else the packaged version 1.

    Raises
    ------
    LineageError
        If the last row is no policy of this version of Dos Votos, or not the version it is stored under.
    """
    last = select(gate_policies).order_by(gate_policies.c.version.desc()).limit(1)
    if (row := connection.execute(last).one_or_none()) is None:
        return packaged_in_force()
    try:
        policy = GatePolicy.model_validate(row.content)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise LineageError(f"gate_policies, version {row.version}: {field}: {problem['msg']}") from error
    if policy.version != row.version:
        raise LineageError(
            f"gate_policies, version {row.version}: its content says version {policy.version}; the row was "
            "not written by Dos Votos"
        )
    return PolicyInForce(policy, row.set_by, row.reason, row.signature, row.created_at)
