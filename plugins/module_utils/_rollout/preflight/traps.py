# SPDX-License-Identifier: GPL-3.0-or-later
"""States of an InferenceService in which a rollout would lose requests or lead nowhere, each with what to do.

The behaviour is that of KServe 0.20 and its master of 2026-08 (pkg/controller/v1beta1/inferenceservice,
and the webhook in pkg/apis/serving/v1beta1), and was recorded on a real cluster where
tests/support/data/recorded has it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..objects.inferenceservice import read
from ..objects.snapshot import MODE_ANNOTATION, PERCENT, STANDARD, STOPPED_ANNOTATION, mode_named, mode_of
from ..objects.tree import entries, mapping, text

# The first whose routes give a canary of spec.canary its weight.
_WEIGHTS = (0, 21)


@dataclass(frozen=True)
class Situation:
    """What there is, and what is wished for.

    `driver` is the rollout's. `canary` is the manifest that the rollout applies, None where something else
    applies it. `revisions` are the names of Knative's revisions that exist, None where they could not be
    listed. `kserve` is the version of KServe's controller, empty where it is not told. `gateway_api` is
    whether KServe makes HTTPRoutes, None where that is not known.
    """

    driver: str
    inferenceservice: Mapping[str, Any] | None
    canary: Mapping[str, Any] | None = None
    revisions: Collection[str] | None = None
    kserve: str = ""
    gateway_api: bool | None = None


@dataclass(frozen=True)
class Traps:
    """What keeps a rollout from beginning, and what is only worth knowing; sentences."""

    problems: list[str]
    notes: list[str]


def traps(now: Situation) -> Traps:
    """All that is wrong, in the order in which it would strike."""
    if now.inferenceservice is None:
        return Traps(["The InferenceService does not exist: deploy the first version of the model."], [])
    found = Traps(_object(now), [])
    (_standard if mode_of(now.inferenceservice) == STANDARD else _knative)(now, found)
    return found


def _object(now: Situation) -> list[str]:
    metadata = mapping(now.inferenceservice, "metadata")
    wished = text(mapping(now.canary, "metadata", "annotations"), MODE_ANNOTATION)
    mode = mode_of(now.inferenceservice)
    checks = (
        (
            bool(text(metadata, "deletionTimestamp")),
            "The InferenceService is being deleted: wait until it is gone, and deploy the model anew.",
        ),
        (
            text(mapping(metadata, "annotations"), STOPPED_ANNOTATION).lower() == "true",
            f"The InferenceService is stopped: take the annotation {STOPPED_ANNOTATION} away.",
        ),
        (
            bool(wished) and mode_named(wished) != mode,
            f"The canary asks for the deployment mode {wished}, and the InferenceService is in {mode}, which "
            f"cannot be changed: take the annotation {MODE_ANNOTATION} out of the canary, or deploy the "
            "model anew.",
        ),
        (
            bool(now.canary) and _group(now.canary) != _group(now.inferenceservice),
            f"The canary is of {_group(now.canary)}, and the InferenceService of "
            f"{_group(now.inferenceservice)}: write the canary's apiVersion as the model's.",
        ),
        (
            now.driver == "iter8" and _group(now.inferenceservice) == "serving.kserve.io",
            "iter8 of 2021 moves the traffic of KFServing's InferenceServices alone, and this is KServe's: "
            "use rollout_driver=progressive or observe.",
        ),
    )
    return [message for wrong, message in checks if wrong]


def _group(obj: Mapping[str, Any] | None) -> str:
    return text(obj or {}, "apiVersion").rpartition("/")[0]


def _knative(now: Situation, found: Traps) -> None:
    status = mapping(now.inferenceservice, "status", "components", "predictor")
    revisions = read(now.inferenceservice).revisions
    percent: Any = mapping(now.inferenceservice, "spec", "predictor").get(PERCENT)
    created, rolledout = revisions.created, revisions.rolledout
    previous = text(status, "previousRolledoutRevision")
    if "canary" in mapping(now.canary, "spec") or "canary" in mapping(now.inferenceservice, "spec"):
        found.problems.append(
            "spec.canary is for Standard mode, and the InferenceService is in Knative mode, where KServe "
            f"refuses it: use spec.predictor.{PERCENT}."
        )
    if now.revisions is not None and rolledout and rolledout not in now.revisions:
        found.problems.append(
            f"The rolled-out revision {rolledout} no longer exists, so that a split would have nowhere to "
            "send the rest, and a roll-back nowhere to go: apply the model that serves again, and wait until "
            "its revision is rolled out."
        )
    leftover = isinstance(percent, int) and percent != 100 and created == rolledout != ""
    if leftover and now.canary is None:
        found.problems.append(
            f"{PERCENT} {percent} is left from an earlier rollout, though all is rolled out: a new model "
            f"would get {percent} % at once, and until it is ready KServe splits the old one with itself"
            + (f", or sends {100 - percent} % back to {previous}" if previous else "")
            + ". Set it to 100, or remove it, and wait until all traffic is at the revision."
        )
    elif leftover:
        found.notes.append(
            f"{PERCENT} {percent} is left from an earlier rollout; the canary's own takes its place in the "
            "same patch."
        )
    if created and rolledout and created != rolledout:
        rejected = f"The latest revision {created} was rejected or is not rolled out ({rolledout} is)"
        moment = f"until the next one is ready, {created} gets the share that is given to it"
        if now.driver != "observe":
            found.notes.append(f"{rejected}: {moment}, so the canary is applied at 0 % first.")
        elif not _created_at_zero(now):
            found.problems.append(
                f"{rejected}: {moment}. Apply the next model with {PERCENT} 0, and give it its share when "
                "its revision is ready; or use rollout_driver=progressive, which does so."
            )


def _created_at_zero(now: Situation) -> bool:
    return mapping(now.canary, "spec", "predictor").get(PERCENT) == 0


def _standard(now: Situation, found: Traps) -> None:
    predictor = mapping(now.canary or now.inferenceservice, "spec", "predictor")
    wants_canary = now.driver == "progressive" or any(
        entries(each, "spec", "canary") for each in (now.canary, now.inferenceservice)
    )
    if PERCENT in predictor:
        found.problems.append(
            f"{PERCENT} is ignored in Standard mode: the new model would get everything at once, by a "
            "rolling update. Remove it; from KServe 0.21 on spec.canary splits the traffic."
        )
    version = version_of(now.kserve)
    if wants_canary and version and version < _WEIGHTS:
        found.problems.append(
            f"KServe {now.kserve} takes spec.canary, but its routes give the canary no request at all, "
            "while the pods of the old model are cut: update KServe to 0.21, or replace the model by a "
            "rolling update (rollout_driver=observe)."
        )
    elif wants_canary and not version:
        found.notes.append(
            "KServe's version is not told; before 0.21 a canary of spec.canary gets no request. The "
            "observed split tells."
        )
    if wants_canary and now.gateway_api is False:
        found.problems.append(
            "KServe uses plain Ingress here, which cannot split: spec.canary would get no request. Switch on "
            "ingress.enableGatewayApi in the ConfigMap inferenceservice-config, with a Gateway, and restart "
            "KServe's controller."
        )


def version_of(label: str) -> tuple[int, ...]:
    """The version in an image's tag or a label: (0, 20) for v0.20.0; empty where it holds none."""
    found = re.search(r"(?:^|[:v])(\d+)\.(\d+)(?:\.\d+)?", label)
    return (int(found[1]), int(found[2])) if found else ()
