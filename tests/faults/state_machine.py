"""A random walk of proposals and votes, beside a small model of the rules that shares no code with them."""

from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from dosvotos.database.connection import reading
from dosvotos.database.registry import list_models, list_proposals, production_model, state_of
from dosvotos.errors import DecisionConflictError, DecisionError
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.live_acts import Rollback, SwitchSignals, read_live_state
from dosvotos.promotion.registration import NewProposal, ProposalRegistry
from dosvotos.promotion.reopening import Reopen
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY, Team

BEGIN = datetime.fromisoformat("2026-08-03T15:00:00+00:00")
EXPERIMENTS, SEEDS = ("one", "two", "six"), (1, 2, 3, 4)
OPEN, DAYS = ("PENDING_APPROVAL", "MORE_TESTS_REQUESTED"), 30
TRAINERS = {"one": "alice", "two": "ana", "six": "bob"}
REVIEWERS = ("bob", "carol", "alice")
VETOED = 4
"""Weights that L4 recommends to reject."""


class Step(NamedTuple):
    """Something that a person or a pipeline does."""

    kind: str
    """propose, APPROVE, shadow, REJECT, REQUEST_MORE_TESTS, REOPEN, ROLLBACK, HALT, RESUME or wait."""
    experiment: str = ""
    weights: int = 0
    proposal: int = 0
    reviewer: str = "bob"
    days: int = 0


@dataclass
class Known:
    """A proposal, as the rules see it."""

    model: tuple[str, int]
    baseline: tuple[str, int] | None
    born: int
    status: str


@dataclass
class Rules:
    """The specification's second vote on dictionaries: states, stages, epoch, log."""

    day: int = 0
    proposals: list[Known] = field(default_factory=list)
    stages: dict[tuple[str, int], str] = field(default_factory=dict)
    closed: dict[int, str] = field(default_factory=dict)
    """Weights that a person rejected, and who did last."""
    served: list[tuple[str, int]] = field(default_factory=list)
    """Production models, oldest first; a rollback takes the last one away."""
    halted: bool = False
    epoch: int = 0
    log: list[tuple[str, int]] = field(default_factory=list)

    @property
    def production(self) -> tuple[str, int] | None:
        return next((model for model, stage in self.stages.items() if stage == "production"), None)

    def take(self, step: Step) -> str:
        """Carry out a step; gives "done", "refused" (a rule) or "conflict" (the state has moved on)."""
        if step.kind == "wait":
            self.day += step.days
            return "done"
        if step.kind == "propose":
            return self.propose((step.experiment, step.weights))
        if step.kind in ("HALT", "RESUME"):
            return self.switch(step.kind == "HALT")
        if step.kind == "ROLLBACK":
            return self.roll_back()
        return self.reopen(step) if step.kind == "REOPEN" else self.vote(step)

    def switch(self, halt: bool) -> str:
        if self.halted == halt:
            return "conflict"
        self.halted = halt
        return "done"

    def roll_back(self) -> str:
        if len(self.served) < 2 or self.served[-2][1] in self.closed:
            return "refused"
        self.stages[self.served.pop()] = "archived"
        self.stages[self.served[-1]] = "production"
        self.epoch += 1
        return "done"

    def reopen(self, step: Step) -> str:
        if not 1 <= step.proposal <= len(self.proposals):
            return "refused"
        self.expire()
        known = self.proposals[step.proposal - 1]
        if known.status != "REJECTED" or self.closed.get(known.model[1]) in (None, step.reviewer):
            return "refused"
        if any(other.model[0] == known.model[0] for other in self.proposals[step.proposal :]):
            return "conflict"
        known.status, known.born = "PENDING_APPROVAL", self.day
        del self.closed[known.model[1]]
        self.log.append(("REOPEN", step.proposal))
        return "done"

    def expire(self) -> None:
        for known in self.proposals:
            if known.status in OPEN and self.day - known.born > DAYS:
                known.status = "EXPIRED"

    def propose(self, model: tuple[str, int]) -> str:
        stage = self.stages.get(model)
        if stage == "production":
            return "done"
        self.expire()
        same = [known for known in self.proposals if known.model == model]
        if same and same[-1].baseline == self.production:
            last = same[-1].status
            if not (last == "EXPIRED" or (last == "APPROVED" and stage == "shadow")):
                return "done"
        for known in self.proposals:
            if known.model[0] == model[0] and known.status in OPEN:
                known.status = "SUPERSEDED"
        status = "REJECTED" if model[1] in self.closed else "PENDING_APPROVAL"
        self.stages.setdefault(model, "staging")
        self.proposals.append(Known(model, self.production, self.day, status))
        return "done"

    def vote(self, step: Step) -> str:
        if not 1 <= step.proposal <= len(self.proposals):
            return "refused"
        self.expire()
        known = self.proposals[step.proposal - 1]
        if known.status not in OPEN:
            return "conflict"
        approves = step.kind in ("APPROVE", "shadow")
        if approves and (known.model[1] == VETOED or step.reviewer == TRAINERS[known.model[0]]):
            return "refused"
        if approves and (known.baseline != self.production or known.model[1] in self.closed):
            return "conflict"
        if step.kind == "APPROVE":
            if self.production is not None:
                self.stages[self.production] = "archived"
            self.stages[known.model], known.status = "production", "APPROVED"
            self.served.append(known.model)
            self.epoch += 1
        elif step.kind == "shadow":
            self.stages[known.model], known.status = "shadow", "APPROVED"
        elif step.kind == "REJECT":
            known.status = "REJECTED"
            self.closed[known.model[1]] = step.reviewer
        else:
            known.status = "MORE_TESTS_REQUESTED"
        self.log.append(("APPROVE" if approves else step.kind, step.proposal))
        return "done"

    def state(self) -> dict[str, Any]:
        """What can be seen from outside; overdue proposals may be stored as open until the next vote."""
        return {
            "proposals": [
                ("EXPIRED" if k.status in OPEN and self.day - k.born > DAYS else k.status, k.model[0])
                for k in self.proposals
            ],
            "stages": {f"{name}/{weights}": stage for (name, weights), stage in self.stages.items()},
            "production": None if self.production is None else "{}/{}".format(*self.production),
            "epoch": self.epoch,
            "log": self.log,
            "live": "HALTED" if self.halted else "ACTIVE",
        }


@dataclass
class Real:
    """The product, taking the same steps on a database."""

    desk: Desk
    day: int = 0
    _made: dict[tuple[str, int, str | None], NewProposal] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    """``experiment/weights`` by model_id."""

    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(days=self.day, seconds=len(self._names))

    @cached_property
    def team(self) -> Team:
        """Three reviewers, two of whom train too."""
        return Team(self.desk.engine, clock=lambda: self.now).begin(
            [(name, "reviewer") for name in REVIEWERS]
        )

    @cached_property
    def registry(self) -> ProposalRegistry:
        return ProposalRegistry(self.desk.engine, INSTRUMENT, "data/08_reporting")

    def take(self, step: Step) -> str:
        if step.kind == "wait":
            self.day += step.days
            return "done"
        if step.kind == "propose":
            self.registry.store(self._new(step.experiment, step.weights))
            return "done"
        return self.attempt(lambda: self._decide(step))

    def attempt(self, decide: Callable[[], object]) -> str:
        """Tell what becomes of a decision."""
        try:
            decide()
        except DecisionConflictError:
            return "conflict"
        except DecisionError:
            return "refused"
        return "done"

    def _decide(self, step: Step) -> None:
        if step.kind in ("HALT", "RESUME"):
            self.team.do(SwitchSignals(step.kind, INSTRUMENT, WHY), step.reviewer)  # type: ignore[arg-type]
        elif step.kind == "ROLLBACK":
            self.team.do(Rollback(INSTRUMENT, WHY), step.reviewer)
        elif step.kind == "REOPEN":
            self.team.do(Reopen(step.proposal, step.reviewer, WHY), step.reviewer)
        else:
            shadow = step.kind == "shadow"
            action = "APPROVE" if shadow else step.kind
            self.team.vote(step.proposal, step.reviewer, action, promote_to_production=not shadow)

    def _new(self, experiment: str, weights: int) -> NewProposal:
        with reading(self.desk.engine) as connection:
            row = production_model(connection, INSTRUMENT)
        baseline = row.model_id if row else None
        key = (experiment, weights, baseline)
        if key not in self._made:
            changes = {"recommendation": "REJECT", "confidence": 0.9} if weights == VETOED else {}
            made = self.desk.made_up(
                experiment, weights, baseline_model_id=baseline, trained_by=TRAINERS[experiment],
                created_at=self.now, **changes,
            )  # fmt: skip
            self._made[key] = made
            self._names[made.proposal.model_id] = f"{experiment}/{weights}"
        return self._made[key]._replace(created_at=self.now)

    def state(self) -> dict[str, Any]:
        with reading(self.desk.engine) as connection:
            rows, models = list_proposals(connection), list_models(connection)
            production = production_model(connection, INSTRUMENT)
            live = read_live_state(connection, INSTRUMENT)
        return {
            "live": live,
            "proposals": [(state_of(row, self.now), row.experiment_name) for row in reversed(rows)],
            "stages": {self._names[row.model_id]: row.stage for row in models},
            "production": self._names[production.model_id] if production else None,
            "epoch": self.desk.epoch(),
            "log": [(row.action, row.proposal_id) for row in self.desk.votes() if row.proposal_id],
        }


class WalkCount(NamedTuple):
    """How far product and rules went together."""

    state_machine_steps: int
    divergences: int
    problems: list[str]
    """What differed first, by walk."""
    outcomes: dict[str, int]
    """How often each kind of step was done, refused or met a conflict."""


def walk(desk: Desk, n_steps: int, seed: int) -> WalkCount:
    """Take random steps in both, and compare answers and states after each."""
    rng, rules, real = np.random.default_rng(seed), Rules(), Real(desk)
    problems: list[str] = []
    outcomes: dict[str, int] = {}
    with chdir(desk.root):
        for number in range(n_steps):
            step = random_step(rng, len(rules.proposals))
            wanted, found = rules.take(step), real.take(step)
            outcomes[f"{step.kind} {wanted}"] = outcomes.get(f"{step.kind} {wanted}", 0) + 1
            differing = _difference(rules, real, wanted, found)
            if number % 25 == 24 or number == n_steps - 1:
                with reading(desk.engine) as connection:
                    differing += verify_audit(connection)
            if differing:
                problems.append(f"seed {seed}, step {number}, {step}: {differing}")
                break
    return WalkCount(number + 1, len(problems), problems, outcomes)


def _difference(rules: Rules, real: Real, wanted: str, found: str) -> list[str]:
    expected, state = rules.state(), real.state()
    differing = [f"{n}: {state[n]}, rules say {v}" for n, v in expected.items() if state[n] != v]
    return [*([f"answer {found}, rules say {wanted}"] if wanted != found else []), *differing]


def random_step(rng: np.random.Generator, n_proposals: int) -> Step:
    """Draw a step: mostly at the newest proposals, sometimes at one that does not exist."""
    kinds: dict[str, Callable[[], Step]] = {
        "propose": lambda: Step(
            "propose",
            experiment=str(rng.choice(EXPERIMENTS)),
            weights=int(rng.choice(SEEDS, p=(0.4, 0.3, 0.2, 0.1))),
        ),
        "REOPEN": lambda: Step(
            "REOPEN",
            proposal=max(0, n_proposals - int(rng.geometric(0.3)) + 1),
            reviewer=str(rng.choice(REVIEWERS)),
        ),
        **{
            kind: lambda kind=kind: Step(kind, reviewer=str(rng.choice(REVIEWERS)))
            for kind in ("ROLLBACK", "HALT")
        },
        "RESUME": lambda: Step("RESUME", reviewer="ada"),
        "wait": lambda: Step("wait", days=int(rng.choice((1, 12, 31)))),
        "vote": lambda: Step(
            str(rng.choice(("APPROVE", "shadow", "REJECT", "REQUEST_MORE_TESTS"), p=(0.5, 0.24, 0.06, 0.2))),
            proposal=max(0, n_proposals - int(rng.geometric(0.45)) + 1 + int(rng.random() < 0.03)),
            reviewer=str(rng.choice(REVIEWERS)),
        ),
    }
    acts = ("propose", "wait", "vote", "REOPEN", "ROLLBACK", "HALT", "RESUME")
    return kinds[str(rng.choice(acts, p=(0.35, 0.08, 0.43, 0.05, 0.05, 0.02, 0.02)))]()
