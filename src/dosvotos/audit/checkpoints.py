"""Checkpoints of the log: compared with it before anything is decided, written after every decision."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, func, select

from dosvotos.audit.log import LogRow, broken_seals
from dosvotos.audit.people import Trust, allowed_signers
from dosvotos.audit.restored_log import LostCheckpoint, RestoredLog, list_restores, restored_log
from dosvotos.audit.signatures import read_trust, verify_countersignature, verify_decision
from dosvotos.database.connection import may_be_old, reading
from dosvotos.database.registry import last_log_row, read_epochs
from dosvotos.database.tables import approval_audit_log, ledger_genesis
from dosvotos.errors import AlteredError, DosVotosError, HomeError, LineageError
from dosvotos.refusals import Phrase
from dosvotos.signing.checkpoint import NO_HEAD, Checkpoint, LogState, sign_checkpoint
from dosvotos.signing.home import Home, home_of

LostStates = Mapping[tuple[int, str | None], int]
"""By rows and head: the first row that is gone."""


def genesis_id(connection: Connection) -> str:
    """Read the id of the ledger's one genesis; raises LineageError if it is not one."""
    found = list(connection.execute(select(ledger_genesis.c.id)).scalars())
    if len(found) != 1:
        raise AlteredError.of("genesis_count", found=len(found))
    return str(found[0])


def open_home(connection: Connection) -> Home:
    """The home of a database's ledger.

    Raises
    ------
    HomeError
        If it is missing although the log has signed rows.
    """
    home = home_of(genesis_id(connection))
    if home.exists or _has_signed_rows(connection):
        home.require()
    return home


def log_state(connection: Connection) -> LogState:
    """Read how long the log is, what its last row hashes to, and the epoch of every head row."""
    last = last_log_row(connection)
    rows, head = (last.id, last.row_hash) if last else (0, None)
    return LogState(genesis_id(connection), rows, head, read_epochs(connection))


def check_checkpoints(connection: Connection, home: Home) -> Checkpoint | None:
    """Refuse a log that is not at least what every checkpoint of its home says.

    The signature of the last one is verified; `audit verify --full` verifies all.

    Returns
    -------
    Checkpoint or None
        The last one of the log as the connection sees it; None before the first.

    Raises
    ------
    HomeError
        If the checkpoints are gone or altered.
    LineageError
        If rows are missing, others than then, or of another ledger.
    """
    try:
        return _check(connection, home)
    except LineageError:
        if not may_be_old(connection):
            raise
        with _later_view(connection, home) as (later, seen):
            _check(later, seen)
    n_rows = log_state(connection).rows
    return next((one for one in reversed(seen.checkpoints()) if one.state.rows <= n_rows), None)


@contextmanager
def _later_view(connection: Connection, home: Home) -> Iterator[tuple[Connection, Home]]:
    """Read a home's checkpoints, then begin a view of the log: it holds them all if nothing was taken away.

    A view that began before a decision does not hold the checkpoint that the decision has written since.
    """
    seen = home.as_it_is()
    with reading(connection.engine) as later:
        yield later, seen


def _check(connection: Connection, home: Home) -> Checkpoint | None:
    checkpoint = home.last_checkpoint() if home.exists else None
    if checkpoint is None:
        _refuse_gone(connection, home)
        return None
    if (found := difference(connection, checkpoint)) is not None:
        if not is_restored(connection, home, checkpoint):
            raise LineageError.of("log_rolled_back", found=found)
    elif older := contradictions(connection, _hashed_rows(connection), home):
        raise LineageError.of("log_rolled_back", found=older[0])
    return checkpoint


def _refuse_gone(connection: Connection, home: Home) -> None:
    """Refuse a home without a checkpoint, unless the writer of the very first one was killed before it."""
    t = approval_audit_log
    signed = select(func.count()).select_from(t).where(t.c.signature.is_not(None))
    if connection.execute(signed).scalar_one() > 1:
        raise HomeError.of("checkpoints_gone", folder=home.folder)


def _hashed_rows(connection: Connection) -> Sequence[Row[Any]]:
    t = approval_audit_log
    query: Select[Any] = select(t.c.id, t.c.row_hash).order_by(t.c.id)
    return connection.execute(query).all()


def difference(connection: Connection, checkpoint: Checkpoint) -> Phrase | None:
    """Say how the log is not what a checkpoint says, or None."""
    state, own = checkpoint.state, genesis_id(connection)
    seen = Phrase.of("checkpoint_named", at=f"{checkpoint.at:%Y-%m-%d %H:%M:%S}")
    if state.origin != own:
        return Phrase.of("checkpoint_ledger", checkpoint=seen, found=state.origin, own=own)
    if state.rows == 0:
        return None
    t = approval_audit_log
    row = connection.execute(select(t.c.row_hash).where(t.c.id == state.rows)).one_or_none()
    if row is None:
        n_rows = log_state(connection).rows
        return Phrase.of(
            "checkpoint_gone", found=n_rows, checkpoint=seen, rows=state.rows, gone=state.rows - n_rows
        )
    if row.row_hash != state.head:
        return Phrase.of("checkpoint_rewritten", row=state.rows, checkpoint=seen)
    return None


def is_restored(connection: Connection, home: Home, checkpoint: Checkpoint) -> bool:
    """Tell whether a signed RESTORE names a checkpoint that the log no longer holds.

    Raises
    ------
    LineageError
        If a RESTORE is not signed by who could.
    """
    lost = LostCheckpoint.of(checkpoint)
    return any(restored.checkpoint == lost for restored in signed_restores(connection, home))


def contradictions(
    connection: Connection, rows: Sequence[Row[Any] | LogRow], home: Home, up_to: int | None = None
) -> list[Phrase]:
    """Name every checkpoint of a home that the log does not hold, nor a signed RESTORE explains.

    Parameters
    ----------
    connection : Connection
    rows : sequence of rows of the log
    home : Home
    up_to : int, optional
        Leave out the checkpoints of more rows.

    Raises
    ------
    HomeError, LineageError
        If the checkpoints cannot be read, or a RESTORE is not signed by who could.
    """
    if _holds_all(rows, home):
        return []
    lost, problems = lost_states(connection, home), []
    for checkpoint in home.checkpoints():
        state = checkpoint.state
        if up_to is not None and state.rows > up_to:
            continue
        found = contradiction(rows, checkpoint, home.folder.name)
        if found is not None and (state.rows, state.head) not in lost:
            problems.append(found)
    return problems


def _holds_all(rows: Sequence[Row[Any] | LogRow], home: Home) -> bool:
    """Tell whether the log holds every checkpoint of a home, without a word on those it does not."""
    own, heads = home.folder.name, [NO_HEAD, *(row.row_hash for row in rows)]
    return all(
        origin == own and int(n_rows) < len(heads) and heads[int(n_rows)] == head
        for origin, n_rows, head in home.checkpointed_rows()
    )


def contradiction(rows: Sequence[Row[Any] | LogRow], checkpoint: Checkpoint, origin: str) -> Phrase | None:
    """Say how a log of a ledger does not hold a checkpoint, or None."""
    state, seen = checkpoint.state, Phrase.of("log_checkpoint", at=f"{checkpoint.at:%Y-%m-%d %H:%M:%S}")
    if state.origin != origin:
        return Phrase.of("checkpoint_other", checkpoint=seen, found=state.origin)
    if state.rows > len(rows):
        return Phrase.of("checkpoint_shortened", checkpoint=seen, rows=state.rows, found=len(rows))
    if state.rows and rows[state.rows - 1].row_hash != state.head:
        return Phrase.of("checkpoint_row", checkpoint=seen, row=state.rows)
    return None


def lost_states(connection: Connection, home: Home) -> LostStates:
    """Find every state of the log that a signed RESTORE says is gone, and the first row gone with it.

    They are the home's checkpoints up to the one it names, of more rows than the backup had; none of them if
    they are not those that the RESTORE was signed over.
    """
    restores = signed_restores(connection, home)
    seen: list[tuple[int, str | None]] = []
    lost: dict[tuple[int, str | None], int] = {}
    if any(restored.lost is None for restored in restores):
        home.verify_checkpoints()
    for checkpoint in home.checkpoints() if restores else ():
        seen.append((checkpoint.state.rows, checkpoint.state.head))
        for restored in restores:
            gone = [state for state in seen if state[0] > restored.kept_rows]
            if restored.names(checkpoint, gone):
                lost |= dict.fromkeys(gone, restored.kept_rows + 1)
    return lost


def states_up_to(home: Home, last: Checkpoint, kept_rows: int) -> list[tuple[int, str | None]]:
    """List the states of more than `kept_rows` rows in a home's checkpoints, the last one's included."""
    checkpoints = home.checkpoints()
    until = checkpoints[: checkpoints.index(last) + 1]
    return [(one.state.rows, one.state.head) for one in until if one.state.rows > kept_rows]


def signed_restores(connection: Connection, home: Home) -> list[RestoredLog]:
    """Read every RESTORE of the log; raises LineageError if one is not signed by who could."""
    rows = list_restores(connection)
    if rows:
        read_trust(connection, home)  # verifies each of them
    return [restored_log(row) for row in rows]


def append_checkpoint(engine: Engine, home: Home, now: datetime) -> Checkpoint:
    """Write the log's newest state into the home, before a decision is acknowledged.

    Whoever comes later finds a longer log and writes that; two processes never write an older state after a
    newer one.
    """
    with home.locked():
        with reading(engine) as connection:
            state = log_state(connection)
            signers = allowed_signers(read_trust(connection, home))
            last = check_checkpoints(connection, home)
        if last is not None and last.state == state:
            return last
        checkpoint = sign_checkpoint(state, now, home.server())
        home.append_checkpoint(checkpoint)
        home.write_allowed_signers(signers)
    return checkpoint


def compare_checkpoints(connection: Connection, rows: Sequence[LogRow], home: Home) -> list[Phrase]:
    """Name every checkpoint of a home that the log does not hold.

    The signature of the last one is verified; `audit verify --full` verifies all.
    """
    try:
        problems, last = contradictions(connection, rows, home), home.last_checkpoint()
        if problems and may_be_old(connection):
            with _later_view(connection, home) as (later, seen):
                problems = contradictions(later, _hashed_rows(later), seen)
    except (HomeError, LineageError) as error:
        return [error.finding]
    if last is None and any(row.seal for row in rows):
        problems.append(Phrase.of("audit_no_checkpoint", folder=home.folder))
    return problems


def verify_all(rows: list[Row[Any]], trust: Trust, home: Home) -> list[Phrase]:
    """Name every row and checkpoint whose signature does not hold, and unsigned rows after signed ones."""
    problems, signed = broken_seals(rows), False
    for row in rows:
        if row.text is not None:
            signed = True
            problems += _refusal(verify_decision, row, trust)
            problems += _refusal(verify_countersignature, row, home.server_key)
        elif signed and row.action != "REQUEST_MORE_TESTS":
            problems.append(Phrase.of("audit_unsigned", row=row.id, action=row.action, person=row.reviewer))
    return problems + _refusal(home.verify_checkpoints)


def _refusal(check: Callable[..., object], *arguments: object) -> list[Phrase]:
    try:
        check(*arguments)
    except DosVotosError as error:
        return [error.finding]
    return []


def _has_signed_rows(connection: Connection) -> bool:
    t = approval_audit_log
    return connection.execute(select(t.c.id).where(t.c.signature.is_not(None)).limit(1)).first() is not None
