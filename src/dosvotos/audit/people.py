"""Who may decide what: derived from the signed decisions that add and revoke people alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from pydantic import ValidationError, field_validator
from sqlalchemy import Connection, Row, select

from dosvotos.audit.restored_log import restored_log
from dosvotos.contracts.records import Record
from dosvotos.database.tables import approval_audit_log
from dosvotos.errors import AlteredError, DecisionError, NotAllowedError, SignatureError
from dosvotos.refusals import Phrase
from dosvotos.signing.home import Home
from dosvotos.signing.keys import PublicKey
from dosvotos.signing.passkeys import Passkey, VoterKey, parse_voter_key
from dosvotos.signing.sshsig import VOTE_NAMESPACE
from dosvotos.users import same_person

Role = Literal["viewer", "operator", "reviewer", "admin"]
Mode = Literal["single-user", "team"]
MAY: Final[dict[str, frozenset[Role]]] = {
    "APPROVE": frozenset({"reviewer"}),
    "REJECT": frozenset({"reviewer"}),
    "REQUEST_MORE_TESTS": frozenset({"reviewer"}),
    "REOPEN": frozenset({"reviewer"}),
    "HALT": frozenset({"operator", "reviewer", "admin"}),
    "ROLLBACK": frozenset({"operator", "reviewer"}),
    "RESUME": frozenset({"admin"}),
    "RESTORE": frozenset({"admin"}),
    "POLICY": frozenset({"admin"}),
    "ADD_REVIEWER": frozenset({"admin"}),
    "REVOKE_REVIEWER": frozenset({"admin"}),
}
"""Roles by action."""
SECOND_MAY: Final = frozenset({"admin", "reviewer"})
"""Roles whose second signature lets an admin who trained a model change people or policy."""
OF_PEOPLE: Final = ("ADD_REVIEWER", "REVOKE_REVIEWER")
_COMMENT: Final = "# "
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


class AddedPerson(Record):
    """What ADD_REVIEWER decides."""

    name: str
    role: Role
    key: str
    """A line of OpenSSH's public key file, or of a passkey."""
    first: bool = False
    """Whether this is the first person of the log; single-user mode's key then counts no more."""

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(Phrase.of("name_rule", found=repr(name[:80])))
        return name

    @property
    def voter_key(self) -> VoterKey:
        """The key itself; raises SignatureError if the line is none."""
        return parse_voter_key(self.key)


class RevokedPerson(Record):
    """What REVOKE_REVIEWER decides."""

    name: str


class Person(NamedTuple):
    """Somebody who may decide, or could once."""

    name: str
    role: Role
    key: VoterKey
    """One of theirs: whoever has an SSH key and a passkey is listed with each."""
    since: datetime
    added_in: int
    """Row of the log."""
    until: datetime | None = None
    revoked_in: int | None = None


class Signatory(NamedTuple):
    """Whoever decides, as the rows before the decision have it."""

    name: str
    role: Role | None
    """None in single-user mode, which holds every role."""
    keys: tuple[VoterKey, ...] = ()
    """Any of which signs; none for what needs no signature."""

    @property
    def mode(self) -> Mode:
        """Whether people are told apart."""
        return "single-user" if self.role is None else "team"

    @property
    def ssh_key(self) -> PublicKey | None:
        """The key to sign with on a terminal; raises SignatureError if there are only others."""
        found = next((key for key in self.keys if isinstance(key, PublicKey)), None)
        if found is None and self.keys:
            raise SignatureError.of("passkey_only", person=self.name)
        return found

    def require(self, action: str) -> None:
        """Refuse an action that the role does not include; raises NotAllowedError."""
        if self.role is not None and self.role not in MAY[action]:
            raise NotAllowedError.of(
                "role", person=self.name, role=self.role, action=action, roles=" | ".join(sorted(MAY[action]))
            )


@dataclass(frozen=True)
class Trust:
    """Whose signatures count."""

    local: PublicKey | None
    """Single-user mode's key, if it was ever used here."""
    admin: PublicKey | None
    """The first admin's pinned key."""
    people: tuple[Person, ...] = ()
    """Everybody ever added, in the order of the log."""

    @property
    def single_user(self) -> bool:
        """Whether the log is without people."""
        return not self.people

    @property
    def active(self) -> tuple[Person, ...]:
        """Those who are not revoked."""
        return tuple(person for person in self.people if person.revoked_in is None)

    def before(self, row_id: int) -> "Trust":
        """Trust as it was when a row was written."""
        people = (person for person in self.people if person.added_in < row_id)
        return replace(self, people=tuple(_as_of(person, row_id) for person in people))

    def signatory(self, name: str, mode: str | None = None) -> Signatory:
        """Find who decides under a name.

        Parameters
        ----------
        name : str
        mode : str, optional
            As the decision's row says; by default as the log is.

        Raises
        ------
        NotAllowedError
            If nobody of that name may sign, or not in that mode.
        """
        if self.single_user:
            if self.local is None or mode == "team":
                raise NotAllowedError.of("no_key_yet", person=name)
            return Signatory(name, None, (self.local,))
        if mode == "single-user":
            raise NotAllowedError.of("local_key_over", person=name)
        if found := [person for person in self.active if person.name == name]:
            return Signatory(name, found[0].role, tuple(person.key for person in found))
        revoked = any(person.name == name for person in self.people)
        raise NotAllowedError.of("person_revoked" if revoked else "person_unknown", person=name)

    def after(self, row: Row[Any]) -> "Trust":
        """Follow one decision about people, whose signature was verified.

        Raises
        ------
        LineageError
            If it cannot be followed: the key, name or pin is not as it must be.
        """
        try:
            if row.action == "ADD_REVIEWER":
                return self._adding(AddedPerson.model_validate(row.subject), row)
            if row.action == "RESTORE":
                return self._restoring(row)
            return self._revoking(RevokedPerson.model_validate(row.subject), row)
        except (ValidationError, DecisionError) as error:
            raise AlteredError.of("log_impossible", row=row.id, action=row.action, problem=error) from error

    def check_addition(self, added: AddedPerson) -> VoterKey:
        """Give the key of a new person, or the second one of somebody.

        One person has at most an SSH key and a passkey, under one name and in one role.

        Raises
        ------
        DecisionError
            If name or key is taken, or the person is first where there are people, or not first where none.
        """
        key = added.voter_key
        if added.first and isinstance(key, Passkey):
            raise DecisionError.of("first_ssh", person=added.name)
        if added.first != self.single_user or (added.first and added.role != "admin"):
            raise DecisionError.of("first_person", person=added.name, count=len(self.people))
        for person in self.people:
            is_same = same_person(person.name, added.name)
            if is_same and person.revoked_in is None and not _is_second_key(added, key, person):
                raise DecisionError.of("person_there", person=added.name, role=person.role)
            if person.key.fingerprint == key.fingerprint and not is_same:
                raise DecisionError.of("key_taken", person=added.name, other=person.name)
        if key == self.local:
            raise DecisionError.of("key_local", person=added.name)
        return key

    def check_revocation(self, name: str) -> Person:
        """Find a person to be revoked; raises DecisionError if there is none, or no admin would be left."""
        found = [person for person in self.active if person.name == name]
        if not found:
            raise DecisionError.of("nobody_to_revoke", person=name)
        admins = {person.name for person in self.active if person.role == "admin"}
        if admins == {name}:
            raise DecisionError.of("last_admin", person=name)
        return found[0]

    def _adding(self, added: AddedPerson, row: Row[Any]) -> "Trust":
        key = self.check_addition(added)
        if added.first and key != self.admin:
            raise SignatureError.of("other_first_admin")
        person = Person(added.name, added.role, key, row.created_at, row.id)
        return replace(self, people=(*self.people, person))

    def _restoring(self, row: Row[Any]) -> "Trust":
        """Let those whose revocation a backup does not know be revoked again."""
        names = restored_log(row).revoked
        if row.reviewer in names:
            raise DecisionError.of("revoked_by_then", person=row.reviewer)
        trust = self
        for name in names:
            trust = trust._revoking(RevokedPerson(name=name), row)
        return trust

    def _revoking(self, revoked: RevokedPerson, row: Row[Any]) -> "Trust":
        self.check_revocation(revoked.name)
        people = (
            person._replace(until=row.created_at, revoked_in=row.id)
            if person.name == revoked.name and person.revoked_in is None
            else person
            for person in self.people
        )
        return replace(self, people=tuple(people))


def has_people(connection: Connection) -> bool:
    """Tell whether the log has people, so that single-user mode is over."""
    t = approval_audit_log
    added = select(t.c.id).where(t.c.action == "ADD_REVIEWER").limit(1)
    return connection.execute(added).first() is not None


def people_rows(connection: Connection) -> list[Row[Any]]:
    """Read the decisions about people, oldest first; a RESTORE may revoke some again."""
    t = approval_audit_log
    about = t.c.action.in_((*OF_PEOPLE, "RESTORE"))
    return list(connection.execute(select(t).where(about).order_by(t.c.id)))


def roots_of(home: Home) -> Trust:
    """Trust before the first row: the keys that the home pins."""
    return Trust(home.local_key, home.admin_key) if home.exists else Trust(None, None)


def allowed_signers(trust: Trust) -> str:
    """Write who may sign as OpenSSH reads it, with the times their keys counted; UTC.

    OpenSSH knows no passkeys: to it their lines, which begin with ``#``, are comments.
    """
    lines = []
    first = trust.people[0].since if trust.people else None
    if trust.local is not None:
        lines.append(_allowed("*", trust.local, None, first))
    lines += [_allowed(person.name, person.key, person.since, person.until) for person in trust.people]
    return "".join(lines)


def ended_keys(content: str) -> set[tuple[str, str]]:
    """List name and key of those whose last line in an allowed_signers file has an end.

    Parameters
    ----------
    content : str
        As `allowed_signers` writes it.
    """
    last: dict[tuple[str, str], bool] = {}
    for name, options, key in _signers(content):
        last[name, key] = "valid-before=" in options
    return {who for who, has_ended in last.items() if has_ended}


def people_missing(content: str, trust: Trust) -> list[str]:
    """Name those who may sign by an allowed_signers file and are not among the people of a log."""
    known, ended = {(person.name, person.key.line) for person in trust.people}, ended_keys(content)
    listed = {(name, key) for name, _, key in _signers(content) if name != "*"}
    return sorted({name for name, _ in listed - known - ended})


def _signers(content: str) -> Iterator[tuple[str, str, str]]:
    """Read name, options and key of each line that `allowed_signers` wrote."""
    for line in content.splitlines():
        name, options, key = line.removeprefix(_COMMENT).split(" ", 2)
        yield name, options, key


def _is_second_key(added: AddedPerson, key: VoterKey, person: Person) -> bool:
    """Tell whether a key is of the kind that somebody who may sign has none of yet."""
    is_other_kind = isinstance(key, Passkey) != isinstance(person.key, Passkey)
    return is_other_kind and (person.name, person.role) == (added.name, added.role)


def _as_of(person: Person, row_id: int) -> Person:
    if person.revoked_in is None or person.revoked_in < row_id:
        return person
    return person._replace(until=None, revoked_in=None)


def _allowed(name: str, key: VoterKey, since: datetime | None, until: datetime | None) -> str:
    if since and until:  # OpenSSH counts in seconds, and refuses a file with a key that counted for none
        until = max(until, since + timedelta(seconds=1))
    options = [f'namespaces="{VOTE_NAMESPACE}"']
    options += [f'valid-after="{since:%Y%m%d%H%M%S}Z"'] if since else []
    options += [f'valid-before="{until:%Y%m%d%H%M%S}Z"'] if until else []
    begin = _COMMENT if isinstance(key, Passkey) else ""
    return f"{begin}{name} {','.join(options)} {key.line}\n"
