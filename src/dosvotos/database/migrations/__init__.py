"""Alembic's migrations, upwards only (the way back is a backup), the same for SQLite and PostgreSQL."""
