# SPDX-License-Identifier: GPL-3.0-or-later
"""What one moment of an InferenceService says, the same for each of KServe's modes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .events import State
from .tree import Condition, conditions, mapping, text

Object = Mapping[str, Any]
# What an InferenceService led to: by kind, then by name.
Children = Mapping[str, Mapping[str, Object]]
# Who has a share of which it is not told which revision gets it: two divide it, as in a rolling update.
NOT_REPORTED = ""

STATUSES = ("True", "False", "Unknown")
# Of these Ready is made, of those that an InferenceService has; other conditions are for information.
_PARTS_OF_READY = ("PredictorReady", "TransformerReady", "ExplainerReady", "IngressReady")
_PARTS_OF_ALL = {"PredictorReady", "IngressReady"}

# Fields and annotations by which an InferenceService is told what to do.
PERCENT = "canaryTrafficPercent"
MODE_ANNOTATION, STOPPED_ANNOTATION = "serving.kserve.io/deploymentMode", "serving.kserve.io/stop"

KNATIVE, STANDARD = "Knative", "Standard"
# Each mode had another name up to KServe 0.15; KFServing has only one and says nothing.
_MODES = {
    "": KNATIVE,
    "Serverless": KNATIVE,
    KNATIVE: KNATIVE,
    "RawDeployment": STANDARD,
    STANDARD: STANDARD,
}


@dataclass(frozen=True)
class Revisions:
    """The predictor's revision names, each empty while unknown; `serving` is the one that clients get.

    In Knative mode these are Knative's revisions, in Standard mode the ReplicaSets of its Deployments.
    """

    created: str = ""
    ready: str = ""
    rolledout: str = ""
    previous: str = ""
    serving: str = ""


@dataclass(frozen=True)
class Snapshot:
    """What one version of the object says. `traffic` holds only revisions with more than 0 percent.

    The name `NOT_REPORTED` has what nobody sets, as two revisions of a rolling update divide it.
    `traffic_reported` is whether it says how the traffic is split, by names: not all modes do.
    `ready_reported` is whether it says anything about being ready, in one of the words that there are for it.
    `against_ready` is what else it says, each as a clause, that cannot be beside what it says of that.
    `mode` is as `mode_of` tells it. `split_beside` has the traffic of each component beside the predictor
    that is split between several revisions.
    """

    revisions: Revisions
    ready: bool
    ready_condition: Condition
    traffic: dict[str, int]
    url: str
    transition_status: str = ""
    load_failure: str = ""
    traffic_reported: bool = True
    ready_reported: bool = True
    against_ready: tuple[str, ...] = ()
    mode: str = KNATIVE
    split_beside: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class ServiceOutcome:
    """Whether what was asked of the InferenceService holds; `reason` is one word, `message` one sentence."""

    state: State
    reason: str
    message: str
    revisions: Revisions = field(default_factory=Revisions)
    traffic: dict[str, int] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()


def mode_of(obj: Object | None) -> str:
    """The deployment mode: `KNATIVE`, `STANDARD`, or what else the status says.

    Only the status counts: once it is written there it cannot be changed, whatever the annotation says.
    """
    return mode_named(text(mapping(obj, "status"), "deploymentMode"))


def mode_named(reported: str) -> str:
    """The mode that a status or an annotation tells: `KNATIVE`, `STANDARD`, or what else it says."""
    return _MODES.get(reported, reported)


def against_ready(obj: Object | None, ready: str, revisions: Revisions) -> Iterator[str]:
    """What cannot be beside the status of Ready that is told, each as a clause."""
    parts = {c.type: c.status for c in conditions(obj) if c.type in _PARTS_OF_READY}
    unready = {name: status for name, status in parts.items() if status != "True"}
    if ready in ("False", "Unknown") and parts.keys() >= _PARTS_OF_ALL and not unready:
        yield f"all of which it is made, {' and '.join(parts)}, are True"
    if ready != "True":
        return
    if any((c.type, c.status) == ("Stopped", "True") for c in conditions(obj)):
        yield "Stopped is True"
    for name, status in unready.items():
        yield f"{name} is {status or 'not told'}"
    if mode_of(obj) == KNATIVE and revisions.ready and revisions.created != revisions.ready:
        yield f"the latest revision is {revisions.created}, and the latest ready one {revisions.ready}"


def spell(traffic: Mapping[str, int]) -> str:
    """The split in words."""
    shares = sorted(traffic.items())
    return ", ".join(f"{name or 'not told who'} {percent} %" for name, percent in shares) or "nothing"
