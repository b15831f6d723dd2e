# SPDX-License-Identifier: GPL-3.0-or-later
"""An InferenceService in KServe's Standard mode (up to 0.15: RawDeployment), read from what it led to.

Its status tells neither revisions nor traffic, its observedGeneration is that of a Deployment, and its
canaryStatuses repeat the percent of the spec whether or not a request goes there: KServe 0.20 writes no
weights at all. So everything is read from the children:

- a *revision* is a ReplicaSet of one of the predictor's Deployments, the one with the highest
  deployment.kubernetes.io/revision. Its name begins that of each of its pods, which a server has as HOSTNAME;
- the *traffic* is what the backendRefs of the HTTPRoutes say, in percent (a weight that is absent is 1,
  Gateway API, HTTPBackendRef). Without any HTTPRoute the Service of the stable Deployment has all of it;
- the Deployments are named as by KServe's PredictorServiceName (pkg/constants/constants.go): NAME-predictor,
  or NAME-PREDICTOR-predictor where spec.predictor.name or that of a canary says PREDICTOR.

*Rolled out* is what `Standard.missing` finds nothing to say against.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from .pod import owner_of, runs
from .snapshot import NOT_REPORTED, Children, Object, Revisions, spell
from .tree import conditions, entries, generation_of, mapping, name_of, number, text

DEPLOYMENT, REPLICASET, HTTPROUTE, POD = "Deployment", "ReplicaSet", "HTTPRoute", "Pod"
REVISION = "deployment.kubernetes.io/revision"
# The model's place, as KServe writes it into what it makes (addStorageInitializerAnnotations).
SOURCE_URI = "internal.serving.kserve.io/storage-initializer-sourceuri"
_PARENT_CONDITIONS = ("Accepted", "ResolvedRefs")


def stable_name(obj: Object) -> str:
    """The Deployment of `spec.predictor`."""
    return _deployment_name(obj, text(mapping(obj, "spec", "predictor"), "name"))


def wanted(obj: Object) -> dict[str, int]:
    """What the spec asks for: percent by Deployment, of the stable one first, then of each canary."""
    canaries = {
        _deployment_name(obj, text(mapping(canary, "predictor"), "name")): number(canary, "trafficPercent")
        for canary in entries(obj, "spec", "canary")
    }
    return {stable_name(obj): 100 - sum(canaries.values()), **canaries}


def deployment_name(service: str, predictor: str) -> str:
    """The Deployment, and the Service, of an InferenceService's predictor; `predictor` is its own name."""
    return f"{service}-{predictor}-predictor" if predictor else f"{service}-predictor"


def _deployment_name(obj: Object, predictor: str) -> str:
    return deployment_name(name_of(obj), predictor)


class Standard:
    """One moment of an InferenceService with its children, each looked up once."""

    def __init__(self, obj: Object, children: Children) -> None:
        self._obj = obj
        self._asked = wanted(obj)
        self._deployments = children.get(DEPLOYMENT, {})
        self._routes = children.get(HTTPROUTE, {})
        self._replicasets: dict[str, dict[str, Object]] = {}
        for name, each in children.get(REPLICASET, {}).items():
            self._replicasets.setdefault(owner_of(each, DEPLOYMENT), {})[name] = each
        # Those of which a pod can answer.
        self._answering = {
            owner_of(pod, REPLICASET) for pod in children.get(POD, {}).values() if runs(pod)
        } | {
            name
            for name, each in children.get(REPLICASET, {}).items()
            if number(mapping(each, "status"), "readyReplicas")
        }

    @cached_property
    def revisions(self) -> Revisions:
        """The ReplicaSets in the roles of revisions: `created` is the last canary's, or the stable one's."""
        names = list(self._asked)
        stable, latest = self._newest(names[0]), self._newest(names[-1])
        shares = {name: percent for name, percent in self.traffic.items() if name != NOT_REPORTED}
        most = max(shares, key=lambda name: (shares[name], name), default="")
        return Revisions(
            created=latest,
            ready=latest if not self._unsettled(names[-1]) else "",
            rolledout=stable if not self._unsettled(names[0]) else "",
            serving=stable if stable in shares else most or stable,
        )

    def _newest(self, deployment: str) -> str:
        """The ReplicaSet of the Deployment's present pod template, as far as it was seen; empty without
        any."""
        own = self._replicasets.get(deployment, {})
        return max(own, key=lambda name: (_revision(own[name]), name), default="")

    @cached_property
    def traffic(self) -> dict[str, int]:
        """Percent by revision; empty where no route and no available pod is.

        KServe writes its routes one after the other: while they contradict each other nothing is told.
        """
        if self._splits:
            first = self._splits[0]
            alike = all(split == first for split in self._splits)
            return self._by_revision(first) if alike else {NOT_REPORTED: 100}
        stable = stable_name(self._obj)
        status = mapping(self._deployments.get(stable, {}), "status")
        return self._by_revision({stable: 100}) if number(status, "availableReplicas") else {}

    @cached_property
    def _splits(self) -> list[dict[str, int]]:
        """Percent by Deployment of each rule that leads to the predictor, and to nothing else."""
        prefix = name_of(self._obj) + "-"
        found = []
        for route in self._routes.values():
            for rule in entries(route, "spec", "rules"):
                backends = entries(rule, "backendRefs")
                names = [text(backend, "name") for backend in backends]
                own = all(name.startswith(prefix) and name.endswith("-predictor") for name in names)
                if names and own:
                    found.append(_percents(backends))
        return found

    def _by_revision(self, split: dict[str, int]) -> dict[str, int]:
        found: dict[str, int] = {}
        for deployment, percent in split.items():
            revision = self._alone(deployment)
            found[revision] = found.get(revision, 0) + percent
        return found

    def _alone(self, deployment: str) -> str:
        """The one revision of the Deployment that can answer; `NOT_REPORTED` where there are several or none.

        A pod that is being ended answers on the connections that it has until it is gone.
        """
        own = self._replicasets.get(deployment, {})
        can = {name for name in own if name in self._answering} or {*filter(None, [self._newest(deployment)])}
        return can.pop() if len(can) == 1 else NOT_REPORTED

    def missing(self, split: bool = True) -> tuple[str, str] | None:
        """The first thing that is not yet as the spec asks, as one word and a clause; None if all is.

        The order is that in which a rollout brings them: each Deployment has been made, has been observed
        since it was changed, and consists of new, available pods alone (as `kubectl rollout status` has it:
        k8s.io/kubectl pkg/polymorphichelpers/rollout_status.go), and of none that still ends; together they
        have the pods that spec.predictor.minReplicas asks for; each HTTPRoute has been observed by its
        parents since it was changed, and they accept it; and, with `split`, the routes give each Deployment
        the percent that the spec asks for.
        """
        for name in self._asked:
            problem = self._unsettled(name) or self._outdated(name)
            if problem:
                return "DeploymentNotReady", problem
        least = number(mapping(self._obj, "spec", "predictor"), "minReplicas")
        have = sum(number(mapping(self._deployments[name], "spec"), "replicas") for name in self._asked)
        if have < least:
            return "DeploymentNotReady", f"the Deployments ask for {have} of the {least} pods in minReplicas"
        for name, route in sorted(self._routes.items()):
            problem = _unaccepted(name, route)
            if problem:
                return "RouteNotReady", problem
        return self._split_problem() if split else None

    def against_ready(self) -> Iterator[str]:
        """What cannot be beside Ready of what is to answer, each as a clause."""
        for name, percent in self._asked.items():
            deployment = self._deployments.get(name)
            if percent > 0 and deployment and not number(mapping(deployment, "status"), "availableReplicas"):
                yield f"Deployment {name}, which is to answer {percent} %, has no pod available"
        yield from filter(None, (_unaccepted(name, route) for name, route in sorted(self._routes.items())))

    def _split_problem(self) -> tuple[str, str] | None:
        expected = {name: percent for name, percent in self._asked.items() if percent > 0}
        if not self._splits and len(self._asked) > 1:
            message = (
                "no HTTPRoute leads to the predictor, so a canary gets nothing (KServe: enableGatewayApi)"
            )
            return "TrafficNotAsExpected", message
        for split in self._splits:
            if split != expected:
                message = f"an HTTPRoute gives {spell(split)}, and the spec asks for {spell(expected)}"
                return "TrafficNotAsExpected", message
        return None

    def _unsettled(self, name: str) -> str:
        """What the Deployment still lacks; empty where it consists of new and available pods alone."""
        deployment = self._deployments.get(name)
        if deployment is None:
            return f"Deployment {name} has not been made yet"
        status, asked = mapping(deployment, "status"), number(mapping(deployment, "spec"), "replicas")
        generation = generation_of(deployment)
        newest = self._replicasets.get(name, {}).get(self._newest(name), {})
        updated, available = number(status, "updatedReplicas"), number(status, "availableReplicas")
        old = number(status, "replicas") - updated
        alike = number(mapping(newest, "status"), "replicas") == updated
        problems = (
            (number(status, "observedGeneration") < generation, "has not been taken up since it was changed"),
            (not newest, "has no ReplicaSet yet"),
            (not alike, "and its ReplicaSet tell of different pods"),
            (updated < asked, f"has {updated} of {asked} new pods"),
            (old > 0, f"still has {old} of the pods from before"),
            (available < asked, f"has {available} of {asked} pods available"),
            (self._alone(name) == NOT_REPORTED, "has pods from before that still end"),
        )
        problem = next((message for holds, message in problems if holds), "")
        return f"Deployment {name} {problem}" if problem else ""

    def _outdated(self, name: str) -> str:
        """What the Deployment still has of an earlier spec, where it can be told: the image of a container
        that the spec names, or the place of the model."""
        predictor, deployment = self._predictor(name), self._deployments[name]
        has = {
            text(container, "name"): text(container, "image")
            for container in entries(deployment, "spec", "template", "spec", "containers")
        }
        for container in entries(predictor, "containers"):
            image, now = text(container, "image"), has.get(text(container, "name"))
            if image and now and image != now:
                return f"Deployment {name} still has the image {now}"
        place = text(mapping(predictor, "model"), "storageUri")
        was = text(mapping(deployment, "metadata", "annotations"), SOURCE_URI)
        return f"Deployment {name} still has the model from before" if place and was and place != was else ""

    def _predictor(self, deployment: str) -> Object:
        """What the spec says of the predictor that the Deployment runs."""
        for canary in entries(self._obj, "spec", "canary"):
            predictor = mapping(canary, "predictor")
            if _deployment_name(self._obj, text(predictor, "name")) == deployment:
                return predictor
        return mapping(self._obj, "spec", "predictor")

    def given_up(self) -> str:
        """What the newest Deployment says where Kubernetes has given it up; empty where it has not."""
        name = list(self._asked)[-1]
        for condition in conditions(self._deployments.get(name)):
            if condition.reason == "ProgressDeadlineExceeded" and condition.status == "False":
                return f"Deployment {name}: {condition.message}"
        return ""


def _revision(obj: Object) -> int:
    reported = text(mapping(obj, "metadata", "annotations"), REVISION)
    return int(reported) if reported.isdecimal() else 0


def _percents(backends: list[Object]) -> dict[str, int]:
    """Weights as whole percents that sum to 100; none where all are 0, for then nobody is asked, and all of
    it nobody's where a weight is no number."""
    weights: dict[str, int] = {}
    for backend in backends:
        name, weight = text(backend, "name"), backend.get("weight", 1)
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            return {NOT_REPORTED: 100}
        weights[name] = weights.get(name, 0) + weight
    total = sum(weights.values())
    if not total:
        return {}
    shares = {name: weight * 100 // total for name, weight in weights.items()}
    # What is cut goes to those of which most was cut.
    for name in sorted(weights, key=lambda name: (-(weights[name] * 100 % total), name)):
        if sum(shares.values()) < 100:
            shares[name] += 1
    return {name: share for name, share in shares.items() if share}


def _unaccepted(name: str, route: Object) -> str:
    """What the parents of the route do not say yet; empty where all of them accept it as it is now.

    Its conditions stay as they were until a parent has looked, so each must be about this generation.
    """
    generation = generation_of(route)
    parents = entries(route, "status", "parents")
    if not parents:
        return f"HTTPRoute {name} has not been taken up by a gateway yet"
    for parent in parents:
        for condition in entries(parent, "conditions"):
            kind, seen = text(condition, "type"), condition.get("observedGeneration", generation)
            if kind not in _PARENT_CONDITIONS:
                continue
            if seen != generation:
                return f"HTTPRoute {name} has not been taken up since it was changed"
            if text(condition, "status") != "True":
                why = text(condition, "message") or text(condition, "reason")
                return f"HTTPRoute {name} is not {kind}: {why}"
    return ""
