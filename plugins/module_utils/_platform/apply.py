# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying one step: kinds first, then what nothing guards, then what webhooks guard, once these can
answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Api
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    NotFound,
    Unreachable,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.concurrently import at_once
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.application import (
    POLL_SECONDS,
    Application,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.claims import Claim
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
        self._until_none("Kinds are not served in time", crds, self._not_established)
        others = [one for one in plan.claims if one.entry.kind != CRD]
        guards = {*application.patiently(lambda: on_cluster(self._api)), *webhooks_of(plan.objects)}
        guarded = [(one, self._guards_of(one, guards)) for one in others]
        application.run([one for one, by in guarded if not by])
        needed = sorted({webhook for _one, by in guarded for webhook in by}, key=str)
        self._until_none(
            "What guards objects of this step cannot answer in time",
            needed,
            lambda each: lacks(self._api, each),
        )
        application.run([one for one, by in guarded if by])
        application.wait(plan.step.workloads)

    def _guards_of(self, one: Claim, guards: Iterable[Webhook]) -> list[Webhook]:
        entry = one.entry
        resource = self._application.patiently(lambda: self._api.resource(entry.api_version, entry.kind))
        return [each for each in guards if each.guards(resource)]

    def _not_established(self, one: Claim) -> str:
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

    def _until_none(
        self, what: str, items: Sequence[Claim] | Sequence[Webhook], lack: Callable[..., str]
    ) -> None:
        """Waits until none of the items lacks anything; ClusterError at the deadline."""
        left: list[Claim | Webhook] = list(items)
        while left:
            found = at_once(lambda each: self._reachable(lack, each), left)
            still = [(each, words) for each, words in zip(left, found) if words]
            application = self._application
            if still and application.clock.now() >= application.deadline:
                names = [str(each.entry) if isinstance(each, Claim) else str(each) for each, _words in still]
                told = "; ".join(f"{name}: {words}" for name, (_each, words) in zip(names, still))
                raise ClusterError(f"{what}. {told}.")
            left = [each for each, _words in still]
            if left:
                application.clock.sleep(POLL_SECONDS)

    @staticmethod
    def _reachable(lack: Callable[..., str], each: Claim | Webhook) -> str:
        try:
            return lack(each)
        except Unreachable as error:
            return str(error).rstrip(".")
