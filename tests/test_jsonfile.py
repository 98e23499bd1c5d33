"""JSON with one reading."""

import pytest

from dosvotos.jsonfile import read_json, write_json


@pytest.mark.parametrize("value", [{}, {"b": [1, 2.5, None], "a": {"z": "\u00e9", "y": True}}, [], "text"])
def test_what_was_written_is_read_back(value):
    assert read_json(write_json(value)) == value


def test_equal_content_is_equal_bytes():
    assert write_json({"b": 1, "a": {"d": 2, "c": 3}}) == write_json({"a": {"c": 3, "d": 2}, "b": 1})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1, "a": 1}', "key 'a' stands twice"),
        (b'[{"x": {"b": 1, "c": 2, "b": 3}}]', "key 'b' stands twice"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"a": -Infinity}', "-Infinity is no JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"{", "Expecting"),
        (b"\xff\xfe\xff", "decode"),
    ],
)
def test_what_readers_could_take_in_two_ways_is_refused(content, said):
    with pytest.raises(ValueError, match=said):
        read_json(content)


def test_nan_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"a": float("nan")})
