# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, certificates, tokens and kubeconfigs of a sandbox.

Each sandbox has a CA of its own, so a client that trusts one sandbox trusts no other. People and components
sign in with random tokens; etcd asks for a certificate, since its data holds every Secret.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Mapping, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically

from ..paths import Layout

with contextlib.suppress(ImportError):  # The module `sandbox` reports it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ADMIN = "admin"
CONTROLLER_MANAGER = "system:kube-controller-manager"
NODE = "sandbox-node"
# The group of each user.
USERS: Mapping[str, str] = MappingProxyType({ADMIN: "system:masters", CONTROLLER_MANAGER: "", NODE: ""})

TOKENS = "tokens.csv"
_LIFE = datetime.timedelta(days=3650)
# Clocks of virtual machines jump; a certificate that is not valid yet would refuse everything.
_SKEW = datetime.timedelta(days=1)
# The first address of the range of Services is the API server's own.
SERVICE_RANGE = "10.96.0.0/16"
_API_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_API_ADDRESSES = ("127.0.0.1", "10.96.0.1")


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class Authority:
    """A certificate authority whose key is used here and not kept: nothing is ever signed later."""

    def __init__(self, name: str, now: datetime.datetime) -> None:
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The certificate, as those read it who are to trust it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _SKEW)
            .not_valid_after(self._now + _LIFE)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )

    def issue(
        self,
        folder: Path,
        name: str,
        purposes: list[x509.ObjectIdentifier],
        names: tuple[str, ...] = (),
        addresses: tuple[str, ...] = (),
    ) -> None:
        """Write `<name>.key` and `<name>.crt` into `folder`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            self._builder(subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        )
        others: list[x509.GeneralName] = [x509.DNSName(each) for each in names]
        others += [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        _write(folder / f"{name}.key", _private(key), 0o600)
        _write(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def create(
    where: Layout,
    name: str,
    etcd_peer: str,
    now: Optional[datetime.datetime] = None,
    *,
    users: Mapping[str, str] = USERS,
    clients: tuple[str, ...] = (),
) -> None:
    """Make everything the sandbox `name` needs, all or nothing.

    etcd_peer: the address etcd's peer port is on. `now` is in UTC. clients: who else gets a certificate.
    """
    folder = Path(tempfile.mkdtemp(prefix=".pki.", dir=where.root))
    try:
        serves, asks = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
        authority = Authority(f"sandbox {name}", now or datetime.datetime.now(datetime.timezone.utc))
        _write(folder / "ca.crt", authority.pem, 0o644)
        authority.issue(folder, "apiserver", [serves], _API_NAMES, _API_ADDRESSES)
        authority.issue(folder, "etcd", [serves, asks], ("localhost",), ("127.0.0.1", etcd_peer))
        for client in ("apiserver-etcd-client", *clients):
            authority.issue(folder, client, [asks])
        service_accounts = ec.generate_private_key(ec.SECP256R1())
        _write(folder / "sa.key", _private(service_accounts), 0o600)
        _write(folder / "sa.pub", _public(service_accounts), 0o644)
        lines = [f'{secrets.token_urlsafe(32)},{user},{user},"{group}"\n' for user, group in users.items()]
        _write(folder / TOKENS, "".join(lines).encode(), 0o600)
        os.rename(folder, where.pki)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def token(where: Layout, user: str) -> str:
    """The token of `user`."""
    for line in (where.pki / TOKENS).read_text(encoding="utf-8").splitlines():
        secret, name, _rest = line.split(",", 2)
        if name == user:
            return secret
    raise KeyError(user)


def _kubeconfig(server: str, authority: bytes, secret: str, context: str) -> str:
    """A kubeconfig as JSON, which every reader of YAML reads."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": context,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(authority).decode(),
                },
            }
        ],
        "users": [{"name": context, "user": {"token": secret}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    return json.dumps(content, indent=2) + "\n"


def write_kubeconfig(where: Layout, path: Path, user: str, server: str, context: str) -> None:
    """Write the kubeconfig of `user`."""
    content = _kubeconfig(server, where.ca_certificate.read_bytes(), token(where, user), context)
    write_atomically(path, content, mode=0o600)


def write_kubeconfigs(where: Layout, server: str, context: str) -> None:
    """Write the kubeconfigs of the administrator, the controller-manager and the node."""
    for path, user in (
        (where.controller_manager_kubeconfig, CONTROLLER_MANAGER),
        (where.node_kubeconfig, NODE),
        (where.kubeconfig, ADMIN),
    ):
        write_kubeconfig(where, path, user, server, context)
