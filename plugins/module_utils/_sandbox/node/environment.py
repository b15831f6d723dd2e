# SPDX-License-Identifier: GPL-3.0-or-later
"""A container's environment, command line and program, as Kubernetes composes them. Pure."""

from __future__ import annotations

import re
from typing import Any, Callable, Mapping, Optional, Sequence

Data = Mapping[str, str]
# Gives the data of a ConfigMap or Secret of the pod's namespace, decoded; None where there is none.
Lookup = Callable[[str, str], Optional[Data]]

_REFERENCE = re.compile(r"\$(\$|\(([^()\s]+)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigError(Exception):
    """The container cannot be configured as its spec asks (the kubelet's CreateContainerConfigError)."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; `$$` is `$`; a reference that cannot be resolved stays as it is."""

    def value(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return env.get(match.group(2), match.group(0))

    return _REFERENCE.sub(value, text)


def field_value(pod: Mapping[str, Any], path: str, pod_ip: str, host_ip: str) -> str:
    """The value of a fieldRef. Raises ConfigError for a field that the downward API does not offer."""
    meta, spec = pod["metadata"], pod["spec"]
    fields: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: str(meta["name"]),
        "metadata.namespace": lambda: str(meta["namespace"]),
        "metadata.uid": lambda: str(meta["uid"]),
        "metadata.labels": lambda: _map_text(meta.get("labels")),
        "metadata.annotations": lambda: _map_text(meta.get("annotations")),
        "spec.nodeName": lambda: str(spec.get("nodeName", "")),
        "spec.serviceAccountName": lambda: str(spec.get("serviceAccountName", "")),
        "status.podIP": lambda: pod_ip,
        "status.podIPs": lambda: pod_ip,
        "status.hostIP": lambda: host_ip,
    }
    if path in fields:
        return fields[path]()
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        return str((meta.get(subscript.group(1)) or {}).get(subscript.group(2), ""))
    raise ConfigError(f"the field {path!r} cannot be given to a container of the sandbox.")


def _map_text(values: Optional[Mapping[str, str]]) -> str:
    """Labels or annotations as the downward API writes them into a file."""
    quoted = (
        (key, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for key, value in sorted((values or {}).items())
    )
    return "\n".join(f'{key}="{value}"' for key, value in quoted)


def _keyed(kind: str, reference: Mapping[str, Any], lookup: Lookup) -> Optional[str]:
    data = lookup(kind, reference["name"])
    if data is not None and reference["key"] in data:
        return data[reference["key"]]
    if reference.get("optional"):
        return None
    if data is None:
        raise ConfigError(f'{kind.lower()} "{reference["name"]}" not found')
    raise ConfigError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")


def _source(
    pod: Mapping[str, Any], source: Mapping[str, Any], addresses: tuple[str, str], lookup: Lookup
) -> Optional[str]:
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"], *addresses)
    if "configMapKeyRef" in source:
        return _keyed("ConfigMap", source["configMapKeyRef"], lookup)
    if "secretKeyRef" in source:
        return _keyed("Secret", source["secretKeyRef"], lookup)
    raise ConfigError(f"a value from {', '.join(source)} is not known to the sandbox.")


def _whole(entry: Mapping[str, Any], lookup: Lookup) -> dict[str, str]:
    """The variables of one envFrom entry."""
    kind, reference = (
        ("Secret", entry["secretRef"]) if "secretRef" in entry else ("ConfigMap", entry["configMapRef"])
    )
    data = lookup(kind, reference["name"])
    if data is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind.lower()} "{reference["name"]}" not found')
    return {entry.get("prefix", "") + key: value for key, value in data.items()}


def compose(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    base: Mapping[str, str],
    addresses: tuple[str, str],
    lookup: Lookup,
) -> dict[str, str]:
    """The environment of a container: `base` (the node's own), then envFrom, then env, later ones winning.

    addresses: (pod IP, host IP). Raises ConfigError.
    """
    env = dict(base)
    for entry in container.get("envFrom") or ():
        env.update(_whole(entry, lookup))
    for variable in container.get("env") or ():
        value: Optional[str] = expand(variable.get("value") or "", env)
        if variable.get("valueFrom"):
            value = _source(pod, variable["valueFrom"], addresses, lookup)
        if value is not None:
            env[variable["name"]] = value
    return env


def command_line(container: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """The container's command and arguments, references expanded. Raises ConfigError without a command."""
    command: Sequence[str] = container.get("command") or ()
    if not command:
        raise ConfigError(
            f"container {container['name']} has no command: the sandbox's image has no program of its own, "
            "so set the container's command."
        )
    return [expand(word, env) for word in [*command, *(container.get("args") or ())]]


def volume_variable(name: str) -> str:
    """The name of the variable that tells a process where the volume `name` lies."""
    return "VOLUME_" + name.upper().replace("-", "_").replace(".", "_")
