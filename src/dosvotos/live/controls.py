"""Whether the loop may signal at all: what people have decided, and a file that works without a database."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Connection

from dosvotos.promotion.live_acts import HALT_FILE, LiveState, read_live_state


class Control(NamedTuple):
    """What holds for an instrument's signals."""

    state: LiveState
    reason: str = ""


ACTIVE: Final = Control("ACTIVE")
ReadControl = Callable[[Connection, str], Control]
"""Reads an instrument's state from the database."""


def decided(connection: Connection, instrument: str) -> Control:
    """Read what people, or a limit, decided last."""
    state = read_live_state(connection, instrument)
    if state == "ACTIVE":
        return ACTIVE
    return Control(state, f"{instrument}: 'dosvotos resume' ends it; 'dosvotos audit list' says who, and why")


@dataclass
class Controls:
    """The state of one instrument: the halt file first, then what the database says."""

    instrument: str
    halt_file: Path = HALT_FILE
    read_control: ReadControl = decided

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
