"""A desk's own feed of bars: a folder into which files come, each taken once and whole."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from dosvotos.contracts.records import FileRecord
from dosvotos.errors import DataError, SourceError
from dosvotos.hashing import digest_bytes
from dosvotos.quality.findings import no_findings
from dosvotos.readers.containers import read_limited
from dosvotos.sources.raw_market import BAR_COLUMNS

FILE: Final = "file"
"""Column of bars that names the file they came in; empty for other sources."""
_SETTLED_SECONDS: Final = 60
"""A file not written to for so long is as its sender meant it."""
_IN_THE_MAKING: Final = (".tmp", ".part", ".partial", ".crdownload", ".filepart")
_TEXT: Final = (".csv", ".txt", ".tsv")


class FolderReader(NamedTuple):
    """How the files of a folder are read, and which were taken before."""

    read: Callable[[Path], tuple[pd.DataFrame, pd.DataFrame]]
    """Reads BAR_COLUMNS of one file, timestamps in UTC, and findings about rows that cannot be read."""
    taken: frozenset[str]
    """Hashes of contents that were delivered before, retracted or not."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970, as the file system counts them."""


class NewFiles(NamedTuple):
    """The files of a folder that were not taken before."""

    bars: pd.DataFrame
    """BAR_COLUMNS and `FILE`; each instant once, of two files the one written later."""
    unreadable: pd.DataFrame
    """Findings about rows that could not be read."""
    files: tuple[FileRecord, ...]
    notes: tuple[str, ...]
    """Files that were left, with the reason."""


def read_new_files(folder: Path, reader: FolderReader) -> NewFiles:
    """Read the files that came since; one that is still being written is left for the next time.

    A file counts as half written if it changes while it is read, if its name says so, or if it was written
    to within the last minute and cannot be read or ends within a line.

    Raises
    ------
    SourceError
        If the folder is none.
    """
    if not folder.is_dir():
        raise SourceError(f"folder: {folder} is not a folder; correct data_acquisition.live.bars")
    parts, unreadable, files, notes = [], [no_findings()], [], []
    taken = set(reader.taken)
    for path in sorted(filter(_is_meant, folder.iterdir()), key=lambda one: (_written_at(one), one.name)):
        try:
            digest, read = _read(path, reader, taken)
        except DataError as error:
            notes.append(f"folder: {path.name} left: {error}")
            continue
        if read is not None:
            taken.add(digest)
            parts.append(read[0][list(BAR_COLUMNS)].assign(**{FILE: path.name}))
            unreadable.append(read[1])
            files.append(FileRecord(name=str(path), source_hash=digest))
    merged = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*BAR_COLUMNS, FILE])
    merged = merged.drop_duplicates("timestamp", keep="last").reset_index(drop=True)
    return NewFiles(merged, pd.concat(unreadable, ignore_index=True), tuple(files), tuple(notes))


def _is_meant(path: Path) -> bool:
    hidden = path.name.startswith((".", "~"))
    return path.is_file() and not hidden and path.suffix.lower() not in _IN_THE_MAKING


def _written_at(path: Path) -> float:
    """Return when a file was written to; 0 for one that has gone, which then cannot be read."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(
    path: Path, reader: FolderReader, taken: set[str]
) -> tuple[str, tuple[pd.DataFrame, pd.DataFrame] | None]:
    """Read a file's hash, and its bars and findings unless it was taken before."""
    try:
        return _read_whole(path, reader, taken)
    except FileNotFoundError as error:
        raise DataError("it went while it was read; it is read when it is back") from error


def _read_whole(
    path: Path, reader: FolderReader, taken: set[str]
) -> tuple[str, tuple[pd.DataFrame, pd.DataFrame] | None]:
    before = path.stat()
    content = read_limited(path)
    digest = digest_bytes(content)
    if digest in taken:
        return digest, None
    may_grow = reader.clock() - before.st_mtime < _SETTLED_SECONDS
    if may_grow and path.suffix.lower() in _TEXT and not content.endswith((b"\n", b"\r")):
        raise DataError("its last line is not ended, so it may still be written; it is read the next time")
    try:
        read = reader.read(path)
    except DataError as error:
        reason = "cannot be read yet and may still be written; it is tried the next time" if may_grow else ""
        raise DataError(f"{reason}: {error}" if reason else str(error)) from error
    after = path.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise DataError("it changed while it was read; it is read the next time")
    return digest, read
