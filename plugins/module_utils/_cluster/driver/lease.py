# SPDX-License-Identifier: GPL-3.0-or-later
"""A Lease, so that only one drives a rollout.

As client-go's leader election does it: whether a holder lives is told by its Lease changing, watched by this
machine's own clock, so that clocks that differ do no harm; and each change names the resourceVersion that it
is made from, so that of two who try only one succeeds.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from ..client.api import Api, Json
from ..client.errors import ClusterError, Conflict, NotFound, Unreachable

API_VERSION = "coordination.k8s.io/v1"
SECONDS = 15
RENEW_SECONDS = 4.0
LOOK_SECONDS = 0.5


class HeldByAnother(ClusterError):
    """Another driver is at work; ``holder`` is its name."""

    def __init__(self, message: str, holder: str) -> None:
        super().__init__(message)
        self.holder = holder


class Lease:
    """The Lease of one rollout. ``clock`` never goes back; ``wall`` tells seconds since the epoch."""

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        name: str,
        holder: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
        sleep: Callable[[float], None],
        owner: Json | None = None,
    ) -> None:
        """``owner`` is an owner reference: with that object the Lease goes."""
        self.holder = holder
        self._api = api
        self._folder = api.resource(API_VERSION, "Lease").path(namespace)
        self._path = f"{self._folder}/{name}"
        self._metadata: Json = {"name": name, "namespace": namespace}
        if owner:
            self._metadata["ownerReferences"] = [owner]
        self._clock, self._wall, self._sleep = clock, wall, sleep
        self._object: Json | None = None
        self._renewed = 0.0

    def acquire(self, say: Callable[[str], None]) -> None:
        """Takes the Lease, or raises HeldByAnother as soon as another driver is seen to be alive.

        One that was killed leaves its Lease behind: that it does not change for as long as it is meant to
        last is waited for, which ``say`` tells.
        """
        seen: tuple[str, str] | None = None
        since = self._clock()
        while True:
            found = self._get()
            spec = (found or {}).get("spec") or {}
            holder = str(spec.get("holderIdentity") or "")
            if found is None or holder in ("", self.holder):
                if self._take(found):
                    return
                continue
            mark = (holder, str(found["metadata"].get("resourceVersion")))
            lasts = float(spec.get("leaseDurationSeconds") or SECONDS)
            if seen is not None and mark != seen:
                raise self._refusal(holder)
            if seen is None:
                seen = mark
                say(f"{holder} was driving this rollout; whether it still does shows within {lasts:.0f} s")
            if self._clock() - since >= lasts:
                if self._take(found):
                    return
                raise self._refusal(holder)
            self._sleep(LOOK_SECONDS)

    def renew(self) -> None:
        """Makes sure that it is still held. Raises HeldByAnother where it is not, and Unreachable where that
        cannot be told: then nothing may be changed."""
        found = self._object
        for _unused in range(3):
            try:
                self._object = self._api.replace(self._path, self._wanted(found))
            except (Conflict, NotFound):
                found = self._get()
                holder = str(((found or {}).get("spec") or {}).get("holderIdentity") or "")
                if found is not None and holder != self.holder:
                    raise self._refusal(holder or "nobody") from None
                if found is None and self._take(None):
                    return
            else:
                self._renewed = self._clock()
                return
        raise Unreachable(f"The Lease {self._path} changes too often to be renewed.")

    def keep(self) -> None:
        """Renews it when it is time."""
        if self._clock() - self._renewed >= RENEW_SECONDS:
            self.renew()

    def release(self) -> None:
        """Lets the next one begin at once; whatever goes wrong, the Lease runs out by itself."""
        try:
            found = self._get()
            if found and (found.get("spec") or {}).get("holderIdentity") == self.holder:
                self._api.replace(self._path, self._wanted(found, holder=""))
        except ClusterError:
            return

    def _get(self) -> Json | None:
        try:
            return self._api.get(self._path)
        except NotFound:
            return None

    def _take(self, found: Json | None) -> bool:
        """Whether it is ours now; false where somebody else was quicker."""
        try:
            if found is None:
                self._object = self._api.create(self._folder, self._wanted(None))
            else:
                self._object = self._api.replace(self._path, self._wanted(found))
        except (Conflict, NotFound):
            return False
        self._renewed = self._clock()
        return True

    def _wanted(self, found: Json | None, holder: str | None = None) -> Json:
        before: dict[str, Any] = (found or {}).get("spec") or {}
        who = self.holder if holder is None else holder
        moment = datetime.datetime.fromtimestamp(self._wall(), tz=datetime.timezone.utc)
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        same = before.get("holderIdentity") == who
        version = ((found or {}).get("metadata") or {}).get("resourceVersion")
        metadata = {**self._metadata, **({"resourceVersion": version} if version else {})}
        return {
            "apiVersion": API_VERSION,
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": who,
                "leaseDurationSeconds": SECONDS,
                "acquireTime": before.get("acquireTime", stamp) if same else stamp,
                "renewTime": stamp,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if same else 1),
            },
        }

    def _refusal(self, holder: str) -> HeldByAnother:
        return HeldByAnother(
            f"{holder} drives this rollout. Nothing was changed. Wait for its end, or ask it: the states "
            "paused, resumed, promoted and aborted work from here too.",
            holder,
        )
