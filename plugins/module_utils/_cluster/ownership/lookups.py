# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a claimed object is there: only what is certain counts as absent.

A 404 that names no object says that its path is not served, and so it is for a moment after a restart of the
API server, or for good where an upgraded operator serves the kind at another version.
"""

from __future__ import annotations

from collections.abc import Callable

from ..client.api import Api, Json, Resource
from ..client.errors import Forbidden, NotFound, UnknownKind
from .record import ClaimedObject, group_of

# How long is waited before each further question where a 404 proves nothing.
CONFIRM_SECONDS = (0.5, 1.5)

Sleep = Callable[[float], None]


def kind_of(api: Api, entry: ClaimedObject) -> Resource:
    """The entry's kind, at another version of its group if need be; UnknownKind if it is served at none."""
    try:
        return api.resource(entry.api_version, entry.kind)
    except UnknownKind:
        for version in api.served_versions():
            if group_of(version) == group_of(entry.api_version) and version != entry.api_version:
                for resource in api.resources(version):
                    if resource.kind == entry.kind:
                        return resource
        raise


def find(api: Api, entry: ClaimedObject, sleep: Sleep) -> tuple[Resource, Json] | None:
    """The object and its kind, or None when it is certain that it is not there.

    Raises UnknownKind where no version of the kind is served, and nothing proves that it has gone with all
    its objects.
    """
    for seconds in (*CONFIRM_SECONDS, None):
        try:
            resource = kind_of(api, entry)
            return resource, api.get(resource.path(entry.namespace or None, entry.name))
        except UnknownKind:
            if defined(api, entry.api_version, entry.kind) is False:
                return None
            if seconds is None:
                raise
        except NotFound as error:
            if error.certain or seconds is None:
                return None
        sleep(seconds)
        api.forget_kinds()
    raise AssertionError("the last question has an answer")


def defined(api: Api, api_version: str, kind: str) -> bool | None:
    """Whether a CustomResourceDefinition makes the kind; None where that cannot be seen."""
    try:
        definitions = api.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        listed = api.get(definitions.path(), metadata_only=True).get("items") or []
        names = [str(each["metadata"]["name"]) for each in listed]
        suffix = f".{group_of(api_version)}"
        found = [api.get(definitions.path(name=name)) for name in names if name.endswith(suffix)]
    except (NotFound, Forbidden):
        return None
    return any(definition["spec"]["names"]["kind"] == kind for definition in found)
