"""``dosvotos reviewer``, ``vote``, ``reopen``, ``halt``, ``resume``, ``rollback``: signed on the terminal."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import click
from rich.markup import escape
from sqlalchemy import Engine, Row, select

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.enrolment import Enrolment, read_enrolment
from dosvotos.audit.people import AddedPerson, Person, Role, Trust, has_people
from dosvotos.audit.signatures import read_trust
from dosvotos.console import open_console, plain_table
from dosvotos.database.connection import reading
from dosvotos.database.registry import list_models
from dosvotos.database.tables import HOUSE, instruments
from dosvotos.errors import DatabaseError, DecisionError, SignatureError
from dosvotos.files import write_file
from dosvotos.promotion.house_acts import AddReviewer, pin_first
from dosvotos.promotion.live_acts import HALT_FILE, SwitchSignals
from dosvotos.promotion.transaction import Act, Outcome, SecondSignature, Signed, carry_out, text_to_sign
from dosvotos.promotion.vote_rules import check_reason
from dosvotos.signing.keys import PublicKey
from dosvotos.signing.passkeys import Passkey
from dosvotos.signing.signers import Signer, open_signer, read_public_key
from dosvotos.signing.sshsig import VOTE_NAMESPACE
from dosvotos.users import current_user

KEY_VARIABLE: Final = "DOSVOTOS_SIGNING_KEY"
_DEFAULT_KEYS: Final = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")


class Keys:
    """The keys a command was given: the signer's own, and a second person's where one is not enough."""

    def __init__(self, key: Path | None, second: str | None = None, second_key: Path | None = None) -> None:
        if (second is None) != (second_key is None):
            raise click.UsageError("--second and --second-key go together")
        self._key, self._second, self._second_key = key, second, second_key

    def sign(self, text: DecisionText, needed: PublicKey | None = None) -> Signed:
        """Sign a decision's text; the file looked for is the one of the key that counts."""
        message = text.to_bytes()
        signature = self._own(needed).sign(message, VOTE_NAMESPACE)
        second = None
        if self._second is not None and self._second_key is not None:
            other = open_signer(self._second_key, _passphrase(self._second_key))
            second = SecondSignature(self._second, other.sign(message, VOTE_NAMESPACE))
        return Signed(str(text), signature, second)

    def _own(self, needed: PublicKey | None) -> Signer:
        files = [self._key] if self._key else _own_keys()
        for file in files:
            if self._key or needed is None or _holds(file, needed):
                return open_signer(file, _passphrase(file))
        raise SignatureError(
            f"key: none of yours is {needed.fingerprint if needed else 'there'}; name its file with "
            f"--sign-key or {KEY_VARIABLE}"
        )


def decide_on_terminal(engine: Engine, act: Act, keys: Keys, now: Callable[[], datetime]) -> Outcome:
    """Carry out a decision of whoever works here, signed with their own key where the log has people."""
    by = current_user()
    trust = trust_in_people(engine)
    if trust is None or not act.needs_signature:
        return carry_out(engine, act, by, now())
    text = text_to_sign(engine, act, by, now())
    click.echo(f"\n{text}", err=True)
    return carry_out(engine, act, by, now(), keys.sign(text, act.signatory(trust, by).ssh_key))


def trust_in_people(engine: Engine) -> Trust | None:
    """Read who may sign what; None where the log has no people, so that the local key signs."""
    with reading(engine) as connection:
        return read_trust(connection, open_home(connection)) if has_people(connection) else None


def add_first_on_terminal(
    engine: Engine, act: AddReviewer, keys: Keys, now: Callable[[], datetime]
) -> Outcome:
    """Make the log's first admin, signed by themselves, or by single-user mode's key where it was used."""
    home = pin_first(engine, act.added)
    if home.local_key is not None:
        outcome = carry_out(engine, act, current_user(), now())
        home.drop_local()
        return outcome
    text = text_to_sign(engine, act, act.added.name, now())
    click.echo(f"\n{text}", err=True)
    return carry_out(engine, act, act.added.name, now(), keys.sign(text, home.admin_key))


def switch_signals(
    engine_of: Callable[[], Engine],
    action: Literal["HALT", "RESUME"],
    reason: str,
    instrument: str | None,
    keys: Keys,
    now: Callable[[], datetime],
) -> list[str]:
    """Halt or resume signals; gives the instruments, or none where a HALT file had to do."""
    check_reason(action, reason)
    try:
        engine = engine_of()
        names = instruments_meant(engine, instrument)
        for name in names:
            decide_on_terminal(engine, SwitchSignals(action, name, reason), keys, now)
    except DatabaseError:
        if action != "HALT":
            raise
        write_file(HALT_FILE, f"{now():%Y-%m-%dT%H:%M:%SZ} {current_user()}: {reason}\n".encode())
        return []
    if action == "RESUME":
        HALT_FILE.unlink(missing_ok=True)
    return names


def instruments_meant(engine: Engine, instrument: str | None) -> list[str]:
    """Name the instruments of a command: the one given, or all that have a production model.

    Raises
    ------
    DecisionError
        If there is none, or no such one.
    """
    with reading(engine) as connection:
        serving = [row.instrument for row in list_models(connection) if row.stage == "production"]
        known = set(connection.execute(select(instruments.c.instrument)).scalars()) - {HOUSE}
    if instrument is not None and instrument not in known:
        raise DecisionError(
            f"instrument {instrument!r}: nothing was decided on it; name one of: {_listed(known)}"
        )
    if instrument is None and not serving:
        raise DecisionError("no instrument has a production model; name one with --instrument")
    return [instrument] if instrument is not None else sorted(set(serving))


def one_instrument(engine: Engine, instrument: str | None) -> str:
    """Name the one instrument a command is about; raises DecisionError if there are several."""
    names = instruments_meant(engine, instrument)
    if len(names) != 1:
        raise DecisionError(f"several instruments have a production model ({_listed(names)}); name one")
    return names[0]


def person_with_key(name: str, role: Role, key_file: Path, first: bool) -> AddedPerson:
    """Give a person to be added with an SSH key."""
    return AddedPerson(name=name, role=role, key=read_public_key(key_file).line, first=first)


def enrolled_person(engine: Engine, name: str, role: Role | None) -> AddedPerson:
    """Give a person to be added with the passkey they made, in the invitation's role."""
    found = read_enrolment(engine, name)
    if role not in (None, found.role):
        raise DecisionError(
            f"{name}: was invited as {found.role}, not as {role}; invite them again, or add them so"
        )
    return found.added


def print_waiting(waiting: Sequence[Enrolment]) -> None:
    """Print whose passkeys wait for an admin's signature."""
    if not waiting:
        return
    table = plain_table("waits for an admin's signature", "role", "passkey", "made", "invited by")
    for one in waiting:
        made = f"{one.made_at:%Y-%m-%d %H:%M}"
        table.add_row(one.name, one.role, one.key.fingerprint, made, one.invited_by)
    open_console().print(table)


def print_people(trust: Trust) -> None:
    """Print who may decide what, and who could once."""
    if trust.single_user:
        click.echo("the log has no people: single-user mode, in which one local key signs for every role")
        return
    table = plain_table("name", "role", "key", "since", "until")
    for person in trust.people:
        until = f"{person.until:%Y-%m-%d %H:%M}" if person.until else "-"
        table.add_row(person.name, person.role, _key_of(person), f"{person.since:%Y-%m-%d %H:%M}", until)
    open_console().print(table)


def print_tokens(rows: list[Row[Any]]) -> None:
    """Print whose tokens there are, who made them and until when they count."""
    table = plain_table("id", "name", "role", "made by", "made", "until", "revoked")
    for row in rows:
        revoked = f"{row.revoked_at:%Y-%m-%d %H:%M} by {row.revoked_by}" if row.revoked_at else "-"
        made, until = (f"{moment:%Y-%m-%d %H:%M}" for moment in (row.created_at, row.expires_at))
        table.add_row(row.id, row.name, row.role, escape(row.made_by), made, until, escape(revoked))
    open_console().print(table)


def _key_of(person: Person) -> str:
    return f"{'passkey' if isinstance(person.key, Passkey) else 'ssh'} {person.key.fingerprint}"


def wall_clock() -> datetime:
    """What the time is."""
    return datetime.now(UTC)


def _own_keys() -> list[Path]:
    if named := os.environ.get(KEY_VARIABLE, "").strip():
        return [Path(named).expanduser()]
    folder = Path.home() / ".ssh"
    return [folder / name for name in _DEFAULT_KEYS if (folder / name).is_file()]


def _holds(file: Path, needed: PublicKey) -> bool:
    try:
        return read_public_key(file) == needed
    except SignatureError:  # an encrypted key without its .pub file: nothing to compare, so not this one
        return False


def _passphrase(file: Path) -> Callable[[], str]:
    return lambda: str(click.prompt(f"Passphrase of {file}", hide_input=True, err=True))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
