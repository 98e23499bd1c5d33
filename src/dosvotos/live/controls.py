"""Whether the loop may signal at all: what people have decided, and a file that works without a database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Connection

from dosvotos.database.live_limits import standing_trips
from dosvotos.live.reasons import Reason
from dosvotos.promotion.live_acts import HALT_FILE, LiveState, decided_state


class Control(NamedTuple):
    """What holds for an instrument's signals."""

    state: LiveState
    reason: str = ""
    code: Reason = Reason.HALTED
    """Whether people or which limit holds them back; of no meaning while ACTIVE."""


ACTIVE: Final = Control("ACTIVE")
_WAY_OUT: Final = "'dosvotos resume' ends it"


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
        why = text.splitlines()[0] if text else "no reason given"
        return Control("HALTED", f"{self.halt_file}: {why}; delete the file to end it")

    def of_database(self, connection: Connection) -> Control:
        """Read what holds: the file, or else what people decided last, or a limit reached since."""
        found = self.of_file()
        if found.state == "HALTED":
            return found
        decided, trips = (
            decided_state(connection, self.instrument),
            standing_trips(connection, self.instrument),
        )
        held = [Control(row.state, f"{row.detail}; {_WAY_OUT}", Reason(row.rule)) for row in trips]
        if decided != "ACTIVE":
            why = f"{self.instrument}: {_WAY_OUT}; 'dosvotos audit list' says who, and why"
            held.insert(0, Control(decided, why))
        return next((one for one in held if one.state == "HALTED"), held[0] if held else ACTIVE)
