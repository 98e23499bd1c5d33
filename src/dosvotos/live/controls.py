"""Whether the loop may signal at all: what people have decided, and a file that works without a database."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from sqlalchemy import Connection

HALT_FILE: Final = Path("data/HALT")
"""While it exists every instrument is halted; its first line is the reason."""

State = Literal["ACTIVE", "REDUCING", "HALTED"]


class Control(NamedTuple):
    """What holds for an instrument's signals."""

    state: State
    reason: str = ""


ACTIVE: Final = Control("ACTIVE")
ReadControl = Callable[[Connection, str], Control]
"""Reads an instrument's state from the database."""


def always_active(connection: Connection, instrument: str) -> Control:
    """Nobody has decided anything."""
    return ACTIVE


@dataclass
class Controls:
    """The state of one instrument: the halt file first, then what the database says."""

    instrument: str
    halt_file: Path = HALT_FILE
    read_control: ReadControl = always_active

    def of_file(self) -> Control:
        """Look for the halt file; one that cannot be looked for halts too."""
        try:
            if not self.halt_file.exists():
                return ACTIVE
            text = self.halt_file.read_text(encoding="utf-8", errors="replace").strip()
        except OSError as error:
            return Control("HALTED", f"{self.halt_file}: cannot be read: {error.strerror}")
        return Control("HALTED", f"{self.halt_file}: {text.splitlines()[0] if text else 'no reason given'}")

    def of_database(self, connection: Connection) -> Control:
        """Read what holds: the file, or else the database."""
        found = self.of_file()
        return found if found.state == "HALTED" else self.read_control(connection, self.instrument)
