"""Checkpoints: how long the log of decisions is and what its last row hashes to, signed by the server."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

from dosvotos.errors import SignatureError
from dosvotos.signing.keys import PublicKey
from dosvotos.signing.signers import Signer
from dosvotos.signing.sshsig import FOOTER, LOG_NAMESPACE, parse_signature

NO_HEAD: Final = "none"
"""Of an empty log."""
FIRST_LINE: Final = "dosvotos log v1\n"
FOOTER_LINE: Final = f"{FOOTER}\n"
STAMP: Final = "%Y-%m-%dT%H:%M:%SZ"
STATES: Final = re.compile(r"dosvotos log v1\norigin: (.*)\nrows: ([0-9]{1,9})\nhead: (.*)\n")
"""Ledger, number of rows and last hash of each checkpoint of a file."""
_TEXT: Final = re.compile(
    r"dosvotos log v1\n"
    r"origin: (?P<origin>[^\n ]{1,64})\n"
    r"rows: (?P<rows>[0-9]{1,9})\n"
    r"head: (?P<head>[0-9a-f]{64}|none)\n"
    r"(?P<epochs>(?:epoch: [^\n ]{1,20} [0-9]{1,9}\n)*)"
    r"at: (?P<at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\n"
)


@dataclass(frozen=True)
class LogState:
    """What a checkpoint says of the log."""

    origin: str
    """Id of the ledger's genesis."""
    rows: int
    head: str | None
    """Hash of the last row; None for an empty log."""
    epochs: Mapping[str, int] = field(default_factory=dict)
    """By head row."""


@dataclass(frozen=True)
class Checkpoint:
    """A state of the log, when it was seen, and the server's signature over both."""

    state: LogState
    at: datetime
    signature: str
    """Armored."""

    @cached_property
    def text(self) -> str:
        """What is signed."""
        epochs = "".join(f"epoch: {name} {number}\n" for name, number in sorted(self.state.epochs.items()))
        return (
            f"{FIRST_LINE}origin: {self.state.origin}\nrows: {self.state.rows}\n"
            f"head: {self.state.head or NO_HEAD}\n{epochs}at: {self.at.astimezone(UTC).strftime(STAMP)}\n"
        )

    @property
    def note(self) -> str:
        """Text and signature, as they stand in the home and in a signal's row."""
        return self.text + self.signature

    def verify(self, key: PublicKey) -> None:
        """Refuse a checkpoint that a key has not signed; raises SignatureError."""
        signer = parse_signature(self.signature).verify(self.text.encode(), LOG_NAMESPACE)
        if signer != key:
            raise SignatureError.of(
                "checkpoint_key", rows=self.state.rows, found=signer.fingerprint, server=key.fingerprint
            )


def sign_checkpoint(state: LogState, at: datetime, signer: Signer) -> Checkpoint:
    """Make a checkpoint."""
    draft = Checkpoint(state, at.astimezone(UTC).replace(microsecond=0), "")
    return Checkpoint(draft.state, draft.at, signer.sign(draft.text.encode(), LOG_NAMESPACE))


def parse_note(note: str) -> Checkpoint:
    """Read one checkpoint; its signature is not yet verified.

    Raises
    ------
    SignatureError
        If it is not written as `Checkpoint.note` writes it.
    """
    if (found := _TEXT.match(note)) is None:
        raise SignatureError.of("checkpoint_form", first=repr(FIRST_LINE.strip()), found=repr(note[:60]))
    lines = (line.split(" ") for line in found["epochs"].splitlines())
    head = None if found["head"] == NO_HEAD else found["head"]
    state = LogState(found["origin"], int(found["rows"]), head, {name: int(n) for _, name, n in lines})
    at = datetime.strptime(found["at"], STAMP).replace(tzinfo=UTC)
    read = Checkpoint(state, at, note[found.end() :])
    if read.note != note:
        raise SignatureError.of("checkpoint_written", rows=state.rows)
    return read


def split_notes(content: str) -> tuple[list[str], str]:
    """Split checkpoints into whole notes and what is left at the end of one whose writing was cut off.

    What stands before the first one is left out: a reader of a file's end begins in the middle of a note.
    """
    end = content.rfind(FOOTER_LINE) + len(FOOTER_LINE) if FOOTER_LINE in content else 0
    return [FIRST_LINE + part for part in content[:end].split(FIRST_LINE)[1:]], content[end:]
