"""The database and the server's key stolen, people revoked in mid-vote, logs exchanged: what gets through."""

import time
from contextlib import chdir, suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

import numpy as np

from dosvotos.audit.checkpoints import genesis_id
from dosvotos.database.connection import make_engine, reading
from dosvotos.errors import DosVotosError, NotAllowedError
from dosvotos.live.production import check_dossier, open_production
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import ProposalVote, Vote, decide
from dosvotos.promotion.house_acts import RevokeReviewer
from dosvotos.promotion.transaction import Act, carry_out, text_to_sign
from dosvotos.signing.home import home_of
from tests.audit.test_copies import ATTACKS as EXCHANGES
from tests.audit.test_copies import decide_much, found_after, keep
from tests.faults.databases import Databases, enter, url_of
from tests.forked import processes
from tests.live.test_signed_production import ATTACKS as THEFTS
from tests.live.test_signed_production import Thief
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY, Team

ROUNDS_A_DESK = 25
_SEED, _LONGEST_OFFSET = 20, 0.03


class TheftCount(NamedTuple):
    """What a thief of database and server key achieved."""

    thefts: int
    votes_forged_by_server: int
    """Votes that L5 would signal by."""
    problems: list[str]


class RevokeCount(NamedTuple):
    """What reviewers achieved who were revoked while they voted."""

    revokes: int = 0
    votes_before: int = 0
    """Votes that came first, and count; without some of each nothing was interleaved."""
    revoked_votes: int = 0
    """Votes that stand in the log after their voter's revocation."""
    unclear_answers: int = 0
    said: tuple[str, ...] = ()
    """What was answered instead of a decision or a refusal."""

    def plus(self, other: "RevokeCount") -> "RevokeCount":
        return RevokeCount(*(a + b for a, b in zip(self, other, strict=True)))


def steal(databases: Databases) -> TheftCount:
    """Forge a vote in every way, each in a copy of one desk, and let L5 decide on it."""
    desk = databases.empty()
    with chdir(desk.root):
        first = desk.propose_recomputable()
        decide(desk.engine, first, Vote("APPROVE", "bob", WHY), datetime.now(UTC))
        with reading(desk.engine) as connection:
            local = home_of(genesis_id(connection)).make_local()
        team = Team(desk.engine).begin()
        team.vote(desk.propose("other", 9), "ana", "REJECT")
        waiting = desk.propose_recomputable("second", 2)
        honest = desk.proposal(first).model_id
    accepted = []
    for attack in THEFTS:
        with databases.copied(desk) as copy:
            team.engine = copy.engine
            attack(Thief(copy, team, waiting, local))
            if serving_model(copy) not in (None, honest):
                accepted.append(f"{databases.kind}: {attack.__name__} gave a signal")
    with chdir(desk.root):
        silent = serving_model(desk) != honest
    databases.drop(desk)
    problems = accepted + ([f"{databases.kind}: the honest vote gives no signal"] if silent else [])
    return TheftCount(len(THEFTS), len(accepted), problems)


def serving_model(desk: Desk) -> str | None:
    """Name the model that L5 would signal by, if there is one."""
    with suppress(DosVotosError):
        production = open_production(desk.engine, INSTRUMENT)
        if production is not None and production.silence is None:
            check_dossier(desk.engine, production)
            return str(production.row.model_id)
    return None


def exchange(databases: Databases) -> tuple[int, list[str]]:
    """Exchange log and home in every way; gives how many copies were compared and which found nothing."""
    desk = databases.empty()
    with chdir(desk.root):
        decide_much(desk)
        kept, missed, n_compared = keep(desk), list[str](), 0
        for name, (attack, home_too, _) in EXCHANGES.items():
            for copy, problems in found_after(desk, kept, attack, home_too).items():
                n_compared += 1
                missed += [] if problems else [f"{databases.kind}: {name} was not found by a copy of {copy}"]
    databases.drop(desk)
    return n_compared, missed


def act_when_told(url: str, folder: str, start: Barrier, tasks: Pipe) -> None:
    """Carry out signed acts in a process of its own, each when the other process has its own too."""
    enter(folder)
    engine = make_engine(url)
    with engine.connect():
        pass
    while (task := tasks.recv()) is not None:
        act, by, signed, delay = task
        start.wait()
        time.sleep(delay)
        try:
            tasks.send(carry_out(engine, act, by, datetime.now(UTC), signed).row.id)
        except NotAllowedError:
            tasks.send(None)
        except Exception as error:
            tasks.send(f"{type(error).__name__}: {error}")
    engine.dispose()


def revoke_in_mid_vote(databases: Databases, rounds: int) -> RevokeCount:
    """Let an admin revoke a reviewer while that reviewer's signed vote arrives, each in a process of its own.

    One of the two starts up to a vote's length after the other, drawn anew each round.
    """
    total, rng = RevokeCount(), np.random.default_rng(_SEED)
    while total.revokes < rounds:
        desk = databases.empty()
        with chdir(desk.root):
            counted = _revocations(desk, min(ROUNDS_A_DESK, rounds - total.revokes), rng)
        total = total.plus(counted)
        databases.drop(desk)
    return total


def _revocations(desk: Desk, rounds: int, rng: np.random.Generator) -> RevokeCount:
    team, total = Team(desk.engine).begin([]), RevokeCount()
    context, url = processes(), url_of(desk.engine)
    start, pipes, running = context.Barrier(2), [], []
    for _ in range(2):
        own, theirs = context.Pipe()
        process = context.Process(target=act_when_told, args=(url, str(desk.root), start, theirs))
        process.start()
        theirs.close()
        pipes.append(own)
        running.append(process)
    for number in range(rounds):
        total = total.plus(_one_revocation(team, desk, f"r{number}", pipes, rng))
    for pipe, process in zip(pipes, running, strict=True):
        pipe.send(None)
        process.join()
    with reading(desk.engine) as connection:
        problems = verify_audit(connection, full=True)
    return total.plus(RevokeCount(unclear_answers=len(problems), said=tuple(problems)))


def _one_revocation(
    team: Team, desk: Desk, name: str, pipes: list[Pipe], rng: np.random.Generator
) -> RevokeCount:
    team.add(name, "reviewer")
    proposal_id = desk.propose(name, int(rng.integers(2**31)))
    acts: list[tuple[Act, str]] = [
        (ProposalVote(proposal_id, Vote("REJECT", name, WHY)), name), (RevokeReviewer(WHY, name), "ada")
    ]  # fmt: skip
    offset = rng.uniform(-_LONGEST_OFFSET, _LONGEST_OFFSET)
    for pipe, (act, by), delay in zip(pipes, acts, (max(0.0, offset), max(0.0, -offset)), strict=True):
        signed = team.sign(text_to_sign(desk.engine, act, by, team.clock()), by)
        pipe.send((act, by, signed, delay))
    voted, revoked = (pipe.recv() for pipe in pipes)
    said = tuple(
        answer for answer in (voted, revoked or "the admin may not revoke") if isinstance(answer, str)
    )
    is_late = isinstance(revoked, int) and any(
        row.reviewer == name and row.id > revoked for row in desk.votes()
    )
    return RevokeCount(1, isinstance(voted, int), int(is_late), len(said), said)
