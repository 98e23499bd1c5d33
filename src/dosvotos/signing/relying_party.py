"""The address that people open, and with it the site that their passkeys are bound to."""

import os
import re
from typing import Final, NamedTuple

from dosvotos.errors import ParameterError
from dosvotos.redaction import without_secrets

PUBLIC_URL_VARIABLE: Final = "DOSVOTOS_PUBLIC_URL"
LOCAL_HOST: Final = "localhost"
LOCAL_PORT: Final = 8501
_PORT: Final = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME: Final = rf"(?:{_LABEL}\.)*(?=[a-z0-9-]*[a-z]){_LABEL}"
"""A host's name in lower case; an IP address is none, its last part being a number."""
_ORIGIN: Final = re.compile(rf"(?P<scheme>https?)://(?P<host>{HOST_NAME}){_PORT}")


class RelyingParty(NamedTuple):
    """A site, as WebAuthn calls it: passkeys are made for its name and answer to it alone."""

    rp_id: str
    """The host's name."""
    origin: str
    """The address that people open, without a path; on this machine any port of it counts."""

    @property
    def is_local(self) -> bool:
        """Whether it is this machine's own, which needs no TLS."""
        return self.origin.startswith("http://")

    @property
    def host(self) -> str:
        """What a browser sends as ``Host``."""
        return self.origin.partition("://")[2]

    def accepts(self, origin: str) -> bool:
        """Tell whether a browser's origin is this site."""
        if not self.is_local:
            return origin == self.origin
        return is_origin_of(self.rp_id, origin) and origin.startswith("http://")


def relying_party() -> RelyingParty:
    """Give the site that is stated; by default it is this machine's own. Raises as `stated_site`."""
    return stated_site() or RelyingParty(LOCAL_HOST, f"http://{LOCAL_HOST}:{LOCAL_PORT}")


def stated_site() -> RelyingParty | None:
    """Read the site from DOSVOTOS_PUBLIC_URL; None where none is stated.

    Raises
    ------
    ParameterError
        If it is no ``https://`` address of a host's name, nor ``http://localhost``.
    """
    stated = os.environ.get(PUBLIC_URL_VARIABLE, "").strip()
    if not stated:
        return None
    origin = stated.removesuffix("/")
    found = _ORIGIN.fullmatch(origin)
    if found is None or (found["scheme"] == "http") != (found["host"] == LOCAL_HOST):
        raise ParameterError(
            f"{PUBLIC_URL_VARIABLE}: set https:// with a host's name in lower case (a passkey can belong to "
            f"no IP address), or http://{LOCAL_HOST} with a port; without a path, was "
            f"{without_secrets(stated)[:200]!r}"
        )
    default = "80" if found["scheme"] == "http" else "443"
    return RelyingParty(found["host"], origin.removesuffix(f":{default}"))


def is_origin_of(rp_id: str, origin: str) -> bool:
    """Tell whether an origin is a site's own, whatever its port: over TLS, or on this machine."""
    found = _ORIGIN.fullmatch(origin)
    return (
        found is not None and found["host"] == rp_id and (found["scheme"] == "https" or rp_id == LOCAL_HOST)
    )
