# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import datetime
import json
import stat
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import pki
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.paths import Layout
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    pki.create(found, "one", "127.9.0.2", NOW)
    return found


def certificate(where: Layout, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((where.pki / f"{name}.crt").read_bytes())


def names(found: x509.Certificate) -> set[str]:
    extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        str(each) for kind in (x509.DNSName, x509.IPAddress) for each in extension.get_values_for_type(kind)
    }


def test_secrets_are_readable_by_their_owner_only(where: Layout) -> None:
    assert stat.S_IMODE(where.pki.stat().st_mode) == 0o700
    secret = [path for path in where.pki.iterdir() if path.suffix in (".key", ".csv")]
    assert len(secret) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


def test_the_authoritys_key_is_not_kept(where: Layout) -> None:
    assert not (where.pki / "ca.key").exists()
    public = certificate(where, "ca").public_key()
    for path in where.pki.glob("*.key"):
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        assert key.public_key() != public


@pytest.mark.parametrize("name", ["apiserver", "etcd", "apiserver-etcd-client"])
def test_each_certificate_is_the_authoritys_and_fits_its_key(where: Layout, name: str) -> None:
    found = certificate(where, name)
    found.verify_directly_issued_by(certificate(where, "ca"))
    key = serialization.load_pem_private_key((where.pki / f"{name}.key").read_bytes(), None)
    assert key.public_key() == found.public_key()
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert found.not_valid_before_utc == NOW - datetime.timedelta(days=1)
    assert found.not_valid_after_utc > NOW + datetime.timedelta(days=3000)


def test_what_the_certificates_are_for(where: Layout) -> None:
    def purposes(name: str) -> set[x509.ObjectIdentifier]:
        return set(certificate(where, name).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)

    assert purposes("apiserver") == {ExtendedKeyUsageOID.SERVER_AUTH}
    assert purposes("apiserver-etcd-client") == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert purposes("etcd") == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert {"127.0.0.1", "localhost", "kubernetes.default.svc"} <= names(certificate(where, "apiserver"))
    assert names(certificate(where, "etcd")) == {"localhost", "127.0.0.1", "127.9.0.2"}


def test_the_token_file_gives_each_user_a_token_and_the_administrator_alone_a_group(where: Layout) -> None:
    lines = (where.pki / pki.TOKENS).read_text().splitlines()
    assert [line.split(",")[1] for line in lines] == [
        "admin",
        "system:kube-controller-manager",
        "sandbox-node",
    ]
    assert [line.split(",")[3] for line in lines] == ['"system:masters"', '""', '""']
    tokens = {pki.token(where, user) for user in (pki.ADMIN, pki.CONTROLLER_MANAGER, pki.NODE)}
    assert len(tokens) == 3
    assert all(len(token) >= 40 for token in tokens)
    with pytest.raises(KeyError):
        pki.token(where, "nobody")


def test_two_sandboxes_share_nothing(where: Layout, tmp_path: Path) -> None:
    other = Layout(tmp_path / "other")
    other.root.mkdir()
    pki.create(other, "other", "127.8.0.2", NOW)
    assert pki.token(where, pki.ADMIN) != pki.token(other, pki.ADMIN)
    with pytest.raises(ValueError, match="(?i)issuer"):
        certificate(where, "apiserver").verify_directly_issued_by(certificate(other, "ca"))


def test_kubeconfigs_verify_the_server_and_are_private(where: Layout) -> None:
    pki.write_kubeconfigs(where, "https://127.0.0.1:1234", "sandbox-one")
    for path, user in (
        (where.kubeconfig, pki.ADMIN),
        (where.node_kubeconfig, pki.NODE),
        (where.controller_manager_kubeconfig, pki.CONTROLLER_MANAGER),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        content = json.loads(path.read_text())
        assert content["current-context"] == "sandbox-one"
        cluster = content["clusters"][0]["cluster"]
        assert cluster["server"] == "https://127.0.0.1:1234"
        authority = base64.b64decode(cluster["certificate-authority-data"])
        assert authority == where.ca_certificate.read_bytes()
        assert "insecure-skip-tls-verify" not in cluster
        assert content["users"][0]["user"] == {"token": pki.token(where, user)}


def test_it_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_bytes: int) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(pki.secrets, "token_urlsafe", fail)
    with pytest.raises(KeyboardInterrupt):
        pki.create(Layout(tmp_path), "one", "127.9.0.2", NOW)
    assert list(tmp_path.iterdir()) == []
