"""A row written from a template hashes as the dictionary that was appended, whatever it holds."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.audit.log import _HASHED, _HASHED_IF_ANY, LogRow, _content, _Writer
from dosvotos.hashing import chain_digest, digest_bytes

NAMES = (*_HASHED, *_HASHED_IF_ANY)
VALUES = st.none() | st.text(max_size=40) | st.integers()
TIMES = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))]))
write = _Writer()


def sqlite_text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f").zfill(26)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(VALUES, min_size=len(NAMES), max_size=len(NAMES)), TIMES, st.integers(1, 10**6), st.booleans()
)
def test_the_fast_writer_hashes_as_the_slow_one(
    values: list[Any], at: datetime, sequence: int, approved: bool
):
    entry = dict(zip(NAMES, values, strict=True)) | {"self_approved": approved}
    previous = None if approved else "a" * 64
    slow = chain_digest(previous, sequence, _content(entry, at.astimezone(UTC)))
    for stored_at, stored_approval in ((at, approved), (sqlite_text(at), int(approved))):
        stored = {"id": sequence, "previous_hash": previous, "row_hash": "f" * 64, "stored_at": stored_at}
        row = LogRow(**{**entry, **stored, "self_approved": stored_approval})
        assert digest_bytes(write(row).encode()) == slow and row.created_at == at
