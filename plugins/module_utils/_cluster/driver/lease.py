# SPDX-License-Identifier: GPL-3.0-or-later
"""A Lease, so that only one drives a rollout.

As client-go's leader election does it: whether a holder lives is told by its Lease changing, watched by this
machine's own clock, so that clocks that differ do no harm; and each change names the resourceVersion that it
is made from, so that of two who try only one succeeds.

Between two tasks of a playbook nothing is there that could renew it, whatever the playbook does meanwhile. So
a Lease can be left to the playbook for a while, which an annotation tells: tasks of that playbook take it
again, and what a person asks is done at once, since nobody drives then. Anybody else is refused until that
while is over, by their own clock: one that is fast takes it early at worst, and then the playbook is refused.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable

from ..client.api import Api, Json
from ..client.errors import ClusterError, Conflict, NotFound, Unreachable

API_VERSION = "coordination.k8s.io/v1"
SECONDS = 15
RENEW_SECONDS = 4.0
LOOK_SECONDS = 0.5
_LEFT_TO = "iter8.kfserving/left-to"
_STAMP = "%Y-%m-%dT%H:%M:%S.%fZ"


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
        playbook: str = "",
    ) -> None:
        """``owner`` is an owner reference: with that object the Lease goes. ``playbook`` is whose task this
        is: what was left to the same one is its own."""
        self.holder = holder
        self._playbook = playbook
        self._api = api
        self._folder = api.resource(API_VERSION, "Lease").path(namespace)
        self._path = f"{self._folder}/{name}"
        self._metadata: Json = {"name": name, "namespace": namespace}
        if owner:
            self._metadata["ownerReferences"] = [owner]
        self._clock, self._wall, self._sleep = clock, wall, sleep
        self._object: Json | None = None
        self._before: Json | None = None
        self._renewed = 0.0
        # The version of another one's, and since when it is that.
        self._watched = ("", 0.0)

    def acquire(self, say: Callable[[str], None], by_a_person: bool = False) -> None:
        """Takes the Lease, or raises HeldByAnother as soon as another driver is seen to be alive.

        One that was killed leaves its Lease behind: that it does not change for as long as it is meant to
        last is waited for, which ``say`` tells. What was left to another playbook is refused until its time
        is over, unless a person asks.
        """
        seen: tuple[str, str] | None = None
        since = self._clock()
        while True:
            found = self._get()
            spec, holder = _spec(found), _holder(found)
            left_to = _left_to(found)
            mine = holder in ("", self.holder) or (left_to and left_to == self._playbook)
            if found is None or mine or (left_to and (by_a_person or self._left(spec) <= 0)):
                if self._take(found):
                    self._before = found if left_to else None
                    return
                continue
            if left_to:
                raise self._left_refusal(spec)
            mark = (holder, str(found["metadata"].get("resourceVersion")))
            lasts = _lasts(spec)
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
        found, why = self._object, ""
        for _unused in range(3):
            try:
                self._object = self._api.replace(self._path, self._wanted(found))
            except (Conflict, NotFound) as error:
                found, why = self._get(), str(error)
                if found is not None and _holder(found) != self.holder:
                    raise self._taken_over(_holder(found)) from None
                if found is None and self._take(None):
                    return
            else:
                self._renewed = self._clock()
                return
        raise Unreachable(f"The Lease {self._metadata['name']} could not be renewed: {why}")

    def keep(self) -> None:
        """Renews it when it is time."""
        if self._clock() - self._renewed >= RENEW_SECONDS:
            self.renew()

    def release(self, give_back: bool = False) -> None:
        """Lets the next one begin at once; whatever goes wrong, the Lease runs out by itself. With
        ``give_back`` whom it was left to before has it again, for no longer than before."""
        try:
            found = self._mine()
            if found is None:
                return
            wanted = self._wanted(found, holder="")
            if give_back and self._before is not None:
                wanted["spec"] = self._before["spec"]
                wanted["metadata"]["annotations"] = {_LEFT_TO: _left_to(self._before)}
            self._api.replace(self._path, wanted)
        except ClusterError:
            return

    def leave(self, seconds: float) -> None:
        """Leaves it to this task's playbook for so many seconds."""
        try:
            found = self._mine()
            if found is None:
                return
            wanted = self._wanted(found)
            wanted["spec"]["leaseDurationSeconds"] = math.ceil(seconds)
            wanted["metadata"]["annotations"] = {_LEFT_TO: self._playbook}
            self._api.replace(self._path, wanted)
        except ClusterError:
            return

    def give_up(self) -> bool:
        """Frees what was left to this task's playbook; whether there was anything."""
        found = self._get()
        if found is None or not self._playbook or _left_to(found) != self._playbook:
            return False
        self._api.replace(self._path, self._wanted(found, holder=""))
        return True

    def refuse_if_left(self) -> None:
        """Raises HeldByAnother where it is left to another playbook, without taking it."""
        found = self._get()
        if _left_to(found) not in ("", self._playbook) and self._left(_spec(found)) > 0:
            raise self._left_refusal(_spec(found))

    def nobody_drives(self) -> bool:
        """Whether a person's request has nobody who would take it up: at this moment, or since the driver was
        killed, which shows by its Lease not changing while this is asked again and again."""
        found = self._get()
        if found is None or _left_to(found) or not _holder(found):
            return True
        version = str(found["metadata"].get("resourceVersion"))
        if version != self._watched[0]:
            self._watched = (version, self._clock())
        return self._clock() - self._watched[1] >= _lasts(_spec(found))

    def _mine(self) -> Json | None:
        found = self._get()
        return found if _holder(found) == self.holder else None

    def _left(self, spec: Json) -> float:
        """For how many seconds it is still left to somebody."""
        lasts = float(spec.get("leaseDurationSeconds") or 0)
        try:
            began = datetime.datetime.strptime(str(spec.get("renewTime")), _STAMP)
        except ValueError:
            return 0.0
        end = began.replace(tzinfo=datetime.timezone.utc).timestamp() + lasts
        return min(lasts, end - self._wall())

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
        before = _spec(found)
        who = self.holder if holder is None else holder
        moment = datetime.datetime.fromtimestamp(self._wall(), tz=datetime.timezone.utc)
        stamp = moment.strftime(_STAMP)
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

    def _taken_over(self, holder: str) -> HeldByAnother:
        """By a driver that has seen this one's Lease run out, or by a person who edited it."""
        return HeldByAnother(
            f"{holder or 'nobody'} holds the Lease {self._metadata['name']} by now, so this one no longer "
            "drives the rollout. The split is as the latest patch left it. The same task goes on from there "
            "once nobody else drives.",
            holder,
        )

    def _left_refusal(self, spec: Json) -> HeldByAnother:
        between = f", and is between two steps, for {self._left(spec):.0f} s at most"
        return self._refusal(str(spec.get("holderIdentity")), between)

    def _refusal(self, holder: str, between: str = "") -> HeldByAnother:
        gone = f" If its playbook is gone, delete the Lease {self._metadata['name']}." if between else ""
        return HeldByAnother(
            f"{holder} drives this rollout{between}. Nothing was changed. Wait for its end, or ask it: the "
            f"states paused, resumed, promoted and aborted work from here too.{gone}",
            holder,
        )


def _spec(found: Json | None) -> Json:
    return (found or {}).get("spec") or {}


def _holder(found: Json | None) -> str:
    return str(_spec(found).get("holderIdentity") or "")


def _lasts(spec: Json) -> float:
    """For how many seconds it holds once it was renewed."""
    return float(spec.get("leaseDurationSeconds") or SECONDS)


def _left_to(found: Json | None) -> str:
    return str((((found or {}).get("metadata") or {}).get("annotations") or {}).get(_LEFT_TO) or "")
