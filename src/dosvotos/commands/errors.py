"""Mistakes of a user as one message without traceback; anything else keeps its traceback."""

import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from dosvotos.console import open_console
from dosvotos.errors import DosVotosError, StaleDataError, stored_otherwise
from dosvotos.project import find_root
from dosvotos.redaction import traceback_without_secrets, without_secrets

EXIT_ERROR = 1
EXIT_STALE = 3
_NO_FOLDER = "Given configuration path either does not exist"
_MENDED_OUTSIDE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "make it writable",
    errno.EACCES: "correct its permissions",
}
"""What to do about an error of the machine that no code of ours can mend."""
_IN_CONF, _BY_KEDRO = "correct it in conf/ or --params", "'kedro run --help' lists what it takes"
_KEDRO_S_OWN = {
    "Pipeline contains no nodes": _BY_KEDRO,
    "Pipeline does not contain": _BY_KEDRO,
    "module 'kedro.runner' has no": "give --runner SequentialRunner or ThreadRunner, or leave it out",
}
"""How messages of Kedro's own begin, and what to do about them."""
_READABLE = (
    ("kedro.validation.exceptions", "ParameterValidationError"),
    ("omegaconf.errors", "OmegaConfBaseException"),
    ("yaml", "YAMLError"),
)


def install_excepthook() -> None:
    """Print what a user can mend as a message on standard error, and no secret in a traceback either."""
    sys.excepthook = _report


def message_of(error: BaseException) -> str | None:
    """Write the message for an error a user can mend, without secrets; None for a defect of ours."""
    message = _message(error)
    return None if message is None else without_secrets(message)


def _message(error: BaseException) -> str | None:
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, DosVotosError):
            return str(cause)
    for cause in chain:
        if _is_of(cause, ("kedro.config", "MissingConfigException")):
            return _missing_configuration(cause)
        advice = _IN_CONF if _is_of(cause, *_READABLE) else _advice_for_kedro_s(str(cause))
        if advice:
            return f"{cause}; {advice}"
    if _is_of(error, ("kedro.io", "DatasetError")):
        return "; ".join((str(error), *list(filter(None, map(_mended_outside, chain)))[:1]))
    if isinstance(error, OSError) and (mended := _mended_outside(error)):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; {mended}"
    return stored_otherwise(error) if isinstance(error, ValidationError) else None


def _mended_outside(error: BaseException) -> str | None:
    number = error.errno if isinstance(error, OSError) else None
    return f"{_MENDED_OUTSIDE[number]}, then run the command again" if number in _MENDED_OUTSIDE else None


def _advice_for_kedro_s(text: str) -> str | None:
    return next((advice for start, advice in _KEDRO_S_OWN.items() if text.startswith(start)), None)


def show(message: str) -> None:
    """Print one error message on standard error, unwrapped and without markup."""
    open_console(stderr=True).print("error:", message, markup=False, soft_wrap=True)


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    message = message_of(error)
    if message is None:
        sys.stderr.write(traceback_without_secrets(kind, error, trace))
        return
    show(message)
    raise SystemExit(exit_code(error))


def exit_code(error: BaseException) -> int:
    """Return 3 for a run that finished on stale data, else 1."""
    return EXIT_STALE if isinstance(error, StaleDataError) else EXIT_ERROR


def _is_of(error: BaseException, *kinds: tuple[str, str]) -> bool:
    """Tell whether an error is of one of some modules' classes; of a module nobody imported it cannot be."""
    return any(
        module in sys.modules and isinstance(error, getattr(sys.modules[module], name))
        for module, name in kinds
    )


def _missing_configuration(error: BaseException) -> str:
    conf = (find_root() or Path()) / "conf"
    known = sorted({path.parent.name for path in conf.glob("*/globals.yml")} - {"base"})
    if _NO_FOLDER not in str(error):
        return str(error)
    if not known:
        return f"{conf}: no folder with a globals.yml is here, so there is no experiment; bring conf/ back"
    name = str(error).rsplit("/", 1)[-1]
    return f"unknown experiment {name!r}; the folders of conf/ are: {', '.join(known)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
