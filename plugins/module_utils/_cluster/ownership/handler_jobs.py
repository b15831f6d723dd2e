# SPDX-License-Identifier: GPL-3.0-or-later
"""The Jobs that iter8 makes for a run's Experiments, which it leaves behind when these go."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.handler import handler_of

from ..client.api import Api, Json
from ..client.errors import Forbidden, NotFound, UnknownKind
from .record import ClaimedObject, group_of

NAMESPACE = "iter8-system"
_JOB = "batch/v1"


def experiments(entries: Sequence[ClaimedObject]) -> list[ClaimedObject]:
    """Those of the entries for which iter8 may have made Jobs."""
    return [one for one in entries if one.kind == "Experiment" and group_of(one.api_version) == "iter8.tools"]


def handler_jobs(api: Api, made_for: Sequence[ClaimedObject]) -> tuple[list[ClaimedObject], list[Json]]:
    """The Jobs of these Experiments, whose names end in a part of the Experiment's UID; and what is kept.

    Where Jobs may not be listed there, what iter8 may have left is told as kept.
    """
    if not made_for:
        return [], []
    try:
        path = api.resource(_JOB, "Job").path(NAMESPACE)
        listed = api.get(path, metadata_only=True).get("items") or []
    except (NotFound, UnknownKind):
        return [], []
    except Forbidden:
        reason = "Jobs may not be listed there, so those that iter8 made for the experiment stay"
        return [], [
            {"api_version": _JOB, "kind": "Job", "name": f"*-handler-{one.name}-*", "namespace": NAMESPACE}
            | {"reason": reason}
            for one in made_for
        ]
    return [_entry(job) for job in listed if _is_of(job, made_for)], []


def _is_of(job: Json, made_for: Sequence[ClaimedObject]) -> bool:
    owners = ({"metadata": {"name": one.name, "uid": one.uid}} for one in made_for)
    return any(handler_of(str(job["metadata"]["name"]), owner) for owner in owners)


def _entry(job: Json) -> ClaimedObject:
    name, uid = str(job["metadata"]["name"]), str(job["metadata"]["uid"])
    return ClaimedObject(_JOB, "Job", NAMESPACE, name, existed=False, uid=uid, derived=True)


def is_of_a_handler(entry: ClaimedObject) -> bool:
    """Whether an entry is such a Job. No other object goes without the run's label, whatever a record says:
    its copy on the cluster can be written by others."""
    what = (group_of(entry.api_version), entry.kind, entry.namespace)
    return entry.derived and entry.uid != "" and what == (group_of(_JOB), "Job", NAMESPACE)
