# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ownership, but for its documentation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import expanded
from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import (
    Progress,
    ProgressFileError,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout import runbooks

from ..client.api import Api
from ..client.auth import connect
from ..client.errors import ClusterError, Forbidden, NotFound, Refusal, Unreachable
from ..client.watch import Clock
from ..module import Failed
from .application import Application, would_change
from .claims import ObjectClaim, claim, record_uids
from .contents import foreign_contents
from .handler_jobs import experiments, handler_jobs
from .lookups import Sleep
from .record import ClaimedObject, Record, require_run_id
from .removal import Removal, plan, waves
from .store import RecordStore


def ownership(module: Any) -> dict[str, Any]:
    """Runs the module ownership."""
    store = open_store(module)
    states = {"present": _present, "claimed": _claimed, "recorded": _recorded, "absent": _absent}
    result = states[module.params["state"]](module, store)
    return {**result, "warnings": [store.warning]} if store.warning else result


def open_store(module: Any) -> RecordStore:
    """The record that the module's options name: run_id, record, record_namespace."""
    params = module.params
    require_run_id(params["run_id"])
    try:
        path = expanded(str(params["record"]))
    except OSError as error:
        raise ClusterError(f"The record cannot be found: {error.strerror}.") from error
    return RecordStore(path, str(params["record_namespace"] or ""), params["run_id"])


def _present(module: Any, store: RecordStore) -> dict[str, Any]:
    clock = Clock()
    deadline = clock.now() + module.params["timeout"]
    api = connect(module, deadline=deadline)
    record = store.load(api) or Record(store.run_id)
    claims = _claim(module, store, api, record)
    named = refs(claims)
    if module.check_mode:
        return {"changed": any(would_change(api, one) for one in claims), **named, "transitions": []}
    # Before anything is applied, so that a run that dies in the middle knows what it may have created.
    store.save(api, record)
    progress = Progress(module.params["progress_file"], time.time)
    application = Application(api, record, progress, clock=clock, deadline=deadline)
    problem: Exception | None = None
    try:
        application.run(claims)
    except ClusterError as error:
        problem = error
    save_after(store, api, record, problem)
    try:
        if problem is None:
            application.wait(module.params["workloads"])
    except (ClusterError, ProgressFileError) as error:
        problem = error
    result = {"changed": application.changed, **named, "transitions": progress.entries}
    if problem is not None:
        raise Failed(str(problem), result) from problem
    return result


def save_after(store: RecordStore, api: Api, record: Record, problem: Exception | None) -> None:
    """Writes the record after something was done; where that failed already, the file at least."""
    try:
        store.save(api, record)
    except Unreachable:
        # The file is written first. What the cluster's copy lacks are UIDs alone, and then labels decide.
        if problem is None:
            raise


def _claim(module: Any, store: RecordStore, api: Api, record: Record) -> list[ObjectClaim]:
    bind(api, record, store.path)
    params = module.params
    return claim(api, record, params["definitions"], params["namespace"], bool(module.check_mode))


def refs(claims: Sequence[ObjectClaim]) -> dict[str, Any]:
    """Which of the claimed objects are the run's own, and which were there before."""
    return {
        "created": [one.entry.ref for one in claims if not one.entry.existed],
        "existed": [one.entry.ref for one in claims if one.entry.existed],
    }


def _claimed(module: Any, store: RecordStore) -> dict[str, Any]:
    api = connect(module)
    known = store.load(api)
    before = known.entries if known else []
    record = known or Record(store.run_id)
    claims = _claim(module, store, api, record)
    changed = record.entries != before
    if changed and not module.check_mode:
        store.save(api, record)
    return {"changed": changed, "definitions": [one.definition for one in claims], **refs(claims)}


def _recorded(module: Any, store: RecordStore) -> dict[str, Any]:
    api = connect(module)
    record = store.load(api)
    if record is None:
        raise ClusterError(f"There is no record {store.path}. Use state=claimed before anything is applied.")
    before = record.entries
    bind(api, record, store.path)
    created = record_uids(api, record)
    changed = record.entries != before
    if changed and not module.check_mode:
        store.save(api, record)
    there = {entry.key for entry in created}
    return {
        "changed": changed,
        "created": [entry.ref for entry in created],
        "missing": [e.ref for e in record.entries if not e.existed and e.key not in there],
    }


def _absent(module: Any, store: RecordStore) -> dict[str, Any]:
    if store.here is None and not store.namespace:
        # Nothing was ever claimed, so there is nothing to ask a cluster about.
        return {"changed": False, "deleted": [], "kept": [], "runs": [], "transitions": []}
    clock = Clock()
    deadline = clock.now() + module.params["timeout"]
    api = connect(module, deadline=deadline)
    record = store.load(api)
    if record is None:
        return {"changed": False, "deleted": [], "kept": [], "runs": store.runs(api), "transitions": []}
    bind(api, record, store.path)
    planned = plan(api, record, clock.sleep)
    made_for = experiments(planned.doomed)
    jobs, unseen = handler_jobs(api, made_for)
    _refuse_foreign(module, api, planned.doomed, clock.sleep)
    planned.kept += unseen
    planned.doomed = list({entry.key: entry for entry in [*planned.doomed, *jobs]}.values())
    if module.check_mode:
        order = [entry for wave in waves(planned.doomed) for entry in wave]
        deleted = [entry.ref for entry in order]
        return {
            "changed": bool(deleted),
            "deleted": deleted,
            "kept": planned.kept,
            "runs": _rollouts_of(store, api),
            "transitions": [],
        }
    progress = Progress(module.params["progress_file"], time.time)
    removal = Removal(
        api, record, progress, clock=clock, deadline=deadline, save=lambda: record.save(store.path)
    )
    problem: Exception | None = None
    try:
        # On record before their Experiment goes, without which nothing would tell whose they are.
        _note(record, store, api, jobs)
        removal.run(planned.doomed)
        # While it went, iter8 may have made another.
        late, _unused = handler_jobs(api, made_for)
        _note(record, store, api, late)
        removal.run(late)
    except (ClusterError, ProgressFileError) as error:
        problem = error
    if problem is None and not planned.left:
        record.save(store.path)
        store.forget(api)
    else:
        save_after(store, api, record, problem)
    result = {
        "changed": bool(removal.deleted),
        "deleted": [entry.ref for entry in removal.deleted],
        "kept": planned.kept + removal.kept,
        "runs": _rollouts_of(store, api),
        "transitions": progress.entries,
    }
    if problem is not None:
        raise Failed(str(problem), result) from problem
    if planned.left:
        raise Failed(
            f"Not all that this run created is gone: {'; '.join(planned.left)}. It stays on record."
            f"{runbooks.advice(runbooks.TEARDOWN)}",
            result,
        )
    return result


def _rollouts_of(store: RecordStore, api: Api) -> list[str]:
    """The runs on record on the cluster that are rollouts of a list of this run, as their ids tell. They are
    told, not removed: a run of a user's own may be called so."""
    try:
        return [each for each in store.runs(api) if each.startswith(f"{store.run_id}.")]
    except ClusterError:
        return []


def _note(record: Record, store: RecordStore, api: Api, entries: Sequence[ClaimedObject]) -> None:
    for entry in entries:
        record.put(entry)
    if entries:
        store.save(api, record)


def bind(api: Api, record: Record, path: str) -> None:
    """Notes of which cluster the record is; Refusal where it is another's. Contexts' names are not unique.

    ``path`` is the record's file, for whoever has to forget it: a cluster that is made anew keeps its name.
    """
    try:
        cluster = str(api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"])
    except (NotFound, Forbidden):
        cluster = ""
    if record.cluster and cluster != record.cluster:
        raise Refusal(
            f"The record of run {record.run_id} is of another cluster than {api.host}, or its namespace "
            "kube-system cannot be read there. Name the cluster on which the run created its objects. Where "
            f"that one is gone for good, with all that the run created, delete the record {path}."
        )
    record.cluster = cluster


def _refuse_foreign(module: Any, api: Api, doomed: Sequence[ClaimedObject], sleep: Sleep) -> None:
    if module.params["force_contents"]:
        return
    try:
        found = foreign_contents(api, doomed, module.params["run_id"], sleep)
    except ClusterError as error:
        raise Refusal(
            "Nothing was deleted: what the namespaces and kinds that this run created hold cannot be listed, "
            f"so it may be someone else's. {error} Try again, or set force_contents to delete it unseen."
            f"{runbooks.advice(runbooks.TEARDOWN)}"
        ) from error
    if found:
        shown = ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
        raise Refusal(
            "Nothing was deleted: namespaces or kinds that this run created hold objects that it did not: "
            f"{shown}. Move or delete these, or set force_contents to delete them too."
            f"{runbooks.advice(runbooks.TEARDOWN)}"
        )
