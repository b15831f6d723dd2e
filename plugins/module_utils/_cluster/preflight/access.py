# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the user of the kubeconfig has a right: asked of the API server, which alone knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..client.api import Api, Json
from ..concurrently import at_once

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one kind (``resource`` is its plural), in a namespace or, where that is empty, in all."""

    group: str
    resource: str
    verb: str
    namespace: str = ""


def allowed(api: Api, right: Right) -> bool:
    """Whether the user has the right (SelfSubjectAccessReview)."""
    resource, _slash, subresource = right.resource.partition("/")
    attributes = {
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "verb": right.verb,
        "namespace": right.namespace,
    }
    review: Json = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {name: value for name, value in attributes.items() if value}},
    }
    return bool((api.create(REVIEWS, review).get("status") or {}).get("allowed"))


def missing(api: Api, rights: Iterable[Right]) -> list[Right]:
    """Those of the rights that the user does not have, sorted."""
    wanted = sorted(set(rights))
    if not wanted or allowed(api, Right("*", "*", "*")):
        return []
    return [right for right, has in zip(wanted, at_once(lambda each: allowed(api, each), wanted)) if not has]


def phrases(rights: Sequence[Right]) -> list[str]:
    """Rights in words, the verbs of a kind together: ``create, patch pods in namespace a``."""
    verbs: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        verbs.setdefault((right.group, right.resource, right.namespace), []).append(right.verb)
    return [
        f"{', '.join(listed)} {resource}{f'.{group}' if group else ''}"
        + (f" in namespace {namespace}" if namespace else " in the whole cluster")
        for (group, resource, namespace), listed in verbs.items()
    ]
