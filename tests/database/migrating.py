"""A database brought to an older revision of its schema."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from dosvotos.database import migrations
from dosvotos.database.connection import writing


def upgrade_to(engine: Engine, revision: str) -> None:
    """Bring the schema to a revision, from whichever it says it has."""
    config = Config()
    config.set_main_option("script_location", next(iter(migrations.__path__)))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
