"""What is sent to a web hook and by Apprise: signed, plain, and without a way to be more than text."""

import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import parse_qsl

import pytest

from dosvotos.errors import NotificationError
from dosvotos.notifications import child
from dosvotos.notifications.recipients import Message, Recipient, signed_headers
from dosvotos.promotion.notify import Notification
from tests.conftest import ROOT
from tests.notifications.receivers import SECRET

NOW = datetime.now(UTC)
HOSTILE = (
    "see https://evil.com/x, [me](http://evil.com) ![i](//evil.com/i.png) <!channel> @everyone <@U1> /stop"
)
TOLD = Notification(
    event="REJECT", instrument="USD/COP.SIM", experiment="demo", proposal_id=12, person=HOSTILE, note=HOSTILE
)
MESSAGE = Message.of(7, TOLD, NOW)
LINK = "https://votes.example.com/review?id=12"


def request_to(address: str, now: datetime = NOW) -> dict:
    return Recipient(1, address).request(MESSAGE, now, "https://votes.example.com/")


def test_the_signature_is_the_one_of_standard_webhooks():
    """Against the vector in the tests of its reference library."""
    import base64

    at = datetime.fromtimestamp(1614265330, UTC)
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', key, at)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def documented_check():
    """The receiver's ten lines in docs/notifications.md."""
    page = (ROOT / "docs/notifications.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    names: dict = {}
    exec(code, names)
    return names["verified"]


@pytest.mark.parametrize("secret", [SECRET, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_the_documented_lines_accept_what_is_sent_and_nothing_else(secret):
    verified = documented_check()
    request = request_to(f"webhooks://hooks.example.com/in?secret={secret}&room=4")
    assert request["post"] == "https://hooks.example.com/in?room=4"
    headers, body = request["headers"], request["body"].encode()
    assert verified(headers, body, secret, NOW.timestamp())["data"]["proposal_id"] == 12
    other_id = {**headers, "webhook-id": "msg_0"}
    later = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}
    late = (NOW + timedelta(minutes=6)).timestamp()
    for changed in (
        (headers, body.replace(b"12", b"13"), secret, NOW.timestamp()),
        (other_id, body, secret, NOW.timestamp()),
        (later, body, secret, NOW.timestamp()),
        (headers, body, secret[::-1] if secret is SECRET else SECRET, NOW.timestamp()),
        (headers, body, secret, late),
    ):
        with pytest.raises(ValueError, match="webhook"):
            verified(*changed)


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("webhooks://h/in", "at least 16 bytes, had 0"),
        ("webhooks://h/in?secret=short", "at least 16 bytes, had 5"),
        ("webhooks://h/in?secret=whsec_***", "not base64"),
        (f"webhooks://u:{SECRET}@h/in", "names a user"),
    ],
)
def test_a_web_hook_that_could_not_be_verified_is_refused(address, rule):
    with pytest.raises(NotificationError, match=rule) as refused:
        request_to(address)
    assert SECRET not in str(refused.value)


SERVICES = {
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "telegram": "tgram://123456789:AAEhBOweik6ad9r_QXMENQjcrbGbqCr4K-b/12315544/",
    "rocket chat, teams and the like": "json://hooks.example.com/in",
}


@pytest.mark.parametrize("address", SERVICES.values(), ids=SERVICES)
def test_no_service_is_sent_a_link_a_mention_or_an_image_of_somebody_s_words(address, monkeypatch):
    """What Apprise would post, for each of the services the docs name: our link is the only one in it."""
    import requests

    posted = []

    def post(*arguments, **options):
        posted.append(str(options.get("data") or options.get("json")))
        content = b"ok" if address.startswith("slack") else b'{"ok": true}'
        return SimpleNamespace(status_code=200, content=content, headers={}, text=content.decode())

    monkeypatch.setattr(requests, "post", post)
    monkeypatch.setattr(requests, "request", post)
    assert child.by_apprise({**request_to(address), "seconds": 5}) == {"sent": True}
    (said,) = posted
    words = json.loads(said) if said.startswith("{") else dict(parse_qsl(said))
    shown = json.dumps(words, ensure_ascii=False).replace(LINK, "", 1)
    assert "Model rejected by see" in shown and "[SIM]" in shown
    for sign in ("@", "<!", "<@", "](", "://evil", "evil.com", " /stop"):
        assert sign not in shown, shown
