"""Secrets, taken out of whatever is shown, logged or stored: the environment's, and those of addresses."""

import logging
import os
import re
import traceback
from collections.abc import Iterable, Iterator
from functools import cache
from types import TracebackType
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

HIDDEN: Final = "***"
SECRETS: Final = (
    "TWELVEDATA_API_KEY", "FRED_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD",
    "DOSVOTOS_WEBHOOK_SECRET",
)  # fmt: skip
"""Variables of the environment whose whole value is a secret."""
ADDRESSES: Final = ("DOSVOTOS_DATABASE_URL", "MLFLOW_TRACKING_URI")
"""Variables whose value is an address with a password, a token or a key in it."""
SECRET_ADDRESSES: Final = ("DOSVOTOS_NOTIFY_URLS", "DOSVOTOS_HEARTBEAT_URL")
"""Variables of addresses, apart by spaces, of which any part may be the secret: a path, a host, a query."""
MIN_SECRET: Final = 6
"""Characters: what is shorter is hidden by its place in an address alone, or half of every text would go."""

_USERINFO: Final = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)(?P<user>[^\s:/@]*)(?P<rest>:\S*)?@")
_SETTING: Final = re.compile(r"(?P<name>[\w%.\-]+)(?P<is>\s?=\s?)(?P<value>'[^']*'|\"[^\"]*\"|[^\s&;#'\"]+)")
_SECRET_NAME: Final = re.compile(r"pass|pwd|token|key|secret|sig|auth|cred", re.IGNORECASE)
_WEB: Final = ("http://", "https://")
_HOOKS: Final = re.compile(
    r"(?P<before>(?:hooks\.slack\.com/services|discord(?:app)?\.com/api/webhooks|hc-ping\.com|"
    r"api\.telegram\.org(?=/bot)|ntfy\.sh)/)[^\s'\"<>]+"
)
"""Addresses of services whose path is the secret."""
_ORDINARY: Final = re.compile(r"[a-z]{0,15}|[a-z0-9-]{1,7}|(?:[a-z0-9-]+\.)+[a-z]{2,}|[\d.]+")
"""A part of an address that is a word, a number or a host's name, and no secret."""


def without_secrets(text: str) -> str:
    """Hide passwords, tokens and keys in a text.

    Hidden are the secrets that this process's environment holds, wherever they stand and also when they are
    percent-encoded; the password of ``scheme://user:password@host``; whatever stands before the @ of a web
    address; the value of every setting whose name, percent-decoded, says that it is one (``?password=``,
    ``&sslpassword=``, ``api_key=``, ``token=`` and their like); and the path of a web hook.
    """
    if (known := _pattern(_environment())) is not None:
        text = known.sub(HIDDEN, text)
    text = _HOOKS.sub(lambda found: found["before"] + HIDDEN, text)
    return _SETTING.sub(_hide_setting, _USERINFO.sub(_hide_userinfo, text))


def hide_secrets_in_logs() -> None:
    """Let every record that any library logs in this process come without secrets, its traceback included."""
    if logging.getLogRecordFactory() is not SafeRecord:
        logging.setLogRecordFactory(SafeRecord)


def traceback_without_secrets(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> str:
    """Write a traceback as Python prints it, without secrets."""
    return without_secrets("".join(traceback.format_exception(kind, error, trace)))


class SafeRecord(logging.LogRecord):
    """A log record without secrets, whoever formats it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if self.exc_info and self.exc_info[1] is not None:
            kind, error, trace = self.exc_info
            self.exc_text = traceback_without_secrets(kind or type(error), error, trace).rstrip("\n")

    def getMessage(self) -> str:  # noqa: N802
        """Write the message."""
        return without_secrets(super().getMessage())


def secrets_of_address(address: str, every_part: bool = True) -> Iterator[str]:
    """Give the secrets of an address, as they stand there.

    Parameters
    ----------
    address : str
    every_part : bool
        Whether user, host, path and any setting may be secret too, as in ``slack://token/token``; else the
        password is, and the settings that say so. Host names and short words are none.
    """
    try:
        split = urlsplit(address)
    except ValueError:  # no address, so nobody knows which part of it is meant
        yield address
        return
    user_info, _, host = split.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    settings = parse_qsl(split.query)
    yield from (password, *(value for name, value in settings if _SECRET_NAME.search(name)))
    if split.scheme in ("http", "https") and not password:
        yield user
    if every_part:
        path = [part for part in split.path.split("/") if part]
        parts = [user, *host.split(":"), *path, "/".join(path), split.fragment, *(v for _, v in settings)]
        yield from (part for part in parts if not _ORDINARY.fullmatch(part))


def _environment() -> tuple[str, ...]:
    return tuple(os.environ.get(name, "") for name in (*SECRETS, *ADDRESSES, *SECRET_ADDRESSES))


@cache
def _pattern(values: tuple[str, ...]) -> re.Pattern[str] | None:
    """Compile what finds the environment's secrets, the longest first; None where there are none."""
    named = dict(zip((*SECRETS, *ADDRESSES, *SECRET_ADDRESSES), values, strict=True))
    found = [named[name] for name in SECRETS]
    for name in ADDRESSES:
        found += secrets_of_address(named[name], every_part=False)
    for name in SECRET_ADDRESSES:
        for address in named[name].split():
            found += secrets_of_address(address)
    return secrets_pattern(found)


def secrets_pattern(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """Compile what finds secrets as they stand, percent-decoded and percent-encoded; None for no secret."""
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
    if not spellings:
        return None
    longest_first = sorted(spellings, key=lambda one: (-len(one), one))
    return re.compile("|".join(map(_found_as, longest_first)), re.IGNORECASE)


def _spellings(secret: str) -> Iterator[str]:
    for one in (secret, unquote(secret)):
        if len(one) >= MIN_SECRET:
            yield from (one, quote(one), quote(one, safe=""), quote_plus(one))


def _found_as(spelling: str) -> str:
    """A word that is a secret is not looked for inside longer words: ``postgres`` in ``postgresql``."""
    wanted = re.escape(spelling)
    return f"(?<![a-z]){wanted}(?![a-z])" if spelling.isalpha() else wanted


def _hide_userinfo(match: re.Match[str]) -> str:
    scheme, user, password = match["scheme"], match["user"], match["rest"]
    if scheme.lower() in _WEB:
        return f"{scheme}{HIDDEN}@"
    return f"{scheme}{user}:{HIDDEN}@" if password else f"{scheme}{user}@"


def _hide_setting(match: re.Match[str]) -> str:
    secret = _SECRET_NAME.search(unquote(match["name"]))
    return f"{match['name']}{match['is']}{HIDDEN}" if secret else match[0]
