# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of Knative mode share."""

from __future__ import annotations

from .rollout import Json, Rollout, shares
from .stage import Real

_MODE = {"serving.kserve.io/deploymentMode": "Knative"}
# How long the gateway may need to follow a status, and how long a whole second of the timeline is.
FOLLOW = 2.0


def model(real: Real, version: str, **knobs: str) -> Json:
    """A predictor with our model server: its version, and knobs by their names in small letters."""
    environment = {"VERSION": version, **{name.upper(): value for name, value in knobs.items()}}
    container = {
        "name": "kserve-container",
        "image": real.image,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        # Without one Knative takes an open port for ready, and START_SECONDS for nothing.
        "readinessProbe": {"httpGet": {"path": "/v2/health/ready"}, "periodSeconds": 1},
    }
    return {"containers": [container]}


def following(real: Real, image: str = "", memory: str = "", **knobs: str) -> Json:
    """The predictor of the second version, perhaps with another image or a limit of its memory."""
    predictor = model(real, "v2", **knobs)
    container = predictor["containers"][0]
    if image:
        container["image"] = image
    if memory:
        container["resources"] = {"limits": {"memory": memory}}
    return predictor


def baseline(rollout: Rollout, real: Real, **knobs: str) -> list[str]:
    """The service with its first model; returns the names of its first revisions."""
    predictor = {**model(real, "v1", **knobs), "minReplicas": 1, "maxReplicas": 3}
    rollout.create({"predictor": predictor}, _MODE)
    first = next(iter(shares(rollout.get())))
    stem = first.removesuffix("00001")
    return [f"{stem}{number:05}" for number in (1, 2, 3)]


def start(rollout: Rollout, real: Real, **knobs: str) -> list[str]:
    """The same, under load."""
    names = baseline(rollout, real, **knobs)
    rollout.start_load()
    rollout.hold(2)
    return names


def canary(rollout: Rollout, mark: str, share: object, served: Json) -> float:
    """Another model, with its share in the same patch; returns when."""
    return rollout.patch(mark, {"predictor": {**served, "canaryTrafficPercent": share}})


def percent(rollout: Rollout, share: object) -> float:
    """Another share, None for none; returns when."""
    return rollout.patch(f"{share} %", {"predictor": {"canaryTrafficPercent": share}})
