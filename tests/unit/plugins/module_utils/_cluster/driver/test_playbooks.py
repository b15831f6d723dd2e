# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of playbooks that share one rollout: what happens between two of them, and who may go on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    NoDryRun,
    Unreachable,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver import asks, driver, ensure
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver import run as runs
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.ensure import (
    progressive_rollout,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.lease import HeldByAnother
from ansible_collections.iter8.kfserving.plugins.modules.progressive_rollout import ARGUMENTS
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock
from ansible_collections.iter8.kfserving.tests.support.driven import NEW, Killed, Knative
from ansible_collections.iter8.kfserving.tests.support.driven_api import DrivenApi

R1, R2 = "iris-predictor-00001", "iris-predictor-00002"
STEPS = [{"percent": percent, "seconds": 3.0} for percent in (10, 50)]
READY = {"name": "p", "uid": "p-1"}
CONDITIONS = {"conditions": [{"type": "Ready", "status": "True"}]}
Task = Callable[..., dict[str, Any]]


@pytest.fixture
def api() -> DrivenApi:
    found = DrivenApi(Knative())
    found.pods = [{"metadata": READY, "status": CONDITIONS}]
    return found


@pytest.fixture
def clock(api: DrivenApi) -> FakeClock:
    clock, ticked = FakeClock(1_700_000_000.0), [1_700_000_000.0]

    def tick(now: float) -> None:
        api.cluster.tick(now - ticked[0])
        ticked[0] = now

    clock.on_sleep.append(tick)
    return clock


@pytest.fixture
def task(api: DrivenApi, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task of the playbook of this name, as the role has it."""
    time = SimpleNamespace(time=clock, monotonic=clock, sleep=clock.sleep)
    for module in (runs, ensure, asks):
        monkeypatch.setattr(module, "time", time)
    connected = SimpleNamespace(with_time_limit=lambda _seconds: api)
    monkeypatch.setattr(runs, "connect", lambda _module, **_options: connected)

    def run(playbook: str, check_mode: bool = False, **given: Any) -> dict[str, Any]:
        params = {name: each.get("default") for name, each in ARGUMENTS.items()}
        params |= {"name": "iris", "api_version": "serving.kserve.io/v1beta1", "predictor": NEW}
        params |= {"steps": STEPS, "gates": [{"type": "pods"}], "until": "step", "expect": "any"}
        params |= {"lease_seconds": 600.0, "playbook": playbook, "holder": playbook, **given}
        return progressive_rollout(SimpleNamespace(params=params, check_mode=check_mode))

    return run


def served(api: DrivenApi) -> dict[str, float]:
    return {name: round(share, 2) for name, share in api.cluster.served().items()}


def test_a_second_playbook_is_refused_while_a_hook_of_the_first_one_runs(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    outcomes = []
    assert not task("one", check_mode=True)["under_way"]
    for _unused in range(3):
        outcomes.append(task("one")["outcome"])
        if outcomes[-1] == "step":
            clock.sleep(300)
            before = len(api.writes)
            with pytest.raises(HeldByAnother, match=r"one/\w+ drives this rollout, and is between two steps"):
                task("two")
            # As it is asked before the second one's load, and its own hooks.
            with pytest.raises(HeldByAnother, match="one/"):
                task("two", check_mode=True)
            assert task("one", check_mode=True)["under_way"]
            assert len(api.writes) == before
    assert outcomes == ["step", "step", "promoted"]
    assert served(api) == {R2: 1.0}


def test_with_another_plan_it_is_told_whose_rollout_there_is(task: Task) -> None:
    task("one")
    with pytest.raises(ClusterError, match=r"with another plan was begun \d+ s ago by one, and is not over"):
        task("two", predictor={"model": {"storageUri": "gs://models/3"}})


def test_a_playbook_that_was_killed_in_a_hook_is_gone_on_with_from_elsewhere(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    assert task("one")["outcome"] == "step"
    clock.sleep(590)
    with pytest.raises(HeldByAnother, match="for 1?[0-9] s at most"):
        task("two")
    clock.sleep(20)
    assert [task("two")["outcome"] for _unused in range(2)] == ["step", "promoted"]
    assert served(api) == {R2: 1.0}


def test_one_that_was_killed_in_a_task_is_gone_on_with_after_seconds(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    assert task("one")["outcome"] == "step"

    def die(_method: str, _path: str) -> None:
        raise Killed

    clock.on_sleep.append(lambda _now: setattr(api, "before", die))
    with pytest.raises(Killed):
        task("one")
    clock.on_sleep.pop()
    api.before = lambda _method, _path: None
    began = clock.now
    assert [task("two")["outcome"] for _unused in range(2)] == ["step", "promoted"]
    assert clock.now - began < 60


def test_what_is_given_up_is_free_at_once_and_only_for_its_own_playbook(task: Task) -> None:
    task("one")
    assert not task("two", state="released")["changed"]
    with pytest.raises(HeldByAnother):
        task("two")
    assert task("one", state="released")["changed"]
    assert task("two")["outcome"] == "step"
    with pytest.raises(HeldByAnother, match="two/"):
        task("one")


def test_an_abort_while_a_hook_runs_is_done_at_once_and_the_playbook_is_told(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    task("one")
    began = clock.now
    assert task("person", state="aborted")["outcome"] == "rolled_back"
    assert clock.now - began < 30
    assert served(api) == {R1: 1.0}
    before = len(api.patches)
    told = task("one")
    assert (told["outcome"], told["message"]) == ("rolled_back", "aborted by person")
    assert len(api.patches) == before
    # Another playbook may try the same version again.
    assert task("two")["outcome"] == "step"


@pytest.mark.parametrize("who", ["person", "one"])
def test_a_pause_while_a_hook_runs_leaves_the_rollout_to_its_playbook(task: Task, who: str) -> None:
    """Whoever asks: another terminal, or the hook itself."""
    task("one")
    assert task(who, state="paused")["outcome"] == "paused"
    with pytest.raises(HeldByAnother, match="one/"):
        task("two")
    assert task("one")["outcome"] == "held"
    assert task("person", state="resumed")["outcome"] == "resumed"
    assert task("one")["outcome"] == "step"


def driving(task: Task, api: DrivenApi) -> dict[str, Any]:
    """The Lease of a task that has begun the rollout, and has not ended."""
    task("one", until="end", timeout=0, lease_seconds=0.0)
    lease: dict[str, Any] = next(each for path, each in api.objects.items() if "leases" in path)
    lease["spec"]["holderIdentity"] = "one"
    return lease


def test_an_abort_that_a_task_did_not_take_up_any_more_is_done_when_it_has_ended(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    """The first one lives while the person looks, and returns without having seen the request."""
    lease = driving(task, api)
    versions = [0]

    def renew_then_end(_now: float) -> None:
        versions[0] += 1
        lease["metadata"]["resourceVersion"] = f"v{versions[0]}"
        lease["spec"]["holderIdentity"] = "one" if versions[0] < 4 else ""

    clock.on_sleep.append(renew_then_end)
    found = task("person", state="aborted", timeout=60)
    assert found["outcome"] == "rolled_back"


def test_an_abort_is_done_where_the_driver_is_killed_before_it_takes_it_up(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    """It lives while the person looks, and leaves its Lease behind."""
    lease = driving(task, api)
    began = clock.now

    def renew_until_killed(now: float) -> None:
        if now < began + 3:
            lease["metadata"]["resourceVersion"] = f"v{now}"

    clock.on_sleep.append(renew_until_killed)
    assert task("person", state="aborted", timeout=600)["outcome"] == "rolled_back"
    assert clock.now - began < 60


def somebody_drives(task: Task, api: DrivenApi, clock: FakeClock) -> None:
    """Who renews the Lease and takes nothing up."""
    lease = driving(task, api)
    clock.on_sleep.append(lambda now: lease["metadata"].__setitem__("resourceVersion", f"v{now}"))


def test_who_waits_for_an_abort_waits_for_the_api_server_too(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    somebody_drives(task, api, clock)
    began = clock.now

    def before(method: str, path: str) -> None:
        if method == "GET" and "configmaps" in path and 3 < clock.now - began < 20:
            raise Unreachable("refused.")

    api.before = before
    with pytest.raises(ClusterError, match="one has not come to aborted within 60 s. The request stays"):
        task("person", state="aborted", timeout=60)


def test_a_request_that_another_one_replaced_is_not_waited_for(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    somebody_drives(task, api, clock)
    began = clock.now

    def replace(now: float) -> None:
        if now - began > 5:
            kept = next(each for path, each in api.objects.items() if "configmaps" in path)
            kept["data"].pop("request", None)

    clock.on_sleep.append(replace)
    with pytest.raises(ClusterError, match="was lost or replaced by a later one. Ask again"):
        task("person", state="aborted", timeout=60)


def test_an_abort_that_cannot_be_done_now_says_that_it_was_asked_for(task: Task, api: DrivenApi) -> None:
    task("one")

    def before(method: str, path: str) -> None:
        if method == "PUT" and "leases" in path:
            raise Forbidden("no.")

    api.before = before
    with pytest.raises(ClusterError, match="^no. The rollout was asked to be aborted all the same"):
        task("person", state="aborted")
    api.before = lambda _method, _path: None
    assert task("one", until="end")["outcome"] == "rolled_back"


def _rolled_out_before(api: DrivenApi, clock: FakeClock) -> None:
    """The second version has everything, and there is one before it."""
    api.cluster.patch({"spec": {"predictor": NEW}})
    for _unused in range(8):
        clock.sleep(1)
    assert (served(api), api.cluster.previous) == ({R2: 1.0}, R1)


def _canonical(predictor: dict[str, Any]) -> dict[str, Any]:
    """As KServe's webhooks write quantities, and the CRD's schema drops fields that it does not know."""
    kept = copy.deepcopy(predictor)
    kept["model"].pop("storageURI", None)
    for each in kept["model"].get("resources", {}).values():
        each.update({key: str(value) for key, value in each.items()})
    return kept


def test_what_was_rolled_out_with_a_number_of_cpus_is_rolled_out(task: Task, api: DrivenApi) -> None:
    api.cluster.kept = _canonical
    version = {"model": {**NEW["model"], "resources": {"limits": {"cpu": 1}}}}
    assert task("one", predictor=version, until="end")["outcome"] == "promoted"
    before = len(api.patches)
    again = task("two", predictor=version, until="end")
    assert (again["changed"], again["outcome"]) == (False, "promoted")
    assert len(api.patches) == before


def test_a_version_of_which_nothing_is_kept_takes_nothing_from_the_one_that_serves(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    """In Knative mode its 0 % would give everything to the version before."""
    _rolled_out_before(api, clock)
    api.cluster.kept = _canonical
    for check_mode in (True, False):
        with pytest.raises(ClusterError, match="look for one that is misspelt"):
            task("one", predictor={"model": {"storageURI": "gs://models/3"}}, check_mode=check_mode)
    assert api.patches == []


@pytest.mark.parametrize("error", [NoDryRun, Forbidden, Conflict, Unreachable])
def test_what_a_dry_run_does_not_tell_keeps_no_rollout_from_beginning(
    task: Task, api: DrivenApi, monkeypatch: pytest.MonkeyPatch, error: type[ClusterError]
) -> None:
    """As where KServe's webhook is away for a moment: the patch is sent until it is taken."""
    merge = api.merge

    def refused(path: str, patch: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        if dry_run:
            raise error("failed calling webhook")
        return merge(path, patch)

    monkeypatch.setattr(api, "merge", refused)
    assert task("one", until="end")["outcome"] == "promoted"


def test_what_serves_already_and_is_not_ready_is_waited_for(
    task: Task, api: DrivenApi, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _rolled_out_before(api, clock)
    whole = api.cluster.object
    conditions = {"conditions": [{"type": "Ready", "status": "False"}]}
    monkeypatch.setattr(
        api.cluster, "object", lambda: {**(now := whole()), "status": {**now["status"], **conditions}}
    )
    with pytest.raises(ClusterError, match=f"{R2} serves already, and the InferenceService is not Ready"):
        task("one")
    assert api.patches == []


def test_what_another_one_rolled_out_while_the_lease_was_waited_for_is_seen(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    _rolled_out_before(api, clock)
    # Somebody who was killed holds it; and meanwhile somebody applies the version by hand.
    gone = {"metadata": {"name": "iris-rollout"}, "spec": {"holderIdentity": "gone"}}
    api.create("/apis/coordination.k8s.io/v1/namespaces/default/leases", gone)
    by_hand = {"spec": {"predictor": {"model": {"storageUri": "gs://models/4"}}}}
    at = clock.now + 6
    clock.on_sleep.append(lambda now: api.cluster.patch(by_hand) if now >= at else None)
    with pytest.raises(ClusterError, match="serves already"):
        task("one", predictor=by_hand["spec"]["predictor"])
    assert api.patches == []


def test_a_promotion_that_cannot_be_taken_back_stays_an_end(
    task: Task, api: DrivenApi, clock: FakeClock
) -> None:
    assert task("one", until="end")["outcome"] == "promoted"
    api.cluster.patch({"spec": {"predictor": {"model": {"storageUri": "gs://models/3"}}}})
    for _unused in range(8):
        clock.sleep(1)
    before = len(api.patches)
    for check_mode in (True, False):
        with pytest.raises(ClusterError, match="cannot be aborted: somebody else changed"):
            task("person", state="aborted", check_mode=check_mode)
    assert len(api.patches) == before
    assert (
        task("two", predictor={"model": {"storageUri": "gs://models/4"}}, until="end")["outcome"]
        == "promoted"
    )


@pytest.mark.parametrize("asked", ["paused", "resumed", "promoted"])
def test_the_way_back_cannot_be_asked_for_anything_else(task: Task, api: DrivenApi, asked: str) -> None:
    task("one", lease_seconds=0.0)
    api.pods[0]["status"] = {**CONDITIONS, "containerStatuses": [{"name": "c", "restartCount": 1}]}
    timed = {"until": "end", "timeout": 1, "lease_seconds": 0.0}
    while served(api) != {R1: 1.0}:
        task("one", **timed)
    with pytest.raises(ClusterError, match=f"goes back to {R1} .*, and cannot be {asked} any more"):
        task("person", state=asked)
    assert task("person", state="aborted")["outcome"] == "rolled_back"


def test_a_step_that_takes_longer_than_its_deadline_is_told_of_before(task: Task) -> None:
    steps = [{"percent": 10, "seconds": 3.0, "answers": 10_000}, {"percent": 50, "seconds": 3.0}]
    found = task("one", check_mode=True, steps=steps, rate=10.0)
    told = [each["text"] for each in found["transitions"] if each["event"] == "foretold"]
    assert [text for text in told if "which is more than its deadline" in text] == [told[1]]
    assert told[1].startswith("give the canary 10 %, at least 10000 s, which is more than its deadline: {")


def test_a_task_has_the_time_to_go_back_from_what_is_not_over_by_the_deadline(
    task: Task, api: DrivenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells of the canary's answers, so the gate never passes."""
    monkeypatch.setattr(driver, "TICK_SECONDS", 10.0)
    endless = [{"percent": 10, "deadline": 9000.0}]
    found = task("one", steps=endless, gates=[{"type": "losses"}], deadline=7300.0, lease_seconds=0.0)
    assert (found["outcome"], found["message"]) == ("rolled_back", "not over after 7300 s")
    assert served(api) == {R1: 1.0}


def test_a_task_takes_no_longer_than_it_is_told(task: Task, clock: FakeClock) -> None:
    began = clock()
    found = task("one", gates=[{"type": "losses"}], timeout=40, lease_seconds=0.0)
    assert (found["outcome"], clock() - began) == ("timeout", pytest.approx(40, abs=2))
