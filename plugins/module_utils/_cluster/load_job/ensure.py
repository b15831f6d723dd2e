# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules load_job and load_job_info, but for their documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.together import write_merged
from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod.heard import INTERRUPTED
from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod.lines import Log

from ..client.api import Json
from ..client.auth import connect
from ..client.errors import ClusterError
from .begin import begin
from .collect import Collection
from .objects import definitions, fingerprint_of
from .pods import GONE, Pod
from .run import LoadRun
from .talk import RECENT_LINES, Talk

# Beside the time that a request may take: a kubelet looks each minute at the latest whether its pods'
# annotations have changed, and a result is to be written and read.
_RESULT_SECONDS = 120.0
# The worse, the earlier; a load is as its worst generator is.
_STATES = ("starting", "running", INTERRUPTED, "aborted", "stopped", "finished")


def load_job(module: Any) -> dict[str, Any]:
    """Runs the module load_job."""
    states = {"started": _started, "finished": _finished, "stopped": _stopped, "absent": _absent}
    try:
        run = LoadRun(module)
        result = states[module.params["state"]](run)
    except LoadError as error:
        raise ClusterError(str(error)) from None
    warned = {"warnings": [run.store.warning]} if run.store.warning else {}
    return {**result, "transitions": run.progress.entries, **warned}


def load_job_info(module: Any) -> dict[str, Any]:
    """Runs the module load_job_info."""
    api = connect(module)
    talk = Talk(api, module.params["name"], module.params["namespace"])
    return {"changed": False, **describe(talk, talk.job())}


def describe(talk: Talk, job: Optional[Json]) -> dict[str, Any]:
    """`status` of the load, `progress` of all generators together, and each of them."""
    if job is None:
        return {"status": "absent", "progress": _progress([]), "generators": []}
    pods = talk.pods(job)
    logs = talk.hear_all(pods, RECENT_LINES)
    rows = [_row(talk, index, pod, log) for index, (pod, log) in enumerate(zip(pods, logs))]
    return {
        "status": min((row["state"] for row in rows), key=_STATES.index),
        "progress": _progress([_last(log) for log in logs]),
        "generators": rows,
    }


def _last(log: Log) -> dict[str, Any]:
    return log.last("ended") or log.last("progress") or {}


def _row(talk: Talk, index: int, pod: Optional[Pod], log: Log) -> dict[str, Any]:
    said = _last(log)
    if log.last("ended"):
        state = str(said["state"])
    elif pod is None or pod.over:
        state = INTERRUPTED
    else:
        state = "running" if pod.control.get("start") else "starting"
    return {
        "name": talk.generator(index),
        "pod": pod.name if pod is not None else "",
        "node": pod.node if pod is not None else "",
        "state": state,
        "requests": said.get("requests", 0),
        "failed": said.get("failed", 0),
        "problem": pod.problem if pod is not None else GONE,
    }


def _progress(said: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all generators have counted, as far as they have told."""
    revisions: dict[str, dict[str, int]] = {}
    for each in said:
        for revision, counts in (each.get("revisions") or {}).items():
            row = revisions.setdefault(revision, {"requests": 0, "failed": 0})
            for what in row:
                row[what] += counts[what]
    total = {what: sum(each.get(what) or 0 for each in said) for what in ("requests", "failed")}
    return {**total, "revisions": revisions}


def _started(run: LoadRun) -> dict[str, Any]:
    return {"changed": _ensure_started(run), **describe(run.talk, run.talk.job())}


def _ensure_started(run: LoadRun, again: bool = True) -> bool:
    """Whether anything was, or in check mode would be, done. `again` is whether one that has ended is sent
    once more."""
    new = definitions(run.wanted())
    job = run.own_job()
    same = job is not None and fingerprint_of(run.talk.object("v1", "Secret") or {}) == fingerprint_of(new[1])
    status = describe(run.talk, job)["status"]
    if status in ("starting", "running") and not same:
        raise ClusterError(
            f"A load named {run.params['name']!r} is running with other arguments: stop it first, or choose "
            "another name."
        )
    if status == "running" or (same and status not in ("starting", "absent") and not again):
        return False
    if status != "starting":
        if job is None or not run.module.check_mode:
            run.remove()  # what an ended load, or one that broke off in the middle, has left
            run.create(new)
        job = run.own_job()
    if job is None or run.module.check_mode:
        return True
    try:
        begin(run, job)
    except ClusterError:
        run.remove()
        raise
    return True


def _finished(run: LoadRun) -> dict[str, Any]:
    changed = _ensure_started(run, again=False)
    job = run.own_job()
    if job is None or run.module.check_mode:
        return {"changed": changed, **describe(run.talk, job)}
    return _results(run, Collection(run, job), None, changed)


def _stopped(run: LoadRun) -> dict[str, Any]:
    job = run.own_job()
    if job is None:
        return {"changed": False, **describe(run.talk, None)}
    collection = Collection(run, job)
    changed = bool(collection.running)
    if run.module.check_mode:
        return {"changed": changed, **describe(run.talk, job)}
    grace = float(job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])
    collection.stop()
    return _results(run, collection, grace + _RESULT_SECONDS, changed)


def _results(run: LoadRun, collection: Collection, seconds: Optional[float], changed: bool) -> dict[str, Any]:
    """Collect, put together and write. That no generator left anything is told, and no failure: it is
    evidence, like the rest."""
    collection.collect(seconds)
    collection.compare_clocks()
    collection.release()
    generators = collection.generators()
    pods = [
        {
            "name": one.name,
            "pod": part.pod.name if part.pod else "",
            "node": part.pod.node if part.pod else "",
        }
        for one, part in zip(generators, collection.parts)
    ]
    if all(part.result is None for part in collection.parts):
        rows = [
            {**row, "state": "missing", "problem": part.problem} for row, part in zip(pods, collection.parts)
        ]
        message = "; ".join(f"{row['name']}: {row['problem']}" for row in rows)
        run.module.warn(f"No generator left a result: {message}")
        return {"changed": changed, "status": INTERRUPTED, "progress": _progress([]), "generators": rows}
    merged = write_merged(generators, run.params["dest"] or "", False)
    rows = [{**row, **of} for row, of in zip(pods, merged["generators"])]
    own = [part.result["LoadTest"] for part in collection.parts if part.result is not None]
    return {
        "changed": changed or merged["changed"],
        "status": merged["status"],
        "progress": _progress(own),
        "generators": rows,
    }


def _absent(run: LoadRun) -> dict[str, Any]:
    removed = run.remove()
    return {"changed": bool(removed), "status": "absent", "progress": _progress([]), "generators": []}
