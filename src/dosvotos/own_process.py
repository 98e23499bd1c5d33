"""The one module that pickles: messages to and from a child that this process has started itself.

Nothing read from a file, a database or the network comes here: unpickling runs what the bytes name.
"""

import pickle
from typing import IO, Any

import cloudpickle

UNREADABLE = (EOFError, pickle.UnpicklingError)
"""What `receive` raises when the other side is gone."""


def send(pipe: IO[bytes], message: Any) -> None:
    """Send a message through a pipe, whole."""
    pipe.write(pickle.dumps(message))
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Wait for the next message of a pipe whose other end this process or its parent holds."""
    return pickle.load(pipe)


def pack(function: Any) -> bytes:
    """Write a function with what it closes over, for a child of this process."""
    packed: bytes = cloudpickle.dumps(function)
    return packed


def unpack(packed: bytes) -> Any:
    """Read what the parent of this process has packed."""
    return pickle.loads(packed)
