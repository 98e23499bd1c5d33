"""A row written field by field hashes as the dictionary that was appended, whatever it holds."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.hashing import chain_digest, chain_digest_of
from dosvotos.promotion.audit import _HASHED, _HASHED_IF_ANY, _content, _hashed_fields, _written

NAMES = (*_HASHED, *_HASHED_IF_ANY)
VALUES = st.none() | st.text(max_size=40) | st.integers() | st.booleans()
TIMES = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(VALUES, min_size=len(NAMES), max_size=len(NAMES)), TIMES, st.integers(1, 10**6), st.booleans()
)
def test_the_fast_writer_hashes_as_the_slow_one(values: list[Any], at: datetime, sequence: int, first: bool):
    entry = dict(zip(NAMES, values, strict=True))
    columns = ("id", *NAMES, "created_at", "row_hash")
    row = (sequence, *values, at, "f" * 64)
    previous = None if first else "a" * 64
    fast = chain_digest_of(previous, sequence, _written(row, _hashed_fields(columns)))
    assert fast == chain_digest(previous, sequence, _content(entry, at))
