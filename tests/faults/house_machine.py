"""Decisions as hypothesis draws them, people and policy among them, beside rules of their own."""

from contextlib import chdir
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from shutil import copytree, rmtree
from typing import Any, Literal

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.people import Role
from dosvotos.audit.signatures import read_trust
from dosvotos.database.connection import reading
from dosvotos.errors import LineageError
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.gate_policy import GatePolicies
from dosvotos.promotion.house_acts import AddReviewer, RevokeReviewer, SetPolicy
from dosvotos.promotion.live_acts import SwitchSignals
from dosvotos.promotion.registration import NewProposal
from dosvotos.promotion.restoring import Restore
from tests.faults.databases import HOMES, Databases
from tests.faults.state_machine import (
    DAYS,
    EXPERIMENTS,
    OPEN,
    REVIEWERS,
    SEEDS,
    TRAINERS,
    VETOED,
    Real,
    Rules,
    Step,
)
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY

FIRST_ADMIN = "ada"
PEOPLE = (FIRST_ADMIN, *REVIEWERS, "dora", "otto")
ROLES: tuple[Role, ...] = ("viewer", "operator", "reviewer", "admin")
MAY = {
    "HALT": ("operator", "reviewer", "admin"), "ROLLBACK": ("operator", "reviewer"), "RESUME": ("admin",),
    "ADD": ("admin",), "REVOKE": ("admin",), "POLICY": ("admin",),
}  # fmt: skip
ONE_OF = st.sampled_from
MOST_BACKUPS = 4
"""Of a run: each copies a database."""


@dataclass
class HouseRules(Rules):
    """The rules of votes, with those of roles, people, policy and quorum around them."""

    people: dict[str, str] = field(default_factory=lambda: dict.fromkeys(REVIEWERS, "reviewer"))
    quorum: int = 1
    version: int = 1
    made_under: list[int] = field(default_factory=list)
    """The policy's version by proposal."""
    reopenings: dict[int, int] = field(default_factory=dict)
    revocations: int = 0
    """Each lets every quorum begin anew."""
    approvals: dict[tuple[int, ...], set[str]] = field(default_factory=dict)
    """Who approved the same to production, by proposal, epoch, version, reopenings and revocations."""
    decisions: int = 0
    """Rows of the log since the desk began."""
    last_day: int = 0
    """Of the last row."""
    is_known: bool = False
    """Whether anything was decided about the instrument, which then has its epoch."""

    def __post_init__(self) -> None:
        self.people[FIRST_ADMIN] = "admin"

    def append(self, about_the_instrument: bool) -> None:
        """Count a row of the log."""
        self.decisions, self.last_day = self.decisions + 1, self.day
        self.is_known |= about_the_instrument

    def take(self, step: Step) -> str:
        """Judge the role, then let the rules of votes go on; a request of tests meets the state first."""
        if step.kind in ("wait", "propose"):
            return super().take(step)
        wanted = MAY.get(step.kind, ("reviewer",))
        allowed = self.people.get(step.reviewer) in wanted
        if not allowed and step.kind != "REQUEST_MORE_TESTS":
            return "refused"
        if step.kind == "REOPEN":
            answer = super().take(step)
            if answer == "done":
                self.reopenings[step.proposal] = self.reopenings.get(step.proposal, 0) + 1
            return answer
        return self._request(step, allowed) if step.kind == "REQUEST_MORE_TESTS" else super().take(step)

    def _request(self, step: Step, allowed: bool) -> str:
        self.expire()
        found = 1 <= step.proposal <= len(self.proposals)
        if not allowed:
            return "conflict" if found and self.proposals[step.proposal - 1].status not in OPEN else "refused"
        return super().take(step)

    def propose(self, model: tuple[str, int]) -> str:
        """Another policy makes another proposal of the same model."""
        same = [n for n, known in enumerate(self.proposals) if known.model == model]
        serves, n_before = self.stages.get(model) == "production", len(self.proposals)
        if same and not serves and self.made_under[same[-1]] != self.version:
            self.expire()
            hidden = self.proposals[same[-1]].baseline
            self.proposals[same[-1]].baseline = ("another policy", 0)
            answer = super().propose(model)
            self.proposals[same[-1]].baseline = hidden
        else:
            answer = super().propose(model)
        self.made_under += [self.version] * (len(self.proposals) - n_before)
        return answer

    def vote(self, step: Step) -> str:
        """Ask for the policy of now, and for as many approvals as it wants."""
        approves = step.kind in ("APPROVE", "shadow")
        n = step.proposal
        if not approves or not 1 <= n <= len(self.proposals):
            return super().vote(step)
        trial = self._would(step)
        if trial != "done" or step.kind == "shadow":
            return super().vote(step) if trial == "done" else trial
        same = (n, self.epoch, self.version, self.reopenings.get(n, 0), self.revocations)
        agreeing = self.approvals.setdefault(same, set())
        if step.reviewer in agreeing:
            return "conflict"
        agreeing.add(step.reviewer)
        if len(agreeing) >= self.quorum:
            return super().vote(step)
        self.proposals[n - 1].status = "PENDING_APPROVAL"
        self.log.append(("APPROVE", n))
        return "done"

    def _would(self, step: Step) -> str:
        """Judge an approval as the rules of votes do, and change nothing."""
        self.expire()
        known = self.proposals[step.proposal - 1]
        if known.status not in OPEN:
            return "conflict"
        if known.model[1] == VETOED or step.reviewer == TRAINERS[known.model[0]]:
            return "refused"
        moved = known.baseline != self.production or known.model[1] in self.closed
        return "conflict" if moved or self.made_under[step.proposal - 1] != self.version else "done"

    def house(self, kind: str, by: str, about: str, role: str = "", quorum: int = 0) -> str:
        """Add or revoke somebody, or set another quorum."""
        if self.people.get(by) != "admin":
            return "refused"
        admins = [name for name, one in self.people.items() if one == "admin"]
        impossible = {
            "ADD": about in self.people,
            "REVOKE": about not in self.people or admins == [about],
            "POLICY": quorum == self.quorum,
        }
        if impossible[kind] or self._trained(by):
            return "refused"
        if kind == "ADD":
            self.people[about] = role
        elif kind == "REVOKE":
            del self.people[about]
            self.revocations += 1
        else:
            self.quorum, self.version = quorum, self.version + 1
        return "done"

    def restore(self, lost: "HouseRules", by: str) -> str:
        """Take a lost desk's place, as a backup of it; these are the rules as the backup knows them."""
        self.day = lost.day
        if self.people.get(by) != "admin":
            return "refused"
        if self.decisions == lost.decisions:
            return "conflict"
        revoked = self.people.keys() - lost.people.keys()
        if by in revoked or self._trained(by):
            return "refused"
        for number, known in enumerate(self.proposals):
            experiment = known.model[0]
            if any(later.model[0] == experiment for later in self.proposals[number + 1 :]):
                continue
            was_open = known.status in (*OPEN, "EXPIRED") and known.born >= lost.last_day - DAYS
            serves = known.status == "APPROVED" and known.model == self.production
            if serves or (was_open and known.model[1] not in self.closed):
                known.status, known.born = "PENDING_APPROVAL", self.day
        if self.production is not None:
            self.stages[self.production] = "staging"
        self.served.clear()
        if self.is_known or lost.is_known:
            self.epoch, self.is_known = max(self.epoch, lost.epoch) + 1, True
        for name in revoked:
            del self.people[name]
        self.revocations += 1  # every quorum begins anew
        self.append(about_the_instrument=False)
        return "done"

    def _trained(self, name: str) -> bool:
        self.expire()
        waiting = {known.model for known in self.proposals if known.status in OPEN}
        serving = {model for model, stage in self.stages.items() if stage in ("production", "shadow")}
        return any(TRAINERS[experiment] == name for experiment, _ in waiting | serving)

    def state(self) -> dict[str, Any]:
        """What can be seen from outside, with people and policy."""
        return super().state() | {"people": dict(sorted(self.people.items())), "policy": self.version}


@dataclass
class RealHouse(Real):
    """The product, taking the same steps."""

    _by_policy: dict[tuple[int, int], dict[tuple[str, int, str | None], NewProposal]] = field(
        default_factory=dict
    )
    """By the policy's version and quorum: after a restore the same version may say something else."""

    def house(self, kind: str, by: str, about: str, role: Role = "viewer", quorum: int = 0) -> str:
        """Add or revoke somebody, or set another quorum."""
        policy = GatePolicies(self.desk.engine).current()
        act = {
            "ADD": lambda: AddReviewer(WHY, self.team.person(about, role)),
            "REVOKE": lambda: RevokeReviewer(WHY, about),
            "POLICY": lambda: SetPolicy(WHY, policy.model_copy(update={"quorum": quorum})),
        }[kind]()
        return self.attempt(partial(self.team.do, act, by))

    def _new(self, experiment: str, weights: int) -> NewProposal:
        policy = GatePolicies(self.desk.engine).current()
        self._made = self._by_policy.setdefault((policy.version, policy.quorum), {})
        return super()._new(experiment, weights)

    def move(self, desk: Desk) -> None:
        """Go on with another database."""
        self.desk, self.team.engine = desk, desk.engine
        self.__dict__.pop("registry", None)

    def restore(self, by: str) -> str:
        """Restore the backup that stands in the database's place."""
        return self.attempt(lambda: self.team.do(Restore(WHY, "b" * 64), by))

    def is_refused(self, action: Literal["HALT", "RESUME"], by: str) -> bool:
        """Tell whether a database that lacks decisions takes no more."""
        try:
            self.team.do(SwitchSignals(action, INSTRUMENT, WHY), by)
        except LineageError as error:
            return "are gone" in str(error)
        return False

    def state(self) -> dict[str, Any]:
        with reading(self.desk.engine) as connection:
            active = read_trust(connection, open_home(connection)).active
        people = {person.name: person.role for person in sorted(active)}
        version = GatePolicies(self.desk.engine).current().version
        return super().state() | {"people": people, "policy": version}


class DecisionMachine(RuleBasedStateMachine):
    """Both of them, side by side."""

    def __init__(self, databases: Databases, counts: dict[str, int]) -> None:
        super().__init__()
        self.databases, self.counts = databases, counts
        self.n_steps = self.n_waits = 0
        self.desk = databases.empty()
        self.rules, self.real = HouseRules(), RealHouse(self.desk)
        self.backup: tuple[Desk, HouseRules] | None = None
        self.n_backups = 0
        with chdir(self.desk.root):
            assert self.real.team

    def teardown(self) -> None:
        """Hold the whole log against its signatures, and leave nothing."""
        with chdir(self.desk.root), reading(self.desk.engine) as connection:
            problems = verify_audit(connection, full=True)
        self.databases.drop(self.desk)
        if self.backup is not None:
            self.databases.drop(self.backup[0])
        assert problems == []

    def both(self, step: Step) -> None:
        with chdir(self.desk.root):
            wanted = self.rules.take(step)
            if wanted == "done" and step.kind not in ("propose", "wait"):
                self.rules.append(about_the_instrument=True)
            self._same(step.kind, wanted, self.real.take(step))

    def _same(self, kind: str, wanted: str, found: str) -> None:
        self.n_steps += 1
        self.counts[f"{kind} {wanted}"] = self.counts.get(f"{kind} {wanted}", 0) + 1
        assert found == wanted, f"{kind}: {found}, the rules say {wanted}"

    @rule(experiment=ONE_OF(EXPERIMENTS), weights=ONE_OF((*SEEDS, 1, 2, 3)))
    def propose(self, experiment: str, weights: int) -> None:
        self.both(Step("propose", experiment, weights))

    @rule(experiment=ONE_OF(EXPERIMENTS), weights=ONE_OF(SEEDS[:3]), by=ONE_OF(REVIEWERS))
    def propose_and_approve(self, experiment: str, weights: int, by: str) -> None:
        """Bring a model towards production, which single draws seldom do."""
        self.both(Step("propose", experiment, weights))
        self.both(Step("APPROVE", proposal=len(self.rules.proposals), reviewer=by))

    @rule(experiment=ONE_OF(EXPERIMENTS), weights=ONE_OF(SEEDS[:3]), first=ONE_OF(REVIEWERS))
    def reject_and_reopen(self, experiment: str, weights: int, first: str) -> None:
        """Close a model, and let another reviewer open it."""
        self.both(Step("propose", experiment, weights))
        newest = len(self.rules.proposals)
        self.both(Step("REJECT", proposal=newest, reviewer=first))
        other = next(name for name in REVIEWERS if name != first)
        self.both(Step("REOPEN", proposal=newest, reviewer=other))

    @precondition(lambda self: len(self.rules.proposals) > 0)
    @rule(
        kind=ONE_OF(("APPROVE", "APPROVE", "APPROVE", "shadow", "REJECT", "REQUEST_MORE_TESTS", "REOPEN")),
        back=st.integers(0, 3),
        by=ONE_OF((*REVIEWERS, *PEOPLE)),
    )
    def vote(self, kind: str, back: int, by: str) -> None:
        self.both(Step(kind, proposal=len(self.rules.proposals) - back, reviewer=by))

    @rule(kind=ONE_OF(("HALT", "RESUME", "ROLLBACK", "ROLLBACK")), by=ONE_OF((*REVIEWERS, *PEOPLE)))
    def live(self, kind: str, by: str) -> None:
        self.both(Step(kind, reviewer=by))

    @rule(
        kind=ONE_OF(("ADD", "REVOKE", "POLICY")),
        by=ONE_OF((FIRST_ADMIN, FIRST_ADMIN, *PEOPLE)),
        about=ONE_OF(PEOPLE),
        role=ONE_OF(ROLES),
        quorum=ONE_OF((1, 2)),
    )
    def house(self, kind: str, by: str, about: str, role: Role, quorum: int) -> None:
        asked = (kind, by, about, role, quorum)
        with chdir(self.desk.root):
            wanted = self.rules.house(*asked)
            if wanted == "done":
                self.rules.append(about_the_instrument=False)
            self._same(kind, wanted, self.real.house(*asked))

    @precondition(lambda self: self.n_backups < MOST_BACKUPS and self.rules.decisions > 0)
    @rule()
    def back_up(self) -> None:
        """Copy the database, in the place of an older copy."""
        if self.backup is not None:
            self.databases.drop(self.backup[0])
        self.backup = self.databases.copy(self.desk), deepcopy(self.rules)
        self.n_backups += 1

    @precondition(lambda self: self.backup is not None)
    @rule(by=ONE_OF((FIRST_ADMIN, FIRST_ADMIN, *PEOPLE)))
    def lose_and_restore(self, by: str) -> None:
        """Put the backup in the database's place; where nobody signs for it, the lost one is found again."""
        assert self.backup is not None
        rules, lost = deepcopy(self.backup[1]), self.rules
        lacks = rules.decisions < lost.decisions
        wanted = rules.restore(lost, by)
        desk = self.databases.copy(self.backup[0])
        for folder in (HOMES, "data"):  # keys, bundles and dossiers are not lost with the database
            rmtree(desk.root / folder, ignore_errors=True)
            if (self.desk.root / folder).exists():
                copytree(self.desk.root / folder, desk.root / folder)
        self.real.move(desk)
        with chdir(desk.root):
            if lacks:
                before = self.backup[1]
                admin = next(name for name, role in before.people.items() if role == "admin")
                assert self.real.is_refused("RESUME" if before.halted else "HALT", admin)
            self._same("RESTORE", wanted, self.real.restore(by))
        gone = self.desk if wanted == "done" else desk
        if wanted == "done":
            self.desk, self.rules = desk, rules
        else:
            self.real.move(self.desk)
        self.databases.drop(gone)

    @precondition(lambda self: len(self.rules.proposals) > self.n_waits)
    @rule(days=ONE_OF((1, 12, 31)))
    def wait(self, days: int) -> None:
        self.n_waits += 1
        self.both(Step("wait", days=days))

    @invariant()
    def same_state(self) -> None:
        with chdir(self.desk.root):
            expected, found = self.rules.state(), self.real.state()
        assert found == expected


def draw(databases: Databases, n_runs: int, n_steps: int, counts: dict[str, int]) -> None:
    """Let hypothesis draw decisions, and count how often each kind was done, refused or met a conflict.

    Raises
    ------
    AssertionError
        With the steps that led to it, if product and rules differ.
    """
    run_state_machine_as_test(
        partial(DecisionMachine, databases, counts),
        settings=settings(
            max_examples=n_runs,
            stateful_step_count=n_steps,
            derandomize=True,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
