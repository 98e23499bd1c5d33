"""``python -m dosvotos.notifications.child``: send one message in a process that may hang, swell or die.

It reads a request from its standard input and writes what became of it to its standard output, as JSON.
Whoever started it ends it after a while: no answer is waited for longer, or held in more memory.
"""

import json
import os
import resource
import sys
from contextlib import suppress
from typing import Any, Final

import truststore

MAX_MEMORY: Final = 2**30
"""Bytes; what a receiver answers may be endless."""


def main() -> None:
    """Send what the request says."""
    request = json.load(sys.stdin)
    with suppress(ValueError):  # macOS sets no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    truststore.inject_into_ssl()  # the machine's own authorities, as for the sources of data
    try:
        result = by_apprise(request) if "apprise" in request else post(request)
    except Exception as error:  # whatever a client raises: it is told to the parent
        result = _failed("said", said=f"{type(error).__name__}: {error}")
    sys.stdout.write(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)  # a thread of Apprise's may still wait for a receiver


def post(request: dict[str, Any]) -> dict[str, Any]:
    """Post to a web hook: a status of 2xx is success; its body is not read, a redirect not followed."""
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class NoRedirect(HTTPRedirectHandler):
        def redirect_request(self, *args: Any) -> None:
            """Leave the answer as it is."""

    call = Request(request["post"], request["body"].encode(), request["headers"], method="POST")
    try:
        build_opener(NoRedirect).open(call, timeout=request["seconds"])
    except HTTPError as refused:
        headers = {name.lower(): value for name, value in refused.headers.items()}
        told = {name: headers[name] for name in ("retry-after", "date") if name in headers}
        return {**_failed("not_sent_status", status=refused.code), "headers": told}
    return {"sent": True}


def by_apprise(request: dict[str, Any]) -> dict[str, Any]:
    """Send by Apprise, as plain text."""
    try:
        from apprise import Apprise, AppriseAsset, NotifyFormat
    except ImportError:
        return _failed("not_sent_no_apprise")
    asset = AppriseAsset(app_id="Dos Votos", app_desc="Dos Votos", http_redirects=False)
    sender = Apprise(asset=asset)
    if not sender.add(request["apprise"]):
        return _failed("not_sent_unknown_service")
    result = sender.notify(
        body=request["body"],
        title=request["title"],
        body_format=NotifyFormat.TEXT,
        timeout=request["seconds"],
    )
    told = "; ".join(dict.fromkeys(entry.message for entry in result.logs()))
    return {"sent": True} if result.status == 0 else _failed("said", said=told or result.status.name)


def _failed(code: str, **figures: Any) -> dict[str, Any]:
    """Name the code of a refusal, whose sentence the parent writes."""
    return {"sent": False, "problem": {"code": code, **figures}}


if __name__ == "__main__":
    main()
