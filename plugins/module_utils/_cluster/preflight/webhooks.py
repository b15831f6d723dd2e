# SPDX-License-Identifier: GPL-3.0-or-later
"""Webhooks that an object has to pass before it is stored, and whether they can answer yet.

An API server refuses what a webhook with ``failurePolicy: Fail`` guards, for as long as the webhook's
Service has no ready endpoint or its configuration no CA: after an installation that is so for half a minute.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..client.api import Api, Json, Resource
from ..client.errors import NotFound
from ..ownership.record import group_of

ADMISSION = "admissionregistration.k8s.io/v1"
CONFIGURATIONS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
EXTENSIONS = "apiextensions.k8s.io/v1"
CRD = "CustomResourceDefinition"

Labels = Mapping[str, str]


@dataclass(frozen=True)
class WebhookRule:
    """What a webhook is asked about: groups, versions and plurals, any of them ``*`` for all."""

    groups: tuple[str, ...]
    versions: tuple[str, ...]
    plurals: tuple[str, ...]
    # Namespaced, Cluster or * for both.
    scope: str = "*"

    def covers(self, resource: Resource) -> bool:
        """Whether objects of this kind are meant, not only subresources of theirs."""
        group, version = group_of(resource.api_version), resource.api_version.rpartition("/")[2]
        return (
            _in(group, self.groups)
            and _in(version, self.versions)
            and (_in(resource.plural, self.plurals) or "*/*" in self.plurals)
            and self.scope in ("*", "Namespaced" if resource.namespaced else "Cluster")
        )


@dataclass(frozen=True)
class Webhook:
    """One webhook that fails closed: where it is configured, and what it guards. Its selectors are JSON,
    empty where it has none."""

    kind: str
    configuration: str
    name: str
    rules: tuple[WebhookRule, ...]
    namespace_selector: str = ""
    object_selector: str = ""

    def __str__(self) -> str:
        return f"the webhook {self.name}" if self.kind != CRD else f"the conversion webhook of {self.name}"

    def guards(self, resource: Resource) -> bool:
        """Whether an object of this kind has to pass it to be created or updated."""
        return any(rule.covers(resource) for rule in self.rules)

    def passes_over(self, namespace: Labels | None, objects: Sequence[Labels]) -> bool:
        """Whether its selectors leave out an object with these labels: those of its namespace, None where
        they are not known, and its own, as it is and as it will be."""
        return (namespace is not None and not _selects(self.namespace_selector, namespace)) or (
            bool(objects) and not any(_selects(self.object_selector, labels) for labels in objects)
        )


def _in(value: str, allowed: Sequence[str]) -> bool:
    return "*" in allowed or value in allowed


def _selects(selector: str, labels: Labels) -> bool:
    wanted = json.loads(selector) if selector else {}
    exact = all(labels.get(name) == value for name, value in (wanted.get("matchLabels") or {}).items())
    return exact and all(_holds(each, labels) for each in wanted.get("matchExpressions") or [])


def _holds(expression: Mapping[str, Any], labels: Labels) -> bool:
    key, values = expression.get("key"), expression.get("values") or []
    there, listed = key in labels, labels.get(str(key)) in values
    known = {"Exists": there, "DoesNotExist": not there, "In": there and listed, "NotIn": not listed}
    return known.get(str(expression.get("operator")), True)


def webhooks_of(objects: Iterable[Mapping[str, Any]]) -> list[Webhook]:
    """The webhooks that fail closed among configurations and CustomResourceDefinitions; others are left
    out."""
    return [webhook for each in objects for webhook in _webhooks(each)]


def _webhooks(obj: Mapping[str, Any]) -> Iterator[Webhook]:
    name = str(obj["metadata"]["name"])
    if obj["kind"] in CONFIGURATIONS:
        beta = str(obj["apiVersion"]).endswith("/v1beta1")
        for one in obj.get("webhooks") or []:
            if one.get("failurePolicy", "Ignore" if beta else "Fail") == "Fail":
                rules = tuple(_rule(rule) for rule in one.get("rules") or [] if _writes(rule))
                selectors = [
                    json.dumps(one.get(each) or {}, sort_keys=True)
                    for each in ("namespaceSelector", "objectSelector")
                ]
                yield Webhook(obj["kind"], name, str(one["name"]), rules, *selectors)
    elif obj["kind"] == CRD:
        spec = obj.get("spec") or {}
        if (spec.get("conversion") or {}).get("strategy") == "Webhook":
            others = tuple(str(one["name"]) for one in spec.get("versions") or [] if not one.get("storage"))
            plural = str((spec.get("names") or {}).get("plural"))
            yield Webhook(CRD, name, name, (WebhookRule((str(spec.get("group")),), others, (plural,)),))


def _rule(rule: Mapping[str, Any]) -> WebhookRule:
    groups, versions = tuple(rule.get("apiGroups") or ()), tuple(rule.get("apiVersions") or ())
    return WebhookRule(groups, versions, tuple(rule.get("resources") or ()), str(rule.get("scope") or "*"))


def _writes(rule: Mapping[str, Any]) -> bool:
    return bool({"*", "CREATE", "UPDATE"} & set(rule.get("operations") or ()))


def on_cluster(api: Api) -> list[Webhook]:
    """The admission webhooks that the cluster has now."""
    found: list[Webhook] = []
    for kind in CONFIGURATIONS:
        listed = api.get(api.resource(ADMISSION, kind).path()).get("items") or []
        found += webhooks_of({"apiVersion": ADMISSION, "kind": kind, **each} for each in listed)
    return found


def lacks(api: Api, webhook: Webhook) -> str:
    """What the webhook still lacks to answer, as a clause; empty when it lacks nothing, or is not there (any
    more), so that it guards nothing."""
    try:
        config = _client_config(api, webhook)
    except NotFound:
        return ""
    if config is None or config.get("url"):
        return ""
    if not _is_certificate(str(config.get("caBundle") or "")):
        return "it has no CA yet (clientConfig.caBundle)"
    service = config.get("service") or {}
    where = f"{service.get('namespace')}/{service.get('name')}"
    try:
        endpoints = api.get(
            api.resource("v1", "Endpoints").path(str(service.get("namespace")), str(service.get("name")))
        )
    except NotFound:
        return f"its Service {where} has no endpoints"
    ready = any(subset.get("addresses") for subset in endpoints.get("subsets") or [])
    return "" if ready else f"its Service {where} has no ready endpoint"


def _client_config(api: Api, webhook: Webhook) -> Json | None:
    if webhook.kind == CRD:
        crd = api.get(api.resource(EXTENSIONS, CRD).path(name=webhook.configuration))
        conversion = (crd.get("spec") or {}).get("conversion") or {}
        found = (conversion.get("webhook") or {}).get("clientConfig")
        return dict(found) if found else None
    configuration = api.get(api.resource(ADMISSION, webhook.kind).path(name=webhook.configuration))
    for one in configuration.get("webhooks") or []:
        if one.get("name") == webhook.name:
            return dict(one.get("clientConfig") or {})
    return None


def _is_certificate(bundle: str) -> bool:
    """Whether it holds a certificate; manifests write ``Cg==``, an empty line, where one is to be filled
    in."""
    try:
        return b"-----BEGIN CERTIFICATE-----" in base64.b64decode(bundle)
    except binascii.Error:
        return False
