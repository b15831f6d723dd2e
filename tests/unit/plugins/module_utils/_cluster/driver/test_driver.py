# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop against an API server in memory: what is written, in which order, whatever comes in between."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    BadRequest,
    ClusterError,
    Conflict,
    Forbidden,
    Unauthorized,
    Unreachable,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.driver import Driver
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.lease import HeldByAnother
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.store import Request
from ansible_collections.iter8.kfserving.tests.support.driven import Killed, Knative, Standard
from ansible_collections.iter8.kfserving.tests.support.driven_world import R1, R2, World, pod, quick


@pytest.mark.parametrize("cluster", [Knative, Standard])
def test_a_good_canary_is_promoted(cluster: Callable[[], Any]) -> None:
    world = World(cluster())
    end = world.drive(quick())
    assert end.outcome == "promoted"
    kept = world.store().load()
    assert kept is not None
    assert kept.state == end.state


def test_a_canary_whose_pods_are_killed_goes_back_and_says_why() -> None:
    world = World(Knative())
    world.clock.on_sleep.append(
        lambda _now: world.api.pods.__setitem__(0, pod(2)) if R2 in world.cluster.served() else None
    )
    end = world.drive(quick())
    assert (end.outcome, world.cluster.served()) == ("rolled_back", {R1: 1.0})
    assert "2 × OOMKilled" in end.message


def test_every_patch_names_the_version_that_it_is_made_from() -> None:
    world = World(Knative())
    world.drive(quick())
    assert [body["spec"]["predictor"]["canaryTrafficPercent"] for body in world.api.patches] == [
        0,
        10,
        50,
        100,
    ]
    assert all(body["metadata"]["resourceVersion"] for body in world.api.patches)


def test_each_patch_is_kept_before_it_is_sent_and_under_the_lease() -> None:
    world = World(Knative())
    world.drive(quick())
    kinds = [path.split("/")[-2] for _method, path, _body in world.api.writes]
    for number, kind in enumerate(kinds):
        if kind == "inferenceservices":
            assert kinds[number - 2 : number] == ["configmaps", "leases"]
            assert kinds[number + 1 : number + 3] == ["leases", "configmaps"]


def test_a_second_one_is_refused_with_the_holders_name() -> None:
    world = World(Knative())
    driver = world.driver(quick())
    driver.drive(world.clock.now + 10, 0.0, False)
    world.clock.on_sleep.append(lambda _now: driver._lease.keep())
    with pytest.raises(HeldByAnother, match="one drives"):
        world.driver(quick(), "two")


def test_one_that_lost_its_lease_patches_no_more() -> None:
    world = World(Knative())
    driver = world.driver(quick())
    driver.drive(world.clock.now + 10, 0.0, False)
    before = len(world.api.patches)
    for _unused in range(20):
        world.clock.sleep(1.0)
    end = world.drive(quick(), "two")
    assert end.outcome == "promoted"
    after = len(world.api.patches)
    with pytest.raises(HeldByAnother, match="two|nobody"):
        driver.drive(world.clock.now + 100, 0.0, False)
    assert len(world.api.patches) == after > before


@pytest.mark.parametrize("at", range(20, 76, 5))
def test_one_that_was_suspended_keeps_nothing_over_what_another_one_has_kept(at: int) -> None:
    """At whatever request it is: another one drives to the end meanwhile, and lets go of the Lease."""
    world, requests = World(Knative()), [0]
    one = world.driver(quick())

    def suspended(_method: str, _path: str) -> None:
        requests[0] += 1
        if requests[0] != at:
            return
        for _unused in range(20):
            world.clock.sleep(1.0)
        assert world.drive(quick(), "two").outcome == "promoted"
        world.lease("two").release()

    world.api.before = suspended
    with pytest.raises(HeldByAnother):
        one.drive(world.clock.now + 3000, 0.0, False)
    kept = world.store().load()
    assert kept is not None
    assert kept.state.outcome == "promoted"
    assert [row["spec"]["predictor"]["canaryTrafficPercent"] for row in world.api.patches] == [0, 10, 50, 100]


def test_a_step_at_a_time() -> None:
    world = World(Knative())
    ends = []
    for _unused in range(3):
        driver = world.driver(quick())
        ends.append(driver.drive(world.clock.now + 500, 0.0, True).outcome)
        driver._lease.release()
    assert ends == ["step", "step", "promoted"]


def test_an_api_server_that_goes_away_holds_everything_up_and_no_more() -> None:
    world = World(Knative())
    away = [False]

    def before(_method: str, path: str) -> None:
        if away[0]:
            raise Unreachable("GET https://cluster/ failed: refused.")

    world.api.before = before
    world.clock.on_sleep.append(lambda now: away.__setitem__(0, 20 < now < 50))
    driver = world.driver(quick())
    end = driver.drive(world.clock.now + 500, 0.0, False)
    assert end.outcome == "promoted"
    told = [entry for entry in driver._progress.entries if entry["event"] == "connection"]
    assert [entry["data"]["lost"] for entry in told] == [True, False]


def test_a_right_that_is_taken_away_between_two_patches_is_waited_for_too() -> None:
    """As the promotion waits for a person: the canary is there, and somebody has to look after it."""
    world = World(Knative())
    driver = world.driver(quick(promote="manual", steps=[{"percent": 100, "seconds": 2}]))
    assert driver.drive(world.clock.now + 60, 0.0, False).outcome == "held"

    def before(_method: str, _path: str) -> None:
        if world.clock.now < 40:
            raise Forbidden("no")

    world.api.before = before
    assert driver.drive(world.clock.now + 90, 5.0, False).outcome == "held"


def test_what_is_to_be_done_about_a_token_that_has_expired_is_said() -> None:
    world = World(Knative())
    driver = world.driver(quick())

    def before(_method: str, _path: str) -> None:
        if 10 < world.clock.now < 30:
            raise Unauthorized("GET /x was answered 401.")

    world.api.before = before
    assert driver.drive(world.clock.now + 300, 0.0, False).outcome == "promoted"
    (told, _again) = [each["text"] for each in driver._progress.entries if each["event"] == "connection"]
    assert told.startswith("GET /x was answered 401. Trying again. The split stays as it is meanwhile.")
    assert "Fresh credentials in the kubeconfig are taken up" in told


def test_a_conflict_is_looked_at_again() -> None:
    world = World(Knative())
    conflicts = [3]

    def before(method: str, path: str) -> None:
        if method == "PATCH" and "inferenceservices" in path and conflicts[0]:
            conflicts[0] -= 1
            raise Conflict("modified")

    world.api.before = before
    assert world.drive(quick()).outcome == "promoted"
    assert conflicts == [0]


def test_a_first_patch_that_a_webhook_refuses_leaves_nothing_behind() -> None:
    world = World(Knative())

    def before(method: str, path: str) -> None:
        if method == "PATCH" and "inferenceservices" in path:
            raise BadRequest("admission webhook denied the request: no such format")

    world.api.before = before
    end = world.drive(quick())
    assert (end.outcome, world.cluster.served()) == ("abandoned", {R1: 1.0})
    assert "no such format" in end.message


DENIED = 'admission webhook "guard.example.com" denied the request: not now.'


def fails_and_is_refused_the_way_back(world: World, until: float) -> Driver:
    """The canary's pod is killed again and again; from then until `until` no patch is let through."""
    world.clock.on_sleep.append(
        lambda _now: world.api.pods.__setitem__(0, pod(2)) if R2 in world.cluster.served() else None
    )

    def before(method: str, path: str) -> None:
        failing = world.api.pods[0] != pod()
        if method == "PATCH" and "inferenceservices" in path and failing and world.clock.now < until:
            raise BadRequest(DENIED)

    world.api.before = before
    return world.driver(quick())


def refusals(driver: Driver) -> list[str]:
    return [entry["text"] for entry in driver._progress.entries if entry["event"] == "refused"]


@pytest.mark.parametrize("until", [60, 200], ids=["a while", "longer than a step forward is tried"])
def test_the_way_back_is_tried_until_the_webhook_lets_it_through(until: float) -> None:
    world = World(Knative())
    driver = fails_and_is_refused_the_way_back(world, until)
    end = driver.drive(500, 0.0, False)
    assert (end.outcome, world.cluster.served()) == ("rolled_back", {R1: 1.0})
    assert until <= world.clock.now < until + 40
    assert len(refusals(driver)) == 1
    assert DENIED in refusals(driver)[0]
    assert "held" not in {entry["what"] for entry in end.state.history}


def refuse_50_percent(world: World, until: float) -> None:
    def before(method: str, path: str) -> None:
        given = [body["spec"]["predictor"]["canaryTrafficPercent"] for body in world.api.patches]
        refused = given[-1:] == [10] and world.clock.now < until
        if method == "PATCH" and "inferenceservices" in path and refused:
            raise BadRequest(DENIED)

    world.api.before = before


def test_a_step_that_stays_refused_is_held_after_a_minute_and_can_be_resumed() -> None:
    world = World(Knative())
    refuse_50_percent(world, 1000)
    driver = world.driver(quick())
    end = driver.drive(500, 0.0, False)
    assert end.outcome == "held"
    assert DENIED in end.message
    assert len(refusals(driver)) == 1
    assert 60 <= world.clock.now < 90
    world.api.before = lambda _method, _path: None
    driver._lease.release()
    world.store().ask(Request("r-1", "resumed", "somebody"))
    assert world.drive(quick(), "two").outcome == "promoted"


def test_a_step_that_is_refused_is_not_sent_again_once_it_is_paused() -> None:
    world = World(Knative())
    refuse_50_percent(world, 40)
    driver = world.driver(quick())
    assert driver.drive(30, 0.0, False).outcome == "timeout"
    world.store().ask(Request("r-1", "paused", "somebody"))
    end = driver.drive(200, 60.0, False)
    assert (end.outcome, end.message) == ("held", "paused by a person")
    assert world.cluster.served() == {R1: 0.9, R2: 0.1}


def test_a_way_back_that_stays_refused_ends_with_the_refusal() -> None:
    world = World(Knative())
    end = fails_and_is_refused_the_way_back(world, 1000).drive(90, 0.0, False)
    assert end.outcome == "timeout"
    assert DENIED in end.message
    world.api.before = lambda _method, _path: None
    for _unused in range(20):
        world.clock.sleep(1.0)
    assert world.drive(quick(), "two").outcome == "rolled_back"
    assert world.cluster.served() == {R1: 1.0}


def warning(version: int, message: str, reason: str = "InternalError") -> dict[str, Any]:
    metadata = {"uid": f"e-{reason}", "resourceVersion": str(version)}
    return {
        "metadata": metadata,
        "reason": reason,
        "message": message,
        "lastTimestamp": "2026-11-28T10:00:00Z",
    }


UNSUPPORTED = (
    "fails to reconcile canary deployments: fails to build resources for canary v2: specified runtime "
    "sklearnserver does not support specified framework/version"
)


def warn_once_there_is_a_canary(world: World, event: dict[str, Any]) -> None:
    world.clock.on_sleep.append(
        lambda _now: world.api.events.__setitem__(0, event) if world.cluster.spec.get("canary") else None
    )


def test_what_kserve_says_in_an_event_alone_is_noticed_at_once() -> None:
    world = World(Standard(slow=30.0))
    # Of an earlier attempt: known before the patch.
    world.api.events = [warning(1, UNSUPPORTED)]
    warn_once_there_is_a_canary(world, warning(2, UNSUPPORTED))
    end = world.drive(quick())
    assert (end.outcome, world.cluster.served()) == ("rolled_back", {"iris-predictor": 1.0})
    assert end.message.endswith(f"KServe says: {UNSUPPORTED}")
    created, turned = (
        next(each["at"] for each in end.state.history if what in (each.get("move"), each["what"]))
        for what in ("create", "turned back")
    )
    assert turned - created < 5


@pytest.mark.parametrize(
    "event",
    [
        warning(1, UNSUPPORTED),
        warning(2, "the object has been modified", "UpdateFailed"),
        warning(2, "no longer Ready", "InferenceServiceNotReady"),
        warning(2, "etcdserver: request timed out"),
    ],
    ids=["of before", "tried again", "what is waited for", "for a moment"],
)
def test_a_warning_that_waiting_may_mend_ends_nothing(event: dict[str, Any]) -> None:
    world = World(Standard())
    world.api.events = [warning(1, UNSUPPORTED)]
    warn_once_there_is_a_canary(world, event)
    driver = world.driver(quick())
    end = driver.drive(world.clock.now + 3000, 0.0, False)
    assert end.outcome == "promoted"


def test_a_warning_is_told_when_its_patch_comes_to_nothing() -> None:
    world = World(Knative(slow={2: float("inf")}))
    world.clock.sleep(1.0)
    world.api.events = [{}]
    world.clock.on_sleep.append(
        lambda _now: world.api.events.__setitem__(0, warning(2, "no storage\n container"))
    )
    end = world.drive(quick(ready_timeout=60))
    assert end.outcome == "rolled_back"
    assert "KServe says: no storage container, after 60 s" in end.message


def test_without_the_right_to_see_events_it_goes_on() -> None:
    world = World(Standard())

    def before(_method: str, path: str) -> None:
        if path.endswith("/events"):
            raise Forbidden("no")

    world.api.before = before
    assert world.drive(quick()).outcome == "promoted"


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("cluster", [Knative, Standard])
def test_killed_at_random_requests_another_goes_on_from_there(cluster: Callable[[], Any], seed: int) -> None:
    """Before or after any request, whatever it was: the next driver, elsewhere, comes to the same end."""
    world, rng = World(cluster()), random.Random(seed)
    bad = seed % 2 == 1
    if bad:
        world.clock.on_sleep.append(
            lambda _now: world.api.pods.__setitem__(0, pod(1)) if len(world.served) > 9 else None
        )

    def die(_method: str, _path: str) -> None:
        if rng.random() < 0.02:
            raise Killed

    world.api.before = world.api.after = die
    end = None
    for life in range(200):
        try:
            end = world.drive(quick(), f"driver-{life}")
            break
        except Killed:
            world.clock.sleep(rng.uniform(0, 5))
    assert end is not None
    assert end.outcome == ("rolled_back" if bad else "promoted")
    assert len(world.cluster.served()) == 1
    canary = R2 if cluster is Knative else "iris-v2eb494aa-predictor"
    mine = [round(each.get(canary, 0.0), 2) for each in world.served]
    assert set(mine) <= {0.0, 0.1, 0.5, 1.0}
    assert bad or mine == sorted(mine)
    assert getattr(world.cluster, "lost", []) == []


def test_a_request_from_another_terminal_is_taken_up_once() -> None:
    world = World(Knative())
    asked = [False]

    def ask_once(now: float) -> None:
        if now > 10 and not asked[0]:
            asked[0] = True
            world.store().ask(Request("r-1", "aborted", "somebody"))

    world.clock.on_sleep.append(ask_once)
    end = world.drive(quick(steps=[{"percent": 10, "seconds": 100}]))
    assert end.outcome == "rolled_back"
    assert end.state.handled == "r-1"
    assert end.message == "aborted by somebody"


def test_a_state_that_cannot_be_read_is_not_overwritten() -> None:
    world = World(Knative())
    world.drive(quick(), deadline=world.clock.now + 5)
    (path,) = [path for path in world.api.objects if "configmaps" in path]
    world.api.objects[path]["data"]["state"] = json.dumps({"start": 1})
    with pytest.raises(ClusterError, match="cannot be read"):
        world.store().load()


def test_a_hold_is_waited_out_for_as_long_as_wished() -> None:
    world = World(Knative())
    plan = quick(steps=[{"percent": 10, "seconds": 2, "pause": True}])
    end = world.drive(plan, hold_seconds=30.0)
    assert (end.outcome, end.message) == ("held", "the pause after 10 % waits for a person")
    assert world.clock.now > 35
