"""Eight processes that vote at once: one approval an instrument, the others are told, no reader sees two."""

import time
from collections.abc import Callable
from contextlib import chdir
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

from dosvotos.database.connection import make_engine, reading
from dosvotos.errors import DecisionConflictError
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import decide
from tests.faults.crashes import decide_in, one_production
from tests.faults.databases import Databases, enter, url_of
from tests.faults.voting import APPROVE
from tests.forked import processes
from tests.proposal_fixtures import Desk

N_PROCESSES = 8
N_PROPOSALS = 4
"""Two processes for each: a double click beside a second and a third model."""


class RaceCount(NamedTuple):
    """What voting at once led to."""

    races: int = 0
    states_without_one_production: int = 0
    """Readings, between votes and beside them, that saw none or two."""
    decisions_lost: int = 0
    """Approvals that were answered and are not there."""
    double_promotions: int = 0
    """Rounds in which not exactly one vote won."""
    unclear_answers: int = 0
    """Losers that were told anything but a conflict."""

    def plus(self, other: "RaceCount") -> "RaceCount":
        return RaceCount(*(a + b for a, b in zip(self, other, strict=True)))


def vote_together(url: str, folder: str, proposal_id: int, start: Barrier, answer: Pipe) -> None:
    """Vote in a process of its own, when all are ready."""
    enter(folder)
    engine = make_engine(url)
    with engine.connect():
        pass
    start.wait()
    try:
        answer.send(decide(engine, proposal_id, APPROVE, datetime.now(UTC)).model_id)
    except DecisionConflictError:
        answer.send(None)
    except Exception as error:
        answer.send(f"error: {type(error).__name__}: {error}")


def race(databases: Databases, rounds: int) -> RaceCount:
    """Let eight processes vote on four proposals at once, round after round in one database."""
    desk = databases.empty()
    model_id = decide_in(desk, desk.propose("first", 1), datetime.now(UTC))
    total = RaceCount()
    for number in range(rounds):
        ids = [
            desk.propose(f"e{n}", 2 + number * N_PROPOSALS + n, baseline_model_id=model_id)
            for n in range(N_PROPOSALS)
        ]
        epoch = number + 2
        counted, model_id = _one_round(desk, ids, epoch)
        total = total.plus(counted)
    with chdir(desk.root), reading(desk.engine) as connection:
        total = total.plus(RaceCount(double_promotions=bool(verify_audit(connection))))
    databases.drop(desk)
    return total


def _one_round(desk: Desk, ids: list[int], epoch: int) -> tuple[RaceCount, str]:
    """Race once; gives the count and the model that won."""
    answers, bad_readings = _race_once(desk, ids)
    won = [answer for answer in answers if answer and not answer.startswith("error: ")]
    unclear = sum(bool(answer and answer.startswith("error: ")) for answer in answers)
    (production,) = [model for model, stage in desk.stages().items() if stage == "production"]
    rows = [row for row in desk.votes() if row.epoch == epoch]
    lost = sum(model_id != production for model_id in won)
    double = len(won) != 1 or len(rows) != 1
    return RaceCount(1, bad_readings, lost, double, unclear), production


def _race_once(desk: Desk, ids: list[int]) -> tuple[list[str | None], int]:
    desk.engine.dispose()
    context, url = processes(), url_of(desk.engine)
    start = context.Barrier(N_PROCESSES)
    pipes, running = [], []
    for number in range(N_PROCESSES):
        receiver, answer = context.Pipe(duplex=False)
        arguments = (url, str(desk.root), ids[number % len(ids)], start, answer)
        process = context.Process(target=vote_together, args=arguments)
        process.start()
        answer.close()
        pipes.append(receiver)
        running.append(process)
    bad_readings = _watch(desk, lambda: any(process.is_alive() for process in running))
    return [pipe.recv() for pipe in pipes], bad_readings


def _watch(desk: Desk, running: Callable[[], bool]) -> int:
    """Count readings, while others vote, that see other than one production model."""
    bad = 0
    while running():
        bad += not one_production(desk)
        time.sleep(0.001)
    return bad
