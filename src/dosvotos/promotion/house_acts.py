"""Decisions about people and the house's policy: ADD_REVIEWER, REVOKE_REVIEWER, POLICY."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, func, insert, select

from dosvotos.audit.checkpoints import check_checkpoints, open_home
from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.people import AddedPerson, RevokedPerson, Signatory, Trust, has_people
from dosvotos.audit.signatures import read_trust
from dosvotos.database.connection import reading
from dosvotos.database.live_limits import held_instruments
from dosvotos.database.registry import OPEN_STATES
from dosvotos.database.tables import HOUSE, gate_policies, model_registry, promotion_proposals
from dosvotos.errors import DecisionConflictError, DecisionError
from dosvotos.promotion.gate_policy import GatePolicy, current_policy, packaged_policy
from dosvotos.promotion.transaction import ActOf, Entry, Subject
from dosvotos.signing.home import Home
from dosvotos.signing.keys import parse_public_key
from dosvotos.signing.passkeys import Passkey
from dosvotos.users import same_person


@dataclass(frozen=True)
class HouseAct(ActOf):
    """A decision about no instrument, which raises the house's epoch."""

    reason: str

    def instrument_in(self, connection: Connection) -> str:
        """The house's head row."""
        return HOUSE

    def needs_second(self, connection: Connection, who: Signatory) -> bool:
        """An admin who trained an open or serving model cannot decide alone who judges it, or by what."""
        trainers = trainers_of_models(connection)
        return who.role is not None and any(same_person(one, who.name) for one in trainers)

    def carry_out(
        self, connection: Connection, who: Signatory, text: DecisionText | None, epoch: int, now: datetime
    ) -> Entry:
        """Raise the epoch; nothing else follows but the row itself."""
        return Entry(epoch + 1)


@dataclass(frozen=True)
class AddReviewer(HouseAct):
    """A person with a role and a key."""

    added: AddedPerson
    action: Literal["ADD_REVIEWER"] = "ADD_REVIEWER"

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return self.added.model_dump()

    def signatory(self, trust: Trust, name: str) -> Signatory:
        """The first person signs for themselves, or single-user mode's key for them."""
        if self.added.first and trust.single_user and trust.local is None:
            return Signatory(self.added.name, "admin", (trust.admin,) if trust.admin else ())
        return trust.signatory(name)

    def check(self, connection: Connection, who: Signatory, now: datetime) -> None:
        """Refuse a name or key that is taken."""
        read_trust(connection, open_home(connection)).check_addition(self.added)

    def needs_second(self, connection: Connection, who: Signatory) -> bool:
        """The first person has nobody beside them."""
        return not self.added.first and super().needs_second(connection, who)

    def subject(self, connection: Connection) -> Subject:
        """Say who is added."""
        return Subject(other=self.added.model_dump())


@dataclass(frozen=True)
class RevokeReviewer(HouseAct):
    """A person whose signatures count no more from here on."""

    name: str
    action: Literal["REVOKE_REVIEWER"] = "REVOKE_REVIEWER"

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return {"name": self.name}

    def check(self, connection: Connection, who: Signatory, now: datetime) -> None:
        """Refuse to revoke nobody, or the last admin."""
        read_trust(connection, open_home(connection)).check_revocation(self.name)

    def subject(self, connection: Connection) -> Subject:
        """Say who is revoked."""
        return Subject(other=RevokedPerson(name=self.name).model_dump())


@dataclass(frozen=True)
class SetPolicy(HouseAct):
    """Another policy of the house."""

    policy: GatePolicy
    """Its version is the one it was written from; the next one is given to it."""
    action: Literal["POLICY"] = "POLICY"

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return self.policy.model_dump(mode="json")

    def check(self, connection: Connection, who: Signatory, now: datetime) -> None:
        """Refuse a policy written from an older one, or that changes nothing, or asks for two of one."""
        current = current_policy(connection)
        if self.policy.version != current.version:
            raise DecisionConflictError.of(
                "policy_outdated", version=self.policy.version, current=current.version
            )
        if self.policy == current:
            raise DecisionError.of("policy_same")
        if (held := held_instruments(connection)) and (looser := self.policy.looser_than(current)):
            raise DecisionConflictError.of(
                "policy_held", fields=", ".join(looser), instruments=", ".join(held)
            )
        if self.policy.quorum > 1 and who.role is None:
            raise DecisionError.of("policy_quorum")

    def subject(self, connection: Connection) -> Subject:
        """Give the whole policy under its new version."""
        last = connection.execute(select(func.max(gate_policies.c.version))).scalar()
        version = max(last or 0, packaged_policy().version) + 1
        return Subject(other=self.policy.model_copy(update={"version": version}).model_dump(mode="json"))

    def carry_out(
        self, connection: Connection, who: Signatory, text: DecisionText | None, epoch: int, now: datetime
    ) -> Entry:
        """Store the policy."""
        content = self.subject(connection).other or {}
        values = {"version": content["version"], "content": dict(content), "reason": self.reason}
        connection.execute(insert(gate_policies).values(**values, set_by=who.name, created_at=now))
        return super().carry_out(connection, who, text, epoch, now)


def joining_reason(added: AddedPerson) -> str:
    """Write the usual reason for adding a person, which names their key."""
    what = "a passkey" if isinstance(added.voter_key, Passkey) else "key"
    return f"{added.name} joins as {added.role}, with {what} {added.voter_key.fingerprint}"


def pin_first(engine: Engine, added: AddedPerson) -> Home:
    """Make the home and pin the first admin's key, as long as the log has no people.

    Raises
    ------
    DecisionError
        If it has.
    """
    with reading(engine) as connection:
        if has_people(connection):
            raise DecisionError.of("people_already", person=added.name)
        home = open_home(connection)
        check_checkpoints(connection, home)
    home.make()
    home.pin_admin(parse_public_key(added.key), added.name)
    return home


def trainers_of_models(connection: Connection) -> set[str]:
    """Name those who trained a model that is proposed or serves."""
    m, p = model_registry, promotion_proposals
    proposed = select(p.c.model_id).where(p.c.status.in_(OPEN_STATES))
    serving = m.c.stage.in_(("production", "shadow")) | m.c.model_id.in_(proposed)
    return set(connection.execute(select(m.c.trained_by).where(serving)).scalars())
