"""A desk of people, each with a key of their own, who sign what they decide."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Engine

from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.people import AddedPerson, Role
from dosvotos.promotion.decision import DecisionResult, Vote, decide, vote_text
from dosvotos.promotion.house_acts import AddReviewer, pin_first
from dosvotos.promotion.transaction import Act, Outcome, SecondSignature, Signed, carry_out, text_to_sign
from dosvotos.signing.signers import KeySigner, new_signer
from dosvotos.signing.sshsig import VOTE_NAMESPACE

WHY = "the desk has talked about it, twice"
DESK: tuple[tuple[str, Role], ...] = (("ana", "reviewer"), ("ben", "reviewer"), ("olga", "operator"))


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Team:
    """People on one database; `ada` is the first admin."""

    engine: Engine
    keys: dict[str, KeySigner] = field(default_factory=dict)
    clock: Callable[[], datetime] = now

    def key(self, name: str) -> KeySigner:
        return self.keys.setdefault(name, new_signer())

    def person(self, name: str, role: Role, first: bool = False) -> AddedPerson:
        return AddedPerson(name=name, role=role, key=self.key(name).public_key.line, first=first)

    def begin(self, people: Iterable[tuple[str, Role]] = DESK) -> "Team":
        """Make the first admin, who adds the others."""
        self.first("ada")
        for name, role in people:
            self.add(name, role)
        return self

    def first(self, name: str, by: str = "bob") -> Outcome:
        added = self.person(name, "admin", first=True)
        home = pin_first(self.engine, added)
        act = AddReviewer(WHY, added)
        if home.local_key is not None:
            outcome = carry_out(self.engine, act, by, self.clock())
            home.drop_local()
            return outcome
        return self.do(act, name)

    def add(self, name: str, role: Role, by: str = "ada") -> Outcome:
        return self.do(AddReviewer(WHY, self.person(name, role)), by)

    def do(self, act: Act, by: str, second: str | None = None, at: datetime | None = None) -> Outcome:
        """Sign and carry out."""
        at = at or self.clock()
        return carry_out(
            self.engine, act, by, at, self.sign(text_to_sign(self.engine, act, by, at), by, second)
        )

    def sign(self, text: DecisionText, by: str, second: str | None = None) -> Signed:
        signature = self.key(by).sign(text.to_bytes(), VOTE_NAMESPACE)
        other = None
        if second is not None:
            other = SecondSignature(second, self.key(second).sign(text.to_bytes(), VOTE_NAMESPACE))
        return Signed(str(text), signature, other)

    def vote(self, proposal_id: int, by: str, decision: str = "APPROVE", **changes: object) -> DecisionResult:
        """Sign a vote and carry it out."""
        vote = Vote(decision, by, WHY, **changes)  # type: ignore[arg-type]
        if decision == "REQUEST_MORE_TESTS":
            return decide(self.engine, proposal_id, vote, self.clock())
        at = self.clock()
        signed = self.sign(vote_text(self.engine, proposal_id, vote, at), by)
        return decide(self.engine, proposal_id, vote, at, signed=signed)
