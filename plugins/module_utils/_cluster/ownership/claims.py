# SPDX-License-Identifier: GPL-3.0-or-later
"""Claiming objects before they are applied, and recording their UIDs afterwards."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..client.api import Api, Json, Resource
from ..client.errors import ClusterError, NotFound, UnknownKind
from ..concurrently import at_once
from .lookups import CONFIRM_SECONDS, Sleep, defined, find, kind_of
from .record import LABEL, ClaimedObject, Record, belongs, group_of, with_uid


def flatten(definitions: Iterable[Any]) -> Iterator[Json]:
    """The definitions, with Lists opened and empty documents left out; ClusterError for what is no object."""
    for number, definition in enumerate(definitions, 1):
        if definition is None:
            continue
        if (
            not isinstance(definition, Mapping)
            or not definition.get("kind")
            or not definition.get("apiVersion")
        ):
            raise ClusterError(f"Definition {number} is no Kubernetes object: it lacks apiVersion or kind.")
        if str(definition["kind"]).endswith("List") and isinstance(definition.get("items"), list):
            yield from flatten(definition["items"])
        elif not (definition.get("metadata") or {}).get("name"):
            raise ClusterError(
                f"Definition {number} ({definition['kind']}) has no metadata.name, so it cannot be owned."
            )
        else:
            yield dict(definition)


class Scopes:
    """Whether kinds are namespaced: as the API server serves them, or as a CRD of the same batch says."""

    def __init__(self, api: Api, definitions: Iterable[Json], check_mode: bool, sleep: Sleep) -> None:
        self._api = api
        self._sleep = sleep
        self._check_mode = check_mode
        self._announced = {
            (str(spec.get("group")), str((spec.get("names") or {}).get("kind"))): spec.get("scope")
            == "Namespaced"
            for spec in (d.get("spec") or {} for d in definitions if d["kind"] == "CustomResourceDefinition")
        }

    def find(self, definition: Json) -> tuple[Resource | None, bool]:
        """(the kind as served, or None while its CRD is not there yet; whether it is namespaced)."""
        api_version, kind = str(definition["apiVersion"]), str(definition["kind"])
        try:
            resource = self._served(api_version, kind)
        except UnknownKind:
            announced = self._announced.get((group_of(api_version), kind))
            if announced is None:
                # In check mode the CRDs of earlier batches have not been applied.
                if not self._check_mode:
                    raise
                announced = "namespace" in definition["metadata"]
            return None, announced
        return resource, resource.namespaced

    def _served(self, api_version: str, kind: str) -> Resource:
        """The kind; where its definition is there but it is not served, that is asked again."""
        for seconds in CONFIRM_SECONDS:
            try:
                return self._api.resource(api_version, kind)
            except UnknownKind:
                if not defined(self._api, api_version, kind):
                    raise
            self._sleep(seconds)
            self._api.forget_kinds()
        return self._api.resource(api_version, kind)


def _current(api: Api, resource: Resource | None, entry: ClaimedObject, sleep: Sleep) -> Json | None:
    """The object as it is now; None when it is certain that it is not there."""
    if resource is None:
        return None
    found = find(api, entry, sleep)
    return found[1] if found else None


@dataclass(frozen=True)
class ObjectClaim:
    """What is to be applied, the entry on record, and the object as it was; None where it was not there."""

    definition: Json
    entry: ClaimedObject
    before: Json | None


def claim(
    api: Api,
    record: Record,
    definitions: Iterable[Any],
    namespace: str | None,
    check_mode: bool,
    *,
    sleep: Sleep = time.sleep,
    earlier: Iterable[Json] = (),
) -> list[ObjectClaim]:
    """Notes in ``record`` which objects are there already.

    ``earlier`` are applied before these, so that kinds which CustomResourceDefinitions among them define need
    not be served yet.

    ClusterError where one is being deleted, as after a removal that was interrupted.

    The definitions are labelled where the run creates the object. Objects that were there keep theirs as
    they are, so that the label never gets onto what the run did not create.
    """
    found = list(flatten(definitions))
    scopes = Scopes(api, [*earlier, *found], check_mode, sleep)
    claimed: list[tuple[Json, ClaimedObject, Resource | None]] = []
    for definition in found:
        resource, namespaced = scopes.find(definition)
        entry = _entry(definition, namespaced, namespace)
        claimed.append((_placed(definition, entry), entry, resource))
    current = at_once(lambda each: _current(api, each[2], each[1], sleep), claimed)
    _refuse_going([entry for (_definition, entry, _resource), obj in zip(claimed, current) if _is_going(obj)])
    claims = []
    for (definition, entry, _resource), obj in zip(claimed, current):
        settled = _settle(record, entry, obj)
        record.put(settled)
        labelled = definition if settled.existed else _labelled(definition, record.run_id)
        claims.append(ObjectClaim(labelled, settled, obj))
    return claims


def _is_going(obj: Json | None) -> bool:
    return obj is not None and bool(obj["metadata"].get("deletionTimestamp"))


def _refuse_going(entries: list[ClaimedObject]) -> None:
    """Whatever is applied to an object that is being deleted, or into such a namespace, goes with it."""
    if entries:
        named = ", ".join(map(str, entries[:10])) + (" and more" if len(entries) > 10 else "")
        raise ClusterError(
            f"{named} {'is' if len(entries) == 1 else 'are'} being deleted, so that nothing can be applied "
            "there. Wait until that has ended (teardown.yml says what holds it up), and try again."
        )


def _entry(definition: Json, namespaced: bool, namespace: str | None) -> ClaimedObject:
    metadata = definition["metadata"]
    api_version, kind, name = str(definition["apiVersion"]), str(definition["kind"]), str(metadata["name"])
    where = str(metadata.get("namespace") or namespace or "") if namespaced else ""
    if namespaced and not where:
        raise ClusterError(f"{kind} {name} names no namespace. Name one in it, or as the option namespace.")
    return ClaimedObject(api_version, kind, where, name, existed=False)


def _placed(definition: Json, entry: ClaimedObject) -> Json:
    """The definition with its namespace written out, where it has one."""
    if not entry.namespace:
        return definition
    return {**definition, "metadata": {**definition["metadata"], "namespace": entry.namespace}}


def _settle(record: Record, entry: ClaimedObject, obj: Json | None) -> ClaimedObject:
    """The entry with what is known: ours if it is absent, or if it carries our label and no other UID
    is recorded.
    """
    if obj is None:
        return entry
    uid = str(obj["metadata"]["uid"])
    known = record.get(entry)
    ours = (
        belongs(obj, record.run_id)
        and (known is None or not known.existed)
        and (known is None or known.uid in ("", uid))
    )
    return with_uid(entry, uid) if ours else replace(entry, existed=True)


def _labelled(definition: Json, run_id: str) -> Json:
    labelled = copy.deepcopy(definition)
    labels = labelled["metadata"].get("labels") or {}
    labelled["metadata"]["labels"] = {**labels, LABEL: run_id}
    return labelled


def record_uids(api: Api, record: Record) -> list[ClaimedObject]:
    """Takes the UIDs of what the run has created into ``record``; returns the entries that are there now.

    An object without the run's label is not taken in: it is not what the run applied.
    """
    candidates = [entry for entry in record.entries if not entry.existed]
    current = at_once(lambda entry: _recordable(api, entry), candidates)
    created = []
    for entry, obj in zip(candidates, current):
        if obj is not None and belongs(obj, record.run_id):
            created.append(with_uid(entry, str(obj["metadata"]["uid"])))
            record.put(created[-1])
    return created


def _recordable(api: Api, entry: ClaimedObject) -> Json | None:
    """The object, if it is seen at once: without a UID on record the run's label decides later on."""
    try:
        return api.get(kind_of(api, entry).path(entry.namespace or None, entry.name))
    except NotFound:
        return None
