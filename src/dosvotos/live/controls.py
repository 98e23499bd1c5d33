"""Whether the loop may signal at all: what people have decided, and a file that works without a database."""

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


@dataclass
class Controls:
    """The state of one instrument: the halt file first, then what the database says."""

    instrument: str
    halt_file: Path = HALT_FILE

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
        """Read what holds: the file, or else what people, or a limit, decided last."""
        found = self.of_file()
        if found.state == "HALTED":
            return found
        state = read_live_state(connection, self.instrument)
        if state == "ACTIVE":
            return ACTIVE
        why = "'dosvotos resume' ends it; 'dosvotos audit list' says who, and why"
        return Control(state, f"{self.instrument}: {why}")
