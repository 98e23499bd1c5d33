"""Tokens of programs, as stored: nothing here can be used as one."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from dosvotos.database.tables import api_tokens


def add_token(connection: Connection, values: dict[str, Any]) -> None:
    """Store a token's hash and what it lets its holder do."""
    connection.execute(insert(api_tokens).values(values))


def find_token(connection: Connection, token_id: str) -> Row[Any] | None:
    """Find a token by its public part."""
    return connection.execute(select(api_tokens).where(api_tokens.c.id == token_id)).one_or_none()


def list_tokens(connection: Connection) -> list[Row[Any]]:
    """List every token ever made, oldest first."""
    t = api_tokens
    return list(connection.execute(select(t).order_by(t.c.created_at, t.c.id)))


def end_token(connection: Connection, token_id: str, by: str, now: datetime) -> bool:
    """Let a token count no more from now on; tells whether it did until now."""
    t = api_tokens
    open_ = (t.c.id == token_id) & t.c.revoked_at.is_(None)
    ended = connection.execute(update(t).where(open_).values(revoked_at=now, revoked_by=by))
    return bool(ended.rowcount)
