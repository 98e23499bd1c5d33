"""Find a named file in any of its forms, and unpack it to text, a workbook or parquet."""

import codecs
import gzip
import io
import zipfile
import zlib
from pathlib import Path, PurePath
from typing import Final, Literal, NamedTuple

from dosvotos.errors import DataError

SUFFIXES: Final = (
    ".csv", ".txt", ".tsv", ".csv.gz", ".txt.gz", ".tsv.gz", ".zip", ".xlsx", ".parquet",
)  # fmt: skip
FORMATS: Final = "docs/data.md has the formats"
_MAX_BYTES: Final = 2 << 30
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_KINDS: Final = (
    ((b"\xd0\xcf\x11\xe0",), "an old Excel workbook (.xls) or one with a password"),
    ((b"%pdf",), "a PDF document"),
    ((b"<!", b"<?xml", b"<html", b"<head", b"<body", b"<table"), "a web page or XML"),
    ((b"{", b"["), "JSON"),
)


class Content(NamedTuple):
    """The inside of a file."""

    what: str
    """The file as messages name it, with the name inside of an archive."""
    kind: Literal["text", "xlsx", "parquet"]
    data: bytes


def find_files(folder: Path, name: str) -> list[Path]:
    """Return the files of a folder that are called `name`, in any of the forms that can be read.

    Suffixes count in any case; no other file of the folder is looked at.
    """
    wanted = {name.casefold() + suffix for suffix in SUFFIXES}
    return sorted(path for path in folder.iterdir() if path.name.casefold() in wanted and path.is_file())


def unpack(path: Path) -> Content:
    """Read a file and open what it is packed in: gzip, or a zip archive of one file.

    What the bytes are counts, not the suffix.

    Raises
    ------
    DataError
        If it cannot be read, is empty, holds several files, or is no text, xlsx or parquet.
    """
    content = _open(str(path), read_limited(path), 0)
    suffix = PurePath(path).suffix.casefold()[1:]
    if suffix in {"parquet", "xlsx"} and content.kind == "text":
        raise DataError(f"{path}: cannot be read as {suffix}: its bytes are text; {FORMATS}")
    return content


def read_limited(path: Path) -> bytes:
    """Read a delivered file; raises DataError if it cannot be read or holds more than 2 GiB."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size <= _MAX_BYTES:
                return _limited(str(path), file.read(_MAX_BYTES + 1))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; correct the file's permissions"
        ) from error
    raise _too_large(str(path))


def decode(content: Content) -> str:
    """Decode text: by its byte order mark, else as UTF-8, else as Windows-1252 or Latin-1 (old Excel)."""
    data = content.data
    encodings = [name for mark, name in _BOMS if data.startswith(mark)][:1]
    if not encodings and b"\0" in data[:4096]:
        remedy = "save it as CSV UTF-8"
        raise DataError(f"{content.what}: binary, or UTF-16 without its byte order mark; {remedy}")
    for encoding in encodings or ["utf-8", "cp1252", "latin-1"]:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            reason = str(error)
    raise DataError(f"{content.what}: cannot be read as text: {reason}; save it as CSV UTF-8")


def _open(what: str, data: bytes, depth: int) -> Content:
    if not data.strip():
        raise DataError(f"{what}: the file is empty; export it again")
    if data.startswith((b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06")) and depth > 1:
        raise DataError(f"{what}: packed more than twice; unpack it")
    if data.startswith(b"\x1f\x8b"):
        return _open(what, _gunzip(what, data), depth + 1)
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _open_zip(what, data, depth)
    if data.startswith(b"PAR1"):
        return Content(what, "parquet", data)
    first = data.lstrip(codecs.BOM_UTF8 + b" \t\r\n")[:20].lower()
    for starts, kind in _OTHER_KINDS:
        if first.startswith(starts):
            raise DataError(f"{what}: cannot be read: {kind}; save it as CSV or xlsx; {FORMATS}")
    return Content(what, "text", data)


def _gunzip(what: str, data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as packed:
            return _limited(what, packed.read(_MAX_BYTES + 1))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{what}: cannot be read as gzip: {error}; copy it again") from error


def _open_zip(what: str, data: bytes, depth: int) -> Content:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [info.filename for info in archive.infolist() if not _is_beside(info)]
            if "xl/workbook.xml" in names:
                return Content(what, "xlsx", data)
            if len(names) != 1:
                found = f"{len(names)} files, {', '.join(names[:5])}" if names else "no file"
                raise DataError(f"{what}: an archive must hold one file, holds {found}; keep one")
            with archive.open(names[0]) as packed:
                inside = _limited(what, packed.read(_MAX_BYTES + 1))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
        raise DataError(
            f"{what}: cannot be read as zip: {error}; pack it again, without a password"
        ) from error
    return _open(f"{what} ({names[0]})", inside, depth + 1)


def _is_beside(info: zipfile.ZipInfo) -> bool:
    """Whether an entry is a folder, or what macOS puts beside files."""
    return info.is_dir() or info.filename.startswith("__MACOSX/") or info.filename.endswith(".DS_Store")


def _limited(what: str, data: bytes) -> bytes:
    if len(data) > _MAX_BYTES:
        raise _too_large(what)
    return data


def _too_large(what: str) -> DataError:
    return DataError(f"{what}: holds more than {_MAX_BYTES >> 30} GiB; deliver it in parts")
