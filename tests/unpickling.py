"""The one module that may unpickle: what SB3 makes of our own files, and what a trap would do."""

import pickle
from typing import IO, Any

from stable_baselines3 import PPO


def dump(value: Any) -> bytes:
    return pickle.dumps(value)


def load(content: bytes) -> Any:
    return pickle.loads(content)


def load_sb3(file: IO[bytes], kind: type[PPO] = PPO, **options: Any) -> PPO:
    """A model from SB3's zip, as somebody would open it elsewhere."""
    return kind.load(file, **options)
