# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS: what must be trusted is trusted, what must not is not, and a cut body is never a whole one."""

from __future__ import annotations

import datetime
import errno
import ipaddress
import re
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.connection import Connection
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(
    name: str, issuer: Pair | None, names: list[x509.GeneralName], *, days: int = 1, is_ca: bool = False
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def write(path: Path, pair: Pair) -> str:
    path.write_bytes(
        pair[0].public_bytes(serialization.Encoding.PEM)
        + pair[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(path)


class Pki:
    """A CA, a server's and a client's certificate, and one that has expired."""

    def __init__(self, folder: Path) -> None:
        ca = certificate("ca", None, [], is_ca=True)
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        name = x509.DNSName("model.example.com")
        self.ca = write(folder / "ca.pem", ca)
        self.server = write(folder / "server.pem", certificate("server", ca, [loopback, name]))
        self.expired = write(folder / "expired.pem", certificate("server", ca, [loopback], days=-1))
        self.client = write(folder / "client.pem", certificate("client", ca, []))
        intermediate = certificate("intermediate", ca, [], is_ca=True)
        self.intermediate = write(folder / "intermediate.pem", intermediate)
        self.below = write(folder / "below.pem", certificate("server", intermediate, [loopback]))

    def context(self, pem: str = "", client_ca: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem or self.server)
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def fine(visit: Any) -> None:
    visit.ok(b"x" * 40_000)


@pytest.mark.parametrize("connection_modes", ["keep-alive", "new", "both"])
def test_trusted(serve: Any, load: Any, pki: Pki, connection_modes: str) -> None:
    """Also by a CA without an Authority Key Identifier, which Python 3.13 asks for and others do not."""
    server = serve(fine, context=pki.context())
    result = load(server.url, calls=6, ca_file=pki.ca, connection_modes=connection_modes)
    assert result["LoadTest"]["ledger"] == []
    assert server.requests == 6
    assert result["CACert"] == pki.ca


def test_an_intermediate_ca_may_be_all_that_is_trusted(serve: Any, load: Any, pki: Pki) -> None:
    server = serve(fine, context=pki.context(pki.below))
    assert load(server.url, calls=2, ca_file=pki.intermediate)["LoadTest"]["ledger"] == []
    assert load(server.url, calls=2, ca_file=pki.ca)["LoadTest"]["classes"] == {"tls": 2}


def test_large_payload_is_written_in_parts(serve: Any, load: Any, pki: Pki) -> None:
    server = serve(fine, context=pki.context())
    payload = b"y" * 3_000_000
    own = load(server.url, calls=2, ca_file=pki.ca, payloads=[payload])["LoadTest"]
    assert own["failed"] == 0
    assert server.bodies == [payload, payload]


@pytest.mark.parametrize(
    ("pem", "options", "why"),
    [
        (
            "server",
            {},
            "self-signed certificate in certificate chain|self signed certificate|unable to get local",
        ),
        ("expired", {"ca_file": True}, "expired"),
        ("server", {"ca_file": True, "server_name": "other.example.com"}, "Hostname mismatch"),
    ],
    ids=["unknown CA", "expired", "other name"],
)
def test_not_trusted(*, serve: Any, load: Any, pki: Pki, pem: str, options: dict, why: str) -> None:
    server = serve(fine, context=pki.context(getattr(pki, pem)))
    if "ca_file" in options:
        options = {**options, "ca_file": pki.ca}
    own = load(server.url, calls=2, rate=50, **options)["LoadTest"]
    assert own["classes"] == {"tls": 2}
    assert re.search(why, own["ledger"][0]["detail"])
    assert server.requests == 0


def test_server_name_and_no_verification(serve: Any, load: Any, pki: Pki) -> None:
    seen: list[str | None] = []
    context = pki.context()
    context.sni_callback = lambda _sock, name, _context: seen.append(name)
    server = serve(fine, context=context)
    assert (
        load(server.url, calls=1, ca_file=pki.ca, server_name="model.example.com")["LoadTest"]["failed"] == 0
    )
    result = load(server.url, calls=1, verify=False, server_name="anything.example.com")
    assert result["LoadTest"]["failed"] == 0
    assert result["Insecure"] is True
    assert seen == ["model.example.com", "anything.example.com"]


def test_client_certificate(serve: Any, load: Any, pki: Pki) -> None:
    server = serve(fine, context=pki.context(client_ca=True))
    result = load(server.url, calls=2, ca_file=pki.ca, client_cert=pki.client)
    assert result["LoadTest"]["failed"] == 0
    assert result["MTLS"] is True
    assert result["Key"] == ""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_no_client_certificate(*, serve: Any, load: Any, pki: Pki, version: Any, size: int) -> None:
    """In TLS 1.3 the client learns of it only after it began to send its request."""
    context = pki.context(client_ca=True)
    context.maximum_version = version
    server = serve(fine, context=context)
    own = load(server.url, calls=4, rate=50, ca_file=pki.ca, payloads=[b"x" * size])["LoadTest"]
    assert own["classes"] == {"tls": 4}
    # OpenSSL's own numbers are not those of the system.
    assert {record["errno"] for record in own["ledger"]} == {None}
    assert server.requests == 0


def test_no_client_certificate_and_no_more_to_be_written(
    serve: Any, load: Any, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing fails before the alert was read: that is what tells the reason."""
    agree = Connection.handshake

    def too_late(_data: Any) -> int:
        raise BrokenPipeError(errno.EPIPE, "simulated")

    def slowly(conn: Connection) -> None:
        agree(conn)
        time.sleep(0.1)
        conn.send = too_late

    monkeypatch.setattr(Connection, "handshake", slowly)
    context = pki.context(client_ca=True)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    own = load(serve(fine, context=context).url, calls=2, rate=50, ca_file=pki.ca)["LoadTest"]
    assert own["classes"] == {"tls": 2}
    assert "CERTIFICATE_REQUIRED" in own["ledger"][0]["detail"]


def test_plain_http_where_tls_was_expected(serve: Any, load: Any) -> None:
    server = serve(lambda visit: visit.ok())
    own = load(server.url.replace("http:", "https:"), calls=2, rate=50)["LoadTest"]
    assert own["classes"] == {"tls": 2}


def test_handshake_that_does_not_end(load: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        own = load(url, calls=2, rate=50, timeout=300_000_000)["LoadTest"]
    assert own["classes"] == {"tls": 2}
    assert {record["errno"] for record in own["ledger"]} == {"ETIMEDOUT"}


def test_an_early_answer_in_several_records_counts(
    serve: Any, load: Any, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is all there when the connection takes no more of the request; the client comes late to read it."""
    receive = ssl.SSLSocket.recv

    def late(sock: ssl.SSLSocket, *given: Any) -> bytes:
        if not sock.server_side:
            time.sleep(0.05)
        return receive(sock, *given)

    def early(visit: Any) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for part in (head, b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"):
            visit.send(part)
        time.sleep(0.02)
        visit.reset()

    early.early = True  # type: ignore[attr-defined]
    monkeypatch.setattr(ssl.SSLSocket, "recv", late)
    server = serve(early, context=pki.context())
    own = load(server.url, calls=1, payloads=[b"x" * 20_000_000], ca_file=pki.ca)["LoadTest"]
    assert (own["ok"], own["classes"]) == (1, {})


def test_cut_without_notice_is_truncated(serve: Any, load: Any, pki: Pki) -> None:
    """A body that ends with the connection: over TLS its end must be announced."""

    def cut(visit: Any) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        visit.close()

    def announced(visit: Any) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        visit.sock.unwrap()
        visit.close()

    server = serve(cut, context=pki.context())
    own = load(server.url, calls=2, ca_file=pki.ca)["LoadTest"]
    assert own["classes"] == {"truncated": 2}
    server = serve(announced, context=pki.context())
    own = load(server.url, calls=2, ca_file=pki.ca)["LoadTest"]
    assert own["failed"] == 0


def test_a_key_with_a_passphrase_is_refused_and_nobody_asked(load: Any, pki: Pki, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(Path(pki.client).read_bytes(), None)
    secret = tmp_path / "secret.pem"
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"s3cret"),
        )
    )
    with pytest.raises(LoadError, match="The client's key is encrypted"):
        load("https://127.0.0.1:1/", client_cert=pki.client, client_key=str(secret))


@pytest.mark.parametrize("option", ["ca_file", "client_cert"])
def test_a_file_that_cannot_be_used(load: Any, tmp_path: Path, option: str) -> None:
    with pytest.raises(LoadError, match="cannot be read"):
        load("https://127.0.0.1:1/", **{option: str(tmp_path / "missing.pem")})
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(LoadError, match="cannot be used"):
        load("https://127.0.0.1:1/", **{option: str(empty)})
