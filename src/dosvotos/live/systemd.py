"""What systemd is told of the loop (sd_notify): that it is ready, that it lives, that it stops."""

import logging
import os
import socket
from typing import Final

logger = logging.getLogger(__name__)

READY: Final = "READY=1"
ALIVE: Final = "WATCHDOG=1"
STOPPING: Final = "STOPPING=1"


def notify(state: str) -> None:
    """Send a state to the socket that NOTIFY_SOCKET names; without it nobody asked."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as opened:
            opened.sendto(state.encode(), address)
    except OSError as error:
        logger.warning("NOTIFY_SOCKET: %s was not told: %s", state, error.strerror)
