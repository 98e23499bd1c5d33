"""The database and the server's key stolen, people revoked in mid-vote, logs exchanged: what gets through."""

from contextlib import chdir, suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

from dosvotos.database.connection import make_engine, reading
from dosvotos.errors import DosVotosError, NotAllowedError
from dosvotos.live.production import check_dossier, open_production
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.checkpoints import genesis_id
from dosvotos.promotion.decision import ProposalVote, Vote, decide
from dosvotos.promotion.house_acts import RevokeReviewer
from dosvotos.promotion.transaction import Act, Signed, carry_out, text_to_sign
from dosvotos.signing.home import home_of
from tests.faults.databases import Databases, enter, url_of
from tests.forked import processes
from tests.live.test_signed_production import ATTACKS as THEFTS
from tests.live.test_signed_production import Thief
from tests.promotion.test_copies import ATTACKS as EXCHANGES
from tests.promotion.test_copies import decide_much, found_after, keep
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY, Team


class TheftCount(NamedTuple):
    """What a thief of database and server key achieved."""

    thefts: int
    votes_forged_by_server: int
    """Votes that L5 would signal by."""
    problems: list[str]


class RevokeCount(NamedTuple):
    """What reviewers achieved who were revoked while they voted."""

    revokes: int = 0
    revoked_votes: int = 0
    """Votes that stand in the log after their voter's revocation."""
    unclear_answers: int = 0

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


def act_together(
    url: str, folder: str, act: Act, by: str, signed: Signed, start: Barrier, answer: Pipe
) -> None:
    """Carry out what was signed before, in a process of its own, when all are ready."""
    enter(folder)
    engine = make_engine(url)
    with engine.connect():
        pass
    start.wait()
    try:
        answer.send(carry_out(engine, act, by, datetime.now(UTC), signed).row.id)
    except NotAllowedError:
        answer.send(None)
    except Exception as error:
        answer.send(f"{type(error).__name__}: {error}")


def revoke_in_mid_vote(databases: Databases, rounds: int) -> RevokeCount:
    """Let an admin revoke a reviewer while that reviewer's signed votes arrive."""
    total = RevokeCount()
    for _ in range(rounds):
        desk = databases.empty()
        with chdir(desk.root):
            total = total.plus(_one_revocation(desk))
        databases.drop(desk)
    return total


def _one_revocation(desk: Desk) -> RevokeCount:
    team = Team(desk.engine).begin()
    votes = [ProposalVote(desk.propose(f"e{n}", n), Vote("REJECT", "ana", WHY)) for n in range(1, 4)]
    acts: list[tuple[Any, str]] = [*((vote, "ana") for vote in votes), (RevokeReviewer(WHY, "ana"), "ada")]
    signed = [team.sign(text_to_sign(desk.engine, act, by, team.clock()), by) for act, by in acts]
    desk.engine.dispose()
    context, url = processes(), url_of(desk.engine)
    start, pipes = context.Barrier(len(acts)), []
    for (act, by), own in zip(acts, signed, strict=True):
        receiver, answer = context.Pipe(duplex=False)
        context.Process(target=act_together, args=(url, str(desk.root), act, by, own, start, answer)).start()
        answer.close()
        pipes.append(receiver)
    *voted, revoked = [pipe.recv() for pipe in pipes]
    late = sum(row.reviewer == "ana" and row.id > revoked for row in desk.votes()) if revoked else 1
    unclear = sum(isinstance(answer, str) for answer in (*voted, revoked))
    with reading(desk.engine) as connection:
        unclear += bool(verify_audit(connection, full=True))
    return RevokeCount(1, late, unclear)
