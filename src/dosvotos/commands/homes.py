"""``dosvotos home``, which moves it to another machine, and ``export-vote``: what leaves by a file."""

import os
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.exported_vote import export_vote
from dosvotos.database.connection import reading
from dosvotos.errors import FileError, HomeError
from dosvotos.files import read_regular_file, write_folder
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
        raise HomeError(f"{file}: cannot be written: {error.strerror}; name another file") from error
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
    return home.folder


def place_home(file: Path) -> Path:
    """Put an exported home in place; gives its folder."""
    return import_home(read_regular_file(file, _MAX_BYTES)).folder


def write_vote(engine: Engine, row_id: int, folder: Path) -> None:
    """Write one decision of the log as a new folder."""
    if folder.exists():
        raise FileError(f"{folder}: stands already; name another folder with --out")
    with reading(engine) as connection:
        exported = export_vote(connection, row_id)
    write_folder(folder, exported.files)
