"""``dosvotos``: what is not a pipeline run."""

import gc
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, get_args

import click

from dosvotos import process_settings  # noqa: F401  before anything large
from dosvotos.audit.log import count_rows, read_audit_log
from dosvotos.commands.errors import EXIT_ERROR, exit_code, install_excepthook, message_of, show
from dosvotos.commands.lazy import LazyGroup
from dosvotos.commands.paths import TypedPath
from dosvotos.database.connection import (
    connect,
    database_url,
    has_database,
    open_database,
    open_existing,
    reading,
    schema_versions,
    upgrade,
)
from dosvotos.files import write_file
from dosvotos.formats import Language
from dosvotos.project import enter_root
from dosvotos.promotion.audit_check import (
    PROVES,
    PROVES_COPY,
    PROVES_FULL,
    PROVES_NOT,
    PROVES_NOT_QUICK,
    verify_audit,
)
from dosvotos.promotion.production_warnings import production_warnings
from dosvotos.redaction import hide_secrets_in_logs

REPORTS: Final = Path("data/08_reporting")
_PROBES: Final = 200
_ELSEWHERE: Final = {
    **{
        name: f"decisions:{name.replace('-', '_')}"
        for name in (
            "vote", "reopen", "halt", "resume", "rollback", "reviewer", "home", "restore", "drill",
            "export-vote", "reproduce",
        )
    },
    **{name: f"{name}:{name}" for name in ("models", "notify", "proposals", "prune")},
    **{name: f"programs:{name}" for name in ("app", "run")},
}  # fmt: skip
"""Commands that other modules define."""


@click.group(cls=LazyGroup, elsewhere=_ELSEWHERE)
@click.version_option(package_name="dosvotos")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Dos Votos: no model trades until two votes agree. Pipelines run with 'run', as with 'kedro run'."""
    ctx.obj = Path.cwd()
    if "--help" not in sys.argv:
        enter_root()
        for line in production_warnings(database_url()):
            click.echo(f"warning: {line}", err=True)


@cli.group()
def db() -> None:
    """The database (DOSVOTOS_DATABASE_URL)."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema to this version."""
    engine = connect(database_url())
    before, wanted = schema_versions(engine)
    if before == wanted:
        click.echo(f"schema is at {wanted} already")
        return
    upgrade(engine)
    click.echo(f"schema upgraded from {before or 'empty'} to {wanted}")


@cli.group()
def data() -> None:
    """What was delivered, and the way back from a wrong delivery."""


@data.command("list")
def data_list() -> None:
    """List the deliveries: what came when and from where, and what became of it."""
    from dosvotos.commands.data import print_deliveries

    print_deliveries(open_existing(database_url()))


@data.command("retract")
@click.argument("delivery_id", type=click.IntRange(min=0), metavar="ID")
@click.option("--reason", required=True, help="What is wrong with it, in at least 20 characters.")
def data_retract(delivery_id: int, reason: str) -> None:
    """Withdraw a delivery's rows from now on; what was known before stays as it was."""
    from dosvotos.commands.data import retract_delivery

    now = datetime.now(UTC)
    for line in retract_delivery(open_existing(database_url()), delivery_id, reason, now):
        click.echo(line)


@cli.group()
def audit() -> None:
    """The log of second votes."""


@audit.command("list")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, all columns.")
def audit_list(as_csv: bool) -> None:
    """List who decided what, when and why."""
    from dosvotos.commands.audit import print_decisions

    with reading(open_existing(database_url())) as connection:
        print_decisions(read_audit_log(connection), as_csv)


@audit.command("verify")
@click.option("--full", is_flag=True, help="Verify every signature too: a millisecond each.")
@click.option(
    "--against",
    type=TypedPath(existing_file=True),
    help="A copy kept elsewhere: of checkpoints, or of 'audit list --csv'.",
)
def audit_verify(full: bool, against: Path | None) -> None:
    """Compare the log with itself, its checkpoints and all that must follow; exit code 1 if they differ."""
    from dosvotos.audit.copies import compare_copy, read_copy

    gc.disable()  # or it walks the rows of a long log again and again, which takes a fifth of the time
    copy = read_copy(against) if against else None
    with reading(open_existing(database_url())) as connection:
        n_rows, problems = count_rows(connection), [*map(str, verify_audit(connection, full))]
        problems += compare_copy(connection, copy) if copy is not None else []
    for line in problems:
        click.echo(line, err=True)
    if problems:
        click.echo(f"audit log and database disagree: {len(problems)} finding(s)", err=True)
        sys.exit(EXIT_ERROR)
    click.echo(f"audit log is whole: {n_rows} row(s). Checked:")
    for line in (*PROVES, *((PROVES_FULL,) if full else ()), *((PROVES_COPY,) if against else ())):
        click.echo(f"  - {line}")
    click.echo("It does not prove:")
    for line in (*(() if full else (PROVES_NOT_QUICK,)), *PROVES_NOT):
        click.echo(f"  - {line}")


@cli.group(cls=LazyGroup, elsewhere={"set": "decisions:policy_set"})
def policy() -> None:
    """The house's policy: what may be promoted."""


@policy.command("show")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print it as the file it is set from.")
def policy_show(as_yaml: bool) -> None:
    """Show the policy that counts."""
    from dosvotos.commands.policy import print_policy
    from dosvotos.promotion.gate_policy import packaged_in_force, policy_in_force

    if not has_database(database_url()):
        print_policy(packaged_in_force(), as_yaml)
        return
    with reading(open_existing(database_url())) as connection:
        print_policy(policy_in_force(connection), as_yaml)


@cli.command()
@click.option(
    "--data",
    type=TypedPath(),
    help="Folder of usdcop_5m and macro_* files; without it the published statistics are the real market.",
)
@click.option("--out", type=TypedPath(), default=REPORTS / "likeness.html", show_default=True)
@click.option("--env", default="demo", show_default=True, help="Experiment whose sample market is shown.")
@click.option(
    "--edge", type=float, default=0.0, show_default=True, help="Planted in the market that is shown."
)
def likeness(data: Path | None, out: Path, env: str, edge: float) -> None:
    """Show the sample market beside the real one, on one HTML page."""
    from dosvotos.commands.likeness import experiment_parameters, write_likeness

    parameters = experiment_parameters(env)
    inside, compared = write_likeness(parameters, data, out, edge)
    click.echo(f"{inside} of {compared} figures lie within their tolerance; see {out}")


@cli.command()
@click.option("--env", default="demo", show_default=True, help="Experiment whose stored data are used.")
@click.option(
    "--features",
    metavar="MODULE:FUNCTION",
    help="Own features: a function of (bars, macro) that returns a row a bar; without it L2's own.",
)
@click.option("--probes", type=click.IntRange(min=1), default=_PROBES, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--html", type=TypedPath(), help="Write the report as a page.")
@click.option("--json", "json_file", type=TypedPath(), help="Write the report as JSON.")
def leakcheck(
    env: str, features: str | None, probes: int, seed: int, html: Path | None, json_file: Path | None
) -> None:
    """Show that no feature sees the future, on your data; exit code 1 if one does."""
    from dosvotos.commands.leakcheck import print_report, run_leakcheck
    from dosvotos.reports.leakcheck import render_leakcheck

    sys.path.insert(0, str(click.get_current_context().find_object(Path)))  # own features lie where one is
    report = run_leakcheck(env, features, probes, seed)
    if html is not None:
        write_file(html, render_leakcheck(report).encode())
    if json_file is not None:
        write_file(json_file, report.model_dump_json(indent=2).encode())
    print_report(report)
    if not report.clean:
        sys.exit(EXIT_ERROR)


@cli.command()
@click.option("--env", default="demo", show_default=True, help="Experiment whose instrument is served.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How fast the sample market's clock runs; real markets have their own.",
)
@click.option("--replay", "first", type=click.DateTime(["%Y-%m-%d"]), metavar="FROM", help="Over history.")
@click.option(
    "--to", "last", type=click.DateTime(["%Y-%m-%d"]), metavar="TO", help="Last session of --replay."
)
@click.option("--out", type=TypedPath(), help="Parquet file that --replay writes.")
@click.option(
    "--report",
    "sessions",
    type=click.IntRange(min=1, max=1000),
    is_flag=False,
    flag_value=10,
    metavar="[SESSIONS]",
    help="Print signals over scheduled bars of the last sessions (10), and run no loop.",
)
@click.option(
    "--metrics", type=click.IntRange(1, 65535), metavar="PORT", help="Answer Prometheus on 127.0.0.1:PORT."
)
@click.option("--log-json", is_flag=True, help="Log into data/logs/live_EXP.jsonl too, rotated.")
def live(
    env: str,
    speed: float,
    first: datetime | None,
    last: datetime | None,
    out: Path | None,
    sessions: int | None,
    metrics: int | None,
    log_json: bool,
) -> None:
    """Give a signal at each bar's close, from the approved model, until it is stopped."""
    if (first is None) != (last is None):
        raise click.UsageError("--replay FROM and --to TO go together")
    if sessions is not None:
        from dosvotos.commands.service import report_service

        report_service(open_existing(database_url()), env, sessions, datetime.now(UTC))
        return
    from dosvotos.commands import live as command

    if first is not None and last is not None:
        click.echo(command.replay_history(env, first.date(), last.date(), out))
        return
    command.serve(env, speed, command.Watching(metrics, log_json))


@cli.command()
@click.argument("first", type=click.DateTime(["%Y-%m-%d"]), metavar="FROM")
@click.argument("last", type=click.DateTime(["%Y-%m-%d"]), metavar="[TO]", required=False)
@click.option("--env", default="demo", show_default=True, help="Experiment whose instrument was served.")
def parity(first: datetime, last: datetime | None, env: str) -> None:
    """Compute again what was served, from what was known then; exit code 1 if a bit differs."""
    from dosvotos.commands import live as command

    report = command.check_history(env, first.date(), (last or first).date())
    for difference in report.differences:
        click.echo(str(difference), err=True)
    click.echo(f"{report.rows:,} rows with features, {len(report.differences)} difference(s)")
    if report.differences:
        sys.exit(EXIT_ERROR)


@cli.group()
def fills() -> None:
    """What a desk traded, beside what the model assumed."""


@fills.command("import")
@click.argument("file", type=TypedPath())
@click.option("--env", default="demo", show_default=True, help="Experiment whose instrument was traded.")
@click.option("--timezone", help="IANA zone of times that carry none, such as America/Bogota.")
def fills_import(file: Path, env: str, timezone: str | None) -> None:
    """Store the fills of a CSV or parquet FILE (time, side, quantity, price); changes no signal."""
    from dosvotos.commands.fills import import_fills

    for line in import_fills(open_existing(database_url()), file, env, timezone, datetime.now(UTC)):
        click.echo(line)


@cli.command()
@click.argument("experiments", nargs=-1, metavar="EXP_A EXP_B ...")
@click.option("--intersect", is_flag=True, help="Compare only the sessions whose bars are the same in all.")
@click.option("--out", type=TypedPath(), default=REPORTS, show_default=True, help="Folder.")
def compare(experiments: tuple[str, ...], intersect: bool, out: Path) -> None:
    """Set experiments beside each other over their latest proposals."""
    if len(experiments) < 2 or len(set(experiments)) < len(experiments):
        raise click.UsageError("name at least two experiments, each once")
    from dosvotos.commands.compare import print_comparison, write_comparison

    now = datetime.now(UTC)
    written = write_comparison(open_existing(database_url()), experiments, out, intersect, now)
    print_comparison(written)
    click.echo(f"see {written.page} and {written.data.name}")


@cli.command()
@click.option("--watch", is_flag=True, help="Stay, and work off requests as they come; the app does so.")
@click.option("--parent", type=int, hidden=True, help="The process this worker ends with.")
def jobs(watch: bool, parent: int | None) -> None:
    """Run the extra backtests that people asked for in the app or by its API."""
    from dosvotos.commands import jobs as worker

    engine = open_database(database_url())
    if watch:
        worker.watch(engine, click.echo, os.getppid() if parent is None else parent)
        return
    click.echo(f"{worker.run_queued(engine, click.echo)} extra backtest(s) run")


@cli.command()
@click.argument("signal_id")
@click.option("--instrument", help="Needed where several instruments have a signal of that id.")
@click.option("--recompute", is_flag=True, help="Compute features, dataset, backtest and first vote again.")
def verify(signal_id: str, instrument: str | None, recompute: bool) -> None:
    """Walk a signal back to its data and both votes; exit code 1 if a link does not hold."""
    from dosvotos.commands.verify import print_chain
    from dosvotos.live.verify import verify_signal

    chain = verify_signal(open_existing(database_url()), signal_id, instrument, recompute)
    print_chain(signal_id, chain)
    if chain.broken:
        sys.exit(EXIT_ERROR)


@cli.command()
@click.argument("proposal_id", type=int)
@click.option("--language", type=click.Choice(get_args(Language)), default="en", show_default=True)
def pack(proposal_id: int, language: Language) -> None:
    """Write a proposal's validation pack again, with the votes and extra backtests it has by now."""
    from dosvotos.reports.validation_pack import write_pack

    click.echo(f"see {write_pack(open_existing(database_url()), proposal_id, language)}")


def main() -> None:
    """Run the command line; mistakes become one message and exit code 1."""
    hide_secrets_in_logs()
    install_excepthook()
    try:
        cli()
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        show(message)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
