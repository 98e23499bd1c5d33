"""Sealed folders: files under a manifest of names, sizes and SHA-256, known by the manifest's own hash.

Every file is read once; what was hashed is what is parsed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from dosvotos.errors import FileError, LineageError
from dosvotos.files import read_regular_file, restore_folder, write_folder
from dosvotos.hashing import canonical_json, digest_bytes, short
from dosvotos.jsonfile import read_json

MANIFEST: Final = "manifest.json"
MAX_BYTES: Final = 200 * 1024 * 1024
"""Of one file."""
MAX_MANIFEST_BYTES: Final = 1024 * 1024


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: int
    sha256: str


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1]
    files: dict[str, _Entry]


def seal(files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Make the manifest of some files; gives its hash and its bytes."""
    entries = {name: {"size": len(c), "sha256": digest_bytes(c)} for name, c in sorted(files.items())}
    manifest = canonical_json({"format": 1, "files": entries}).encode()
    return digest_bytes(manifest), manifest


def write_sealed(folder: Path, files: Mapping[str, bytes]) -> str:
    """Write files and their manifest as one folder, in one step; a damaged one there is replaced.

    Returns
    -------
    str
        The manifest's hash.
    """
    manifest_hash, manifest = seal(files)
    if not folder.exists():
        write_folder(folder, {**files, MANIFEST: manifest})
    elif not is_whole(folder, manifest_hash):
        restore_folder(folder, {**files, MANIFEST: manifest})
    return manifest_hash


def is_whole(folder: Path, manifest_hash: str) -> bool:
    """Tell whether a sealed folder stands and is unaltered."""
    try:
        open_sealed(folder, manifest_hash)
    except LineageError:
        return False
    return True


def open_sealed(folder: Path, manifest_hash: str) -> dict[str, bytes]:
    """Read a sealed folder's files, each once.

    Raises
    ------
    LineageError
        Naming the file that is missing, added, altered, too large or no regular file.
    """
    content = read_sealed_file(folder / MANIFEST, manifest_hash, MAX_MANIFEST_BYTES)
    try:
        manifest = _Manifest.model_validate(read_json(content))
    except ValueError as error:
        raise LineageError(
            f"{folder / MANIFEST}: not a manifest of this version: {error}; {_CURE}"
        ) from error
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    if missing := sorted(manifest.files.keys() - present):
        raise LineageError(f"{folder / missing[0]}: missing; {_CURE}")
    if added := sorted(present - manifest.files.keys()):
        raise LineageError(f"{folder / added[0]}: not in the manifest, so it was added; {_CURE}")
    return {
        name: read_sealed_file(folder / name, entry.sha256, entry.size)
        for name, entry in manifest.files.items()
    }


def read_sealed_file(path: Path, digest: str, size: int = MAX_BYTES) -> bytes:
    """Read a file that must have a hash, and no more than a size in bytes.

    Raises
    ------
    LineageError
        Naming the file, and what is wrong with it.
    """
    try:
        content = read_regular_file(path, size)
    except FileError as error:
        raise LineageError(f"{_problem(path, size, error)}; {_CURE}") from error
    if (found := digest_bytes(content)) != digest:
        raise LineageError(
            f"{path}: altered; expected SHA-256 {short(digest)}, found {short(found)}; {_CURE}"
        )
    return content


def _problem(path: Path, size: int, error: FileError) -> str:
    if not path.exists():
        return f"{path}: missing"
    if path.is_file() and not path.is_symlink():
        return f"{path}: altered; it is larger than {size:,} bytes"
    return str(error)


_CURE: Final = "run the backtest and promotion pipelines again"
