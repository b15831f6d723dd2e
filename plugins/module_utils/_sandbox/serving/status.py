# SPDX-License-Identifier: GPL-3.0-or-later
"""What KFServing 0.5 makes of revisions: the traffic targets and the status, as pure functions.

The behaviour follows KFServing 0.5.0 on Knative 0.18, odd corners included: the names of two conditions are
swapped, and a split set on a service with only one revision has two entries for that revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..kube.conditions import is_true
from . import resources
from .conditions import Condition, condition, with_times, worst

Object = Mapping[str, Any]
Traffic = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RevisionState:
    """A revision and whether its pods are ready now; ``failure`` says why it cannot become so by itself."""

    name: str
    ready: bool
    failure: str = ""


@dataclass(frozen=True)
class Observation:
    """What was seen in one pass, besides the object itself."""

    latest_created: RevisionState
    latest_ready: str
    traffic: Traffic
    """The wanted traffic."""
    routed: bool
    """The gateway confirmed that it routes as wanted."""
    gateway_problem: str = ""


def predictor_status(service: Object) -> Mapping[str, Any]:
    """``status.components.predictor``, or an empty mapping."""
    components = (service.get("status") or {}).get("components") or {}
    found: Mapping[str, Any] = components.get("predictor") or {}
    return found


def latest_ready(revisions: Sequence[RevisionState], recorded: str) -> str:
    """Name the newest revision that was ever ready (oldest first in ``revisions``); empty if none was.

    As in Knative it never goes back to an older one, not even when the newer one fails later.
    """
    names = [revision.name for revision in revisions]
    start = names.index(recorded) if recorded in names else 0
    newest = recorded if recorded in names else ""
    for revision in revisions[start:]:
        if revision.ready:
            newest = revision.name
    return newest


def wanted_traffic(service: Object, latest_created: str, ready: str) -> list[dict[str, Any]]:
    """Return the traffic entries that the spec asks for, given the newest ready revision.

    ``latest`` means the newest *ready* revision: until a new one is ready, everything stays where it is.
    """
    if not ready:
        return []
    percent = resources.canary_percent(service)
    rolled_out = predictor_status(service).get("latestRolledoutRevision", "")
    waiting = ready != latest_created and ready == rolled_out
    if percent is None or not rolled_out or waiting:
        return [_entry(service, ready, 100, latest=True)]
    entries = [_entry(service, ready, percent, latest=True)]
    if percent < 100:
        entries.append(_entry(service, rolled_out, 100 - percent, latest=False))
    return entries


def weights(traffic: Traffic) -> dict[str, int]:
    """Add the entries up by revision; a revision with only 0 % is left out."""
    total: dict[str, int] = {}
    for entry in traffic:
        if entry["percent"]:
            total[entry["revisionName"]] = total.get(entry["revisionName"], 0) + entry["percent"]
    return total


def was_routed(service: Object, traffic: Traffic) -> bool:
    """Whether the gateway had confirmed this very traffic before.

    As in Knative, routes that were once probed stay ready while they do not change, gateway or not.
    """
    ready = is_true(service.get("status"), "PredictorConfigurationReady")
    return ready and list(traffic) == (predictor_status(service).get("traffic") or [])


def status(service: Object, seen: Observation, now: str) -> dict[str, Any]:
    """Return the whole status to write. ``now`` is the time for conditions that change (RFC 3339)."""
    old = service.get("status") or {}
    predictor = _predictor(service, seen)
    conditions = _conditions(service, seen)
    by_type = {each["type"]: each for each in conditions}
    new: dict[str, Any] = {"components": {"predictor": predictor}}
    if by_type["PredictorReady"]["status"] == "True":
        predictor["url"] = f"http://{resources.predictor_host(service)}"
        predictor["address"] = {
            "url": f"http://{_cluster_local(service, resources.configuration_name(service))}"
        }
    if by_type["IngressReady"]["status"] == "True":
        name = service["metadata"]["name"]
        new["url"] = f"http://{resources.host(service)}"
        new["address"] = {"url": f"http://{_cluster_local(service, name)}/v1/models/{name}:predict"}
    for key in ("url", "address"):
        if key in old:
            new.setdefault(key, old[key])
    new["conditions"] = with_times(conditions, old.get("conditions") or [], now)
    return new


def _entry(service: Object, revision: str, percent: int, latest: bool) -> dict[str, Any]:
    tag = "latest" if latest else "prev"
    return {
        "latestRevision": latest,
        "percent": percent,
        "revisionName": revision,
        "tag": tag,
        "url": f"http://{resources.predictor_host(service, tag)}",
    }


def _cluster_local(service: Object, name: str) -> str:
    return f"{name}.{service['metadata']['namespace']}.svc.cluster.local"


def _predictor(service: Object, seen: Observation) -> dict[str, Any]:
    old = predictor_status(service)
    new: dict[str, Any] = {key: old[key] for key in ("url", "address") if key in old}
    new["latestCreatedRevision"] = seen.latest_created.name
    traffic = seen.traffic if seen.routed else old.get("traffic") or []
    rolled_out = old.get("latestRolledoutRevision", "")
    previous = old.get("previousRolledoutRevision", "")
    if seen.routed:
        rolled_out, previous = _rolled_out(seen, rolled_out, previous)
    optional = {
        "latestReadyRevision": seen.latest_ready,
        "latestRolledoutRevision": rolled_out,
        "previousRolledoutRevision": previous,
        "traffic": [dict(entry) for entry in traffic],
    }
    new.update({key: value for key, value in optional.items() if value})
    return new


def _rolled_out(seen: Observation, rolled_out: str, previous: str) -> tuple[str, str]:
    """Rotate the rolled-out revisions.

    A newest revision at 100 % is rolled out. One that is rolled out and then gets less than 100 % is rolled
    back: the split would be over one revision, so the one rolled out before it takes its place.
    """
    latest = next(entry for entry in seen.traffic if entry["latestRevision"])
    if latest["revisionName"] != rolled_out:
        return (latest["revisionName"], rolled_out) if latest["percent"] == 100 else (rolled_out, previous)
    split_over_one = latest["percent"] < 100 and weights(seen.traffic).get(rolled_out) == 100
    if split_over_one and previous and seen.latest_ready == seen.latest_created.name:
        return previous, previous
    return rolled_out, previous


def _conditions(service: Object, seen: Observation) -> list[Condition]:
    """The five conditions, sorted by type as Knative's library sorts them."""
    configurations = _configurations_ready(seen)
    routes = _routes_ready(service, seen)
    predictor = worst(configurations, routes)
    ingress = _ingress_ready(predictor)
    return [
        {"type": "IngressReady", **ingress},
        # Swapped in KFServing: this one carries the state of the routes, the other that of the configuration.
        {"type": "PredictorConfigurationReady", "severity": "Info", **routes},
        {"type": "PredictorReady", **predictor},
        {"type": "PredictorRouteReady", "severity": "Info", **configurations},
        {"type": "Ready", **worst(ingress, predictor)},
    ]


def _configurations_ready(seen: Observation) -> Condition:
    created = seen.latest_created
    if created.ready:
        return condition("True")
    if created.failure:
        text = f'Revision "{created.name}" failed with message: {created.failure}.'
        return condition("False", "RevisionFailed", text)
    return condition("Unknown")


def _routes_ready(service: Object, seen: Observation) -> Condition:
    if seen.routed:
        return condition("True")
    if not seen.latest_ready:
        name = resources.configuration_name(service)
        if seen.latest_created.failure:
            text = f'Configuration "{name}" does not have any ready Revision.'
            return condition("False", "RevisionMissing", text)
        return condition(
            "Unknown", "RevisionMissing", f'Configuration "{name}" is waiting for a Revision to become ready.'
        )
    text = seen.gateway_problem or "Traffic is not yet migrated to the latest revision."
    return condition("Unknown", "TrafficNotMigrated", text)


def _ingress_ready(predictor: Condition) -> Condition:
    if predictor["status"] != "True":
        return condition(predictor["status"], "Predictor ingress not created")
    return condition("True")
