# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rollout_preflight, but for its documentation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.preflight.traps import (
    Situation,
    traps,
    version_of,
)

from ..client.api import Api, Json, Resource
from ..client.auth import connect
from ..client.errors import ClusterError, Forbidden, NotFound, UnknownKind
from ..client.kinds import inferenceservice_kind
from ..module import Failed
from ..ownership.application import shortfall
from ..ownership.record import group_of
from . import rights
from .access import missing, phrases
from .room import requests_of_model, room
from .webhooks import lacks, on_cluster

# The controllers under the names that upstream's manifests give them: (API group, kind, namespace, name).
_CONTROLLERS = {
    rights.KSERVE: (
        ("Deployment", "kserve", "kserve-controller-manager"),
        ("Deployment", "kubeflow", "kserve-controller-manager"),
        ("Deployment", "opendatahub", "kserve-controller-manager"),
    ),
    rights.KFSERVING: (
        ("StatefulSet", "kfserving-system", "kfserving-controller-manager"),
        ("StatefulSet", "kubeflow", "kfserving-controller-manager"),
    ),
}
_ITER8 = (
    ("Deployment", "iter8-system", "iter8-controller-manager"),
    ("Deployment", "iter8-system", "iter8-analytics"),
)
_CONFIG = "inferenceservice-config"


@dataclass
class Findings:
    """What was found out; sentences, but for the version."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    version: str = ""


def preflight(module: Any) -> dict[str, Any]:
    """Runs the module: everything is asked, and all that is wrong is told at once."""
    api = connect(module)
    found = Findings()
    looks: list[Callable[[], None]] = [
        lambda: _server(api, found),
        lambda: _access(api, module.params, found),
        lambda: _model(api, module.params, found),
    ]
    if module.params["driver"] == rights.ITER8:
        looks.append(lambda: _iter8(api, found))
    for look in looks:
        try:
            look()
        except ClusterError as error:
            found.problems.append(str(error))
    result = {"changed": False, "problems": found.problems, "notes": found.notes, "version": found.version}
    if found.problems:
        numbered = " ".join(f"({number}) {each}" for number, each in enumerate(found.problems, 1))
        count = "1 problem" if len(found.problems) == 1 else f"{len(found.problems)} problems"
        raise Failed(f"This cannot be rolled out: {count}, nothing was changed. {numbered}", result)
    return result


def _server(api: Api, found: Findings) -> None:
    found.version = str(api.get("/version").get("gitVersion") or "")


def _access(api: Api, params: Any, found: Findings) -> None:
    groups = {group_of(each) for each in api.served_versions()}
    load = params["load_namespace"] or ""
    tasks = [params["driver"], *([rights.LOAD_JOB] if load else [])]
    wanted = rights.rights(tasks, params["namespace"], params["record_namespace"] or "", groups, load)
    found.problems += [
        f"The user may not {each}: see docs/rights.md." for each in phrases(missing(api, wanted))
    ]


def _model(api: Api, params: Any, found: Findings) -> None:
    namespace, name = params["namespace"], params["name"]
    try:
        kind = inferenceservice_kind(api, params["api_version"], namespace, name)
    except UnknownKind as error:
        found.problems.append(str(error))
        return
    group = group_of(kind.api_version)
    image = _controller(api, group, found)
    service = _optional(api, kind.path(namespace, name))
    if service is not None:
        service = {"apiVersion": kind.api_version, "kind": kind.kind, **service}
    canary = params["canary"] or None
    models = [each for each in (service, canary) if each]
    _webhooks(api, kind, _optional(api, api.resource("v1", "Namespace").path(name=namespace)), models, found)
    now = Situation(
        driver=params["driver"],
        inferenceservice=service,
        canary=canary,
        revisions=_revisions(api, namespace),
        kserve=image if group == rights.KSERVE and version_of(image) else "",
        gateway_api=_gateway_api(api) if group == rights.KSERVE else None,
    )
    caught = traps(now)
    found.problems += [f"{namespace}/{name}: {each}" for each in caught.problems]
    found.notes += [f"{namespace}/{name}: {each}" for each in caught.notes]
    _room(api, canary or service, found)


def _controller(api: Api, group: str, found: Findings) -> str:
    """The image of the controller, empty where none is found; told where it does not run."""
    for kind, namespace, name in _CONTROLLERS.get(group, ()):
        workload = _optional(api, api.resource("apps/v1", kind).path(namespace, name))
        if workload is None:
            continue
        short = shortfall({"kind": kind, **workload})
        if short:
            found.problems.append(
                f"The controller of InferenceServices, {kind} {namespace}/{name}, does not run: {short}. "
                "Look at its pods; until it runs no change takes effect."
            )
        containers = workload["spec"]["template"]["spec"].get("containers") or [{}]
        return str(containers[0].get("image") or "").rpartition("/")[2]
    found.notes.append(
        "The controller of InferenceServices was not found under its usual names, so whether it runs is not "
        "known."
    )
    return ""


def _labels(obj: Json) -> dict[str, str]:
    return dict((obj.get("metadata") or {}).get("labels") or {})


def _webhooks(
    api: Api, kind: Resource, namespace: Json | None, models: Sequence[Json], found: Findings
) -> None:
    """Tells the webhooks that guard the model, as it is and as it will be, and cannot answer."""
    where, labels = namespace and _labels(namespace), [_labels(each) for each in models]
    try:
        webhooks = on_cluster(api)
    except (Forbidden, NotFound):
        found.notes.append("Whether webhooks answer was not looked at: that takes the right to list them.")
        return
    for webhook in webhooks:
        if webhook.guards(kind) and not webhook.passes_over(where, labels):
            try:
                short = lacks(api, webhook)
            except Forbidden:
                continue
            if short:
                found.problems.append(
                    f"{str(webhook).capitalize()} guards InferenceServices and cannot answer: {short}. No "
                    "change of them is taken until it does."
                )


def _revisions(api: Api, namespace: str) -> list[str] | None:
    try:
        path = api.resource("serving.knative.dev/v1", "Revision").path(namespace)
        listed = api.get(path, metadata_only=True).get("items") or []
    except (Forbidden, NotFound):
        return None
    return [str(each["metadata"]["name"]) for each in listed]


def _gateway_api(api: Api) -> bool | None:
    """What KServe's settings say of enableGatewayApi; None where they cannot be read."""
    for _kind, namespace, _name in _CONTROLLERS[rights.KSERVE]:
        config = _optional(api, api.resource("v1", "ConfigMap").path(namespace, _CONFIG))
        if config is not None:
            try:
                ingress = json.loads((config.get("data") or {}).get("ingress") or "{}")
            except ValueError:
                return None
            return bool(ingress.get("enableGatewayApi")) if isinstance(ingress, dict) else None
    return None


def _room(api: Api, model: Json | None, found: Findings) -> None:
    wrong, unseen = room(api, requests_of_model(model))
    found.problems += [wrong] if wrong else []
    found.notes += [unseen] if unseen else []


def _iter8(api: Api, found: Findings) -> None:
    if not any(each.kind == "Experiment" for each in api.resources("iter8.tools/v2alpha1")):
        found.problems.append(
            "The cluster does not serve Experiment (iter8.tools/v2alpha1): iter8 is not installed. Install "
            "it (deploy.yml), or use rollout_driver=progressive or observe."
        )
        return
    for kind, namespace, name in _ITER8:
        workload = _optional(api, api.resource("apps/v1", kind).path(namespace, name))
        short = "it is not there" if workload is None else shortfall({"kind": kind, **workload})
        if short:
            found.problems.append(
                f"iter8's {kind} {namespace}/{name} does not run: {short}. Without it no experiment goes on."
            )


def _optional(api: Api, path: str) -> Json | None:
    """The object at the path; None where it is not there or may not be read."""
    try:
        return api.get(path)
    except (NotFound, Forbidden):
        return None
