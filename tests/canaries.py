"""Secrets that must be found nowhere: one for every setting that holds one, and every place in an address."""

import base64
from typing import Final
from urllib.parse import quote, quote_plus

KEYS: Final = {
    "TWELVEDATA_API_KEY": "cAnary-twelvedata-01",
    "FRED_API_KEY": "cAnary-fred-02",
    "MLFLOW_TRACKING_PASSWORD": "cAnary-mlflow/03",
    "MLFLOW_TRACKING_TOKEN": "cAnary-mlflow-token-04",
    "PGPASSWORD": "cAnary-postgres@05",
}
IN_ADDRESSES: Final = {
    "path": "cAnaryInPath06", "second path": "cAnaryInPath07", "host": "cAnaryInHost08x",
    "user": "cAnaryUser09",
    "password": "cAnary+pass/word10", "setting": "cAnary%setting11", "secret": "cAnarySecret12==",
    "heartbeat": "0b1c2d3e-aaaa-4bbb-8ccc-cAnary130000",
}  # fmt: skip
CANARIES: Final = (*KEYS.values(), *IN_ADDRESSES.values())


def canary_environment() -> dict[str, str]:
    """Settings that hold every canary; what they address does not answer."""
    of = {place: quote(secret, safe="") for place, secret in IN_ADDRESSES.items()}
    notify = [
        f"slack://{of['host']}/{of['path']}/{of['second path']}",
        f"mailto://{of['user']}:{of['password']}@127.0.0.1:9",
        f"json://127.0.0.1:9/in?other={of['setting']}",
        f"webhook://127.0.0.1:9/in?secret={of['secret']}",
    ]
    heartbeat = f"http://127.0.0.1:9/{of['heartbeat']}"
    return {**KEYS, "DOSVOTOS_NOTIFY_URLS": " ".join(notify), "DOSVOTOS_HEARTBEAT_URL": heartbeat}


def spellings(secret: str) -> tuple[str, ...]:
    """Write a secret as logs, addresses and headers would."""
    coded = base64.b64encode(secret.encode()).decode().rstrip("=")[:16]
    return (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), coded)


def canaries_in(content: bytes) -> list[str]:
    """List the canaries that a file, page or log holds, however they are spelled."""
    lower = content.lower()
    return [one for one in CANARIES if any(spelling.lower().encode() in lower for spelling in spellings(one))]
