"""Secrets in addresses, taken out of whatever is shown, logged or stored."""

import re
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "***"
_USERINFO: Final = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)(?P<user>[^\s:/@]*)(?P<rest>:\S*)?@")
_SETTING: Final = re.compile(r"(?P<name>[\w%.\-]+)(?P<is>\s?=\s?)(?P<value>'[^']*'|\"[^\"]*\"|[^\s&;#'\"]+)")
_SECRET_NAME: Final = re.compile(r"pass|pwd|token|key|secret|sig|auth|cred", re.IGNORECASE)
_WEB: Final = ("http://", "https://")


def without_secrets(text: str) -> str:
    """Hide passwords, tokens and keys in a text's addresses and connection settings.

    Hidden are the password of ``scheme://user:password@host``, whatever stands before the @ of a web address,
    and the value of every setting whose name, percent-decoded, says that it is one: ``?password=``,
    ``&sslpassword=``, ``api_key=``, ``token=`` and their like.
    """
    return _SETTING.sub(_hide_setting, _USERINFO.sub(_hide_userinfo, text))


def _hide_userinfo(match: re.Match[str]) -> str:
    scheme, user, password = match["scheme"], match["user"], match["rest"]
    if scheme.lower() in _WEB:
        return f"{scheme}{HIDDEN}@"
    return f"{scheme}{user}:{HIDDEN}@" if password else f"{scheme}{user}@"


def _hide_setting(match: re.Match[str]) -> str:
    secret = _SECRET_NAME.search(unquote(match["name"]))
    return f"{match['name']}{match['is']}{HIDDEN}" if secret else match[0]
