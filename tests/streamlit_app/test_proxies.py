"""docs/team.md's proxies in front of a served desk: TLS, one stated name, sign-in, Streamlit's socket."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.authenticator import Authenticator
from tests.proposal_fixtures import open_desk
from tests.streamlit_app.serving import free_port, serving
from tests.team import Team

DOCS = Path(__file__).parents[2] / "docs/team.md"
NAME = "desk.example.com"
pytestmark = pytest.mark.campaign


def certificate(folder: Path) -> None:
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", str(folder / "desk.key"), "-out", str(folder / "desk.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *subject],
        check=True, capture_output=True,
    )  # fmt: skip


def nginx(folder: Path, port: int, behind: int) -> list[str]:
    """The documented server block, but for ports and files."""
    block = re.search(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]  # type: ignore[index]
    block = block.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace(
        "127.0.0.1:8501", f"127.0.0.1:{behind}"
    )
    block = block.replace("/etc/ssl", str(folder))
    temp = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    http = f"http {{ access_log off; {temp} {block} }}"
    config = f"{user} daemon off; pid {folder}/pid; error_log stderr; events {{}} {http}"
    (folder / "nginx.conf").write_text(config)
    return ["nginx", "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def caddy(folder: Path, port: int, behind: int) -> list[str]:
    """The documented site, but for ports and the certificate, which no authority gives this name."""
    site = re.search(rf"```\n({re.escape(NAME)} .*?)```", DOCS.read_text(), re.DOTALL)[1]  # type: ignore[index]
    site = site.replace(f"{NAME} {{", f"{NAME}:{port} {{\n    tls {folder}/desk.pem {folder}/desk.key")
    site = site.replace("127.0.0.1:8501", f"127.0.0.1:{behind}")
    (folder / "Caddyfile").write_text("{\n    admin off\n    auto_https disable_redirects\n}\n" + site)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)})
    try:
        for _ in range(200):
            assert process.poll() is None, (folder / "proxy.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.parametrize("proxy", [nginx, caddy])
def test_a_team_is_served_through_the_documented_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy
):
    if shutil.which(proxy.__name__) is None:
        pytest.skip(f"{proxy.__name__} is not on PATH; on Debian: apt-get install {proxy.__name__}")
    root, port = tmp_path / "desk", free_port()
    origin = f"https://{NAME}:{port}"
    monkeypatch.setenv("DOSVOTOS_HOME", f"{root}-home")
    monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", origin)
    certificate(tmp_path)
    with open_desk(f"sqlite:///{root}/data/dosvotos.db", root) as desk:
        monkeypatch.chdir(root)
        team = Team(desk.engine)
        team.first("ada")
        team.keys["ana"] = Authenticator(rp_id=NAME, origin=origin)  # type: ignore[assignment]
        team.add("ana", "reviewer")
        with (
            serving(root, str(desk.engine.url)) as behind,
            running(proxy(tmp_path, port, behind), port, tmp_path),
        ):
            _use(team, port, behind)


def _use(team: Team, port: int, behind: int) -> None:
    trusted = ssl.create_default_context()
    trusted.check_hostname, trusted.verify_mode = False, ssl.CERT_NONE
    transport = httpx.HTTPTransport(verify=trusted)
    named = {"Host": f"{NAME}:{port}"}
    with httpx.Client(
        transport=transport, base_url=f"https://127.0.0.1:{port}", headers=named, timeout=30
    ) as client:
        extensions = {"sni_hostname": NAME}
        page = client.get("/", headers={"Accept": "text/html"}, extensions=extensions)
        assert (page.status_code, page.headers["location"]) == (303, "/desk/sign-in?next=%2F")
        page = client.get("/desk/sign-in", extensions=extensions)
        text = re.search(r'<pre id="text">(.*?)</pre>', page.text, re.DOTALL)[1]  # type: ignore[index]
        assert f"origin: https://{NAME}:{port}\n" in text
        sent = {"text": text, "signature": team.key("ana").sign(text.encode(), "")}
        entered = client.post("/desk/sign-in", json=sent, extensions=extensions)
        assert entered.status_code == 204, entered.text
        cookie = entered.headers["set-cookie"]
        assert cookie.startswith("__Host-dosvotos_session=") and "Secure" in cookie and "HttpOnly" in cookie
        session = cookie.partition(";")[0]
        seen = client.get("/api/experiments", headers={"Cookie": session}, extensions=extensions)
        assert seen.status_code == 200
        evil = {"Cookie": session, "Origin": "https://evil.test"}
        assert client.post("/desk/sign-out", json={}, headers=evil, extensions=extensions).status_code == 403
    assert "101" in _socket(trusted, port, session)
    assert "401" in _socket(trusted, port, "") or "403" in _socket(trusted, port, "")
    direct = httpx.get(f"http://127.0.0.1:{behind}/desk/sign-in", headers={"Host": "evil.test"})
    assert direct.status_code == 400


def _socket(trusted: ssl.SSLContext, port: int, cookie: str) -> str:
    """Open Streamlit's websocket through the proxy; give the status line."""
    request = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {NAME}:{port}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {cookie}\r\n"
        f"Origin: https://{NAME}:{port}\r\n\r\n"
    )
    plain = socket.create_connection(("127.0.0.1", port), 20)
    with plain, trusted.wrap_socket(plain, server_hostname=NAME) as connection:
        connection.sendall(request.encode())
        return connection.recv(4_096).split(b"\r\n")[0].decode()
