"""Files and folders that are either whole or absent, and the one way to read a file that others could reach.

A draft is written beside its place and renamed into it. Its writer holds a lock on it, so that the next
writer can tell what a killed one has left, which it removes, from what a living one is about to rename.
"""

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from dosvotos.errors import FileError
from dosvotos.refusals import Phrase

_DRAFT: Final = ".draft-"
_STANDS: Final = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}


@contextmanager
def open_regular_file(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file to read from.

    Raises
    ------
    FileError
        If it is missing, unreadable, or a link, FIFO, device, socket or folder, which is not waited for.
    """
    try:
        _refuse_irregular(path, os.lstat(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _refuse_irregular(path, os.fstat(descriptor))
            yield file
    except OSError as error:
        raise FileError.of("file_unreadable", path=path, problem=error) from error


def read_regular_file(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes, once; raises as `open_regular_file`, or if larger."""
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if size <= limit else b""
    if size > limit or len(content) > limit:
        raise FileError.of("file_large", path=path, limit=limit)
    return content


def write_file(path: Path, content: bytes, drafts: Path | None = None, mode: int = 0o644) -> None:
    """Put `content` at `path` in one step; a crash or a full disk leaves the old file whole.

    Its draft lies in `drafts`, a folder of the same file system, by default its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = drafts or path.parent
    _remove_drafts(folder, re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}"))
    with _draft_file(folder) as draft:
        _write_through(draft.descriptor, content)
        os.fchmod(draft.descriptor, mode)
        draft.path.replace(path)
    flush_folder(path.parent)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put a folder of files in place in one step; a folder that stands there already is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_drafts(folder.parent)
    with _draft_folder(folder.parent) as draft:
        for name, content in files.items():
            with (draft.path / name).open("wb") as file:
                _write_through(file.fileno(), content)
        draft.path.chmod(0o755)
        while not _moved(draft.path, folder):
            with _draft_folder(folder.parent) as removed, suppress(FileNotFoundError):
                folder.rename(removed.path / "old")
    flush_folder(folder.parent)


def restore_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Give a folder exactly these files, each put in place in one step; one that is whole is not touched.

    A reader who checks all of them finds the folder damaged until the last step, and whole from then on.
    """
    if not _is_folder(folder):
        folder.unlink(missing_ok=True)
        write_folder(folder, files)
        return
    for name, content in files.items():
        if not _holds(folder / name, content):
            if _is_folder(folder / name):
                shutil.rmtree(folder / name)
            write_file(folder / name, content, drafts=folder.parent)
    for path in [path for path in folder.iterdir() if path.name not in files]:
        _remove(path)
    flush_folder(folder)


class _Draft(NamedTuple):
    path: Path
    descriptor: int
    """Open and locked for as long as its writer lives."""


@contextmanager
def _draft_file(folder: Path) -> Iterator[_Draft]:
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_DRAFT, dir=folder)
        if _locked(Path(name), descriptor):
            break
        os.close(descriptor)
    with _kept(_Draft(Path(name), descriptor)) as draft:
        yield draft


@contextmanager
def _draft_folder(parent: Path) -> Iterator[_Draft]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=parent))
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            if _locked(path, descriptor):
                break
            os.close(descriptor)
    with _kept(_Draft(path, descriptor)) as draft:
        yield draft


@contextmanager
def _kept(draft: _Draft) -> Iterator[_Draft]:
    """Hold a draft; what has not been renamed by the end is removed."""
    try:
        yield draft
    finally:
        if _is_at(draft.path, draft.descriptor):
            _remove(draft.path)
        os.close(draft.descriptor)


def _locked(path: Path, descriptor: int) -> bool:
    """Lock a new draft; False if another writer took it for one left behind, in the moment before."""
    with suppress(OSError):  # a file system without locks: then nobody can lock it to remove it either
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return _is_at(path, descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_drafts(folder: Path, older: re.Pattern[str] | None = None) -> None:
    """Remove what killed writers left, also under the names that `older` versions gave."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(".")]
    for name in names:
        if name.startswith(_DRAFT) or (older is not None and older.fullmatch(name)):
            _remove_left_behind(folder / name)


def _remove_left_behind(path: Path) -> None:
    with suppress(OSError):  # another user's, or gone by now
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                _remove(path)
        finally:
            os.close(descriptor)


def _moved(draft: Path, folder: Path) -> bool:
    try:
        draft.rename(folder)
    except OSError as error:
        if error.errno in _STANDS:
            return False
        raise
    return True


def _holds(path: Path, content: bytes) -> bool:
    try:
        return read_regular_file(path, len(content)) == content
    except FileError:
        return False


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _refuse_irregular(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise FileError.of(
            "file_irregular",
            path=path,
            kind=Phrase.of(f"kind_{_KINDS.get(stat.S_IFMT(found.st_mode), 'none')}"),
        )


_KINDS: Final = {
    stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device",
}  # fmt: skip


def _write_through(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Write a folder's entries through to the disk, so that a rename in it outlives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
