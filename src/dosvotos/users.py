"""Who works here: named in contracts as the trainer, in single-user mode also as the reviewer."""

import getpass
import os

from dosvotos.errors import DecisionError
from dosvotos.plain_text import check_name

USER_VARIABLE = "DOSVOTOS_USER"
MAX_NAME = 255


def current_user() -> str:
    """Name the person this process works for: DOSVOTOS_USER, or else the login of the operating system.

    Raises
    ------
    DecisionError
        If neither is known, or it is too long or no plain text.
    """
    if named := os.environ.get(USER_VARIABLE, "").strip():
        return _checked(named, USER_VARIABLE)
    try:
        return _checked(getpass.getuser(), "login name")
    except (KeyError, OSError) as error:
        raise DecisionError(f"the operating system knows no login name; set {USER_VARIABLE}") from error


def _checked(name: str, source: str) -> str:
    if len(name) > MAX_NAME:
        raise DecisionError(
            f"{source}: at most {MAX_NAME} characters, were {len(name)}; set {USER_VARIABLE} to a shorter one"
        )
    try:
        return check_name(name)
    except ValueError as error:
        raise DecisionError(f"{source}: {error}; set {USER_VARIABLE} to such a name") from error


def same_person(one: str, other: str) -> bool:
    """Tell whether two names are one person's, whatever their case and outer spaces."""
    return one.strip().casefold() == other.strip().casefold()
