"""Send one message to one recipient, in a process of its own that is ended when it takes too long."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from dosvotos.errors import NotificationError, ParameterError
from dosvotos.notifications.recipients import Message, Recipient
from dosvotos.refusals import Phrase, StoredText
from dosvotos.signing.relying_party import stated_site
from dosvotos.sources.http import retry_after_seconds

SECONDS: Final = 30.0
"""How long a recipient may take, whatever it does; for each of its answers it has a third of that."""
_CHILD: Final = "dosvotos.notifications.child"


class Sent(NamedTuple):
    """What became of a message."""

    problem: StoredText | None = None
    """Why it was not sent, without secrets; None if it was."""
    wait: timedelta = timedelta(0)
    """What the recipient asks to wait for."""


Send = Callable[[Recipient, Message, datetime], Sent]


def send(recipient: Recipient, message: Message, now: datetime, seconds: float = SECONDS) -> Sent:
    """Send a message; whatever goes wrong is told and not raised.

    Parameters
    ----------
    recipient : Recipient
    message : Message
    now : datetime, timezone-aware
        Of a web hook's signature.
    seconds : float
        After which the sending process is ended.
    """
    try:
        site = stated_site()
        request = {**recipient.request(message, now, site.origin if site else None), "seconds": seconds / 3}
        child = subprocess.run(
            [sys.executable, "-m", _CHILD],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        result = json.loads(child.stdout) if child.returncode == 0 else {}
    except subprocess.TimeoutExpired:
        return Sent(StoredText.of(Phrase.of("not_sent_in_time", seconds=f"{seconds:g}")))
    except (NotificationError, ParameterError) as error:
        return Sent(StoredText.of(error, recipient.without_own_secrets))
    except (OSError, ValueError) as error:
        return Sent(StoredText.of(Phrase.of("said", said=str(error)), recipient.without_own_secrets))
    if not result:
        return Sent(StoredText.of(Phrase.of("not_sent_sender_ended", status=child.returncode)))
    if result["sent"]:
        return Sent()
    wait = retry_after_seconds(result.get("headers", {})) or 0.0
    problem = StoredText.of(Phrase.of(**result["problem"]), recipient.without_own_secrets)
    return Sent(problem, timedelta(seconds=wait))
