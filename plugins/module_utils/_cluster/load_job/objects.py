# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a load: a ConfigMap with the engine, a Secret with what it sends, and an Indexed Job.

What is sent may hold credentials and payloads, so it is in the Secret alone. Pure.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..client.api import Json
from ..client.errors import ClusterError

CONTROL = "iter8.kfserving/load-control"
"""The annotation of a pod by which its generator is told what to do."""
LOAD_LABEL = "iter8.kfserving/load"
INDEX = "batch.kubernetes.io/job-completion-index"
CONTAINER = "load"
FOLDER = "/iter8"
TLS_FOLDER = f"{FOLDER}/tls"
ENGINE, OPTIONS, FINGERPRINT = "engine.zip", "options", "fingerprint"
# Of a ConfigMap's or Secret's data; the API server's own limit is 1 MiB.
MOST_BYTES = 1024 * 1024 - 8192
_USER = 65532
_NAME_CHARACTERS = 52  # a pod's host name is the Job's with a dash and its index, and has 63 at most
_GRACE_SECONDS = 30


@dataclass(frozen=True)
class Wanted:
    """A load as it is asked for. `described` is what its generators are told of it; times in seconds.

    `lifetime` is how long the pods may be there at most, whatever becomes of whoever started them.
    """

    name: str
    namespace: str
    count: int
    image: str
    engine: bytes
    described: Mapping[str, Any]
    lifetime: float
    longest_request: float
    resources: Mapping[str, Any] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    pull_secrets: tuple[str, ...] = ()
    tls_secret: str = ""


def job_name(load: str) -> str:
    """The name of the Job and of its two companions: the load's, as Kubernetes takes names."""
    plain = re.sub(r"[^a-z0-9-]+", "-", f"load-{load.lower()}").strip("-")
    if plain == f"load-{load}" and len(plain) <= _NAME_CHARACTERS:
        return plain
    digest = hashlib.sha256(load.encode()).hexdigest()[:8]
    return f"{plain[: _NAME_CHARACTERS - 9].rstrip('-')}-{digest}"


def definitions(wanted: Wanted) -> list[Json]:
    """What to apply, in this order. Raises ClusterError for what does not fit."""
    options = gzip.compress(json.dumps(wanted.described, sort_keys=True).encode(), 9, mtime=0)
    for what, data in (("engine", wanted.engine), ("payloads and options of the load", options)):
        if len(data) > MOST_BYTES:
            raise ClusterError(
                f"The {what}, compressed, have {len(data)} bytes, and Kubernetes takes {MOST_BYTES} in one "
                "object. Send fewer or shorter payloads or times, or send from hosts (rollout_load_hosts)."
            )
    job = _job(wanted)
    content = json.dumps([job, hashlib.sha256(options + wanted.engine).hexdigest()], sort_keys=True)
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    return [
        {
            **_head("v1", "ConfigMap", wanted),
            "immutable": True,
            "binaryData": {ENGINE: _base64(wanted.engine)},
        },
        {
            **_head("v1", "Secret", wanted),
            "type": "Opaque",
            "immutable": True,
            # The fingerprint is of credentials too, so it is no annotation, which more people may read.
            "data": {OPTIONS: _base64(options), FINGERPRINT: _base64(fingerprint.encode())},
        },
        job,
    ]


def fingerprint_of(secret: Mapping[str, Any]) -> str:
    """Equal for loads that were asked for alike; empty where it is not there."""
    return base64.b64decode((secret.get("data") or {}).get(FINGERPRINT) or "").decode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _head(api_version: str, kind: str, wanted: Wanted) -> Json:
    labels = {"app.kubernetes.io/managed-by": "iter8-kfserving", LOAD_LABEL: job_name(wanted.name)}
    metadata = {"name": job_name(wanted.name), "namespace": wanted.namespace, "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _job(wanted: Wanted) -> Json:
    name = job_name(wanted.name)
    labels = {"app.kubernetes.io/managed-by": "iter8-kfserving", LOAD_LABEL: name}
    return {
        **_head("batch/v1", "Job", wanted),
        "spec": {
            "completionMode": "Indexed",
            "completions": wanted.count,
            "parallelism": wanted.count,
            # A generator that dies is not replaced, for another one in its place would hide that, and the
            # others go on: with backoffLimit 0 alone the Job's controller would end them all.
            "backoffLimitPerIndex": 0,
            "activeDeadlineSeconds": int(wanted.lifetime) + 1,
            "template": {
                # A sidecar of a mesh would stand between the load and what it measures, and never end.
                "metadata": {"labels": {**labels, "sidecar.istio.io/inject": "false"}},
                "spec": _pod(wanted, name),
            },
        },
    }


def _pod(wanted: Wanted, name: str) -> Json:
    control = f"metadata.annotations['{CONTROL}']"
    volumes = [
        {"name": "engine", "configMap": {"name": name, "defaultMode": 0o444}},
        {
            "name": "options",
            "secret": {
                "secretName": name,
                "defaultMode": 0o440,
                "items": [{"key": OPTIONS, "path": OPTIONS}],
            },
        },
        {
            "name": "control",
            "downwardAPI": {"items": [{"path": "control", "fieldRef": {"fieldPath": control}}]},
        },
        {"name": "state", "emptyDir": {}},
    ]
    if wanted.tls_secret:
        volumes.append({"name": "tls", "secret": {"secretName": wanted.tls_secret, "defaultMode": 0o440}})
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        # Rather two on one node than none; `generators` says which nodes they were.
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {LOAD_LABEL: name}},
    }
    spec: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # To end one takes as long as its requests in flight, and then its result is still to be said.
        "terminationGracePeriodSeconds": int(wanted.longest_request) + _GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [spread],
        "containers": [_container(wanted, volumes)],
        "volumes": volumes,
    }
    if wanted.node_selector:
        spec["nodeSelector"] = dict(wanted.node_selector)
    if wanted.tolerations:
        spec["tolerations"] = [dict(each) for each in wanted.tolerations]
    if wanted.pull_secrets:
        spec["imagePullSecrets"] = [{"name": each} for each in wanted.pull_secrets]
    return spec


def _container(wanted: Wanted, volumes: list[Json]) -> Json:
    return {
        "name": CONTAINER,
        "image": wanted.image,
        # Alone with the standard library, whatever else the image has.
        "command": ["python3", "-I", "-S", f"{FOLDER}/engine/{ENGINE}", FOLDER],
        # Where the API server reaches it to ask what time it is.
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "resources": dict(wanted.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {
                "name": each["name"],
                "mountPath": f"{FOLDER}/{each['name']}",
                **({} if each["name"] == "state" else {"readOnly": True}),
            }
            for each in volumes
        ],
    }
