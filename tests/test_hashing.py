import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from dosvotos.hashing import canonical_json, chain_digest, combine, digest_arrays, digest_frame, digest_json


def frame() -> pd.DataFrame:
    index = pd.date_range("2025-07-01 13:00", periods=3, freq="5min", tz="UTC", name="timestamp")
    return pd.DataFrame({"close": [1.0, np.nan, 3.0], "n": [1, 2, 3], "who": ["a", None, "c"]}, index=index)


def test_canonical_json_is_sorted_tight_and_refuses_nan():
    assert canonical_json({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": float("nan")})


def test_json_digest_is_sha256_of_the_canonical_text():
    expected = hashlib.sha256(b'{"a":1}').hexdigest()
    assert digest_json({"a": 1}) == expected
    assert len(expected) == 64


def test_a_frame_hashes_by_content_not_by_storage(tmp_path):
    original = frame()
    original.to_parquet(tmp_path / "frame.parquet")
    assert digest_frame(pd.read_parquet(tmp_path / "frame.parquet")) == digest_frame(original)
    seconds = original.set_axis(original.index.as_unit("s"))
    assert digest_frame(seconds) == digest_frame(original)
    bogota = original.set_axis(original.index.tz_convert("America/Bogota"))
    assert digest_frame(bogota) == digest_frame(original)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(close=f["close"] + 1e-12),
        lambda f: f[["n", "close", "who"]],
        lambda f: f.rename(columns={"n": "m"}),
        lambda f: f.assign(n=f["n"].astype(float)),
        lambda f: f.shift(freq="5min"),
        lambda f: f.iloc[:-1],
        lambda f: f.assign(who=["a", "b", "c"]),
    ],
)
def test_any_change_of_a_frame_changes_its_hash(change):
    assert digest_frame(change(frame())) != digest_frame(frame())


def test_arrays_hash_by_sorted_name_dtype_shape_and_bytes():
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float32)}
    assert digest_arrays(arrays) == digest_arrays(dict(reversed(arrays.items())))
    assert digest_arrays({**arrays, "w": arrays["w"].reshape(3, 2)}) != digest_arrays(arrays)
    assert digest_arrays({**arrays, "w": arrays["w"].astype(">f4")}) == digest_arrays(arrays)
    assert digest_arrays({**arrays, "b": np.ones(2)}) != digest_arrays(arrays)


def test_combined_hashes_depend_on_their_order():
    assert combine(["a", "b"]) != combine(["b", "a"])


def test_a_chained_row_depends_on_the_row_before_it():
    first = chain_digest(None, 1, {"x": 1})
    assert chain_digest(first, 2, {"x": 1}) != chain_digest(None, 2, {"x": 1})
    content = {"content": {"x": 1}, "previous": "0" * 64, "sequence": 1, "version": 1}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert first == hashlib.sha256(text.encode()).hexdigest()
