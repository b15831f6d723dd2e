# SPDX-License-Identifier: GPL-3.0-or-later
"""Which API group and version an InferenceService has on this cluster: KServe's, or that of KFServing."""

from __future__ import annotations

from .api import Api, Resource
from .errors import NotFound, UnknownKind

INFERENCESERVICE = "InferenceService"
# The newest first: KServe has taken over what KFServing began, and both may be served side by side.
API_VERSIONS = ("serving.kserve.io/v1beta1", "serving.kubeflow.org/v1beta1")


def inferenceservice_kind(api: Api, api_version: str | None, namespace: str, name: str) -> Resource:
    """How the InferenceService of this name is served.

    In `api_version` where one is given; else in the group in which it is there, KServe's first; where it is
    nowhere yet, in the first group that is served. Raises UnknownKind where none is.
    """
    if api_version:
        return api.resource(api_version, INFERENCESERVICE)
    served = [
        each for version in API_VERSIONS for each in api.resources(version) if each.kind == INFERENCESERVICE
    ]
    if not served:
        raise UnknownKind(
            f"{api.host} serves InferenceService in no version that is known ({', '.join(API_VERSIONS)}). "
            "Install KServe or KFServing first, or name another version as api_version."
        )
    if len(served) == 1:
        return served[0]
    return next((each for each in served if _is_there(api, each.path(namespace, name))), served[0])


def _is_there(api: Api, path: str) -> bool:
    try:
        api.get(path)
    except NotFound:
        return False
    return True
