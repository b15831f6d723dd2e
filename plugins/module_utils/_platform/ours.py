# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests as they can be applied server-side, again and again.

Places that upstream leaves for controllers to fill in are not ours to say: applied, they would take back at
each run what was filled in, or be refused as a conflict. And what identifies a port has to be written out.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from typing import Any

from .steps import Json

# An empty line in base64, where cert-manager or a controller puts the CA.
_NO_CA = frozenset({"", "Cg=="})
_HAVE_PORTS = frozenset({"Service", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job"})

# A field of one webhook, as the API server names it in a conflict.
_OF_WEBHOOK = re.compile(r'^\.webhooks\[name="([^"]+)"\]\.([A-Za-z.]+)$')


def ours(objects: Iterable[Json]) -> list[Json]:
    """The objects without what is others' to say: status, the moment of creation, empty CAs, aggregated
    rules."""
    return [_ours(each) for each in objects]


def _ours(obj: Json) -> Json:
    kept = {name: value for name, value in obj.items() if name != "status"}
    kept["metadata"] = {n: v for n, v in obj["metadata"].items() if n != "creationTimestamp"}
    if kept.get("aggregationRule") and not kept.get("rules"):
        kept.pop("rules", None)
    if kept["kind"].endswith("WebhookConfiguration"):
        return dict(_without_empty_ca(kept))
    if kept["kind"] == "CustomResourceDefinition" and (kept.get("spec") or {}).get("conversion"):
        kept["spec"] = {**kept["spec"], "conversion": _without_empty_ca(kept["spec"]["conversion"])}
    return dict(_with_protocols(kept)) if kept["kind"] in _HAVE_PORTS else kept


def _with_protocols(value: Any) -> Any:
    """Ports with the protocol that an API server would assume: those up to Kubernetes 1.22 refuse to apply a
    list whose items lack a part of their key (kubernetes/kubernetes#92332)."""
    if isinstance(value, list):
        return [_with_protocols(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _with_protocols(each) for name, each in value.items()}
    if isinstance(found.get("ports"), list):
        found["ports"] = [
            {"protocol": "TCP", **each} if isinstance(each, dict) else each for each in found["ports"]
        ]
    return found


def _without_empty_ca(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_empty_ca(each)
            for name, each in value.items()
            if not (name == "caBundle" and str(each or "").strip() in _NO_CA)
        }
    if isinstance(value, list):
        return [_without_empty_ca(each) for each in value]
    return value


def without_filled_in(configuration: Json, fields: Sequence[str]) -> Json | None:
    """A webhook configuration without these fields of its webhooks, which the program behind them fills in
    otherwise than its manifest has them, as Knative's does with its rules (knative.dev/pkg/webhook). None
    where one of the fields is another.
    """
    changed = copy.deepcopy(configuration)
    webhooks = {each.get("name"): each for each in changed.get("webhooks") or []}
    for field in fields:
        found = _OF_WEBHOOK.match(field)
        if found is None:
            return None
        *outer, last = found[2].split(".")
        place = webhooks.get(found[1])
        for name in outer:
            place = place.get(name) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            return None
        place.pop(last, None)
    return changed
