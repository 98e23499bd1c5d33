"""Whether the loop may signal at all: what people have decided, and a file that works without a database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row

from dosvotos.database.live_limits import standing_trips
from dosvotos.live.reasons import Reason
from dosvotos.promotion.live_acts import HALT_FILE, LiveState, decided_state
from dosvotos.refusals import Phrase, StoredText


class Control(NamedTuple):
    """What holds for an instrument's signals."""

    state: LiveState
    reason: str = ""
    """A `Phrase`: whoever shows it tells it in a reader's language."""
    code: Reason = Reason.HALTED
    """Whether people or which limit holds them back; of no meaning while ACTIVE."""


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
            return Control("HALTED", Phrase.of("halt_file_unreadable", file=self.halt_file, problem=error))
        why = text.splitlines()[0] if text else Phrase.of("no_reason_given")
        return Control("HALTED", Phrase.of("halt_file", file=self.halt_file, why=why))

    def of_database(self, connection: Connection) -> Control:
        """Read what holds: the file, or else what people decided last, or a limit reached since."""
        found = self.of_file()
        if found.state == "HALTED":
            return found
        decided, trips = (
            decided_state(connection, self.instrument),
            standing_trips(connection, self.instrument),
        )
        held = [Control(row.state, _until_resumed(row), Reason(row.rule)) for row in trips]
        if decided != "ACTIVE":
            held.insert(0, Control(decided, Phrase.of("held_by_people", instrument=self.instrument)))
        return next((one for one in held if one.state == "HALTED"), held[0] if held else ACTIVE)


def _until_resumed(trip: Row[Any]) -> Phrase:
    return Phrase.of("until_resumed", why=StoredText.read(trip.detail, trip.detail_told))
