"""``dosvotos prune``: lists what no proof needs any more, and removes it when told to."""

import shutil
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
from filelock import Timeout
from rich.markup import escape

from dosvotos.console import open_console, plain_table
from dosvotos.database.connection import database_url, open_existing, reading
from dosvotos.lineage.pruning import Piece, Plan, plan_files, read_needs, runs_of
from dosvotos.project import exclusive_lock


@click.command()
@click.option("--remove", is_flag=True, help="Remove what is listed; without it nothing is touched.")
def prune(remove: bool) -> None:
    """List files and MLflow runs that no proposal, contract, look, extra backtest or vote needs."""
    with ExitStack() as locks:
        plan = make_plan(Path.cwd(), datetime.now(UTC), locks)
        _print_removable(plan)
        _print_kept(plan)
        if not plan.removable:
            click.echo("nothing to remove")
        elif remove:
            remove_pieces(Path.cwd(), plan.removable)
            click.echo(f"removed: {_amount(plan.removable)}")
        else:
            click.echo(f"would remove {_amount(plan.removable)}; nothing was touched ('--remove' does it)")


def make_plan(root: Path, now: datetime, locks: ExitStack) -> Plan:
    """Find what would go, holding every run's lock until `locks` is closed; a run at work stays whole."""
    from dosvotos.mlflow_runs import plan_runs

    busy = [run for run in runs_of(root) if not _taken(root, run, locks)]
    with reading(open_existing(database_url())) as connection:
        needs = read_needs(connection, root, now, busy)
    files, runs = plan_files(needs), plan_runs(needs)
    return Plan((*files.removable, *runs.removable), (*files.kept, *runs.kept))


def remove_pieces(root: Path, pieces: Iterable[Piece]) -> None:
    """Remove files and folders, then MLflow's runs."""
    from dosvotos.mlflow_runs import remove_runs

    runs = []
    for piece in pieces:
        path = root / piece.path
        if piece.kind == "MLflow run":
            runs.append(piece.path.name)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    remove_runs(root, runs)


def _taken(root: Path, run: str, locks: ExitStack) -> bool:
    try:
        locks.enter_context(exclusive_lock(run, root))
    except Timeout:
        return False
    return True


def _print_removable(plan: Plan) -> None:
    if not plan.removable:
        return
    table = plain_table("would go", "MB", "what", "since")
    for piece in plan.removable:
        table.add_row(*map(escape, (piece.kind, _megabytes([piece]), str(piece.path), piece.why)))
    open_console().print(table)


def _print_kept(plan: Plan) -> None:
    """Print one line a kind and reason."""
    groups: dict[tuple[str, str], list[Piece]] = defaultdict(list)
    for piece in plan.kept:
        groups[piece.kind, piece.why].append(piece)
    if not groups:
        return
    table = plain_table("stays", "MB", "how many", "since")
    for (kind, why), pieces in sorted(groups.items()):
        table.add_row(*map(escape, (kind, _megabytes(pieces), str(len(pieces)), why)))
    open_console().print(table)


def _amount(pieces: Iterable[Piece]) -> str:
    found = list(pieces)
    return f"{len(found)} thing(s), {_megabytes(found)} MB"


def _megabytes(pieces: Iterable[Piece]) -> str:
    return f"{sum(piece.size for piece in pieces) / 1e6:.1f}"
