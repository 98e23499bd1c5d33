"""Who works here: named in contracts as the trainer, in single-user mode also as the reviewer."""

import getpass
import os

from dosvotos.errors import DecisionError

USER_VARIABLE = "DOSVOTOS_USER"


def current_user() -> str:
    """Name the person this process works for: DOSVOTOS_USER, or else the login of the operating system.

    Raises
    ------
    DecisionError
        If neither is known.
    """
    if named := os.environ.get(USER_VARIABLE, "").strip():
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise DecisionError(f"the operating system knows no login name; set {USER_VARIABLE}") from error


def same_person(one: str, other: str) -> bool:
    """Tell whether two names are one person's, whatever their case and outer spaces."""
    return one.strip().casefold() == other.strip().casefold()
