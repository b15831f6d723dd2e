# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying one step: kinds first, then what nothing guards, then what webhooks guard, once these can
answer."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Api
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    Forbidden,
    NotFound,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.application import (
    Application,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.claims import ObjectClaim
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight.webhooks import (
    CRD,
    EXTENSIONS,
    Webhook,
    lacks,
    on_cluster,
    webhooks_of,
)

from .look import Planned


class StepInstaller:
    """Installs one step after another; ``application`` holds the step's deadline, and what has changed."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._api: Api = application.api

    def install(self, plan: Planned) -> None:
        """Applies the step's claims and waits for its workloads; ClusterError, with what is missing, at the
        deadline."""
        application = self._application
        crds = [one for one in plan.claims if one.entry.kind == CRD]
        application.run(crds)
        application.until_none_lacks(
            "Kinds are not served in time", [(str(one.entry), one) for one in crds], self._not_established
        )
        others = [one for one in plan.claims if one.entry.kind != CRD]
        guards = {*application.patiently(lambda: on_cluster(self._api)), *webhooks_of(plan.objects)}
        guarded = [(one, self._guards_of(one, guards)) for one in others]
        application.run([one for one, by in guarded if not by])
        needed = sorted({webhook for _one, by in guarded for webhook in by}, key=str)
        application.until_none_lacks(
            "What guards objects of this step cannot answer in time",
            [(str(each), each) for each in needed],
            self._lacks,
        )
        application.run([one for one, by in guarded if by])
        application.wait(plan.step.workloads)

    def _guards_of(self, one: ObjectClaim, guards: Iterable[Webhook]) -> list[Webhook]:
        entry = one.entry
        resource = self._application.patiently(lambda: self._api.resource(entry.api_version, entry.kind))
        labels = [one.definition["metadata"].get("labels") or {}]
        return [each for each in guards if each.guards(resource) and not each.passes_over(None, labels)]

    def _lacks(self, webhook: Webhook) -> str:
        try:
            return lacks(self._api, webhook)
        except Forbidden:
            # Others' webhooks may be in places that this user does not see: then the apply itself tells,
            # which is tried again while they do not answer.
            return ""

    def _not_established(self, one: ObjectClaim) -> str:
        try:
            crd = self._api.get(self._api.resource(EXTENSIONS, CRD).path(name=one.entry.name))
        except NotFound:
            return "it is not there"
        conditions = {each.get("type"): each for each in (crd.get("status") or {}).get("conditions") or []}
        refused = conditions.get("NamesAccepted") or {}
        if refused.get("status") == "False":
            return f"its names are not accepted: {refused.get('message') or refused.get('reason')}"
        return (
            "" if (conditions.get("Established") or {}).get("status") == "True" else "it is not established"
        )
