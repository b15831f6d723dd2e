# SPDX-License-Identifier: GPL-3.0-or-later
"""A predictor of an InferenceService as the pods that stand in for it.

What KServe would run lies in images, of which the sandbox has none: its own model server takes the place of
every ``model``, and of a container with the image :data:`IMAGE`. A container with any other image is passed
on as it is, and the node then tells, as a kubelet would, that the image cannot be pulled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Optional

from ..resources import METRICS_PORT, MODEL_PORT, served
from .objects import Object

IMAGE = "sandbox.iter8.kfserving/model"
"""The sandbox's model server, for ``containers`` of a custom predictor."""

CONTAINER = "kserve-container"
FRAMEWORKS = (
    "model", "sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml",
    "lightgbm", "paddle",
)  # fmt: skip

SOURCE_ANNOTATION = "internal.serving.kserve.io/storage-initializer-sourceuri"

Json = dict[str, Any]


def digest(predictor: Mapping[str, Any], without: tuple[str, ...]) -> str:
    """Digest of what a predictor asks for; fields that are empty ask for nothing.

    :param without: fields that change no pod.
    """
    asked = _without_empty({key: value for key, value in predictor.items() if key not in without})
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def source(predictor: Mapping[str, Any]) -> dict[str, str]:
    """The annotation by which KServe tells a pod where its model lies; none for containers of one's own."""
    found = [predictor[name].get("storageUri") for name in FRAMEWORKS if name in predictor]
    return {SOURCE_ANNOTATION: str(found[0])} if found and found[0] else {}


def user_container(service: Object, predictor: Mapping[str, Any], faults: Mapping[str, str]) -> Json:
    """The container as KServe asks for it, before Knative or the sandbox add theirs.

    :param faults: variables for the sandbox's model server.
    """
    model = service["metadata"]["name"]
    own = next(iter(predictor.get("containers") or ()), None)
    if own is None:
        framework = next(predictor[name] for name in FRAMEWORKS if name in predictor)
        own = {"env": framework.get("env"), "image": IMAGE}
        drawn_from = str(framework.get("storageUri") or "")
    else:
        drawn_from = digest(own, ())
    env = {each["name"]: str(each.get("value", "")) for each in own.get("env") or ()}
    container = {**own, "name": own.get("name") or CONTAINER}
    if own.get("image") == IMAGE:
        env = {"STORAGE_URI": drawn_from, **env, "MODEL_NAME": model, **faults}
    container["env"] = [{"name": name, "value": env[name]} for name in sorted(env)]
    return container


def pod_container(container: Mapping[str, Any], more: Optional[Mapping[str, str]] = None) -> Json:
    """The container as the node can run it: the model server's program behind the image's name.

    :param more: variables that it gets beside its own.
    """
    made = dict(container)
    env = {each["name"]: each["value"] for each in container["env"]}
    env.update(more or {})
    if container.get("image") == IMAGE:
        env.update({"PORT": str(MODEL_PORT), "METRICS_PORT": str(METRICS_PORT)})
        made.update(served(env["MODEL_NAME"]))
    made["env"] = [{"name": name, "value": env[name]} for name in sorted(env)]
    return made


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {key: _without_empty(each) for key, each in value.items()}
        return {key: each for key, each in kept.items() if each not in (None, "", {}, [])}
    if isinstance(value, list):
        return [_without_empty(each) for each in value]
    return value
