"""All faults, part by part: what `benchmarks/faults.py` measures and the tests run in small."""

from collections.abc import Callable, Iterator
from contextlib import chdir
from itertools import islice
from typing import NamedTuple

from tests.faults.crashes import crash_everywhere
from tests.faults.databases import Databases
from tests.faults.forgeries import (
    Forgery,
    Scene,
    forge,
    of_columns,
    of_identity,
    of_records,
    of_serving,
    of_states,
    reaches,
    scene,
)
from tests.faults.house_machine import draw
from tests.faults.loosening import loosen
from tests.faults.mutations import mutate
from tests.faults.races import race
from tests.faults.state_machine import walk
from tests.faults.stopped_acts import StopCount, stop_every_act
from tests.faults.thefts import exchange, revoke_in_mid_vote, steal
from tests.promotion.test_audit_check import ATTACKS, problems_after, voted_on

SEED = 16


class Size(NamedTuple):
    """How much is tried."""

    quick: bool
    rounds: int
    revokes: int
    walks: int
    steps: int
    flips: int
    """Bits of each file."""
    values: int
    """Other values of each column."""
    leaves: int
    """Edited values of each record."""
    every: int
    """Forgeries taken: every n-th."""


QUICK = Size(True, rounds=1, revokes=4, walks=1, steps=25, flips=1, values=1, leaves=0, every=60)
FULL = Size(False, rounds=20, revokes=500, walks=5, steps=300, flips=20, values=4, leaves=5, every=1)


class Found(NamedTuple):
    """Figures of a part, and what went wrong in words."""

    figures: dict[str, int]
    problems: list[str]


def campaign(one: Databases, size: Size) -> Iterator[tuple[str, Callable[[], Found]]]:
    """Every part by name, on databases of one kind; files are changed beside SQLite alone."""
    if one.kind == "sqlite":
        yield "mutations", lambda: mutations(one, size)
    yield f"crashes, {one.kind}", lambda: crashes(one, size)
    yield f"races, {one.kind}", lambda: races(one, size)
    yield f"audit attacks, {one.kind}", lambda: audit_attacks(one)
    yield f"state machine, {one.kind}", lambda: state_machine(one, size)
    yield f"drawn decisions, {one.kind}", lambda: drawn(one, size)
    yield f"forgeries, {one.kind}", lambda: forgeries(one, size)
    yield f"thefts, {one.kind}", lambda: thefts(one)
    yield f"revocations, {one.kind}", lambda: revocations(one, size)


def crashes(databases: Databases, size: Size) -> Found:
    own, control = crash_everywhere(databases, size.quick)
    acts = stop_every_act(databases, size.quick)
    figures = {**own._asdict(), "control_crashes": control.crashes, "control_failures": control.failures}
    for name in StopCount._fields:
        figures[name] = figures.get(name, 0) + sum(getattr(one, name) for one in acts.values())
    problems = [f"{databases.kind}: {own}"] if own.failures else []
    problems += [f"{databases.kind}, {name}: {one}" for name, one in acts.items() if one.failures]
    return Found(figures, problems)


def races(databases: Databases, size: Size) -> Found:
    counted = race(databases, size.rounds)
    return Found(counted._asdict(), [f"{databases.kind}: {counted}"] if any(counted[1:]) else [])


def mutations(databases: Databases, size: Size) -> Found:
    desk = databases.empty()
    counted = mutate(desk, desk.propose(), size.flips, SEED)
    databases.drop(desk)
    figures = {"bundle_mutations": counted.bundle_mutations, "mutations_accepted": counted.mutations_accepted}
    return Found(figures | {"unclear_answers": len(counted.unclear)}, counted.unclear)


def audit_attacks(databases: Databases) -> Found:
    desk = databases.empty()
    with chdir(desk.root):
        voted_on(desk)
    missed = []
    for name, (attack, expected) in ATTACKS.items():
        if not any(expected in problem for problem in problems_after(desk, attack)):
            missed.append(f"{databases.kind}: {name} was not named")
    databases.drop(desk)
    n_compared, unseen = exchange(databases)
    missed += unseen
    return Found({"audit_attacks": len(ATTACKS) + n_compared, "attacks_missed": len(missed)}, missed)


def thefts(databases: Databases) -> Found:
    """Forge votes with the database and the server's key at hand."""
    counted = steal(databases)
    figures = {"thefts": counted.thefts, "votes_forged_by_server": counted.votes_forged_by_server}
    unclear = len(counted.problems) - counted.votes_forged_by_server
    return Found({**figures, "unclear_answers": unclear}, counted.problems)


def revocations(databases: Databases, size: Size) -> Found:
    """Revoke reviewers while their votes arrive."""
    counted = revoke_in_mid_vote(databases, size.revokes)
    wrong = counted.revoked_votes or counted.unclear_answers
    figures = {name: value for name, value in counted._asdict().items() if name != "said"}
    return Found(figures, [f"{databases.kind}: {counted}"] if wrong else [])


def state_machine(databases: Databases, size: Size) -> Found:
    steps, problems = 0, list[str]()
    for number in range(size.walks):
        desk = databases.empty()
        counted = walk(desk, size.steps, SEED + number)
        databases.drop(desk)
        steps += counted.state_machine_steps
        problems += counted.problems
    return Found({"state_machine_steps": steps, "divergences": len(problems)}, problems)


def drawn(databases: Databases, size: Size) -> Found:
    """Decisions that hypothesis draws; it ends with the first one that goes otherwise than the rules say."""
    counts: dict[str, int] = {}
    problems = []
    try:
        draw(databases, size.walks * 2, size.steps, counts)
    except AssertionError as error:
        problems.append(f"{databases.kind}: {error}")
    return Found({"state_machine_steps": sum(counts.values()), "divergences": len(problems)}, problems)


def forgeries(databases: Databases, size: Size) -> Found:
    """Try them all; the honest proposal beside them must pass, or nothing was proven."""
    base = scene(databases)
    tried = list(islice(all_forgeries(base, size), 0, None, size.every))
    counted = forge(databases, base, tried)
    problems = [f"accepted: {name}" for name in counted.accepted]
    problems += [f"unclear: {one}" for one in counted.unclear]
    with databases.copied(base.desk) as desk:
        if not (reaches("signal", desk, 0) and reaches("approve", desk, base.waiting)):
            problems.append(f"{databases.kind}: the honest proposal was refused")
    databases.drop(base.desk)
    loosened = loosen()
    figures = {
        "forgeries": counted.forgeries + loosened.tried,
        "forgeries_accepted": len(counted.accepted) + len(loosened.accepted),
        "unclear_answers": len(problems) - len(counted.accepted),
    }
    return Found(figures, problems + loosened.accepted)


def all_forgeries(base: Scene, size: Size) -> Iterator[Forgery]:
    with chdir(base.desk.root):
        yield from list(of_records(base, SEED, size.leaves))
        for goal in ("decide", "signal"):
            yield from list(of_columns(base, goal, SEED, size.values))
    yield from of_states()
    yield from of_identity()
    yield from of_serving()
