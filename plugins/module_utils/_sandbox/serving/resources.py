# SPDX-License-Identifier: GPL-3.0-or-later
"""InferenceService → revisions → Deployments: names, labels and manifests, as pure functions.

A revision is made whenever the predictor changes in anything but ``canaryTrafficPercent``, which only shifts
traffic. All that the controller must remember of a revision stands on its Deployment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ..kube.resources import INFERENCE_SERVICES

KIND = "InferenceService"
FINALIZER = "inferenceservice.finalizers"

SERVICE_LABEL = "serving.kubeflow.org/inferenceservice"
REVISION_LABEL = "serving.knative.dev/revision"
GENERATION_LABEL = "serving.knative.dev/configurationGeneration"
HASH_ANNOTATION = "sandbox.iter8.kfserving/predictor-hash"
REPLICAS_ANNOTATION = "sandbox.iter8.kfserving/replicas"

FRAMEWORKS = ("tensorflow", "sklearn", "xgboost", "pytorch", "onnx", "triton", "pmml", "lightgbm")
IMAGE = "sandbox.iter8.kfserving/runtime"
MODEL_PORT = 8080
METRICS_PORT = 9090
SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS_PORT)}
DOMAIN = "example.com"

MODEL_SERVER = "ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.model_server.main"
# Kubernetes' own alphabet for generated names: no vowels, so no words.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Revision:
    """A revision as its Deployment describes it."""

    namespace: str
    name: str
    deployment: str
    generation: int
    predictor_hash: str
    replicas: int
    """What the Deployment asks for now; 0 once the revision was retired."""
    wanted: int
    """What it asks for while the revision is in use."""


def configuration_name(service: Object) -> str:
    """Name of the predictor's Knative service, the stem of its revisions' names."""
    return f"{service['metadata']['name']}-predictor-default"


def host(service: Object) -> str:
    """The InferenceService's own host name."""
    meta = service["metadata"]
    return f"{meta['name']}.{meta['namespace']}.{DOMAIN}"


def predictor_host(service: Object, tag: str = "") -> str:
    """The predictor's host name, or that of one of its traffic tags."""
    prefix = f"{tag}-" if tag else ""
    return f"{prefix}{configuration_name(service)}.{service['metadata']['namespace']}.{DOMAIN}"


def canary_percent(service: Object) -> Optional[int]:
    """``spec.predictor.canaryTrafficPercent``, or ``None`` if it is not set."""
    percent = service["spec"]["predictor"].get("canaryTrafficPercent")
    return None if percent is None else int(percent)


def predictor_hash(service: Object) -> str:
    """Digest of what makes a revision."""
    predictor = {
        key: value for key, value in service["spec"]["predictor"].items() if key != "canaryTrafficPercent"
    }
    return hashlib.sha256(json.dumps(predictor, sort_keys=True).encode()).hexdigest()[:16]


def revisions_of(service: Object, deployments: Iterable[Object]) -> list[Revision]:
    """Return the revisions that this very InferenceService owns, oldest first."""
    uid = service["metadata"]["uid"]
    own = [d for d in deployments if any(o["uid"] == uid for o in d["metadata"].get("ownerReferences", []))]
    return sorted((_revision(deployment) for deployment in own), key=lambda revision: revision.generation)


def next_revision(
    service: Object, revisions: list[Revision], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Return the Deployment of a new revision.

    The name follows from the content, so a second try after a crash meets the first one's object.
    """
    generation = revisions[-1].generation + 1 if revisions else 1
    return _deployment(service, generation, predictor_hash(service), environment)


def _revision(deployment: Object) -> Revision:
    meta = deployment["metadata"]
    return Revision(
        namespace=meta["namespace"],
        name=meta["labels"][REVISION_LABEL],
        deployment=meta["name"],
        generation=int(meta["labels"][GENERATION_LABEL]),
        predictor_hash=meta["annotations"][HASH_ANNOTATION],
        replicas=int(deployment["spec"].get("replicas", 1)),
        wanted=int(meta["annotations"].get(REPLICAS_ANNOTATION, "1")),
    )


def _revision_name(service: Object, generation: int, predictor: str) -> str:
    digest = hashlib.sha256(f"{service['metadata']['uid']}/{generation}/{predictor}".encode()).digest()
    suffix = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:5])
    return f"{configuration_name(service)}-{suffix}"


def _deployment(
    service: Object, generation: int, predictor: str, environment: Mapping[str, str]
) -> dict[str, Any]:
    meta = service["metadata"]
    name = _revision_name(service, generation, predictor)
    labels = {
        "app": name,
        SERVICE_LABEL: meta["name"],
        REVISION_LABEL: name,
        GENERATION_LABEL: str(generation),
        "serving.knative.dev/configuration": configuration_name(service),
        "serving.knative.dev/service": configuration_name(service),
    }
    replicas = max(1, int(service["spec"]["predictor"].get("minReplicas") or 1))
    owner = {
        "apiVersion": INFERENCE_SERVICES.api_version,
        "kind": KIND,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"{name}-deployment",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {HASH_ANNOTATION: predictor, REPLICAS_ANNOTATION: str(replicas)},
            "ownerReferences": [owner],
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {REVISION_LABEL: name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": labels, "annotations": SCRAPED},
                "spec": {
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 30,
                    "containers": [_container(service, name, environment)],
                },
            },
        },
    }


def _container(service: Object, revision: str, environment: Mapping[str, str]) -> dict[str, Any]:
    framework = _framework(service)
    model = service["metadata"]["name"]
    own = {
        "K_REVISION": revision,
        "K_CONFIGURATION": configuration_name(service),
        "K_SERVICE": configuration_name(service),
        "MODEL_NAME": model,
        "STORAGE_URI": str(framework.get("storageUri", "")),
        "PORT": str(MODEL_PORT),
        "METRICS_PORT": str(METRICS_PORT),
        **environment,
    }
    given = [entry for entry in framework.get("env") or [] if entry["name"] not in own]
    return {
        "name": framework.get("name") or "kfserving-container",
        "env": [*given, *({"name": key, "value": own[key]} for key in sorted(own))],
        **served(model),
    }


def served(model: str) -> dict[str, Any]:
    """What makes a container the sandbox's model server, with :data:`SCRAPED` on its pod."""
    probe = {"path": f"/v1/models/{model}", "port": MODEL_PORT}
    return {
        "image": IMAGE,
        "command": ["python3", "-m", MODEL_SERVER],
        "ports": [
            {"name": "http1", "containerPort": MODEL_PORT},
            {"name": "http-usermetric", "containerPort": METRICS_PORT},
        ],
        "readinessProbe": {"httpGet": probe, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 3},
    }


def _framework(service: Object) -> Mapping[str, Any]:
    """The one framework that the predictor names; the CRD's schema sees to it that there is exactly one."""
    predictor: Mapping[str, Any] = service["spec"]["predictor"]
    found: Mapping[str, Any] = next(predictor[name] for name in FRAMEWORKS if name in predictor)
    return found
