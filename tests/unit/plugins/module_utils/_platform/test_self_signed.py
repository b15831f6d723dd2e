# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of our own in the place of cert-manager's."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._platform.self_signed import (
    INJECT,
    RENEW,
    VALID,
    CertificateError,
    make,
    still_good,
    without_cert_manager,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime(2026, 11, 28, tzinfo=timezone.utc)
HOST = "kserve-webhook-server-service.kserve.svc"


def loaded(data: dict[str, str], name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(data[name]))


def thing(kind: str, name: str, annotated: bool = False, **more: Any) -> dict[str, Any]:
    group = "cert-manager.io/v1" if kind in ("Issuer", "Certificate") else "a/v1"
    metadata: dict[str, Any] = {"name": name, "namespace": "kserve"}
    if annotated:
        metadata = {"name": name, "annotations": {INJECT: "kserve/serving-cert"}}
    return {"apiVersion": group, "kind": kind, "metadata": metadata, **more}


def manifests() -> list[dict[str, Any]]:
    spec = {"secretName": "server-cert", "dnsNames": [HOST], "commonName": HOST}
    conversion = {"strategy": "Webhook", "webhook": {"clientConfig": {"service": {"name": "s"}}}}
    return [
        thing("Secret", "server-cert"),
        thing("Issuer", "i"),
        thing("Certificate", "serving-cert", spec=spec),
        thing("ValidatingWebhookConfiguration", "w", True, webhooks=[{"name": "v"}]),
        thing("CustomResourceDefinition", "d", True, spec={"conversion": conversion}),
        thing("CustomResourceDefinition", "e", True, spec={}),
        thing("MutatingWebhookConfiguration", "other", webhooks=[{"name": "o"}]),
    ]


def test_the_certificate_is_signed_by_the_ca_for_the_names() -> None:
    data = make([HOST, "other.svc"], NOW)
    ca, leaf = loaded(data, "ca.crt"), loaded(data, "tls.crt")
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST, "other.svc"]
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    public = leaf.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)


def test_a_certificate_becomes_its_secret_and_the_ca_goes_where_it_is_asked_for() -> None:
    found = without_cert_manager(manifests(), lambda _namespace, _name: None, NOW)
    assert [each["kind"] for each in found].count("Secret") == 1
    assert not any(each["apiVersion"].startswith("cert-manager.io") for each in found)
    secret, webhook, crd, plain, other = found
    ca = secret["data"]["ca.crt"]
    assert secret["metadata"] == {"name": "server-cert", "namespace": "kserve"}
    assert webhook["webhooks"] == [{"name": "v", "clientConfig": {"caBundle": ca}}]
    assert crd["spec"]["conversion"]["webhook"]["clientConfig"] == {"service": {"name": "s"}, "caBundle": ca}
    assert plain["spec"] == {}
    assert other["webhooks"] == [{"name": "o"}]


def test_what_is_on_the_cluster_and_still_good_is_kept() -> None:
    first = without_cert_manager(manifests(), lambda *_where: None, NOW)
    data = first[0]["data"]
    again = without_cert_manager(manifests(), lambda *_where: data, NOW + VALID - RENEW - timedelta(hours=1))
    assert again == first
    renewed = without_cert_manager(
        manifests(), lambda *_where: data, NOW + VALID - RENEW + timedelta(hours=1)
    )
    assert renewed[0]["data"] != data


@pytest.mark.parametrize("part", ["tls.crt", "ca.crt", "tls.key"])
def test_what_does_not_belong_together_is_made_anew(part: str) -> None:
    data, another = make([HOST], NOW), make([HOST], NOW)
    assert not still_good({**data, part: another[part]}, [HOST], NOW)
    assert not still_good({**data, part: ""}, [HOST], NOW)


@pytest.mark.parametrize("change", ["tls.crt", "ca.crt", "tls.key", "garbage", "name"])
def test_what_is_not_whole_is_made_anew(change: str) -> None:
    data, names = make([HOST], NOW), [HOST]
    assert still_good(data, names, NOW)
    if change == "garbage":
        data["tls.crt"] = base64.b64encode(b"no certificate").decode()
    elif change == "name":
        names = ["another.svc"]
    else:
        del data[change]
    assert not still_good(data, names, NOW)


def test_a_step_without_certificates_stays_as_it_is() -> None:
    objects = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "b"}}]
    assert without_cert_manager(objects, lambda *_where: None, NOW) == objects


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({}, "neither dnsNames nor a commonName"),
        ({"ipAddresses": ["127.0.0.1"], "dnsNames": []}, "neither dnsNames nor a commonName"),
        ({"dnsNames": ["bücher.example"]}, ""),
        ({"dnsNames": [""]}, ""),
    ],
)
def test_a_certificate_without_a_name_that_can_be_certified_is_told(spec: dict[str, Any], why: str) -> None:
    certificate = thing("Certificate", "c", spec={"secretName": "s", **spec})
    with pytest.raises(CertificateError, match=f"Certificate kserve/c cannot be made here: .*{why}"):
        without_cert_manager([certificate], lambda *_where: None, NOW)
