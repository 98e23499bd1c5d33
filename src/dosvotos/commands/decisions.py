"""The commands that decide: vote, reopen, halt, resume, rollback, reviewer, policy set, home."""

import sys
from pathlib import Path
from typing import Any, Final, Literal, get_args

import click

from dosvotos.audit.people import Role
from dosvotos.audit.tokens import DEFAULT_DAYS, MAX_DAYS
from dosvotos.commands import people as terminal
from dosvotos.commands.errors import EXIT_ERROR
from dosvotos.commands.paths import TypedPath
from dosvotos.commands.people import Keys, wall_clock
from dosvotos.database.connection import database_url, open_existing, reading
from dosvotos.promotion.live_acts import HALT_FILE

DECISIONS: Final = {"approve": "APPROVE", "reject": "REJECT", "more-tests": "REQUEST_MORE_TESTS"}
_REASON = click.option("--reason", required=True, help="Why, in at least 20 characters.")
_INSTRUMENT = click.option("--instrument", help="Which one, where several have a production model.")


def signed(command: Any) -> Any:
    """Give a command the option of the key it signs with."""
    option = click.option(
        "--sign-key",
        type=TypedPath(),
        help=f"Your SSH key, private or in the agent (.pub); {terminal.KEY_VARIABLE} or ~/.ssh by default.",
    )
    return option(command)


def seconded(command: Any) -> Any:
    """Give a command the options of a second person's signature."""
    for option in (
        click.option("--second-key", type=TypedPath(), help="Their SSH key."),
        click.option("--second", metavar="NAME", help="Another admin or reviewer who signs too."),
    ):
        command = option(command)
    return signed(command)


@click.command()
@click.argument("proposal_id", type=click.IntRange(min=1), metavar="PROPOSAL")
@click.argument("decision", type=click.Choice(list(DECISIONS)))
@click.option("--reason", default="", help="Why: at least 20 characters, but for more-tests.")
@click.option("--shadow", is_flag=True, help="Approve to run beside production; its signals go nowhere.")
@click.option(
    "--lapses-drawdown",
    type=click.FloatRange(0, 1, min_open=True),
    help="Drawdown at which the approval lapses, as 0.10.",
)
@click.option("--lapses-days", type=click.IntRange(min=1), help="Age at which the approval lapses.")
@click.option(
    "--lapses-claim-level",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    help="False rate of the bounds on live returns, as 0.10: a larger one finds a worse model sooner.",
)
@signed
def vote(
    proposal_id: int,
    decision: str,
    reason: str,
    shadow: bool,
    lapses_drawdown: float | None,
    lapses_days: int | None,
    lapses_claim_level: float | None,
    sign_key: Path | None,
) -> None:
    """Give the second vote on a proposal, signed with your own key."""
    from dosvotos.commands.voting import describe, vote_on_terminal
    from dosvotos.promotion.tripwires import StatedTripwires

    stated = StatedTripwires(
        max_drawdown=lapses_drawdown, max_age_days=lapses_days, claim_level=lapses_claim_level
    )
    result = vote_on_terminal(
        open_existing(database_url()),
        proposal_id,
        DECISIONS[decision],
        reason,
        not shadow,
        stated,
        Keys(sign_key),
    )
    click.echo(describe(proposal_id, result))


@click.command()
@click.argument("proposal_id", type=click.IntRange(min=1), metavar="PROPOSAL")
@_REASON
@signed
def reopen(proposal_id: int, reason: str, sign_key: Path | None) -> None:
    """Open a proposal again whose model a person has rejected; another reviewer's act."""
    from dosvotos.promotion.reopening import Reopen
    from dosvotos.users import current_user

    act = Reopen(proposal_id, current_user(), reason)
    terminal.decide_on_terminal(open_existing(database_url()), act, Keys(sign_key), wall_clock)
    click.echo(f"proposal {proposal_id} waits for its second vote again, for 30 days")


@click.command()
@click.argument("reason")
@_INSTRUMENT
@signed
def halt(reason: str, instrument: str | None, sign_key: Path | None) -> None:
    """Stop the signals of every instrument, or of one; a file does it where the database is down."""
    names = _switch("HALT", reason, instrument, sign_key)
    if names:
        click.echo(f"halted: {', '.join(names)}; 'dosvotos resume REASON' ends it")
    else:
        click.echo(
            f"the database cannot be reached: {HALT_FILE} stops the signals of whoever runs in this "
            "project; it is in no log. Halt again when the database is back",
            err=True,
        )


@click.command()
@click.argument("reason")
@_INSTRUMENT
@signed
def resume(reason: str, instrument: str | None, sign_key: Path | None) -> None:
    """Let halted signals go on; an admin's act."""
    click.echo(f"signals go on: {', '.join(_switch('RESUME', reason, instrument, sign_key))}")


@click.command()
@click.argument("reason")
@_INSTRUMENT
@signed
def rollback(reason: str, instrument: str | None, sign_key: Path | None) -> None:
    """Go back to the production model before this one, if a valid vote covers it."""
    from dosvotos.promotion.live_acts import Rollback

    engine = open_existing(database_url())
    act = Rollback(terminal.one_instrument(engine, instrument), reason)
    row = terminal.decide_on_terminal(engine, act, Keys(sign_key), wall_clock).row
    click.echo(
        f"{act.instrument}: {row.model_id} is production again, {row.previous_production_model} archived"
    )


@click.group()
def reviewer() -> None:
    """The people who may decide, and their keys."""


@reviewer.command("add")
@click.argument("name")
@click.option("--key", "key_file", type=TypedPath(), help="Their SSH public key's file (.pub).")
@click.option("--enrolled", is_flag=True, help="With the passkey they made by your invitation.")
@click.option("--role", type=click.Choice(get_args(Role)), help="An enrolled one has the invitation's.")
@click.option("--first", is_flag=True, help="The first admin of a log without people.")
@click.option("--reason", help="Why; 'NAME joins as ROLE, with key ...' by default.")
@seconded
def reviewer_add(
    name: str,
    key_file: Path | None,
    enrolled: bool,
    role: Role | None,
    first: bool,
    reason: str | None,
    **signers: Any,
) -> None:
    """Add a person with a role and a key: an admin's act."""
    from dosvotos.database.connection import open_database
    from dosvotos.promotion.house_acts import AddReviewer, joining_reason

    engine = open_database(database_url())
    added = terminal.enrolled_person(engine, name, role) if enrolled else None
    if added is None:
        if key_file is None or role is None:
            raise click.UsageError("--key and --role, or --enrolled")
        added = terminal.person_with_key(name, role, key_file, first)
    elif key_file is not None or first:
        raise click.UsageError("--enrolled goes with neither --key nor --first")
    act = AddReviewer(reason or joining_reason(added), added)
    own = signers.pop("sign_key") or (key_file if first else None)
    keys = Keys(own, **signers)
    add = terminal.add_first_on_terminal if first else terminal.decide_on_terminal
    add(engine, act, keys, wall_clock)
    click.echo(f"{name} is {added.role}; their key is {added.voter_key.fingerprint}")


@reviewer.command("invite")
@click.argument("name")
@click.option("--role", type=click.Choice(get_args(Role)), required=True)
def reviewer_invite(name: str, role: Role) -> None:
    """Let a person make a passkey; it counts once you have signed for it with 'reviewer add --enrolled'."""
    from dosvotos.audit.enrolment import invite
    from dosvotos.users import current_user

    link = invite(open_existing(database_url()), name, role, current_user(), wall_clock())
    click.echo(
        f"{link}\nFor {name} alone, once, within 24 hours; it is not shown again. Then compare the "
        f"fingerprint they read to you, and sign: dosvotos reviewer add {name} --enrolled"
    )


@reviewer.command("revoke")
@click.argument("name")
@_REASON
@seconded
def reviewer_revoke(
    name: str, reason: str, second: str | None, second_key: Path | None, sign_key: Path | None
) -> None:
    """Let a person's signatures count no more from now on: an admin's act."""
    from dosvotos.promotion.house_acts import RevokeReviewer

    keys = Keys(sign_key, second, second_key)
    terminal.decide_on_terminal(open_existing(database_url()), RevokeReviewer(reason, name), keys, wall_clock)
    click.echo(f"{name} decides nothing from now on; earlier votes stand")


@reviewer.command("list")
def reviewer_list() -> None:
    """List who may decide what, who could once, and whose passkeys wait."""
    from dosvotos.audit.checkpoints import open_home
    from dosvotos.audit.enrolment import waiting_enrolments
    from dosvotos.audit.signatures import read_trust

    with reading(open_existing(database_url())) as connection:
        trust = read_trust(connection, open_home(connection))
        terminal.print_people(trust)
        terminal.print_waiting(waiting_enrolments(connection, trust))


@reviewer.command("token")
@click.argument("name")
@click.option("--role", type=click.Choice(get_args(Role)), help="At most the person's own, the default.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), default=DEFAULT_DAYS, show_default=True)
def reviewer_token(name: str, role: Role | None, days: int) -> None:
    """Make a token with which a program works for a person: theirs to make, or an admin's."""
    from dosvotos.audit.tokens import make_token
    from dosvotos.users import current_user

    token = make_token(open_existing(database_url()), name, role, days, current_user(), wall_clock())
    click.echo(token)
    click.echo(
        f"shown this once; it counts for {days} days and never signs a vote. Send it as 'Authorization: "
        "Bearer ...'",
        err=True,
    )


@reviewer.command("tokens")
def reviewer_tokens() -> None:
    """List every token ever made: whose, by whom, until when."""
    from dosvotos.database.tokens import list_tokens

    with reading(open_existing(database_url())) as connection:
        terminal.print_tokens(list_tokens(connection))


@reviewer.command("token-revoke")
@click.argument("token_id", metavar="ID")
def reviewer_token_revoke(token_id: str) -> None:
    """Let a token count no more from now on: its person's act, or an admin's."""
    from dosvotos.audit.tokens import revoke_token
    from dosvotos.users import current_user

    revoke_token(open_existing(database_url()), token_id, current_user(), wall_clock())
    click.echo(f"token {token_id} opens nothing from now on")


@click.command("set")
@click.argument("file", type=TypedPath())
@_REASON
@seconded
def policy_set(
    file: Path, reason: str, second: str | None, second_key: Path | None, sign_key: Path | None
) -> None:
    """Set the house's policy from a file that 'policy show --yaml' wrote and you changed: an admin's act."""
    from dosvotos.commands.policy import read_policy
    from dosvotos.promotion.house_acts import SetPolicy

    keys = Keys(sign_key, second, second_key)
    act = SetPolicy(reason, read_policy(file))
    row = terminal.decide_on_terminal(open_existing(database_url()), act, keys, wall_clock).row
    click.echo(f"policy version {row.subject['version']} counts from now on; open proposals need L4 again")


@click.group()
def home() -> None:
    """The folder in which trust stands (DOSVOTOS_HOME)."""


@home.command("export")
@click.argument("file", type=TypedPath())
def home_export(file: Path) -> None:
    """Write the home into a file, which holds the server's private key."""
    from dosvotos.commands.homes import export_home

    folder = export_home(open_existing(database_url()), file)
    click.echo(f"{folder} is in {file}; whoever has it can write checkpoints: keep it as a key")


@home.command("import")
@click.argument("file", type=TypedPath())
def home_import(file: Path) -> None:
    """Put a home in place that 'home export' wrote."""
    from dosvotos.commands.homes import place_home

    click.echo(f"the home is {place_home(file)}")


@click.command()
@click.option(
    "--from", "backup", type=TypedPath(existing_file=True), required=True, help="The backup's file."
)
@_REASON
@seconded
def restore(
    backup: Path, reason: str, second: str | None, second_key: Path | None, sign_key: Path | None
) -> None:
    """Put a backup in the place of a database that was lost, and sign for what is missing: an admin's act.

    A PostgreSQL database is put back by PostgreSQL's own tools before.
    """
    from dosvotos.commands.restore import restore as put_back

    done = put_back(database_url(), backup, reason, Keys(sign_key, second, second_key), wall_clock)
    for line in done.lines:
        click.echo(line)


@click.command("export-vote")
@click.argument("row", type=click.IntRange(min=1), metavar="ROW")
@click.option("--out", type=TypedPath(), help="A new folder; vote_ROW here by default.")
@click.pass_context
def export_vote(context: click.Context, row: int, out: Path | None) -> None:
    """Write a decision of the log as a folder that a stranger verifies without Dos Votos."""
    from dosvotos.commands.homes import write_vote

    folder = out or (context.find_object(Path) or Path()) / f"vote_{row}"
    write_vote(open_existing(database_url()), row, folder)
    click.echo(f"see {folder / 'README.md'}: three commands verify it")


@click.command()
@click.argument("model_id")
@click.option(
    "--out", type=TypedPath(), help="An empty folder to keep the model in; by default none is kept."
)
@click.option(
    "--stored-source",
    is_flag=True,
    help="Let the stored source of an own strategy run, though the project's is another by now.",
)
def reproduce(model_id: str, out: Path | None, stored_source: bool) -> None:
    """Make a model again from its stored contract; print which hashes match, exit code 1 if one does not."""
    from dosvotos.commands.reproduce import print_reproduction

    if not print_reproduction(open_existing(database_url()), model_id, out, stored_source):
        sys.exit(EXIT_ERROR)


@click.group()
def drill() -> None:
    """What is tried before it is needed, in a temporary copy."""


@drill.command("restore")
@seconded
def drill_restore(second: str | None, second_key: Path | None, sign_key: Path | None) -> None:
    """Back up, lose and restore a copy of the database, with the keys that the real act would take."""
    from dosvotos.commands import drill as drills

    record, file = drills.drill_restore(database_url(), Keys(sign_key, second, second_key), wall_clock)
    click.echo(
        f"a copy of {record.rows_before} decision(s) was backed up by {record.backed_up_by} in "
        f"{record.backup_seconds:.1f} s, lost and restored in {record.restore_seconds:.1f} s; the record is "
        f"{file}"
    )
    for line in record.findings_after:
        click.echo(line, err=True)
    if record.findings_after:
        sys.exit(EXIT_ERROR)


@drill.command("halt")
@_INSTRUMENT
@signed
def drill_halt(instrument: str | None, sign_key: Path | None) -> None:
    """Halt a loop on a copy of the database, and time how long it takes to be flat."""
    _drill_live("HALT", instrument, sign_key)


@drill.command("rollback")
@_INSTRUMENT
@signed
def drill_rollback(instrument: str | None, sign_key: Path | None) -> None:
    """Roll a loop back on a copy of the database, and time how long the older model takes to serve."""
    _drill_live("ROLLBACK", instrument, sign_key)


def _drill_live(action: Literal["HALT", "ROLLBACK"], instrument: str | None, sign_key: Path | None) -> None:
    from dosvotos.commands import drill as drills

    record, file = drills.drill_live(database_url(), action, instrument, Keys(sign_key), wall_clock)
    done = "flat" if action == "HALT" else f"served by {record.model_after}"
    click.echo(
        f"{record.instrument}: {done} {record.bars_to_effect} bar(s) after the decision, which took "
        f"{record.decision_seconds:.2f} s; from a bar's close to its row {record.tick_seconds:.2f} s; the "
        f"record is {file}"
    )
    if record.stray_rows:
        click.echo(f"{record.stray_rows} row(s) signalled after the decision; none may", err=True)
        sys.exit(EXIT_ERROR)


def _switch(
    action: Literal["HALT", "RESUME"], reason: str, instrument: str | None, sign_key: Path | None
) -> list[str]:
    return terminal.switch_signals(
        lambda: open_existing(database_url()), action, reason, instrument, Keys(sign_key), wall_clock
    )
