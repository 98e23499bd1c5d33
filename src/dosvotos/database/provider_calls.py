"""Calls to providers that allow so many a day, counted for all processes together."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, Engine, select, text

from dosvotos.database.connection import reading, upsert, writing
from dosvotos.database.live_tables import provider_calls


@dataclass(frozen=True)
class ProviderCalls:
    """The calls of a day (UTC, by the database's clock)."""

    engine: Engine

    def take(self, provider: str, limit: int) -> bool:
        """Count one call, unless `limit` are made today; tell whether it may be made."""
        t = provider_calls
        with writing(self.engine) as connection:
            first = upsert(connection, t).values(provider=provider, day=_today(connection), calls=1)
            counted = first.on_conflict_do_update(
                index_elements=[t.c.provider, t.c.day], set_={"calls": t.c.calls + 1}, where=t.c.calls < limit
            )
            return connection.execute(counted.returning(t.c.calls)).scalar_one_or_none() is not None

    def made(self, provider: str) -> int:
        """Count the calls made today."""
        t = provider_calls
        with reading(self.engine) as connection:
            query = select(t.c.calls).where(t.c.provider == provider, t.c.day == _today(connection))
            return int(connection.execute(query).scalar_one_or_none() or 0)


def _today(connection: Connection) -> date:
    if connection.dialect.name == "postgresql":
        today: date = connection.execute(text("SELECT (now() AT TIME ZONE 'utc')::date")).scalar_one()
        return today
    return date.fromisoformat(connection.execute(text("SELECT date('now')")).scalar_one())
