"""Where notifications go: the addresses in DOSVOTOS_NOTIFY_URLS, and what is sent to each kind."""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict

from dosvotos.errors import NotificationError
from dosvotos.hashing import digest_json, keyed_digest, slow_digest
from dosvotos.promotion.notify import URLS_VARIABLE, Notification, write_text
from dosvotos.redaction import HIDDEN, secrets_of_address, secrets_pattern, without_secrets

WEBHOOK_SCHEMES: Final = {"webhook": "http", "webhooks": "https"}
"""Our own signed web hook, over HTTP or HTTPS; every other scheme is Apprise's."""
MIN_KEY: Final = 16
"""Bytes of a web hook's secret."""
_BRANDED: Final = "whsec_"


class Message(BaseModel):
    """A notification on its way to one recipient."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """The same however often it is tried."""
    told: Notification
    at: AwareDatetime
    """When it happened."""

    @classmethod
    def of(cls, row_id: int, told: Notification, at: datetime) -> "Message":
        """Name a notification by what it tells, when, and its row in the outbox."""
        content = {"row": row_id, "at": at.isoformat(), **told.model_dump(exclude_none=True)}
        return cls(id=f"msg_{digest_json(content)[:32]}", told=told, at=at)


class Recipient:
    """One address.

    Parameters
    ----------
    position : int
        Among the addresses, 1 the first.
    address : str
        An Apprise URL, or ``webhooks://host/path?secret=...``.
    """

    def __init__(self, position: int, address: str) -> None:
        self.position, self._address = position, address
        self.scheme = address.partition("://")[0].lower()

    @cached_property
    def id(self) -> str:
        """Name the address without telling it."""
        return f"{self.scheme[:20]} {slow_digest(self._address)[:12]}"

    @property
    def name(self) -> str:
        """Name the recipient for people."""
        return f"recipient {self.position} ({self.scheme})"

    def without_own_secrets(self, text: str) -> str:
        """Hide whatever of a text is part of the address."""
        own = secrets_pattern([self._address, *secrets_of_address(self._address)])
        return without_secrets(own.sub(HIDDEN, text) if own else text)

    def request(self, message: Message, now: datetime, public_url: str | None) -> dict[str, Any]:
        """Write what the sending process needs: an address, and what to send there.

        Raises
        ------
        NotificationError
            If it is a web hook without a secret.
        """
        text = write_text(message.told, public_url)
        if self.scheme not in WEBHOOK_SCHEMES:
            return {"apprise": self._address, "title": text.headline, "body": text.body or text.headline}
        split = urlsplit(self._address)
        if "@" in split.netloc:
            raise NotificationError(
                "web hook: names a user; its secret stands in ?secret=; write nothing before an @"
            )
        settings = parse_qsl(split.query, keep_blank_values=True)
        key = _key(dict(settings).get("secret", ""))
        others = urlencode([(name, value) for name, value in settings if name != "secret"])
        body = webhook_body(message, f"{text.headline}\n{text.body}".strip())
        return {
            "post": urlunsplit((WEBHOOK_SCHEMES[self.scheme], split.netloc, split.path or "/", others, "")),
            "headers": {"content-type": "application/json", **signed_headers(message.id, body, key, now)},
            "body": body,
        }


def read_recipients(environment: Mapping[str, str] = os.environ) -> list[Recipient]:
    """Read the recipients that the environment states, addresses apart by spaces; the same one twice is one.

    Raises
    ------
    NotificationError
        If something there is no address; it is not repeated.
    """
    found = list(dict.fromkeys(environment.get(URLS_VARIABLE, "").split()))
    for position, address in enumerate(found, start=1):
        if "://" not in address:
            raise NotificationError(
                f"{URLS_VARIABLE}: address {position} of {len(found)} has no '://'; leave a space between "
                "two, and write one inside as %20"
            )
    return [Recipient(position, address) for position, address in enumerate(found, start=1)]


def webhook_body(message: Message, text: str) -> str:
    """Write a web hook's body: what happened, when, its facts, and the text that others read."""
    data = {**message.told.model_dump(exclude_none=True), "text": text}
    content = {"type": message.told.event, "timestamp": message.at.isoformat(), "data": data}
    return json.dumps(content, ensure_ascii=False)


def signed_headers(message_id: str, body: str, key: bytes, now: datetime) -> dict[str, str]:
    """Sign a web hook's id, time and body with its secret.

    Notes
    -----
    Standard Webhooks 1.0.0 (https://www.standardwebhooks.com): HMAC-SHA256 over ``id.timestamp.body``.
    """
    timestamp = str(int(now.timestamp()))
    signature = base64.b64encode(keyed_digest(key, f"{message_id}.{timestamp}.{body}".encode())).decode()
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}


def _key(secret: str) -> bytes:
    """Read a web hook's secret: base64 after ``whsec_``, else the characters themselves."""
    try:
        coded = secret.removeprefix(_BRANDED).replace(" ", "+")  # a plus sign that nobody has encoded
        key = base64.b64decode(coded, validate=True) if secret.startswith(_BRANDED) else secret.encode()
    except binascii.Error as error:
        raise NotificationError(
            f"web hook: its secret is not base64 after {_BRANDED!r}: {error}; copy it again"
        ) from error
    if len(key) < MIN_KEY:
        raise NotificationError(
            f"web hook: needs a secret of at least {MIN_KEY} bytes, had {len(key)}; add ?secret=... to its "
            "address ('openssl rand -hex 24' makes one)"
        )
    return key
