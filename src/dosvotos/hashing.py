"""The only place that hashes: SHA-256 over content, never over files or times."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported by whoever has an array or a frame: a command that has none starts without them
    import numpy as np
    import pandas as pd

NO_DIGEST_YET = "0" * 64
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_bytes(content: bytes) -> str:
    """Hash raw bytes; 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_file(file: Path) -> str:
    """Hash a file's bytes, however many there are."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def raw_digest(content: bytes, algorithm: str) -> bytes:
    """Hash raw bytes by a named algorithm, for formats that are not ours (SSH's)."""
    return hashlib.new(algorithm, content).digest()


def keyed_digest(key: bytes, content: bytes) -> bytes:
    """Hash raw bytes under a key (HMAC-SHA256), 32 bytes: who has it can tell that they are unchanged."""
    return hmac.new(key, content, hashlib.sha256).digest()


def slow_digest(secret: str, salt: bytes = b"dosvotos") -> str:
    """Name a secret without telling it: 64 hexadecimal digits that take 40 ms and 16 MiB a guess (scrypt)."""
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32).hex()


def canonical_json(value: Any) -> str:
    """Write `value` as JSON with sorted keys, no spaces and no NaN, so that equal content is equal text."""
    return _CANONICAL.encode(value)


def digest_json(value: Any) -> str:
    """Hash a JSON-like value by content."""
    return digest_bytes(canonical_json(value).encode())


def digest_arrays(arrays: "Mapping[str, np.ndarray]") -> str:
    """Hash named arrays by sorted name, dtype, shape and little-endian bytes."""
    import numpy as np

    hasher = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
        hasher.update(f"{name}|{array.dtype.kind}{array.dtype.itemsize}|{array.shape}|".encode())
        hasher.update(little_endian.tobytes())
    return hasher.hexdigest()


def digest_frame(frame: "pd.DataFrame") -> str:
    """Hash a frame by its columns in order, their kinds, its index and its values.

    Times count as UTC nanoseconds, text as UTF-8; NaN equals NaN. The file format, the storage unit of
    timestamps and the kind of string column play no part, so parquet and a database give the same hash.
    """
    import pandas as pd

    hasher = hashlib.sha256()
    for name, values in [("index", frame.index), *frame.items()]:
        kind, content = _column_bytes(pd.Series(values))
        hasher.update(f"{name}|{kind}|{len(frame)}|".encode())
        hasher.update(content)
    return hasher.hexdigest()


def combine(digests: Iterable[str]) -> str:
    """Hash an ordered list of hashes into one."""
    return digest_json(list(digests))


def chain_link(previous: str | None, sequence: int, content: Any) -> dict[str, Any]:
    """Give what is hashed of one row of an append-only log: the row, and the hash of the row before it."""
    return {"version": 1, "sequence": sequence, "previous": previous or NO_DIGEST_YET, "content": content}


def chain_digest(previous: str | None, sequence: int, content: Any) -> str:
    """Hash one row of an append-only log together with the hash of the row before it."""
    return digest_json(chain_link(previous, sequence, content))


def short(digest: str | None) -> str:
    """Show the first 12 digits, the form people read."""
    return digest[:12] if digest else "-"


def _column_bytes(column: "pd.Series") -> tuple[str, bytes]:
    import numpy as np
    import pandas as pd

    if isinstance(column.dtype, pd.DatetimeTZDtype):
        nanoseconds = column.dt.tz_convert("UTC").dt.as_unit("ns")
        return "time", nanoseconds.astype("int64").to_numpy("<i8").tobytes()
    if pd.api.types.is_bool_dtype(column.dtype):
        return "bool", column.to_numpy("u1").tobytes()
    if pd.api.types.is_integer_dtype(column.dtype):
        return "integer", column.to_numpy("<i8").tobytes()
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy("<f8").copy()
        values[np.isnan(values)] = np.nan
        return "real", values.tobytes()
    if pd.api.types.infer_dtype(column, skipna=True) in {"string", "date"}:  # each value is written once
        codes, distinct = pd.factorize(column)
        texts = [*map(str, distinct), None]
        return "text", canonical_json([texts[code] for code in codes]).encode()
    return "text", canonical_json([None if pd.isna(v) else str(v) for v in column]).encode()
