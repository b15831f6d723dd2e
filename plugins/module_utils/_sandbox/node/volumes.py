# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod's volumes hold: planned without I/O, then written as the kubelet writes them (`write`)."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Iterable, Mapping, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import environment

Bytes = Mapping[str, bytes]
# Gives the data of a ConfigMap or Secret of the pod's namespace; None where there is none.
Lookup = Callable[[str, str], Optional[Bytes]]

SHARED_PREFIX = "/sandbox"


class VolumeError(Exception):
    """A volume cannot be set up (the kubelet's FailedMount)."""


@dataclass(frozen=True)
class Content:
    """Files of a volume: relative path → (bytes, mode)."""

    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenRequest:
    """A projected service account token: where it goes, for whom it is, and for how long (seconds)."""

    path: str
    audience: str
    seconds: int


def data_of(item: Mapping[str, Any]) -> dict[str, bytes]:
    """The data of a ConfigMap or Secret object, decoded."""
    if item.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in (item.get("data") or {}).items()}
    texts = {key: value.encode() for key, value in (item.get("data") or {}).items()}
    return {
        **texts,
        **{key: base64.b64decode(value) for key, value in (item.get("binaryData") or {}).items()},
    }


def _safe(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise VolumeError(f"the path {path!r} leads out of its volume.")
    return str(parts)


def _selected(
    kind: str, source: Mapping[str, Any], mode: int, lookup: Lookup
) -> dict[str, tuple[bytes, int]]:
    name = source.get("secretName") or source["name"]
    data = lookup(kind, name)
    if data is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'{kind.lower()} "{name}" not found')
    items = source.get("items")
    if not items:
        return {_safe(key): (value, mode) for key, value in data.items()}
    files = {}
    for item in items:
        if item["key"] in data:
            files[_safe(item["path"])] = (data[item["key"]], item.get("mode") or mode)
        elif not source.get("optional"):
            raise VolumeError(f"{kind.lower()} {name!r} has no key {item['key']!r}")
    return files


def _downward(
    pod: Mapping[str, Any], items: Iterable[Mapping[str, Any]], mode: int, addresses: tuple[str, str]
) -> dict[str, tuple[bytes, int]]:
    files = {}
    for item in items:
        if "fieldRef" not in item:
            raise VolumeError("the sandbox has no resourceFieldRef.")
        text = environment.field_value(pod, item["fieldRef"]["fieldPath"], *addresses)
        files[_safe(item["path"])] = (text.encode(), item.get("mode") or mode)
    return files


def content(
    pod: Mapping[str, Any],
    volume: Mapping[str, Any],
    addresses: tuple[str, str],
    lookup: Lookup,
    token: Callable[[TokenRequest], str],
) -> Optional[Content]:
    """The files of a volume that the node writes; None for one that it does not write (emptyDir, hostPath).

    Raises VolumeError.
    """
    if "configMap" in volume:
        source = volume["configMap"]
        return Content(_selected("ConfigMap", source, source.get("defaultMode") or 0o644, lookup))
    if "secret" in volume:
        source = volume["secret"]
        return Content(_selected("Secret", source, source.get("defaultMode") or 0o644, lookup))
    if "downwardAPI" in volume:
        source = volume["downwardAPI"]
        return Content(
            _downward(pod, source.get("items") or (), source.get("defaultMode") or 0o644, addresses)
        )
    if "projected" in volume:
        return Content(_projected(pod, volume["projected"], addresses, lookup, token))
    return None


def _projected(
    pod: Mapping[str, Any],
    projected: Mapping[str, Any],
    addresses: tuple[str, str],
    lookup: Lookup,
    token: Callable[[TokenRequest], str],
) -> dict[str, tuple[bytes, int]]:
    mode = projected.get("defaultMode") or 0o644
    files: dict[str, tuple[bytes, int]] = {}
    for source in projected.get("sources") or ():
        if "configMap" in source:
            files.update(_selected("ConfigMap", source["configMap"], mode, lookup))
        elif "secret" in source:
            files.update(_selected("Secret", source["secret"], mode, lookup))
        elif "downwardAPI" in source:
            files.update(_downward(pod, source["downwardAPI"].get("items") or (), mode, addresses))
        elif "serviceAccountToken" in source:
            wish = source["serviceAccountToken"]
            asked = TokenRequest(
                _safe(wish["path"]), wish.get("audience", ""), wish.get("expirationSeconds") or 3600
            )
            files[asked.path] = (token(asked).encode(), 0o600)
    return files


def location(volume: Mapping[str, Any], volumes_dir: Path, shared: Path) -> Path:
    """Where a volume's files lie. Raises VolumeError for a kind or a host path that is not offered."""
    if "hostPath" in volume:
        path = PurePosixPath(volume["hostPath"]["path"])
        if ".." in path.parts or path.parts[:2] != ("/", SHARED_PREFIX[1:]):
            raise VolumeError(
                f"volume {volume['name']}: hostPath {path} is not offered; the sandbox shares paths under "
                f"{SHARED_PREFIX}/ only."
            )
        return shared.joinpath(*path.parts[2:])
    if set(volume) & {"configMap", "secret", "downwardAPI", "projected", "emptyDir"}:
        return volumes_dir / str(volume["name"])
    kinds = ", ".join(sorted(set(volume) - {"name"})) or "none"
    raise VolumeError(
        f"volume {volume['name']}: a volume of kind {kinds} is not offered; the sandbox has configMap, "
        "secret, downwardAPI, projected, emptyDir and hostPath."
    )


def prepare(volume: Mapping[str, Any], where: Path) -> None:
    """Make the folder of a volume whose content the node does not write. Raises VolumeError."""
    if "emptyDir" in volume:
        where.mkdir(parents=True, exist_ok=True)
    elif "hostPath" in volume:
        kind = volume["hostPath"].get("type") or ""
        if kind == "DirectoryOrCreate":
            where.mkdir(parents=True, exist_ok=True)
        elif kind == "Directory" and not where.is_dir():
            raise VolumeError(f"hostPath type check failed: {volume['hostPath']['path']} is not a directory")


def references(pod: Mapping[str, Any], kind: str) -> set[str]:
    """The names of the ConfigMaps (`configMap`) or Secrets (`secret`) that the pod's volumes show."""
    found = set()
    for volume in pod["spec"].get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        found |= {one[kind].get("secretName") or one[kind].get("name") for one in sources if kind in one}
    return found


def write(where: Path, wanted: Content) -> bool:
    """Make the volume's folder show `wanted`, all of it at once. Returns whether anything changed.

    The files lie in a folder of their own that `..data` points at; each name is a link through `..data`.
    Moving a new `..data` into place changes them all in one step, and who watches for moves is told.
    """
    where.mkdir(parents=True, exist_ok=True)
    link = where / "..data"
    old = where / os.readlink(link) if link.is_symlink() else None
    if old is not None and _shown(old) == wanted.files:
        return False
    new = Path(tempfile.mkdtemp(prefix="..", dir=where))
    new.chmod(0o755)
    for name, (data, mode) in wanted.files.items():
        path = new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(data)
        path.chmod(mode)
    pending = where / "..data_tmp"
    pending.unlink(missing_ok=True)
    pending.symlink_to(new.name)
    os.replace(pending, link)
    tops = {PurePosixPath(name).parts[0] for name in wanted.files}
    for top in tops:
        if not (where / top).is_symlink():
            (where / top).symlink_to(f"..data/{top}")
    for entry in where.iterdir():
        if not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _shown(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_file()
    }
