# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rollout_objects, but for its documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically

from .client.api import Api, Json, find
from .client.auth import connect
from .client.errors import ClusterError, UnknownKind


def rollout_objects(module: Any) -> dict[str, Any]:
    """Runs the module: looks at the objects, and keeps them where a folder is named.

    ClusterError where there is no folder and the cluster does not say which are there, and where a file
    cannot be written.
    """
    params = module.params
    unread: list[str] = []
    found = _found(module, unread)
    if unread and not params["dest"]:
        raise ClusterError(" ".join(unread))
    changed = False
    if params["dest"]:
        folder, pairs = Path(params["dest"]), zip(params["objects"], found)
        kept = [_keep(folder, named, obj, module.check_mode) for named, obj in pairs]
        changed = any(kept)
    result = {"changed": changed, "resources": [each for each in found if each]}
    return {**result, "warnings": unread} if unread else result


def _found(module: Any, unread: list[str]) -> list[Json]:
    """Each object, empty where it is not there or cannot be read; the reasons go to ``unread``."""
    named = module.params["objects"]
    try:
        api = connect(module)
    except ClusterError as error:
        unread.append(str(error))
        return [{} for _each in named]
    return [_read(api, each, module.params["namespace"], unread) for each in named]


def _read(api: Api, named: Mapping[str, str], namespace: str, unread: list[str]) -> Json:
    try:
        path = api.resource(named["api_version"], named["kind"]).path(namespace, named["name"])
        return find(api, path) or {}
    except UnknownKind:
        return {}
    except ClusterError as error:
        unread.append(f"{named['kind']} {namespace}/{named['name']} could not be read: {error}")
        return {}


def _keep(folder: Path, named: Mapping[str, str], obj: Json, check_mode: bool) -> bool:
    """Whether that changed the file, or would."""
    path = folder / f"{named['kind'].lower()}.json"
    text = json.dumps(obj, indent=4, sort_keys=True) + "\n"
    try:
        if path.is_file() and path.read_bytes() == text.encode():
            return False
        if not check_mode:
            write_atomically(path, text, mode=0o644)
    except OSError as error:
        raise ClusterError(f"{path} cannot be written: {error.strerror}.") from error
    return True
