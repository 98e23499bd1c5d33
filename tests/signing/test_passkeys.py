"""A passkey's assertion counts for one text, one site and one person who was there; no altered one does."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from dosvotos.errors import ParameterError, SignatureError
from dosvotos.signing.passkeys import (
    Passkey,
    parse_assertion,
    parse_passkey,
    parse_voter_key,
    read_registration,
    to_base64url,
)
from dosvotos.signing.relying_party import relying_party, stated_site
from dosvotos.signing.signers import new_signer
from tests.authenticator import PRESENT, VERIFIED, Authenticator

TEXT = b"dosvotos decision v1\naction: APPROVE\n"


@pytest.fixture(scope="module", params=["ES256", "RS256"])
def authenticator(request: pytest.FixtureRequest) -> Authenticator:
    if request.param == "RS256":
        return Authenticator(key=rsa.generate_private_key(65_537, 2_048))
    return Authenticator()


def accepts(written: str, key: Passkey, text: bytes = TEXT) -> bool:
    try:
        parse_assertion(written).verify(text, key)
    except SignatureError:
        return False
    return True


def test_a_passkey_signs_and_its_line_and_assertion_come_back_as_they_were(authenticator):
    key, written = authenticator.public_key, authenticator.sign(TEXT)
    assert parse_voter_key(key.line) == key and parse_assertion(written).written == written
    assert accepts(written, key) and parse_assertion(written).counter == authenticator.counter
    assert key.fingerprint.startswith("SHA256:") and key.pem.startswith(b"-----BEGIN PUBLIC KEY-----")


def test_nothing_but_the_right_person_there_on_the_right_site_signs(authenticator):
    """Whatever an authenticator or browser states, signed by the right key: refused if it is wrong."""
    wrong = {
        "challenge": [b"", b"\0" * 32, TEXT],
        "origin": [
            "http://localhost.evil.test", "https://evil.test", "http://127.0.0.1:8501", "localhost", "null",
            "", "http://localhost:8501/", "http://user@localhost", "ftp://localhost", "http://sub.localhost:8501",
        ],
        "rp_id": ["evil.test", "", "LOCALHOST", "sub.localhost"],
        "flags": [flags for flags in range(256) if flags & (PRESENT | VERIFIED) != PRESENT | VERIFIED],
        "type": ["webauthn.create", "payment.get", "", "WEBAUTHN.GET"],
        "cross_origin": [True, "yes", 1],
        "client": [{"topOrigin": "http://localhost:8501"}, {"challenge": None}, {"origin": 7}],
    }  # fmt: skip
    key, accepted = authenticator.public_key, []
    for name, values in wrong.items():
        some = values if not isinstance(authenticator.key, rsa.RSAPrivateKey) else values[:3]
        accepted += [
            (name, value) for value in some if accepts(authenticator.sign(TEXT, **{name: value}), key)
        ]
    assert accepted == []


def test_no_byte_of_an_assertion_may_change(authenticator):
    """Each byte of each field with a bit flipped, fields cut, swapped and lengthened: 0 accepted."""
    key, good = authenticator.public_key, authenticator.assertion(TEXT)
    n_tried, accepted = 0, []
    for name, value in good._asdict().items():
        step = 1 if isinstance(authenticator.key, ec.EllipticCurvePrivateKey) else 7
        altered = [
            value[:at] + bytes([value[at] ^ (1 << at % 8)]) + value[at + 1 :]
            for at in range(0, len(value), step)
        ]
        altered += [b"", value[:-1], value + b"\0", b"\0" + value, *good._asdict().values()]
        for one in altered:
            n_tried += one != value
            if one != value and accepts(good._replace(**{name: one}).written, key):
                accepted.append((name, one))
    assert n_tried > 60 and accepted == []


@pytest.mark.parametrize(
    "alter",
    [
        lambda text: text + " ",
        lambda text: " " + text,
        lambda text: text.replace(":", ": "),
        lambda text: text.replace("}", ',"more":""}'),
        lambda text: text.replace('"credential"', '"Credential"'),
        lambda text: text[:-3] + '="}',
        lambda text: "{}",
        lambda text: "[]",
        lambda text: "null",
        lambda text: "{" * 9_000,
        lambda text: text.replace("A", "A\\u0041"),
    ],
)
def test_an_assertion_has_one_form(authenticator, alter: Callable[[str], str]):
    written = alter(authenticator.sign(TEXT))
    with pytest.raises(SignatureError):
        parse_assertion(written)


def test_another_s_key_text_or_credential_is_refused(authenticator):
    other, written = Authenticator(), authenticator.sign(TEXT)
    key = authenticator.public_key
    assert not accepts(written, other.public_key)
    assert not accepts(written, key, TEXT + b"\n")
    assert not accepts(written, Passkey("localhost", key.credential, other.cose))
    assert not accepts(written, Passkey("desk.test", key.credential, key.cose))
    assert not accepts(other.assertion(TEXT)._replace(credential=key.credential).written, key)


def test_a_passkey_s_line_is_a_host_and_a_key_that_openssl_knows(authenticator):
    from cbor2 import dumps

    key = authenticator.public_key
    small = Authenticator(key=rsa.generate_private_key(65_537, 1_024))
    public = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    for rp_id, credential, cose in (
        ("127.0.0.1", key.credential, key.cose),
        ("desk test", key.credential, key.cose),
        ("Desk.test", key.credential, key.cose),
        ("", key.credential, key.cose),
        ("localhost", b"", key.cose),
        ("localhost", key.credential, b"x"),
        ("localhost", key.credential, small.cose),
        ("localhost", key.credential, dumps({1: 1, 3: -8, -1: 6, -2: public})),
        ("localhost", key.credential, dumps([1, 2])),
        ("localhost", key.credential, dumps({1: 2})),
    ):
        line = f"webauthn {rp_id} {to_base64url(credential)} {to_base64url(cose)}"
        with pytest.raises(SignatureError):
            parse_voter_key(line)
    for line in (
        f"{key.line} comment",
        f"{key.line}=",
        key.line.replace(" ", "  "),
        "webauthn",
        f"{key.line}\n",
    ):
        with pytest.raises(SignatureError):
            parse_passkey(line)
    ssh = new_signer().public_key
    assert parse_voter_key(f"{ssh.line} ana@desk") == ssh


def test_a_passkey_is_made_for_one_site_and_challenge(authenticator):
    site, origin = relying_party(), authenticator.origin
    made = authenticator.register(b"c" * 32)
    assert read_registration(made, b"c" * 32, origin, site) == authenticator.public_key
    refused: list[tuple[dict, bytes, str]] = [
        (made, b"d" * 32, origin),
        (made, b"c" * 32, "https://evil.test"),
        (made, b"c" * 32, "http://localhost:9999"),
        (authenticator.register(b"c" * 32, rp_id="evil.test"), b"c" * 32, origin),
        (authenticator.register(b"c" * 32, flags=PRESENT | 64), b"c" * 32, origin),
        (authenticator.register(b"c" * 32, type="webauthn.get"), b"c" * 32, origin),
        ({}, b"c" * 32, origin),
        ({**made, "response": {}}, b"c" * 32, origin),
        ({**made, "rawId": "AAAA"}, b"c" * 32, origin),
    ]
    for response, challenge, stated in refused:
        with pytest.raises(SignatureError):
            read_registration(response, challenge, stated, site)


@pytest.mark.parametrize(
    ("stated", "origin", "yes", "no"),
    [
        ("", "http://localhost:8501", "http://localhost:9000", "https://localhost"),
        ("https://desk.test", "https://desk.test", "https://desk.test", "https://desk.test:444"),
        ("https://desk.test:443/", "https://desk.test", "https://desk.test", "http://desk.test"),
        (
            "https://a.desk.test:8443",
            "https://a.desk.test:8443",
            "https://a.desk.test:8443",
            "https://desk.test",
        ),
    ],
)
def test_the_site_is_the_public_address(monkeypatch, stated, origin, yes, no):
    monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", stated)
    site = relying_party()
    assert stated_site() == (site if stated else None)
    assert site.origin == origin and site.accepts(yes) and not site.accepts(no)


@pytest.mark.parametrize(
    "stated",
    ["http://desk.test", "https://10.0.0.7", "https://[::1]", "desk.test", "https://desk.test/app", "https://",
     "https://localhost", "https://user@desk.test", "https://desk.test?x=1", "https://-desk.test", "ftp://desk.test",
     "javascript:alert(1)", "https://ana:hushhush@desk.test"],
)  # fmt: skip
def test_an_address_that_no_passkey_can_belong_to_is_refused(monkeypatch, stated):
    monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", stated)
    with pytest.raises(ParameterError, match="DOSVOTOS_PUBLIC_URL") as refused:
        relying_party()
    assert "hushhush" not in str(refused.value)
