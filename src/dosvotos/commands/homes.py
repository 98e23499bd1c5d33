"""``dosvotos home``: moving the home to another machine."""

import os
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from dosvotos.database.connection import reading
from dosvotos.errors import HomeError
from dosvotos.files import read_regular_file
from dosvotos.promotion.checkpoints import open_home
from dosvotos.signing.home import import_home

_MAX_BYTES: Final = 1 << 30


def export_home(engine: Engine, file: Path) -> Path:
    """Write a database's home into a new file, its owner's alone; gives the home's folder."""
    with reading(engine) as connection:
        home = open_home(connection)
    content = home.export()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HomeError(f"{file}: cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
    return home.folder


def place_home(file: Path) -> Path:
    """Put an exported home in place; gives its folder."""
    return import_home(read_regular_file(file, _MAX_BYTES)).folder
