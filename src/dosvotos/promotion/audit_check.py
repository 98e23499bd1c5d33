"""What `audit verify` compares: the log of votes, replayed, with all that follows from it in the database."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, func, select

from dosvotos.audit.checkpoints import compare_checkpoints, open_home, verify_all
from dosvotos.audit.log import LogRow, find_breaks, read_audit_log, read_chain
from dosvotos.audit.restored_log import list_restores, restored_log
from dosvotos.audit.signatures import RAISE_THE_HOUSE, SIGNATURE_COUNTS_FOR, read_trust
from dosvotos.database.append_only import foreign_hooks, missing_guards
from dosvotos.database.live_tables import live_state
from dosvotos.database.odd_values import ODD_VALUES
from dosvotos.database.registry import OPEN_STATES, VALID_FOR, list_models, list_proposals, opened_at
from dosvotos.database.tables import HOUSE, instruments, ledger_genesis, oos_trials
from dosvotos.errors import DosVotosError, LineageError
from dosvotos.promotion.gate_policy import uncovered_policies
from dosvotos.promotion.vote_rules import STATUS_AFTER, ModelStage, closes, columns_after, status_after
from dosvotos.promotion.voted_rows import voted_differences
from dosvotos.refusals import Phrase

PROVES: Final = (
    "every row follows the row before it, unchanged, none missing in between",
    "no row is dated more than ten minutes before the row before it, as one of a clock set back would be",
    "the log alone leads to each instrument's epoch and production model, to each model's stage and to each "
    "proposal's state, reviewer, notes and time of approval",
    "the ledger has its one genesis, the one each proposal names, and a look of every proposed model",
    "the triggers that refuse changes are in place, as this version makes them, and nothing else acts on the "
    "tables",
    "the log holds every checkpoint of the home, and who may sign follows from signed decisions",
)
PROVES_FULL: Final = (
    "every decision is signed by somebody who could sign it then, over the text, subject and lapses that its "
    "row holds, and over the dossier and model that rows still name; every checkpoint is signed by the server"
)
PROVES_NOT_QUICK: Final = (
    "without --full, that text, signatures, subject and lapses of a decision not about people are unchanged"
)
PROVES_COPY: Final = "the log holds every row, or every checkpoint, of the copy it was compared with"
PROVES_NOT: Final = (
    "that nobody put an older copy of database and home together in their place: keep a checkpoint "
    "elsewhere, every signal carries one",
    "anything of the rows before signatures but that they have not changed since the first checkpoint",
    "what a proposal contains: an approval recomputes that",
)


class _Closed(NamedTuple):
    """For how long a person's REJECT kept a policy closed."""

    since: datetime
    until: datetime | None = None

    def covers(self, moment: datetime) -> bool:
        """Tell whether a proposal of then was made REJECTED."""
        return self.since <= moment and (self.until is None or moment <= self.until)


@dataclass
class _Replay:
    """The state that the log alone leads to."""

    heads: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    """Epoch and production model by instrument."""
    stages: dict[str, ModelStage] = field(default_factory=dict)
    """By model."""
    votes: dict[int, LogRow | Row[Any]] = field(default_factory=dict)
    """Last vote by proposal."""
    reopened: dict[int, datetime] = field(default_factory=dict)
    """When a proposal was last reopened."""
    promoted: dict[str, list[str]] = field(default_factory=dict)
    """Production models by instrument, oldest first; a rollback takes the last one away."""
    live: dict[str, str] = field(default_factory=dict)
    """Last HALT or RESUME by instrument."""
    closed: dict[tuple[str, str], list[_Closed]] = field(default_factory=dict)
    """When a policy was closed on an instrument, by model_hash and instrument, oldest first."""
    problems: list[Phrase] = field(default_factory=list)


def verify_audit(connection: Connection, full: bool = False) -> list[Phrase]:
    """Name everything in which the log, and what must follow from it, disagree; empty if nothing does.

    Parameters
    ----------
    connection : Connection
    full : bool
        Whether to verify every signature of the log and of the home's checkpoints: a millisecond each.
    """
    rows, models = read_chain(connection), {row.model_id: row for row in list_models(connection)}
    proposals = {row.id: row for row in list_proposals(connection)}
    restores = {row.id: row for row in list_restores(connection)}
    replay = _replay(rows, proposals, models, restores)
    compared: tuple[tuple[str, Callable[[], Iterable[Phrase]]], ...] = (
        ("approval_audit_log", lambda: find_breaks(rows)),
        ("approval_audit_log", lambda: replay.problems),
        ("approval_audit_log", lambda: _compare_times(rows)),
        ("instruments", lambda: _compare_heads(replay, connection)),
        ("model_registry", lambda: _compare_stages(replay, models)),
        ("promotion_proposals", lambda: _compare_proposals(replay, proposals, models, _last_time(rows))),
        ("promotion_proposals", lambda: _compare_ledger(connection, proposals.values())),
        ("live_state", lambda: _compare_live(replay, connection)),
        ("gate_policies", lambda: _compare_policies(connection)),
        ("approval_audit_log", lambda: _compare_home(connection, rows, full)),
        ("triggers", lambda: _compare_guards(connection)),
    )
    return [problem for table, compare in compared for problem in _named(table, compare)]


def _named(table: str, compare: Callable[[], Iterable[Phrase]]) -> Iterator[Phrase]:
    """Give what a comparison names; a value that cannot even be compared is named too."""
    try:
        yield from compare()
    except DosVotosError as error:
        yield error.finding
    except ODD_VALUES as error:
        yield Phrase.of("odd_value", what=table, problem=f"{type(error).__name__}: {error}")


def _compare_policies(connection: Connection) -> Iterator[Phrase]:
    for version in uncovered_policies(connection):
        yield Phrase.of("audit_policy", version=version)


def _compare_guards(connection: Connection) -> Iterator[Phrase]:
    for name in missing_guards(connection):
        yield Phrase.of("audit_trigger", name=name)
    for table, name in foreign_hooks(connection):
        yield Phrase.of("audit_hook", table=table, name=name)


def _compare_times(rows: Sequence[LogRow]) -> Iterator[Phrase]:
    """Name the rows dated before the row before them, by more than a signature may take to arrive."""
    for before, row in pairwise(rows):
        if row.stored_at >= before.stored_at:  # type: ignore[operator]  # both as one driver gives them
            continue
        if before.created_at - row.created_at > SIGNATURE_COUNTS_FOR:
            at, earlier = f"{row.created_at:%Y-%m-%d %H:%M}", f"{before.created_at:%Y-%m-%d %H:%M}"
            yield Phrase.of("audit_clock", row=row.id, at=at, before=earlier)


def _last_time(rows: Sequence[LogRow]) -> datetime | None:
    return max(rows, key=attrgetter("stored_at")).created_at if rows else None


def _replay(
    rows: Iterable[LogRow],
    proposals: dict[int, Row[Any]],
    models: dict[str, Row[Any]],
    restores: dict[int, Row[Any]],
) -> _Replay:
    replay = _Replay()
    for row in rows:
        try:
            _follow_row(replay, row, proposals, models, restores)
        except ODD_VALUES as error:
            problem = f"{type(error).__name__}: {error}"
            replay.problems.append(Phrase.of("audit_unfollowed", row=row.id, problem=problem))
    return replay


def _follow_row(
    replay: _Replay,
    row: LogRow,
    proposals: dict[int, Row[Any]],
    models: dict[str, Row[Any]],
    restores: dict[int, Row[Any]],
) -> None:
    if row.action == "RESTORE":
        _follow_restore(replay, row, restores[row.id])
    elif row.action in RAISE_THE_HOUSE:
        _follow_house(replay, row)
    elif row.action in ("HALT", "RESUME"):
        replay.live[row.instrument] = row.action
    elif row.action == "ROLLBACK":
        _follow_rollback(replay, row)
    elif row.action not in STATUS_AFTER:
        raise ValueError(f"action {row.action!r}")
    else:
        proposal, model = proposals.get(row.proposal_id), models.get(row.model_id)
        if proposal is None or model is None or proposal.model_id != row.model_id:
            subject = {"action": row.action, "model": row.model_id, "proposal": row.proposal_id}
            replay.problems.append(Phrase.of("audit_nothing", row=row.id, **subject))
            return
        _follow(replay, row, proposal.instrument, model.model_hash)


def _follow_house(replay: _Replay, row: LogRow) -> None:
    """Carry out a decision about people or policy: it raises the house's epoch."""
    epoch, _ = replay.heads.get(HOUSE, (0, None))
    if row.epoch != epoch + 1:
        replay.problems.append(_differs(row, "epoch", row.epoch, epoch + 1))
    replay.heads[HOUSE] = (epoch + 1, None)


def _follow_restore(replay: _Replay, row: LogRow, whole: Row[Any]) -> None:
    """Carry out a RESTORE: every epoch rises, production waits in staging, proposals wait again."""
    try:
        restored = restored_log(whole)
    except LineageError as error:
        replay.problems.append(error.finding)
        return
    serving = sorted(production for _, production in replay.heads.values() if production is not None)
    if sorted(restored.staged) != serving:
        replay.problems.append(_differs(row, "staged", restored.staged, serving))
    for instrument in sorted({*restored.epochs, *replay.heads}):
        epoch, raised = replay.heads.get(instrument, (0, None))[0], restored.epochs.get(instrument, 0)
        if raised <= epoch:
            raising = {"instrument": instrument, "epoch": epoch, "raised": raised}
            replay.problems.append(Phrase.of("audit_restore", row=row.id, **raising))
        replay.heads[instrument] = (raised, None)
    for model_id in restored.staged:
        replay.stages[model_id] = replay.stages.get(model_id, ModelStage()).restored()
    for proposal_id in restored.reopened:
        replay.votes[proposal_id], replay.reopened[proposal_id] = whole, row.created_at
    replay.promoted.clear()


def _follow_rollback(replay: _Replay, row: LogRow) -> None:
    """Carry out a rollback: to the production model before the one of now, and to no other."""
    epoch, production = replay.heads.get(row.instrument, (0, None))
    before = replay.promoted.get(row.instrument, [])
    back = before[-2] if len(before) > 1 else None
    for name, follows in (
        ("model_id", back), ("previous_production_model", production), ("epoch", epoch + 1),
        ("new_stage", "production"),
    ):  # fmt: skip
        if (recorded := getattr(row, name)) != follows:
            replay.problems.append(_differs(row, name, recorded, follows))
    if back is None or production is None:
        return
    before.pop()
    for model_id in (back, production):
        replay.stages[model_id] = replay.stages[model_id].after(row, model_id)
    replay.heads[row.instrument] = (epoch + 1, back)


def _follow(replay: _Replay, row: LogRow, instrument: str, model_hash: str) -> None:
    """Carry out one vote in the replay, and name what it says otherwise."""
    epoch, production = replay.heads.get(instrument, (0, None))
    own = replay.stages.get(row.model_id, ModelStage())
    if row.action == "APPROVE":
        own = own.after(row, row.model_id)
    promotes = row.action == "APPROVE" and row.new_stage == "production"
    replay.problems += _contradictions(replay, row, production, epoch + promotes, own.stage)
    if promotes and production not in (None, row.model_id):
        replay.stages[production] = replay.stages[production].after(row, production)
    if promotes:
        epoch, production = epoch + 1, row.model_id
        replay.promoted.setdefault(instrument, []).append(row.model_id)
    replay.heads[instrument] = (epoch, production)
    replay.stages[row.model_id] = own
    replay.votes[row.proposal_id] = row
    closed = replay.closed.setdefault((model_hash, instrument), [])
    if row.action == "REJECT":
        closed.append(_Closed(row.created_at))
    if row.action == "REOPEN":
        if all(one.until is not None for one in closed):
            replay.problems.append(Phrase.of("audit_reopens", row=row.id, model=row.model_id))
        replay.closed[model_hash, instrument] = [
            one._replace(until=one.until or row.created_at) for one in closed
        ]
        replay.reopened[row.proposal_id] = row.created_at


def _contradictions(
    replay: _Replay, row: LogRow, production: str | None, epoch: int, stage: str
) -> Iterator[Phrase]:
    last = replay.votes.get(row.proposal_id)
    if last is not None and closes(last) and row.action != "REOPEN":
        yield Phrase.of("audit_closed", row=row.id, proposal=row.proposal_id, closing=last.id)
    for name, follows in (("previous_production_model", production), ("epoch", epoch), ("new_stage", stage)):
        if (recorded := getattr(row, name)) != follows:
            yield _differs(row, name, recorded, follows)


def _differs(row: LogRow, name: str, found: object, follows: object) -> Phrase:
    return Phrase.of("audit_differs", row=row.id, name=name, found=found, follows=follows)


def _compare_heads(replay: _Replay, connection: Connection) -> Iterator[Phrase]:
    stored = {row.instrument: row for row in connection.execute(select(instruments))}
    for instrument in sorted(stored.keys() | replay.heads):
        row, (epoch, production) = stored.get(instrument), replay.heads.get(instrument, (0, None))
        found = (row.epoch, row.production_model_id) if row else (0, None)
        if found != (epoch, production):
            stated = {"epoch": found[0], "model": found[1], "log_epoch": epoch, "log_model": production}
            yield Phrase.of("audit_head", instrument=instrument, **stated)


def _compare_stages(replay: _Replay, models: dict[str, Row[Any]]) -> Iterator[Phrase]:
    for model_id, row in models.items():
        for name, wanted in replay.stages.get(model_id, ModelStage())._asdict().items():
            if (found := getattr(row, name)) != wanted:
                yield _leads(Phrase.of("audit_model", model=model_id), name, found, wanted)


def _compare_proposals(
    replay: _Replay, proposals: dict[int, Row[Any]], models: dict[str, Row[Any]], last_vote: datetime | None
) -> Iterator[Phrase]:
    newest: dict[tuple[str, str], int] = {}
    for proposal_id in sorted(proposals, reverse=True):
        row, vote = proposals[proposal_id], replay.votes.get(proposal_id)
        latest = newest.setdefault((row.experiment_name, row.instrument), proposal_id)
        if vote is not None and closes(vote):
            possible: tuple[str, ...] = (status_after(vote),)
        else:
            asked = vote is not None and vote.action == "REQUEST_MORE_TESTS"
            possible = _undecided(row, asked, latest != proposal_id, last_vote)
            closed = replay.closed.get((models[row.model_id].model_hash, row.instrument), [])
            if any(one.covers(row.created_at) for one in closed):  # it was made REJECTED
                possible = (*possible, "REJECTED")
        if row.status not in possible:
            either = reduce(lambda one, other: Phrase.of("either", one=one, other=other), possible)
            yield Phrase.of("audit_status", proposal=proposal_id, found=row.status, possible=either)
        yield from _compare_vote(row, vote, replay.reopened.get(proposal_id))


def _compare_vote(
    proposal: Row[Any], vote: LogRow | Row[Any] | None, reopened: datetime | None
) -> Iterator[Phrase]:
    for name, wanted in columns_after(vote, reopened).items():
        if name != "status" and (found := getattr(proposal, name)) != wanted:
            yield _leads(Phrase.of("audit_proposal", proposal=proposal.id), name, repr(found), repr(wanted))


def _leads(subject: Phrase, name: str, found: object, wanted: object) -> Phrase:
    return Phrase.of("audit_leads", subject=subject, name=name, found=found, wanted=wanted)


def _undecided(row: Row[Any], asked: bool, superseded: bool, last_vote: datetime | None) -> tuple[str, ...]:
    """List the states a proposal can have that nobody approved or rejected.

    A newer one of its experiment supersedes it, and each vote on whatever proposal expires those that are
    overdue by then.
    """
    if superseded:
        return ("SUPERSEDED", "EXPIRED")
    if last_vote is not None and opened_at(row) < last_vote - VALID_FOR:
        return ("EXPIRED",)
    return ("MORE_TESTS_REQUESTED" if asked else OPEN_STATES[0], "EXPIRED")


def _compare_live(replay: _Replay, connection: Connection) -> Iterator[Phrase]:
    stored = {row.instrument: row.state for row in connection.execute(select(live_state))}
    for instrument, action in replay.live.items():
        if action == "HALT" and (found := stored.get(instrument)) != "HALTED":
            yield Phrase.of("audit_live", instrument=instrument, found=found)


def _compare_home(connection: Connection, rows: Sequence[LogRow], full: bool) -> Iterator[Phrase]:
    """Hold the log against what the home keeps of it: pinned keys and checkpoints."""
    try:
        home = open_home(connection)
        if not home.exists:
            return
        yield from compare_checkpoints(connection, rows, home)
        trust = read_trust(connection, home)
    except DosVotosError as error:
        yield error.finding
        return
    if full:
        yield from verify_all(read_audit_log(connection), trust, home)
        yield from voted_differences(connection)


def _compare_ledger(connection: Connection, proposals: Iterable[Row[Any]]) -> Iterator[Phrase]:
    born = connection.execute(select(ledger_genesis)).all()
    if len(born) != 1:
        yield Phrase.of("audit_genesis", found=len(born))
    looks = {(row.instrument, row.model_hash) for row in connection.execute(select(oos_trials))}
    for proposal in proposals:
        named = proposal.evidence.get("ledger")
        found = [{"id": row.id, "created_at": row.created_at.isoformat()} for row in born]
        if named and named not in found:
            ledger = {"ledger": named["id"], "created": named["created_at"]}
            yield Phrase.of("audit_ledger", proposal=proposal.id, **ledger)
        line = proposal.lineage.get("folds") is not None
        looked_at = proposal.lineage["config_hash" if line else "model_hash"]
        if (proposal.instrument, looked_at) not in looks:
            yield Phrase.of(
                "audit_line_look" if line else "audit_look", proposal=proposal.id, hash=looked_at[:12]
            )
    count, last = connection.execute(select(func.count(), func.max(oos_trials.c.id))).one()
    if connection.dialect.name == "sqlite" and last is not None and count != last:
        yield Phrase.of("audit_looks_left", written=last, left=count)
