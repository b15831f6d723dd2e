# SPDX-License-Identifier: GPL-3.0-or-later
"""What else lies in a namespace, or is of a kind, that is about to be deleted: deleting either deletes
it all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..client.api import Api, Json, Resource
from ..client.errors import MethodNotAllowed, NotFound
from ..concurrently import at_once
from .lookups import CONFIRM_SECONDS, Sleep
from .record import ClaimedObject, belongs, group_of

# Kept by Kubernetes itself, in every namespace; so are a catalogue's packages where the Operator Lifecycle
# Manager is (OpenShift).
_AUTOMATIC_KINDS = frozenset(
    {"Event", "Endpoints", "EndpointSlice", "Lease", "ControllerRevision", "PodMetrics", "PackageManifest"}
)
# Operators that watch all namespaces are shown in each by a copy.
_OLM_COPY = "olm.copiedFrom"
# OpenShift's role bindings of every namespace: system:deployers, system:image-builders, system:image-pullers.
_RESERVED = "system:"
_AUTOMATIC_NAMES = frozenset(
    {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt"), ("ConfigMap", "istio-ca-root-cert")}
)
# Controllers make these without an owner: leader locks, certificates, handlers' Jobs. They count as
# someone's only where the tool of a person or of a deployment system has written them.
_CONTROLLERS_MAKE = frozenset({"ConfigMap", "Secret", "Service", "ServiceAccount", "Job"})
_PEOPLES_TOOLS = (
    "kubectl", "helm", "argocd", "kustomize", "flux", "terraform", "pulumi", "k9s", "ansible", "node-fetch",
)  # fmt: skip


def foreign(obj: Mapping[str, Any], kind: str, run_id: str) -> bool:
    """Whether an object is someone else's: neither the run's, nor automatic, nor part of another object."""
    metadata = obj.get("metadata") or {}
    if belongs(obj, run_id) or metadata.get("ownerReferences") or metadata.get("deletionTimestamp"):
        return False
    name = str(metadata.get("name"))
    if kind in _AUTOMATIC_KINDS or (kind, name) in _AUTOMATIC_NAMES:
        return False
    if _OLM_COPY in (metadata.get("labels") or {}) or (kind == "RoleBinding" and name.startswith(_RESERVED)):
        return False
    if kind == "Secret" and "kubernetes.io/service-account.uid" in (metadata.get("annotations") or {}):
        return False
    if kind not in _CONTROLLERS_MAKE:
        return True
    managers = [str(fields.get("manager") or "") for fields in metadata.get("managedFields") or []]
    # Where nobody is named as the author, nobody's word can be taken that it was a controller.
    return not managers or any(manager.startswith(_PEOPLES_TOOLS) for manager in managers)


def foreign_contents(api: Api, doomed: Iterable[ClaimedObject], run_id: str, sleep: Sleep) -> list[str]:
    """Other people's objects in the namespaces and of the kinds among ``doomed``, named for people.

    Raises ClusterError where a kind cannot be listed.
    """
    doomed = list(doomed)
    ours = {entry.key[1:] for entry in doomed}
    namespaces = [entry.name for entry in doomed if entry.kind == "Namespace"]
    places: list[tuple[Resource, str | None]] = []
    if namespaces:
        listable = [r for r in _served_kinds(api, sleep) if r.namespaced and "list" in r.verbs]
        places = [(resource, namespace) for namespace in namespaces for resource in listable]
    places += [(resource, None) for resource in _custom_kinds(api, doomed, sleep)]
    names: dict[str, None] = {}
    for (resource, _namespace), items in zip(
        places, at_once(lambda place: _list(api, *place, sleep), places)
    ):
        for item in items:
            metadata = item.get("metadata") or {}
            where, name = str(metadata.get("namespace") or ""), str(metadata.get("name"))
            if (resource.kind, where, name) not in ours and foreign(item, resource.kind, run_id):
                names[f"{resource.kind} {where}/{name}" if where else f"{resource.kind} {name}"] = None
    return sorted(names)


def _served_kinds(api: Api, sleep: Sleep) -> list[Resource]:
    """Every kind once, at the first version that serves it.

    Raises ClusterError where a version cannot be looked up: what cannot be listed cannot be called empty.
    """
    versions = api.served_versions()
    kinds: dict[tuple[str, str], Resource] = {}
    for version, found in zip(versions, at_once(lambda version: _kinds_at(api, version, sleep), versions)):
        for resource in found:
            kinds.setdefault((group_of(version), resource.plural), resource)
    return list(kinds.values())


def _kinds_at(api: Api, version: str, sleep: Sleep) -> list[Resource]:
    for seconds in CONFIRM_SECONDS:
        try:
            return api.kinds_at(version)
        except NotFound:
            # It was among the served ones a moment ago.
            if version not in api.served_versions():
                return []
        sleep(seconds)
    return api.kinds_at(version)


def _custom_kinds(api: Api, doomed: Iterable[ClaimedObject], sleep: Sleep) -> list[Resource]:
    """The kinds that go with the CustomResourceDefinitions among ``doomed``; a CRD is named
    <plural>.<group>.
    """
    crds = {entry.name for entry in doomed if entry.kind == "CustomResourceDefinition"}
    if not crds:
        return []
    return [r for r in _served_kinds(api, sleep) if f"{r.plural}.{group_of(r.api_version)}" in crds]


def _list(api: Api, resource: Resource, namespace: str | None, sleep: Sleep) -> list[Json]:
    def items() -> list[Json]:
        return list(api.get(resource.path(namespace), metadata_only=True).get("items") or [])

    for seconds in CONFIRM_SECONDS:
        try:
            return items()
        except MethodNotAllowed:
            return []
        except NotFound:
            # The kind may have gone since it was looked up, and all its objects with it.
            api.forget_kinds()
            if resource not in _kinds_at(api, resource.api_version, sleep):
                return []
        sleep(seconds)
    return items()
