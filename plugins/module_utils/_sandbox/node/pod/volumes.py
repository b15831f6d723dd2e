# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod's volumes hold and where they lie; written as the kubelet writes them (`write`)."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Mapping, Optional

# File name → content.
Files = dict[str, bytes]

SHARED_PREFIX = "/sandbox"
FILE_MODE = 0o644

_ACCOUNT_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class VolumeError(Exception):
    """A volume cannot be set up (the kubelet's FailedMount)."""


def own_volumes(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The pod's volumes without the one in which the API server hands out the service account's token.

    The node writes those credentials itself, bound to the pod, where KUBECONFIG points.
    """
    spec = pod["spec"]
    mounts = [mount for one in spec["containers"] for mount in one.get("volumeMounts") or ()]
    account = {mount["name"] for mount in mounts if mount.get("mountPath") == _ACCOUNT_MOUNT}
    return [volume for volume in spec.get("volumes") or () if volume["name"] not in account]


def configmaps(pod: Mapping[str, Any]) -> set[str]:
    """The names of the ConfigMaps that the pod's volumes show."""
    return {volume["configMap"]["name"] for volume in own_volumes(pod) if "configMap" in volume}


def data_of(configmap: Mapping[str, Any]) -> Files:
    """The data of a ConfigMap, decoded."""
    binary = (configmap.get("binaryData") or {}).items()
    return {
        **{key: value.encode() for key, value in (configmap.get("data") or {}).items()},
        **{key: base64.b64decode(value) for key, value in binary},
    }


def location(volume: Mapping[str, Any], volumes_dir: Path, shared: Path) -> Path:
    """Where a volume's files lie. Raises VolumeError for a host path that is not offered."""
    if "hostPath" not in volume:
        return volumes_dir / str(volume["name"])
    path = PurePosixPath(volume["hostPath"]["path"])
    if ".." in path.parts or path.parts[:2] != ("/", SHARED_PREFIX[1:]):
        raise VolumeError(
            f"volume {volume['name']}: hostPath {path} is not offered; the sandbox shares paths under "
            f"{SHARED_PREFIX}/ only."
        )
    return shared.joinpath(*path.parts[2:])


def show(
    volume: Mapping[str, Any], where: Path, configmap: Callable[[str], Optional[Mapping[str, Any]]]
) -> bool:
    """Make the volume's folder hold what it should. Returns whether its content changed.

    configmap: gives a ConfigMap of the pod's namespace, None where there is none. Raises VolumeError.
    """
    where.mkdir(parents=True, exist_ok=True)
    if "configMap" not in volume:
        return False
    name = volume["configMap"]["name"]
    found = configmap(name)
    if found is None:
        raise VolumeError(f'configmap "{name}" not found')
    return write(where, data_of(found))


def write(where: Path, wanted: Files) -> bool:
    """Make the folder show `wanted`, all of it at once. Returns whether anything changed.

    The files lie in a folder of their own that `..data` points at; each name is a link through `..data`.
    Moving a new `..data` into place changes them all in one step, and who watches for moves is told.
    """
    link = where / "..data"
    old = where / os.readlink(link) if link.is_symlink() else None
    if old is not None and old.is_dir() and _shown(old) == wanted:
        return False
    new = Path(tempfile.mkdtemp(prefix="..", dir=where))
    new.chmod(0o755)
    for name, data in wanted.items():
        (new / name).write_bytes(data)
        (new / name).chmod(FILE_MODE)
    pending = where / "..data_tmp"
    pending.unlink(missing_ok=True)
    pending.symlink_to(new.name)
    os.replace(pending, link)
    for name in wanted:
        if not (where / name).is_symlink():
            (where / name).symlink_to(f"..data/{name}")
    for entry in where.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _shown(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
