# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod may ask of the node, in one table. Whatever else it asks for is refused, never ignored. Pure."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional

from . import volumes

RUNTIME_IMAGE = "sandbox.iter8.kfserving/runtime"

# In the table: any value; a tuple has the values that are possible, a table those of a map or a list of maps.
ANY = object()

_PROBE = {
    # Its port is a number or a name of the container's ports; it is asked at the pod's address.
    "httpGet": {"path": ANY, "port": ANY, "scheme": ("HTTP",)},
    "initialDelaySeconds": ANY,
    "periodSeconds": ANY,
    "timeoutSeconds": ANY,
    "failureThreshold": ANY,
    "successThreshold": (1,),
}
_CONTAINER = {
    "name": ANY,
    "image": ANY,
    "command": ANY,
    "args": ANY,
    "env": {"name": ANY, "value": ANY},
    "ports": ANY,
    # Nothing is mounted: $VOLUME_<NAME> says where the volume lies.
    "volumeMounts": {"name": ANY, "mountPath": ANY, "readOnly": ANY},
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
    "lifecycle": {"preStop": {"exec": {"command": ANY}}},
    # Without effect on a local process, and without harm: it has the rights and the resources of the user.
    "imagePullPolicy": ANY,
    "resources": ANY,
    "securityContext": ANY,
    "terminationMessagePath": ANY,
    "terminationMessagePolicy": ANY,
}
_VOLUME = {
    "name": ANY,
    "emptyDir": ANY,
    "configMap": {"name": ANY, "defaultMode": (volumes.FILE_MODE,)},
    # Below /sandbox only: see `volumes.location`.
    "hostPath": {"path": ANY, "type": ("DirectoryOrCreate",)},
}
SUPPORTED = {
    "containers": _CONTAINER,
    "volumes": _VOLUME,
    "restartPolicy": ANY,
    "terminationGracePeriodSeconds": ANY,
    "serviceAccountName": ANY,
    "automountServiceAccountToken": ANY,
    "nodeName": ANY,
    # Without effect where one node runs all pods as local processes; most of it the API server fills in.
    "dnsPolicy": ANY,
    "enableServiceLinks": ANY,
    "hostname": ANY,
    "imagePullSecrets": ANY,
    "preemptionPolicy": ANY,
    "priority": ANY,
    "priorityClassName": ANY,
    "schedulerName": ANY,
    "securityContext": ANY,
    "serviceAccount": ANY,
    "subdomain": ANY,
    "tolerations": ANY,
}


def refusal(pod: Mapping[str, Any]) -> Optional[tuple[str, str]]:
    """Why the pod is not run: the (reason, message) that its containers wait with; None if it is run."""
    spec = pod["spec"]
    images = [one.get("image") for one in spec["containers"] if one.get("image") != RUNTIME_IMAGE]
    if images:
        return "ErrImagePull", (
            f"the image {images[0]} cannot be pulled: the sandbox runs {RUNTIME_IMAGE} only, "
            "with the program to run as the container's command. Use that image, or a real cluster."
        )
    asked = [*_beyond({**spec, "volumes": volumes.own_volumes(pod)}, SUPPORTED, "spec")]
    if asked:
        return "CreateContainerConfigError", (
            f"the sandbox's node does not offer {', '.join(asked)}. Do without, or use a real cluster."
        )
    silent = [one["name"] for one in spec["containers"] if not one.get("command")]
    if silent:
        return "CreateContainerConfigError", (
            f"container {silent[0]} has no command: the sandbox's image has no program of its own, "
            "so set the container's command."
        )
    return None


def _beyond(asked: Mapping[str, Any], table: Mapping[str, Any], path: str) -> Iterator[str]:
    """The paths of what is asked for and not in the table. An empty value asks for nothing."""
    for key, value in asked.items():
        allowed, where = table.get(key), f"{path}.{key}"
        if not value or allowed is ANY:
            continue
        if allowed is None:
            yield where
        elif isinstance(allowed, tuple):
            if value not in allowed:
                yield f"{where} {value!r} (but {allowed[0]!r})"
        elif isinstance(value, list):
            for number, one in enumerate(value):
                yield from _beyond(one, allowed, f"{where}[{one.get('name', number)}]")
        else:
            yield from _beyond(value, allowed, where)
