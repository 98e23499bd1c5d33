"""The house's policy: what may be promoted is not the experiment's to say."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import Field, ValidationError
from sqlalchemy import Connection, Engine, Row, select

from dosvotos.backtest.resampling import Bootstrap
from dosvotos.contracts.live_limits import CLAIM_LEVEL, LiveLimits
from dosvotos.contracts.quality_thresholds import SuccessCriteriaParams
from dosvotos.contracts.records import Record
from dosvotos.database.connection import reading
from dosvotos.database.tables import approval_audit_log, gate_policies
from dosvotos.errors import AlteredError

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
    claim_level: Level = CLAIM_LEVEL
    """How often live may ever be called worse than claimed, or a shadow other than production, though neither
    is so; a smaller one is looser, since it finds later. A policy set before has the packaged one."""

    def is_looser(self, name: str, value: float) -> bool:
        """Tell whether a tripwire of this name and value trips later than its bound."""
        bound = float(getattr(self, name))
        return value < bound if name == "claim_level" else value > bound


class GatePolicy(Record):
    """One version of the house's floors for evidence, success criteria and votes."""

    version: Annotated[int, Field(ge=1)]
    evidence: EvidenceFloors
    success_criteria: SuccessCriteriaParams
    quorum: Annotated[int, Field(ge=1, le=2)]
    """Approvals that production needs."""
    refit_to_shadow: bool
    tripwires: TripwireBounds
    live_limits: LiveLimits = LiveLimits()
    """A policy set before there were limits has the packaged ones."""

    def looser_than(self, other: "GatePolicy") -> list[str]:
        """Name what L5 acts on that lets more pass than another policy's."""
        bounds = [
            f"tripwires.{name}"
            for name in TripwireBounds.model_fields
            if other.tripwires.is_looser(name, getattr(self.tripwires, name))
        ]
        return bounds + [f"live_limits.{name}" for name in self.live_limits.looser_than(other.live_limits)]


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
    decided: Row[Any] | None
    """The row of the log that set it."""
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
    """Read the policy that counts: the last one that a signed decision set, or else the packaged version 1.

    Raises
    ------
    LineageError
        If it is no policy of this version of Dos Votos, or its row is not what was decided.
    """
    t = approval_audit_log
    last = select(t).where(t.c.action == "POLICY").order_by(t.c.id.desc()).limit(1)
    if (decided := connection.execute(last).one_or_none()) is None:
        return packaged_in_force()
    return _decided(connection, decided)


def policy_of_version(connection: Connection, version: int) -> PolicyInForce:
    """Read the policy of one version, as it was set.

    Raises
    ------
    LineageError
        If there is none, or it is not what was decided.
    """
    if version == packaged_policy().version:
        return packaged_in_force()
    t = approval_audit_log
    for decided in connection.execute(select(t).where(t.c.action == "POLICY").order_by(t.c.id)):
        if isinstance(decided.subject, dict) and decided.subject.get("version") == version:
            return _decided(connection, decided)
    raise AlteredError.of("policy_unsigned", version=version)


def uncovered_policies(connection: Connection) -> list[int]:
    """List the versions of stored policies that no decision of the log has set; they do not count."""
    t = approval_audit_log
    subjects = connection.execute(select(t.c.subject).where(t.c.action == "POLICY")).scalars()
    decided = {found["version"]: found for found in subjects if isinstance(found, dict)}
    rows = connection.execute(select(gate_policies).order_by(gate_policies.c.version))
    return [row.version for row in rows if decided.get(row.version) != row.content]


def _decided(connection: Connection, decided: Row[Any]) -> PolicyInForce:
    try:
        policy = GatePolicy.model_validate(decided.subject)
    except ValidationError as error:
        raise AlteredError.of("policy_row", row=decided.id, problem=error) from error
    t = gate_policies
    stored = connection.execute(select(t).where(t.c.version == policy.version)).one_or_none()
    if stored is None or stored.content != decided.subject:
        raise AlteredError.of("policy_altered", version=policy.version, row=decided.id)
    return PolicyInForce(policy, decided.reviewer, decided.notes, decided, decided.created_at)
