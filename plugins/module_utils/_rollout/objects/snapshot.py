# SPDX-License-Identifier: GPL-3.0-or-later
"""What one moment of an InferenceService says, the same for each of KServe's modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .events import State
from .tree import Condition, mapping, text

Object = Mapping[str, Any]
# What an InferenceService led to: by kind, then by name.
Children = Mapping[str, Mapping[str, Object]]
# Who has a share of which it is not told which revision gets it: two divide it, as in a rolling update.
NOT_TOLD = ""

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

    The name `NOT_TOLD` has what nobody sets, as two revisions of a rolling update divide it. `traffic_told`
    is whether it says how the traffic is split, by names: not all modes do. `ready_told` is whether it says
    anything about being ready.
    """

    revisions: Revisions
    ready: bool
    ready_condition: Condition
    traffic: dict[str, int]
    url: str
    transition_status: str = ""
    load_failure: str = ""
    traffic_told: bool = True
    ready_told: bool = True


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


def mode_named(told: str) -> str:
    """The mode that a status or an annotation tells: `KNATIVE`, `STANDARD`, or what else it says."""
    return _MODES.get(told, told)


def spell(traffic: Mapping[str, int]) -> str:
    """The split in words."""
    shares = sorted(traffic.items())
    return ", ".join(f"{name or 'not told who'} {percent} %" for name, percent in shares) or "nothing"
