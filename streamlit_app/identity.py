"""Who votes. This version knows one way: the person who runs the process, in single-user mode."""

import getpass
import os

from dosvotos.errors import DecisionError
from dosvotos.promotion.decision import Decision, Vote

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


def is_current_user(name: str) -> bool:
    """Tell whether a claimed name is the authenticated person's, whatever its case and outer spaces."""
    return name.strip().casefold() == current_user().casefold()


def cast_vote(decision: Decision, notes: str, to_production: bool) -> Vote:
    """Make a vote of the authenticated person."""
    return Vote(decision, current_user(), notes, promote_to_production=to_production, single_user=True)
