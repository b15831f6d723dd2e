# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA of our own in the place of cert-manager: what its Certificates ask for is made here and applied.

A Certificate becomes the Secret that cert-manager would have made of it, and whatever carries the annotation
``cert-manager.io/inject-ca-from`` gets the CA. A Secret that is on the cluster already and holds good for
a while is taken as it is, so that a second run changes nothing. The CA's key is kept nowhere.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

with contextlib.suppress(ImportError):  # Needed only where a CA is asked for; see `missing_library`.
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .steps import Json

GROUP = "cert-manager.io/"
INJECT = "cert-manager.io/inject-ca-from"
VALID = timedelta(days=365)
RENEW = timedelta(days=30)

# The Secret's data as it is on the cluster, by (namespace, name); None where there is none.
Existing = Callable[[str, str], "Mapping[str, str] | None"]


class CertificateError(Exception):
    """Why a Certificate cannot be made here, as a sentence."""


def missing_library() -> bool:
    """Whether certificates cannot be made here for want of the package cryptography."""
    return "x509" not in globals()


def without_cert_manager(objects: Sequence[Json], existing: Existing, now: datetime) -> list[Json]:
    """The objects of a step with certificates of our own. ``now`` is in UTC, with its time zone.

    CertificateError for a Certificate without a host name that can be certified.
    """
    certificates = [each for each in objects if _is(each, "Certificate")]
    authorities: dict[str, str] = {}
    secrets: dict[tuple[str, str], Json] = {}
    for each in certificates:
        namespace, name = str(each["metadata"].get("namespace") or ""), str(each["metadata"]["name"])
        secret = str((each.get("spec") or {}).get("secretName"))
        names = [str(one) for one in (each.get("spec") or {}).get("dnsNames") or []]
        common = (each.get("spec") or {}).get("commonName")
        names = list(dict.fromkeys([*names, *([str(common)] if common else [])]))
        data = existing(namespace, secret)
        if data is None or not still_good(data, names, now):
            try:
                data = make(names, now)
            except ValueError as error:
                raise CertificateError(
                    f"The Certificate {namespace}/{name} cannot be made here: {error}."
                ) from None
        authorities[f"{namespace}/{name}"] = data["ca.crt"]
        secrets[namespace, secret] = _secret(namespace, secret, data)
    kept = [each for each in objects if not str(each["apiVersion"]).startswith(GROUP)]
    kept = [each for each in kept if each["kind"] != "Secret" or _key(each) not in secrets]
    return [*secrets.values(), *(_with_ca(each, authorities) for each in kept)]


def _is(obj: Json, kind: str) -> bool:
    return str(obj["apiVersion"]).startswith(GROUP) and obj["kind"] == kind


def _key(obj: Json) -> tuple[str, str]:
    return str(obj["metadata"].get("namespace") or ""), str(obj["metadata"]["name"])


def _secret(namespace: str, name: str, data: Mapping[str, str]) -> Json:
    metadata = {"name": name, "namespace": namespace}
    kept = {key: data[key] for key in ("ca.crt", "tls.crt", "tls.key")}
    # Of no type, as upstream's empty one is: the type of a Secret cannot be changed.
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": kept}


def _with_ca(obj: Json, authorities: Mapping[str, str]) -> Json:
    ca = authorities.get(str((obj["metadata"].get("annotations") or {}).get(INJECT)))
    if ca is None:
        return obj
    changed = copy.deepcopy(obj)
    for webhook in changed.get("webhooks") or []:
        webhook.setdefault("clientConfig", {})["caBundle"] = ca
    conversion = (changed.get("spec") or {}).get("conversion") or {}
    if conversion.get("strategy") == "Webhook":
        conversion.setdefault("webhook", {}).setdefault("clientConfig", {})["caBundle"] = ca
    return changed


def make(names: Iterable[str], now: datetime) -> dict[str, str]:
    """A CA and a server's certificate for these host names, as a Secret's data; ValueError for a name that
    is none, or no name at all."""
    hosts = list(names)
    if not hosts:
        raise ValueError("it has neither dnsNames nor a commonName")
    start, end = now - timedelta(minutes=5), now + VALID
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "iter8-kfserving")])
    ca = _builder(ca_name, ca_name, ca_key.public_key(), start, end)
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    signed_ca = ca.sign(ca_key, hashes.SHA256())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    leaf = _builder(subject, ca_name, key.public_key(), start, end)
    leaf = leaf.add_extension(
        x509.SubjectAlternativeName([x509.DNSName(each) for each in hosts]), critical=False
    )
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    signed = leaf.sign(ca_key, hashes.SHA256())
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    parts = {"ca.crt": signed_ca.public_bytes(pem), "tls.crt": signed.public_bytes(pem), "tls.key": private}
    return {name: base64.b64encode(content).decode() for name, content in parts.items()}


def _builder(subject: Any, issuer: Any, public_key: Any, start: datetime, end: datetime) -> Any:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(start).not_valid_after(end)


def still_good(data: Mapping[str, str], names: Iterable[str], now: datetime) -> bool:
    """Whether a Secret's data are a certificate for all these names that will not end soon, with its key, and
    with the CA that has signed it."""
    try:
        leaf = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
        ca = x509.load_pem_x509_certificate(base64.b64decode(data["ca.crt"]))
        key = serialization.load_pem_private_key(base64.b64decode(data["tls.key"]), password=None)
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (KeyError, ValueError, TypeError, binascii.Error, x509.ExtensionNotFound):
        return False
    return (
        _public(key) == _public(leaf)
        and _has_signed(ca, leaf)
        and _end(leaf, now) - now > RENEW
        and set(names) <= set(found.get_values_for_type(x509.DNSName))
    )


def _public(owner: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(owner.public_key().public_bytes(serialization.Encoding.PEM, form))


def _has_signed(ca: Any, leaf: Any) -> bool:
    try:
        leaf.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _end(certificate: Any, now: datetime) -> datetime:
    # Without a time zone up to cryptography 41.
    aware = hasattr(certificate, "not_valid_after_utc")
    end: datetime = certificate.not_valid_after_utc if aware else certificate.not_valid_after
    return end if aware else end.replace(tzinfo=now.tzinfo)
