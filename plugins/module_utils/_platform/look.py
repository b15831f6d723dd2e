# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster has already of what is to be installed, and whether the rest can be: nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Api, Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    NotFound,
    UnknownKind,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.concurrently import at_once
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.application import (
    would_change,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.claims import ObjectClaim
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.record import (
    belongs,
    group_of,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight.access import Right
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight.webhooks import (
    ADMISSION,
    CONFIGURATIONS,
    CRD,
)

from .ours import without_filled_in
from .steps import Detect, Json, PlatformStep, version_of

# What a run needs to apply an object and to remove it.
VERBS = ("create", "delete", "get", "patch")
RBAC = "rbac.authorization.k8s.io"
# Whoever grants rights must hold them, or these.
_GRANTS = {"ClusterRole": "escalate", "Role": "escalate", "ClusterRoleBinding": "bind", "RoleBinding": "bind"}


@dataclass
class Planned:
    """A step with its objects, ``whole`` where all of its sources could be read. ``there`` says what was
    found, in words, where the step is left alone; ``left``, as clauses, what of its objects is."""

    step: PlatformStep
    objects: list[Json]
    there: str = ""
    whole: bool = True
    claims: list[ObjectClaim] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def find_there(api: Api, plan: Planned, run_id: str, *, keep: bool) -> str:
    """What is wrong with what the cluster has of a step, as a sentence; empty where nothing is.

    Notes in ``plan`` that the step is there already. ``keep`` accepts it at whatever version it is.
    """
    step, detect = plan.step, plan.step.detect
    if detect is None:
        return ""
    try:
        found = _found(api, detect)
    except Forbidden as error:
        return f"Whether {step.name} is there already cannot be seen: {error}"
    if found is None:
        return (
            f"{step.name} is needed and not there ({detect}). {step.hint}".rstrip() if step.required else ""
        )
    if found["metadata"].get("deletionTimestamp"):
        return f"{step.name}: {detect} is being deleted. Wait until it is gone, and try again."
    has = version_of(found, detect.by)
    shown = f"{detect}{f', {has}' if has else ''}"
    if step.required:
        plan.there = shown
    elif not belongs(found, run_id):
        plan.there = shown
        wanted = next((version_of(each, detect.by) for each in plan.objects if _is(each, detect)), "")
        # Without its sources it is not known which version is meant.
        if not keep and plan.whole and not _same_version(has, wanted):
            return (
                f"{step.name} is there already, and not by this run: {detect} is "
                f"{has or 'of no known version'}, where {wanted or 'another'} is to be installed. Remove it, "
                "or choose that version, or set other_version to keep, which leaves it as it is and goes on."
            )
    return ""


def _same_version(has: str, wanted: str) -> bool:
    """Whether two objects tell the same version; of images under whatever registry's or mirror's names."""
    return has != "" and has.rpartition("/")[2] == wanted.rpartition("/")[2]


def _found(api: Api, detect: Detect) -> Json | None:
    try:
        resource = api.resource(detect.api_version, detect.kind)
        return {**api.get(resource.path(detect.namespace or None, detect.name)), "kind": detect.kind}
    except NotFound:
        return None


def _is(obj: Json, detect: Detect) -> bool:
    metadata = obj["metadata"]
    named = (obj["kind"], metadata["name"]) == (detect.kind, detect.name)
    return named and metadata.get("namespace", detect.namespace) == detect.namespace


@dataclass
class Kinds:
    """The kinds of what is to be applied: as the cluster serves them, or as a CRD of the platform will."""

    api: Api
    _known: dict[tuple[str, str], Resource] = field(default_factory=dict)

    def learn(self, plan: Planned) -> list[str]:
        """Takes in a step; what it needs and neither the cluster nor a step so far has, as sentences."""
        for obj in plan.objects:
            if obj["kind"] == CRD:
                for resource in _defined(obj):
                    self._known.setdefault((resource.api_version, resource.kind), resource)
        unknown = []
        for key in dict.fromkeys((str(each["apiVersion"]), str(each["kind"])) for each in plan.objects):
            try:
                self._known[key] = self.api.resource(*key)
            except UnknownKind:
                if key not in self._known:
                    unknown.append(self._unknown(plan.step, *key))
        return unknown

    def of(self, obj: Json) -> Resource | None:
        """An object's kind; None where nothing defines it."""
        return self._known.get((str(obj["apiVersion"]), str(obj["kind"])))

    def _unknown(self, step: PlatformStep, api_version: str, kind: str) -> str:
        group = group_of(api_version)
        others = [each for each in self.api.served_versions() if group and group_of(each) == group]
        served = f" (it serves that group at {', '.join(others)})" if others else ""
        unserved = f"the cluster does not serve {kind} ({api_version}){served}"
        return f"{step.name}: {unserved}, and no step so far defines it."


def _defined(crd: Json) -> list[Resource]:
    spec = crd.get("spec") or {}
    names, group = spec.get("names") or {}, spec.get("group")
    versions = [str(each["name"]) for each in spec.get("versions") or []] or [str(spec.get("version"))]
    namespaced = spec.get("scope") == "Namespaced"
    kind, plural = str(names.get("kind")), str(names.get("plural"))
    return [Resource(f"{group}/{version}", kind, plural, namespaced) for version in versions]


def homeless(api: Api, plans: Iterable[Planned], kinds: Kinds) -> list[str]:
    """Objects that name no namespace, and namespaces that nobody has made so far, as sentences."""
    coming: set[str] = set()
    problems: list[str] = []
    for plan in plans:
        step = plan.step.name
        coming |= {str(each["metadata"]["name"]) for each in plan.objects if each["kind"] == "Namespace"}
        wanted = set()
        for obj in [] if plan.there else plan.objects:
            resource = kinds.of(obj)
            if resource is None or not resource.namespaced:
                continue
            namespace = _namespace(obj, plan.step, kinds)
            wanted.add(namespace)
            if not namespace:
                named = f"{obj['kind']} {obj['metadata']['name']}"
                problems.append(f"{step}: {named} names no namespace, and the step has none for it.")
        for namespace in sorted(wanted - coming - {""}):
            wrong = _wrong_with(api, namespace)
            if wrong:
                problems.append(f"{step}: {wrong}")
    return list(dict.fromkeys(problems))


def _namespace(obj: Json, step: PlatformStep, kinds: Kinds) -> str:
    resource = kinds.of(obj)
    if resource is None or not resource.namespaced:
        return ""
    return str(obj["metadata"].get("namespace") or step.namespace)


def _wrong_with(api: Api, namespace: str) -> str:
    """Why nothing can be made in a namespace that no step makes, as a sentence; empty where it can."""
    try:
        found = api.get(api.resource("v1", "Namespace").path(name=namespace))
    except NotFound:
        return f"there is no namespace {namespace}, and no step so far makes it."
    except Forbidden:
        # Whoever works in a namespace need not be allowed to look at it.
        return ""
    going = found["metadata"].get("deletionTimestamp")
    return (
        f"the namespace {namespace} is being deleted. Wait until it is gone, and make it anew."
        if going
        else ""
    )


def rights(plans: Iterable[Planned], kinds: Kinds) -> list[Right]:
    """What the user must be allowed to do so that the steps which are not there yet can be applied and
    removed."""
    wanted = {Right(group_of(ADMISSION), f"{each.lower()}s", "list") for each in CONFIGURATIONS}
    for plan in plans:
        for obj in plan.objects if not plan.there else []:
            resource = kinds.of(obj)
            if resource is None:
                continue
            namespace = _namespace(obj, plan.step, kinds)
            group = group_of(resource.api_version)
            wanted |= {Right(group, resource.plural, verb, namespace) for verb in VERBS}
            if group == RBAC and resource.kind in _GRANTS:
                wanted.add(_grant(obj, resource, namespace))
    return sorted(wanted)


def _grant(obj: Json, resource: Resource, namespace: str) -> Right:
    verb = _GRANTS[resource.kind]
    if verb == "escalate":
        return Right(RBAC, resource.plural, verb, namespace)
    role = str((obj.get("roleRef") or {}).get("kind"))
    return Right(RBAC, f"{role.lower()}s", verb, namespace if role == "Role" else "")


def leave_filled_in(api: Api, plan: Planned) -> None:
    """Takes out of the step's webhook configurations what the programs behind them have filled in since."""
    for number, (one, fields) in enumerate(at_once(lambda one: _filled_in(api, one), plan.claims)):
        plan.claims[number] = one
        plan.left += [f"{one.entry}: {name}, which is {owner}'s" for name, owner in fields]


def _filled_in(api: Api, one: ObjectClaim) -> tuple[ObjectClaim, Sequence[tuple[str, str]]]:
    """The claim as it can be applied, and the fields that were taken out of it, each with its owner."""
    if one.before is None or one.entry.kind not in CONFIGURATIONS:
        return one, ()
    try:
        would_change(api, one)
    except Conflict as error:
        definition = without_filled_in(one.definition, [name for name, _owner in error.fields])
        if error.fields and definition is not None:
            return replace(one, definition=definition), error.fields
    except ClusterError:
        pass  # told where it is compared, or applied
    return one, ()


def leave_others(api: Api, plan: Planned, *, keep: bool) -> list[str]:
    """Takes what others have made out of a step's claims; what of it would have to be changed, as
    sentences."""
    foreign = [one for one in plan.claims if one.before is not None and one.entry.existed]
    plan.claims = [one for one in plan.claims if one not in foreign]
    # Of a namespace nothing matters but that it is there.
    looked_at = [] if keep else [one for one in foreign if one.entry.kind != "Namespace"]
    return [message for message in at_once(lambda one: _otherwise(api, one, plan.step), looked_at) if message]


def _otherwise(api: Api, one: ObjectClaim, step: PlatformStep) -> str:
    try:
        differs = would_change(api, one)
    except ClusterError as error:
        return f"{step.name}: {one.entry} is there already, and cannot be compared: {error}"
    if not differs:
        return ""
    return (
        f"{step.name}: {one.entry} is there already, and not by this run, and differs from what is to be "
        "installed. Remove it, or set other_version to keep, which leaves it as it is."
    )


def owned_by_others(api: Api, plan: Planned) -> list[str]:
    """The fields of the run's own objects that somebody has taken over since, as sentences. All else that
    keeps them from being applied may be mended by a step before."""
    known = [one for one in plan.claims if one.before is not None]
    return [message for message in at_once(lambda one: _conflict(api, one, plan.step), known) if message]


def _conflict(api: Api, one: ObjectClaim, step: PlatformStep) -> str:
    try:
        would_change(api, one)
    except Conflict as error:
        return f"{step.name}: {error}"
    except ClusterError:
        return ""
    return ""


def all_objects(plans: Sequence[Planned]) -> list[Json]:
    """The objects of all steps, in order."""
    return [obj for plan in plans for obj in plan.objects]
