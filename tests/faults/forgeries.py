"""Everything a forger can do short of rewriting all at once: none of it is approved, none of it signals."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sqlalchemy import Table, delete, update
from sqlalchemy.exc import SQLAlchemyError

from dosvotos.database.connection import writing
from dosvotos.database.tables import (
    approval_audit_log,
    experiment_contracts,
    instruments,
    model_registry,
    promotion_proposals,
)
from dosvotos.errors import DosVotosError
from dosvotos.lineage import vote as voting
from dosvotos.lineage.vote import decide_verified
from dosvotos.live.production import check_dossier, open_production
from dosvotos.promotion.decision import Vote, decide
from dosvotos.promotion.dossier import Dossier
from tests.faults.databases import Databases
from tests.faults.edits import edited_at, leaves, other_values
from tests.faults.forging import at, change_rows, forge_dossier, rows_of, stored
from tests.faults.voting import APPROVE
from tests.lineage.test_vote import FORGERIES
from tests.promotion.test_audit_check import without_guards
from tests.proposal_fixtures import INSTRUMENT, NOTES, Desk
from tests.recomputable_proposals import DATES, propose_recomputable

REJECT = Vote("REJECT", "bob", NOTES)
COSTS = {
    "fill": "next_close", "initial_capital": 50_000.0, "financing": "none",
    "costs": {"spread_bps": 5.0, "slippage_bps": 1.0, "commission_bps": 0.0},
}  # fmt: skip


Goal = Literal["approve", "decide", "signal"]


class Scene(NamedTuple):
    """A model in production, and the proposal of another that waits for its second vote."""

    desk: Desk
    serving: int
    waiting: int


class Forgery(NamedTuple):
    """An attack, and what it is after."""

    name: str
    act: Callable[[Scene], int | None]
    """Carries it out; may give another proposal to approve."""
    goal: Goal
    """An approval as a person makes it; its last step alone, under the lock; or a signal of L5."""
    survives: Callable[[Desk], bool] = lambda desk: True
    """Whether what was forged is still there: an approval writes a model's figures itself."""


class ForgeryCount(NamedTuple):
    """How many forgeries were tried, and which got through or ended in another error than ours."""

    forgeries: int
    accepted: list[str]
    unclear: list[str]


def scene(databases: Databases) -> Scene:
    desk = databases.empty()
    serving = desk.propose_recomputable("first", 1)
    with chdir(desk.root):
        decide_verified(desk.engine, serving, APPROVE, datetime.now(UTC))
    return Scene(desk, serving, desk.propose_recomputable("demo", 2))


def forge(databases: Databases, base: Scene, forgeries: list[Forgery]) -> ForgeryCount:
    """Try each forgery in a copy of the scene."""
    accepted, unclear = [], []
    for forgery in forgeries:
        with databases.copied(base.desk) as desk:
            try:
                if succeeds(forgery, base._replace(desk=desk)):
                    accepted.append(f"{databases.kind}, {forgery.goal}: {forgery.name}")
            except Exception as error:
                unclear.append(f"{databases.kind}, {forgery.name}: {type(error).__name__}: {error}")
    return ForgeryCount(len(forgeries), accepted, unclear)


def succeeds(forgery: Forgery, base: Scene) -> bool:
    """Tell whether an approval or a signal results; one that the database refuses has failed."""
    try:
        target = forgery.act(base) or base.waiting
    except SQLAlchemyError:
        return False
    return reaches(forgery.goal, base.desk, target) and forgery.survives(base.desk)


def reaches(goal: str, desk: Desk, target: int) -> bool:
    """Try to approve a proposal, or to be served."""
    now = datetime.now(UTC)
    try:
        if goal == "signal":
            production = open_production(desk.engine, INSTRUMENT)
            if production is not None:
                check_dossier(desk.engine, production)
            return production is not None and production.silence is None
        (decide_verified if goal == "approve" else decide)(desk.engine, target, APPROVE, now)
    except DosVotosError:
        return False
    return True


# ---- records


def of_records(base: Scene, seed: int, n_leaves: int) -> Iterator[Forgery]:
    """Edits of the dossier's records, the new hash in the row, and all rows made to fit."""
    for name, path, value, _ in FORGERIES:
        for rows_too in (False, True):
            yield _record(f"{name} {path}", name, at(path, value), rows_too)
    dossier = Dossier.of(base.desk.proposal(base.waiting))
    rng = random.Random(seed)
    for name, content in sorted(dossier.files.items()):
        if name == "run.json":
            continue
        tree = json.loads(content)
        paths = [path for path in leaves(tree) if path and not _of_run(name, path)]
        for path in rng.sample(paths, min(n_leaves, len(paths))):
            yield _record(f"{name} {path}", name, lambda t, p=path: edited_at(t, p), True)
    notes = lambda tree: edited_at(tree, ("evidence", "notes", 0))  # noqa: E731
    yield _record("evidence.notes, which no record keeps", "promotion_proposal_demo.json", notes, True)
    yield _record("run.json created_at", "run.json", at("created_at", "2026-12-01T00:00:00Z"), False)


def _record(name: str, file: str, edit: Callable[[Any], Any], rows_too: bool) -> Forgery:
    what = f"{name}, rows {'too' if rows_too else 'as they are'}"
    return Forgery(what, lambda s: forge_dossier(s.desk, s.waiting, file, edit, rows_too), "approve")


_FACTS = {
    "training_record.json": ("training_duration_seconds", "torch_threads", "blas_threads", "mlflow_run_id",
                             "duration_seconds"),
    "promotion_proposal_demo.json": ("mlflow_run_id",),
}  # fmt: skip
"""Facts of the run, which nothing can compute again and which decide nothing."""


def _of_run(name: str, path: tuple[Any, ...]) -> bool:
    return path[-1] in _FACTS.get(name, ())


# ---- columns


def of_columns(base: Scene, goal: Goal, seed: int, n_values: int) -> Iterator[Forgery]:
    """Every column of every row that stands behind an approval or a signal, each with some other values."""
    rng = random.Random(seed)
    target = base.waiting if goal == "decide" else base.serving
    for table, where in rows_of(base.desk, target).items():
        row = stored(base.desk, table, where)
        reached: Any = "approve" if table is experiment_contracts and goal == "decide" else goal
        for column in table.columns:
            if column.name == "id":
                continue
            values = list(other_values(column, row[column.name]))
            for value in rng.sample(values, min(n_values, len(values))):
                yield _column(table, where, column.name, value, reached)


def _column(table: Table, where: dict[str, Any], name: str, value: Any, goal: Goal) -> Forgery:
    return Forgery(
        f"{table.name}.{name} = {str(value)[:60]}",
        lambda s: change_rows(s.desk, table, where, {name: value}),
        goal,
        lambda desk: bool(stored(desk, table, where)[name] == value),
    )


# ---- states


def of_states() -> Iterator[Forgery]:
    """Closed proposals opened again by SQL, and models that a person rejected under other names."""
    yield Forgery("rejected, set back", lambda s: _rejected(s, {}), "approve")
    yield Forgery("superseded, set back", lambda s: _superseded(s, {}), "approve")
    yield Forgery("superseded, set back, id raised", lambda s: _superseded(s, {"id": 99}), "approve")
    yield Forgery("expired, set back", lambda s: _expired(s, {}), "approve")
    now = datetime.now(UTC)
    yield Forgery("expired, set back and dated now", lambda s: _expired(s, {"created_at": now}), "approve")
    yield Forgery("approved, set back", lambda s: _open_again(s, s.serving, {}), "approve")
    yield Forgery("shadow, set back", _shadow, "approve")
    yield Forgery("vetoed, now REVIEW", _vetoed, "approve")
    yield Forgery("stage set by SQL", _promote_by_sql, "signal")
    yield Forgery("rejection cut out of the log", _cut_out, "approve")
    for rows in (1, 2):
        what = (
            f"rejected, {'its model' if rows == 1 else 'model and proposal'} another's by SQL, proposed again"
        )
        yield Forgery(what, lambda s, n=rows: _disowned(s, n), "approve")
    changes: dict[str, dict[str, Any]] = {
        "name": {"experiment": "renamed"},
        "version": {"version": "2.0.0"},
        "window": {
            "version": "2.0.0",
            "date_ranges": {**DATES, "test": {**DATES["test"], "end": "2025-07-18"}},
        },
        "costs": {"version": "2.0.0", "trading": COSTS},
        "trainer": {"version": "2.0.0", "trained_by": "ana"},
    }
    for what, change in changes.items():
        for opened in (False, True):
            yield Forgery(
                f"rejected, proposed again under another {what}{', opened by SQL' if opened else ''}",
                lambda s, c=change, o=opened: _again(s, c, o), "approve",
            )  # fmt: skip


def _open_again(s: Scene, proposal_id: int, changes: dict[str, Any]) -> int:
    s.desk.change(proposal_id, status="PENDING_APPROVAL", **changes)
    return int(changes.get("id", proposal_id))


def _rejected(s: Scene, changes: dict[str, Any]) -> int:
    decide(s.desk.engine, s.waiting, REJECT, datetime.now(UTC))
    return _open_again(s, s.waiting, changes)


def _superseded(s: Scene, changes: dict[str, Any]) -> int:
    s.desk.propose_recomputable("demo", 3)
    return _open_again(s, s.waiting, changes)


def _expired(s: Scene, changes: dict[str, Any]) -> int:
    old = datetime.now(UTC) - timedelta(days=31)
    expired = propose_recomputable(s.desk.engine, s.desk.root, "old", 5, old)
    decide(s.desk.engine, s.waiting, Vote("REQUEST_MORE_TESTS", "bob"), datetime.now(UTC))
    return _open_again(s, expired, changes)


def _shadow(s: Scene) -> int:
    decide_verified(
        s.desk.engine, s.waiting, APPROVE._replace(promote_to_production=False), datetime.now(UTC)
    )
    return _open_again(s, s.waiting, {})


def _vetoed(s: Scene) -> int:
    proposal_id = s.desk.propose("vetoed", 6, recommendation="REJECT", confidence=0.9)
    s.desk.change(proposal_id, recommendation="REVIEW", confidence=0.6)
    return proposal_id


def _promote_by_sql(s: Scene) -> None:
    model_id = s.desk.proposal(s.waiting).model_id
    m = model_registry
    with writing(s.desk.engine) as connection:
        connection.execute(update(m).where(m.c.stage == "production").values(stage="archived"))
        connection.execute(update(m).where(m.c.model_id == model_id).values(stage="production"))
        head = update(instruments).where(instruments.c.instrument == INSTRUMENT)
        connection.execute(head.values(production_model_id=model_id, epoch=2))
        connection.execute(
            update(promotion_proposals)
            .where(promotion_proposals.c.id == s.waiting)
            .values(status="APPROVED", reviewer="bob", reviewer_notes=NOTES, approved_at=datetime.now(UTC))
        )


def _cut_out(s: Scene) -> int:
    """Take a REJECT out of the log that later votes follow."""
    decide(s.desk.engine, s.waiting, REJECT, datetime.now(UTC))
    other = s.desk.propose_recomputable("other", 7)
    decide(s.desk.engine, other, Vote("REQUEST_MORE_TESTS", "bob"), datetime.now(UTC))
    t = approval_audit_log
    with writing(s.desk.engine) as connection:
        without_guards(connection)
        connection.execute(delete(t).where(t.c.action == "REJECT"))
    return _open_again(s, s.waiting, {"reviewer": None, "reviewer_notes": None})


def _again(s: Scene, change: dict[str, Any], opened: bool) -> int:
    decide(s.desk.engine, s.waiting, REJECT, datetime.now(UTC))
    proposal_id = s.desk.propose_recomputable(**{"experiment": "demo", "seed": 2, **change})
    return _open_again(s, proposal_id, {}) if opened else proposal_id


def _disowned(s: Scene, n_rows: int) -> int:
    """Say in the rows that what was rejected were other weights, and propose them under another name."""
    decide(s.desk.engine, s.waiting, REJECT, datetime.now(UTC))
    row, other = s.desk.proposal(s.waiting), {"model_hash": "0" * 64, "manifest_hash": "0" * 64}
    change_rows(s.desk, model_registry, {"model_id": row.model_id}, other)
    if n_rows > 1:
        s.desk.change(row.id, lineage={**row.lineage, **other})
    return s.desk.propose_recomputable("renamed", 2)


# ---- identity, and files between check and read


def of_identity() -> Iterator[Forgery]:
    """Two contracts with the same weights, one in the other's place; and changes made in mid-approval."""
    for table in ("model_registry", "promotion_proposals"):
        yield Forgery(f"another version's row in {table}", lambda s, t=table: _other_version(s, t), "approve")
    yield Forgery("another version's bundle", _other_bundle, "approve")
    yield Forgery("another version's dossier", _other_dossier, "approve")
    for name, change in BETWEEN.items():
        yield Forgery(f"after the check: {name}", lambda s, c=change: _between(s, c), "approve")


def _second_version(s: Scene) -> int:
    """The same weights under a raised version."""
    return s.desk.propose_recomputable("demo", 2, version="2.0.0")


def _other_version(s: Scene, table: str) -> int:
    first, second = s.desk.proposal(s.waiting), s.desk.proposal(_second_version(s))
    if table == "promotion_proposals":
        s.desk.change(second.id, model_id=first.model_id)
        return int(second.id)
    m = model_registry
    old = stored(s.desk, m, {"model_id": first.model_id})
    identity = {n: v for n, v in old.items() if n not in ("id", "model_id", "created_at")}
    change_rows(s.desk, m, {"model_id": second.model_id}, identity)
    return int(second.id)


def _other_bundle(s: Scene) -> int:
    first, second = s.desk.proposal(s.waiting), s.desk.proposal(_second_version(s))
    where = [
        Path(stored(s.desk, model_registry, {"model_id": r.model_id})["model_path"]) for r in (first, second)
    ]
    shutil.rmtree(where[1])
    shutil.copytree(where[0], where[1])
    return int(second.id)


def _other_dossier(s: Scene) -> int:
    first, second = s.desk.proposal(s.waiting), s.desk.proposal(_second_version(s))
    s.desk.change(second.id, report_folder=first.report_folder, dossier_hash=first.dossier_hash)
    return int(second.id)


def _between(s: Scene, change: Callable[[Scene], object]) -> None:
    """Change something when everything has been compared, and before the instrument is locked."""
    original = voting.verify_proposal

    def verify_then_change(*arguments: Any) -> Any:
        verified = original(*arguments)
        voting.verify_proposal = original
        change(s)
        return verified

    voting.verify_proposal = verify_then_change


def _swap_bytes(s: Scene, table: str, name: str) -> None:
    row = s.desk.proposal(s.waiting)
    folder = row.report_folder
    if table == "bundle":
        folder = stored(s.desk, model_registry, {"model_id": row.model_id})["model_path"]
    path = Path(folder) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


BETWEEN: dict[str, Callable[[Scene], object]] = {
    "a byte of the policy": lambda s: _swap_bytes(s, "bundle", "policy.safetensors"),
    "a byte of norm_stats": lambda s: _swap_bytes(s, "bundle", "norm_stats.json"),
    "a byte of a record": lambda s: _swap_bytes(s, "dossier", "training_record.json"),
    "a byte of the results": lambda s: _swap_bytes(s, "dossier", "backtest_results_demo.json"),
    "a forged dossier with its rows": lambda s: forge_dossier(
        s.desk, s.waiting, "backtest_results_demo.json", at("metrics.sharpe_ratio", 99.0), True
    ),
    "a forged trainer with its rows": lambda s: forge_dossier(
        s.desk, s.waiting, "training_record.json", at("trained_by", "mallory"), True
    ),
    "the model's stage": lambda s: change_rows(
        s.desk, model_registry, {"stage": "staging"}, {"stage": "archived"}
    ),
    "the epoch": lambda s: change_rows(s.desk, instruments, {"instrument": INSTRUMENT}, {"epoch": 7}),
}
"""What a forger changes in that moment."""


# ---- what serves


def of_serving() -> Iterator[Forgery]:
    """Files and rows of the production model changed after its approval."""
    yield Forgery("its policy's bytes", lambda s: _damage(s, "model_path", "policy.safetensors"), "signal")
    yield Forgery("its statistics", lambda s: _damage(s, "model_path", "norm_stats.json"), "signal")
    yield Forgery(
        "its dossier's bytes", lambda s: _damage(s, "report_folder", "training_record.json"), "signal"
    )
    yield Forgery("its vote's reviewer", lambda s: _edit_vote(s, reviewer="eve"), "signal")
    yield Forgery("its vote's epoch", lambda s: _edit_vote(s, epoch=5), "signal")
    for name, path, value, _ in FORGERIES:
        file = name.replace("demo", "first")
        yield Forgery(
            f"its dossier: {file} {path}",
            lambda s, f=file, p=path, v=value: forge_dossier(s.desk, s.serving, f, at(p, v), False),
            "signal",
        )


def _damage(s: Scene, column: str, name: str) -> None:
    row = s.desk.proposal(s.serving)
    model = stored(s.desk, model_registry, {"model_id": row.model_id})
    path = Path({**row._mapping, **model}[column]) / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")


def _edit_vote(s: Scene, **values: Any) -> None:
    change_rows(s.desk, approval_audit_log, {"id": 1}, values)
