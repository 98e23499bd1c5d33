"""Times as people read them: in Bogota, where the market is."""

from datetime import datetime
from zoneinfo import ZoneInfo

from dosvotos.formats import MISSING
from dosvotos.market.calendar import BOGOTA

_ZONE = ZoneInfo(BOGOTA)


def day_in_bogota(moment: datetime | None) -> str:
    """Write a moment as Bogota's date."""
    return MISSING if moment is None else f"{moment.astimezone(_ZONE):%Y-%m-%d}"


def in_bogota(moment: datetime | None) -> str:
    """Write a moment as Bogota's date and time, to the minute."""
    return MISSING if moment is None else f"{moment.astimezone(_ZONE):%Y-%m-%d %H:%M}"
