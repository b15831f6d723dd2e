# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules experiment_wait and inferenceservice_wait, but for their documentation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import (
    Progress,
    ProgressFileError,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout import runbooks
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import (
    experiment as experiments,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import (
    inferenceservice as inferenceservices,
)

from ..client import kinds
from ..client.api import Api, Json, Resource
from ..client.auth import connect
from ..client.errors import ClusterError
from ..client.watch import Clock, Feeds, Watch
from ..module import Failed
from ..observer import job
from ..observer.followed import Followed
from .change import PromotedWaiter, RolledBackWaiter
from .experiment import EXPERIMENT, INFERENCESERVICE, JOBS, Counts, ExperimentWaiter
from .inferenceservice import CHILDREN, FEED, AbsentWaiter, PresentWaiter
from .waiting import End, NoticeSource, Waiter, wait

# Which outcomes each value of `expect` accepts.
ACCEPTED = {
    "promoted": ("succeeded",),
    "completed": ("succeeded", "rolled_back"),
    "any": ("succeeded", "rolled_back", "failed", "deleted"),
}


@dataclass(frozen=True)
class WaitTarget:
    """What is followed: the objects of a kind, one of them, or those that carry the label of an
    InferenceService, their `owner`. Without `needed` only where they can be."""

    feed: str
    api_version: str | None
    kind: str
    namespace: str
    name: str | None = None
    owner: str = ""
    needed: bool = True


class _Run:
    """One wait of a module: its watches, its progress file, and how it ended."""

    def __init__(self, module: Any) -> None:
        self.params: Mapping[str, Any] = module.params
        self.check_mode = bool(module.check_mode)
        self.progress = Progress(None if self.check_mode else self.params["progress_file"], time.time)
        self._clock = Clock()
        self._deadline = self._clock.now() + self.params["timeout"]
        self._module = module

    def watch(self, *targets: WaitTarget) -> NoticeSource:
        """Watches of its own; ClusterError at once when the server does not serve one of the kinds that are
        needed."""
        api, feeds = connect(self._module, deadline=self._deadline), Feeds(self._deadline)
        group = ""
        for target in targets:
            resource = _resource(api, target)
            if resource is None:
                feeds.refuse(target.feed, f"{api.host} does not serve {target.kind} ({target.api_version})")
                continue
            if target.kind == kinds.INFERENCESERVICE:
                group = resource.api_version.partition("/")[0]
            watch = Watch(
                api, target.feed, resource, namespace=target.namespace, name=target.name, clock=self._clock,
                labels=f"{group}/inferenceservice={target.owner}" if target.owner else "",
            )  # fmt: skip
            feeds.follow(watch, target.needed)
        return feeds

    def follow(self, *targets: WaitTarget) -> NoticeSource:
        """The running observer that is named; ClusterError where it does not observe one of these."""
        observer, state_dir = self.params["observer"], self.params["observer_state_dir"]
        observed = job.plan_of(state_dir, observer)
        for target in (each for each in targets if each.needed):
            feed, name = target.feed, target.name
            place = observed.get("namespace") if name else observed.get("handler_namespace")
            if place != target.namespace or (name and observed.get(feed) != name):
                raise ClusterError(
                    f"The observer {observer!r} does not follow {feed} {name or ''} in namespace "
                    f"{target.namespace}: start one that does, or leave out observer."
                )
        return Followed(state_dir, observer, [target.feed for target in targets], self._clock)

    def wait(self, waiter: Waiter, *targets: WaitTarget) -> End:
        """The end; a time-out is one too, and in check mode ``pending`` stands for all that is not over.

        Raises ClusterError if what is to be followed cannot be.
        """
        source = self.follow(*targets) if self.params["observer"] else self.watch(*targets)
        try:
            end = wait(
                waiter,
                source,
                self.progress,
                clock=self._clock,
                deadline=self._deadline,
                look_once=self.check_mode,
            )
        except (ClusterError, ProgressFileError) as error:
            return End("failed", type(error).__name__, str(error))
        if end is not None:
            return end
        if self.check_mode:
            return End("pending", "Pending", waiter.pending())
        seconds = f"{self.params['timeout']:g} s"
        return End("timeout", "Timeout", f"Not over after {seconds}: {waiter.pending()}.")

    def result(
        self, end: End, kind: str, pages: Mapping[str, str], *, accepted: Sequence[str], **seen: Any
    ) -> dict[str, Any]:
        """What the module returns; Failed, with the page that says what to do, where the end is none that is
        accepted."""
        result = {
            "changed": False,
            "outcome": end.outcome,
            "reason": end.reason,
            "message": end.message,
            **seen,
            "transitions": self.progress.entries,
        }
        if end.outcome not in accepted and not self.check_mode:
            named = f"{kind} {self.params['namespace']}/{self.params['name']}: "
            about = named if end.outcome == "timeout" else ""
            raise Failed(about + end.message + runbooks.advice(pages.get(end.outcome)), result)
        return result


def _resource(api: Api, target: WaitTarget) -> Resource | None:
    """How the kind is served; None where it is not, and is not needed either."""
    if target.kind == kinds.INFERENCESERVICE:
        return kinds.inferenceservice_kind(api, target.api_version, target.namespace, target.name or "")
    if target.needed:
        return api.resource(str(target.api_version), target.kind)
    served = api.resources(str(target.api_version))
    return next((each for each in served if each.kind == target.kind), None)


def load_counts(name: str | None, state_dir: str | None) -> Counts:
    """Reads what a running load has counted so far; None where there is no such load."""
    if not name:
        return lambda: None
    from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import job

    def counts() -> tuple[int, int] | None:
        try:
            progress = job.progress(state_dir, name)
            if progress["state"] == "absent":
                return None
            return int(progress["requests"]), int(progress["failed"])
        except Exception:  # noqa: BLE001  The counts are a courtesy of the line: no fault of theirs ends a wait.
            return None

    return counts


def experiment_wait(module: Any) -> dict[str, Any]:
    """Runs the module experiment_wait; Failed when the outcome is not what ``expect`` accepts."""
    params = module.params
    name, namespace = params["name"], params["namespace"]
    run = _Run(module)
    waiter = ExperimentWaiter(
        name,
        inferenceservice=params["inferenceservice"],
        wait_handler=bool(params["handler_namespace"]),
        stable_seconds=params["stable_seconds"],
        counts=load_counts(params["load_test"], params["load_state_dir"]),
    )
    targets = [WaitTarget(EXPERIMENT, params["api_version"], "Experiment", namespace, name)]
    if params["inferenceservice"]:
        version = params["inferenceservice_api_version"]
        targets.append(
            WaitTarget(INFERENCESERVICE, version, "InferenceService", namespace, params["inferenceservice"])
        )
    if params["handler_namespace"]:
        targets.append(WaitTarget(JOBS, "batch/v1", "Job", params["handler_namespace"]))
    end = run.wait(waiter, *targets)
    seen = experiments.assess(waiter.experiment or {})
    return run.result(
        end,
        "Experiment",
        runbooks.OF_WAITS["experiment_wait"],
        accepted=ACCEPTED[params["expect"]],
        winner=seen.winner,
        iterations=seen.iterations,
        experiment=_shown(waiter.experiment),
        inferenceservice=_shown(waiter.inferenceservice),
    )


def inferenceservice_wait(module: Any) -> dict[str, Any]:
    """Runs the module inferenceservice_wait; Failed when it does not come to what was asked."""
    params = module.params
    name, namespace = params["name"], params["namespace"]
    waiter: PresentWaiter | AbsentWaiter
    targets = [WaitTarget(FEED, params["api_version"], "InferenceService", namespace, name)]
    if params["state"] == "absent":
        waiter = AbsentWaiter(name)
    else:
        targets += _children(namespace, name)
        waiter = _present(params)
    run = _Run(module)
    end = run.wait(waiter, *targets)
    seen = waiter.view.snapshot if isinstance(waiter, PresentWaiter) else inferenceservices.read(None)
    return run.result(
        end,
        "InferenceService",
        runbooks.OF_WAITS["inferenceservice_wait"],
        accepted=("succeeded",),
        resource=_shown(waiter.inferenceservice),
        revisions=asdict(seen.revisions),
        traffic=seen.traffic,
        url=seen.url,
    )


def _present(params: Mapping[str, Any]) -> PresentWaiter:
    """The waiter of each state but ``absent``."""
    name, state = params["name"], params["state"]
    options: dict[str, Any] = {
        "baseline_revision": params["baseline_revision"],
        "stable_seconds": params["stable_seconds"],
        "children": CHILDREN,
        "stuck_seconds": params["stuck_seconds"],
    }
    if state == "promoted":
        return PromotedWaiter(name, **options)
    if state == "rolled_back":
        return RolledBackWaiter(name, after_change=params["after_change"], **options)
    return PresentWaiter(
        name,
        new_revision=params["new_revision"],
        traffic=_percents(params["traffic"]),
        serving=state == "serving",
        **options,
    )


def _children(namespace: str, name: str) -> list[WaitTarget]:
    """What an InferenceService leads to. An HTTPRoute has no label of KServe's, and is known by its owner."""
    return [
        WaitTarget(feed, version, kind, namespace, owner="" if kind == "HTTPRoute" else name, needed=False)
        for feed, (version, kind) in CHILDREN.items()
    ]


def _shown(obj: Json | None) -> Json | None:
    """The object without managedFields, the API server's own bookkeeping."""
    if obj is None:
        return None
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def _percents(traffic: Mapping[str, Any] | None) -> dict[str, int] | None:
    """The option ``traffic`` as whole percents; ClusterError where one cannot be read."""
    if traffic is None:
        return None
    percents = {}
    for revision, value in traffic.items():
        percent = str(value).removesuffix("%").strip()
        if not percent.isdigit() or int(percent) > 100:
            raise ClusterError(f"traffic: {value!r} for {revision} is not a percentage from 0 to 100.")
        percents[str(revision)] = int(percent)
    if sum(percents.values()) > 100:
        raise ClusterError(f"traffic: the percentages sum to {sum(percents.values())}, more than 100.")
    return percents
