"""The decision's text: what a person signs, sees, stores and exports, to the byte."""

import re
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import AwareDatetime, ValidationError

from dosvotos.contracts.records import Record
from dosvotos.database.tables import HOUSE
from dosvotos.errors import DecisionConflictError, SignatureError
from dosvotos.hashing import digest_bytes
from dosvotos.signing.checkpoint import STAMP

Action = Literal[
    "APPROVE", "REJECT", "ROLLBACK", "REOPEN", "POLICY", "ADD_REVIEWER", "REVOKE_REVIEWER", "RESTORE",
    "HALT", "RESUME",
]  # fmt: skip
"""Every signed decision; a request of extra backtests has no text."""
FIRST_LINE: Final = "dosvotos decision v1"
NONE: Final = "none"
_LINE: Final = re.compile(r"(?P<key>[a-z]+): (?P<value>[^\n]*\S)")
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_HASHES: Final = ("dossier", "model", "replaces", "extra", "lapses", "subject", "reason")


class DecisionText(Record):
    """What is decided, in the order of its lines; None is written ``none``."""

    instrument: str = HOUSE
    action: Action
    proposal: int | None = None
    dossier: str | None = None
    model: str | None = None
    """Manifest hash."""
    stage: str | None = None
    replaces: str | None = None
    """Manifest hash of the production model whose place it takes."""
    epoch: int
    """Of the instrument's head row, or the house's, before the decision."""
    policy: int
    extra: str | None = None
    """Of the sorted manifest hashes of the extra backtests finished by then, one a line."""
    lapses: str | None = None
    subject: str | None = None
    reason: str
    reviewer: str
    at: AwareDatetime

    def __str__(self) -> str:
        lines = (f"{name}: {_written(getattr(self, name))}\n" for name in DecisionText.model_fields)
        return f"{FIRST_LINE}\n{''.join(lines)}"

    def to_bytes(self) -> bytes:
        """The text as it is signed: UTF-8."""
        return str(self).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return digest_bytes(self.to_bytes())

    @property
    def decided(self) -> "DecisionText":
        """What two approvals of one quorum must have in common: all but reviewer, reason and time."""
        epoch_start = datetime.fromtimestamp(0, UTC)
        return self.model_copy(update={"reviewer": "", "reason": "", "at": epoch_start})


def parse_text(text: str) -> DecisionText:
    """Read a decision's text.

    Raises
    ------
    SignatureError
        If it is not written exactly as `DecisionText` writes it; the first line that is not is named.
    """
    first, *lines = text.split("\n")
    names = list(DecisionText.model_fields)
    if first != FIRST_LINE or len(lines) != len(names) + 1:
        raise SignatureError.of("text_lines", first=FIRST_LINE, count=len(names))
    values: dict[str, object] = {}
    for name, line in zip(names, lines, strict=False):
        found = _LINE.fullmatch(line)
        if found is None or found["key"] != name:
            raise SignatureError.of("text_line", line=name, found=repr(line[:80]))
        values[name] = _read(name, found["value"])
    try:
        read = DecisionText.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise SignatureError.of("text_value", line=problem["loc"][0], found=problem["msg"]) from error
    if str(read) != text:
        raise SignatureError.of("text_form")
    return read


def check_same(signed: DecisionText, needed: DecisionText) -> None:
    """Refuse a signed text that is not the one the rows ask for now.

    Raises
    ------
    DecisionConflictError
        Naming the first line that differs, with both values.
    """
    for name in DecisionText.model_fields:
        found, wanted = getattr(signed, name), getattr(needed, name)
        if found != wanted:
            raise DecisionConflictError.of(
                "text_outdated", action=needed.action, line=name, signed=_written(found), now=_written(wanted)
            )


def _written(value: object) -> str:
    if value is None:
        return NONE
    return value.astimezone(UTC).strftime(STAMP) if isinstance(value, datetime) else str(value)


def _read(name: str, value: str) -> object:
    if name == "at":
        try:
            return datetime.strptime(value, STAMP).replace(tzinfo=UTC)
        except ValueError as error:
            raise SignatureError.of("text_time", found=repr(value[:40])) from error
    if value == NONE and name != "instrument":
        return None
    if name in _HASHES and not _HEX.fullmatch(value):
        raise SignatureError.of("text_hash", line=name, found=repr(value[:80]))
    if name in ("proposal", "epoch", "policy"):
        if not value.isdecimal():
            raise SignatureError.of("text_number", line=name, found=repr(value[:40]))
        return int(value)
    return value
