"""Values of kinds that are never stored, and rows gone or doubled, as an edited database holds them.

They are named where they are met, without a traceback.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import MultipleResultsFound, NoResultFound

from dosvotos.errors import AlteredError

ODD_VALUES: Final = (AttributeError, LookupError, TypeError, ValueError, NoResultFound, MultipleResultsFound)
"""What comes of comparing or computing with them."""


@contextmanager
def odd_values_named(what: str) -> Iterator[None]:
    """Refuse what stands behind something by name; raises AlteredError from the error that was met."""
    try:
        yield
    except ODD_VALUES as error:
        raise AlteredError.of("odd_value", what=what, problem=f"{type(error).__name__}: {error}") from error
