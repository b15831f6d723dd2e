# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be rolled out without loss, or at all: said before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..objects import snapshot
from ..objects.inferenceservice import read
from ..objects.snapshot import MODE_ANNOTATION, PERCENT, STOPPED_ANNOTATION
from ..objects.tree import entries, mapping, number, text
from .merge import contains, merged
from .plan import KNATIVE, STANDARD, Plan
from .seen import Seen
from .standard import canaries, canary_service, route_shares, stable_service

# By KServe's name of the mode.
_MODES = {snapshot.KNATIVE: KNATIVE, snapshot.STANDARD: STANDARD}
# RFC 1035, 2.3.4.
_LABEL = 63
_RUNTIMES = ("serving", "clusterServing")
_LOCAL = "networking.knative.dev/visibility"


class Refused(Exception):
    """The rollout would lose requests, or cannot be: the message says why and what to do."""


def mode_of(seen: Seen) -> str:
    """The driver's mode for an InferenceService. Raises Refused where there is none.

    The status counts: once it names a mode that cannot be changed, whatever the annotation says.
    """
    if seen.inferenceservice is None:
        raise Refused(
            "The InferenceService does not exist. Deploy its first version before you roll out another."
        )
    annotations = mapping(seen.inferenceservice, "metadata", "annotations")
    reported = text(mapping(seen.inferenceservice, "status"), "deploymentMode") or text(
        annotations, MODE_ANNOTATION
    )
    mode = _MODES.get(snapshot.mode_named(reported))
    if mode is not None:
        return mode
    raise Refused(
        f"Deployment mode {reported} has no split of the traffic to be stepped: use rollout_driver observe."
    )


def rolled_out(plan: Plan, mode: str, seen: Seen) -> bool:
    """Whether the new version has everything already, so that there is nothing to do.

    For a moment after a change the status is that of before, so ask twice, some seconds apart.
    """
    if not contains(seen.predictor, plan.change):
        return False
    if mode == STANDARD:
        stable = stable_service(plan.name, seen.predictor)
        return not canaries(seen) and (seen.route is None or route_shares(seen.route) == {stable: 100})
    now, revisions = read(seen.inferenceservice), read(seen.inferenceservice).revisions
    whole = seen.predictor.get(PERCENT, 100) == 100 and now.traffic == {revisions.created: 100}
    return now.ready and whole and revisions.ready == revisions.created


def refuse(plan: Plan, mode: str, seen: Seen) -> None:
    """Raises Refused with the first reason that there is."""
    metadata = mapping(seen.inferenceservice, "metadata")
    if text(metadata, "deletionTimestamp"):
        raise Refused("The InferenceService is being deleted.")
    if text(mapping(metadata, "annotations"), STOPPED_ANNOTATION).lower() == "true":
        raise Refused(f"The InferenceService is stopped (annotation {STOPPED_ANNOTATION}): start it first.")
    reason = _knative(plan, seen) if mode == KNATIVE else _standard(plan, seen)
    if reason:
        raise Refused(f"{reason} Nothing was changed.")


def refuse_unkept(mode: str, seen: Seen, after: Mapping[str, Any] | None) -> None:
    """Raises Refused where the InferenceService stays as it is with the new version. `after` is how the API
    server would keep it, None where it does not tell.

    It drops fields that it does not know, and webhooks write values in their own way. A canary that differs
    in nothing comes to nothing, and in Knative mode its 0 % would be the share of the version that serves.
    """
    revisions = read(seen.inferenceservice).revisions
    there = mode != KNATIVE or revisions.created == revisions.serving
    if after is not None and there and mapping(after, "spec", "predictor") == seen.predictor:
        raise Refused(
            "With the new version the InferenceService would stay as it is: the API server drops fields that "
            "it does not know, so look for one that is misspelt; or the same value is written in another "
            "way. Nothing was changed."
        )


def _knative(plan: Plan, seen: Seen) -> str:
    now = read(seen.inferenceservice)
    serving, rolledout = now.revisions.serving, now.revisions.rolledout
    checks: tuple[tuple[bool, str], ...] = (
        (not serving, "No revision serves yet: wait until the first version does."),
        (
            now.traffic != {serving: 100},
            f"No revision alone has the traffic ({snapshot.spell(now.traffic)}): another rollout is under "
            "way. Wait for its end; if it has none, promote its canary or set canaryTrafficPercent to 0.",
        ),
        (
            rolledout not in ("", serving),
            f"{serving} serves, and the rolled-out revision is {rolledout}: a split would give the rest to "
            "the latter. Roll out one of the two first.",
        ),
        (seen.baseline_there is False, f"The baseline {serving} no longer exists as a revision."),
        (
            now.revisions.created == serving and contains(seen.predictor, plan.change),
            # The 0 % of a canary would be its own, and all would go to the version before it.
            f"The new version is what {serving} serves already, and the InferenceService is not Ready, or "
            f"its {PERCENT} is not 100: wait until it is, or set that.",
        ),
        (
            "canary" in mapping(seen.inferenceservice, "spec"),
            "spec.canary is for Standard mode, and the InferenceService is in Knative mode: remove it.",
        ),
    )
    return next((reason for wrong, reason in checks if wrong), "")


def _standard(plan: Plan, seen: Seen) -> str:
    predictor, spec = seen.predictor, mapping(seen.inferenceservice, "spec")
    stable = stable_service(plan.name, predictor)
    checks: tuple[tuple[bool, str], ...] = (
        (
            seen.route is None or not entries(seen.route, "spec", "rules"),
            "There is no HTTPRoute of the InferenceService: without KServe's Gateway API mode "
            "(ingress.enableGatewayApi) Standard mode has no split. Use rollout_driver observe.",
        ),
        (
            text(mapping(seen.inferenceservice, "metadata", "labels"), _LOCAL) == "cluster-local",
            "The InferenceService is cluster-local: its address names one Service, which no split goes by.",
        ),
        (
            bool(canaries(seen)),
            "spec.canary holds a canary already: another rollout is under way. Set its trafficPercent to 0, "
            "then remove it.",
        ),
        (
            PERCENT in predictor,
            "spec.predictor holds canaryTrafficPercent, which Standard mode ignores (a new version has all "
            "at once): remove it.",
        ),
        (
            bool(entries(predictor, "containers")) and not mapping(predictor, "model"),
            "KServe refuses spec.canary for a predictor of plain containers: it needs a model.",
        ),
        (
            canary_service(plan) == stable,
            f"The canary would have the predictor's name, {plan.canary_name}: give another canary_name.",
        ),
        (
            len(_host_of_canary(plan, seen.route, stable)) > _LABEL,
            f"The canary's host would begin with {_host_of_canary(plan, seen.route, stable)}, which has more "
            f"than the {_LABEL} characters that DNS allows, so KServe would not make it: give a shorter "
            "canary_name, or the InferenceService a shorter name.",
        ),
        (
            route_shares(seen.route) != {stable: 100},
            f"The HTTPRoute does not give everything to {stable}: wait until it does.",
        ),
        (
            bool(_of_the_old_runtime(plan, seen)),
            f"The new version has another model format and names no runtime: KServe makes the canary out of "
            f"the predictor, {_of_the_old_runtime(plan, seen)} included. Give its model the runtime that is "
            "for it (kubectl get clusterservingruntimes,servingruntimes), and its protocolVersion where that "
            "is another one; the same runtime if it is for both.",
        ),
        (
            bool(_emptied(predictor, plan.change)),
            f"The new version takes away {_emptied(predictor, plan.change)} of the predictor: KServe makes "
            "the canary out of the predictor, so it would still have it, and what is judged would not be "
            "what is promoted. Give it a value of its own, or use rollout_driver observe.",
        ),
        (
            bool(mapping(spec, "transformer")) or bool(mapping(spec, "explainer")),
            "With a transformer or an explainer the canary's weights reach their rules too in some versions "
            "of KServe, so that the wrong component answers. Use rollout_driver observe.",
        ),
        (
            _fewer_than_doubled(predictor),
            "maxReplicas leaves no room for twice the pods, which the canary needs for a while (KServe takes "
            "as many from the predictor as the canary has): raise it.",
        ),
    )
    return next((reason for wrong, reason in checks if wrong), "")


def _of_the_old_runtime(plan: Plan, seen: Seen) -> str:
    """The runtime that a canary of another format would be given; empty where there is nothing to say.

    KServe merges the canary over the predictor, for which it has chosen a runtime by then, and fails for one
    that does not support the format (components/predictor.go, buildCanaryPredictor and reconcileModel).
    """
    model = mapping(seen.predictor, "model")
    wanted = merged(model, mapping(plan.change, "model"))
    formats = [
        [text(mapping(one, "modelFormat"), key) for key in ("name", "version")] for one in (model, wanted)
    ]
    if formats[0] == formats[1] or text(mapping(plan.change, "model"), "runtime"):
        return ""
    status = mapping(seen.inferenceservice, "status")
    names = (text(model, "runtime"), *(text(status, f"{kind}RuntimeName") for kind in _RUNTIMES))
    return f"its runtime {next(filter(None, names), '')}".strip()


def _emptied(there: Any, change: Mapping[str, Any], path: str = "") -> str:
    """The first field that is there and that the change takes away, or makes what Go takes for nothing."""
    for key, value in change.items():
        now = there.get(key) if isinstance(there, Mapping) else None
        where = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            found = _emptied(now, value, where)
            if found:
                return found
        elif not isinstance(value, Mapping) and not value and now:
            return where
    return ""


def _host_of_canary(plan: Plan, route: Mapping[str, Any] | None, stable: str) -> str:
    """The first label of the canary's host, made as KServe made the predictor's (its domainTemplate); empty
    where that tells nothing of it."""
    hosts = mapping(route or {}, "spec").get("hostnames") or []
    labels = [str(host).partition(".")[0] for host in hosts]
    return next((each.replace(stable, canary_service(plan), 1) for each in labels if stable in each), "")


def _fewer_than_doubled(predictor: Mapping[str, Any]) -> bool:
    most, least = number(predictor, "maxReplicas"), max(1, number(predictor, "minReplicas"))
    return 0 < most < 2 * least


def drains(seen: Seen) -> bool:
    """Whether the predictor's container says that it goes on serving for a while when it is to end: a hook
    before it is stopped. Only a server can tell whether it does so by itself."""
    rows = [mapping(seen.predictor, "model"), *entries(seen.predictor, "containers")]
    return any(mapping(row, "lifecycle", "preStop") for row in rows)
