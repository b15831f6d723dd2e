# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import Unreachable
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.lease import (
    RENEW_SECONDS,
    SECONDS,
    HeldByAnother,
    Lease,
)
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock
from ansible_collections.iter8.kfserving.tests.support.driven import Knative
from ansible_collections.iter8.kfserving.tests.support.driven_api import DrivenApi


def lease_of(
    api: Any, holder: str, clock: FakeClock, wall: float = 1_700_000_000.0, playbook: str = ""
) -> Lease:
    return Lease(
        api,
        namespace="default",
        name="iris-rollout",
        holder=holder,
        clock=clock,
        wall=lambda: wall + clock.now,
        sleep=clock.sleep,
        playbook=playbook,
    )


@pytest.fixture
def api() -> DrivenApi:
    return DrivenApi(Knative())


def holder(api: DrivenApi) -> str:
    (found,) = [each for path, each in api.objects.items() if "leases" in path]
    return str(found["spec"]["holderIdentity"])


def test_the_first_one_takes_it_at_once(api: DrivenApi) -> None:
    clock = FakeClock()
    lease_of(api, "one", clock).acquire(print)
    assert (holder(api), clock.now) == ("one", 0.0)


def test_one_that_lives_is_not_replaced_and_is_named(api: DrivenApi) -> None:
    clock = FakeClock()
    one, two = lease_of(api, "one", clock), lease_of(api, "two", clock)
    one.acquire(print)
    clock.on_sleep.append(lambda _now: one.keep())
    with pytest.raises(HeldByAnother, match="one drives this rollout") as refused:
        two.acquire(print)
    assert refused.value.holder == "one"
    assert clock.now <= RENEW_SECONDS + 1
    assert holder(api) == "one"


def test_one_that_was_killed_is_replaced_once_its_time_is_over(api: DrivenApi) -> None:
    clock = FakeClock()
    lease_of(api, "one", clock).acquire(print)
    said: list[str] = []
    lease_of(api, "two", clock).acquire(said.append)
    assert holder(api) == "two"
    assert clock.now == pytest.approx(SECONDS, abs=1)
    assert "one was driving" in said[0]


@pytest.mark.parametrize("wall", [0.0, 4e9])
def test_clocks_that_differ_do_no_harm(api: DrivenApi, wall: float) -> None:
    """A holder whose clock is years off still lives as long as it renews, and is dead when it does not."""
    clock = FakeClock()
    one = lease_of(api, "one", clock, wall)
    one.acquire(print)
    clock.on_sleep.append(lambda _now: one.keep())
    with pytest.raises(HeldByAnother):
        lease_of(api, "two", clock).acquire(print)
    clock.on_sleep.clear()
    lease_of(api, "two", clock).acquire(print)
    assert holder(api) == "two"


def test_whoever_slept_too_long_has_lost_it(api: DrivenApi) -> None:
    clock = FakeClock()
    one = lease_of(api, "one", clock)
    one.acquire(print)
    lease_of(api, "two", clock).acquire(print)
    with pytest.raises(HeldByAnother, match="two holds the Lease"):
        one.renew()
    assert holder(api) == "two"


def test_of_two_who_try_only_one_succeeds(api: DrivenApi) -> None:
    clock = FakeClock()
    lease_of(api, "dead", clock).acquire(print)
    one, two = lease_of(api, "one", clock), lease_of(api, "two", clock)
    taken: list[str] = []

    def in_between(method: str, path: str) -> None:
        if method == "PUT" and not taken:
            taken.append("two")
            two.acquire(print)

    # Two takes it between one's look and one's write.
    clock.on_sleep.append(lambda now: setattr(api, "before", in_between) if now > 14 else None)
    with pytest.raises(HeldByAnother):
        one.acquire(print)
    assert holder(api) == "two"


def test_what_is_given_back_is_free_at_once(api: DrivenApi) -> None:
    clock = FakeClock()
    one = lease_of(api, "one", clock)
    one.acquire(print)
    one.release()
    lease_of(api, "two", clock).acquire(print)
    assert (holder(api), clock.now) == ("two", 0.0)
    one.release()
    assert holder(api) == "two"


def test_a_lease_that_somebody_deleted_is_made_anew(api: DrivenApi) -> None:
    clock = FakeClock()
    one = lease_of(api, "one", clock)
    one.acquire(print)
    api.objects.clear()
    one.renew()
    assert holder(api) == "one"


def test_a_server_that_is_away_is_no_lease(api: DrivenApi) -> None:
    clock = FakeClock()
    one = lease_of(api, "one", clock)
    one.acquire(print)

    def away(_method: str, _path: str) -> None:
        raise Unreachable("away")

    api.before = away
    with pytest.raises(Unreachable):
        one.renew()
    one.release()


def left(api: DrivenApi, clock: FakeClock, seconds: float = 600) -> None:
    one = lease_of(api, "one", clock, playbook="nightly")
    one.acquire(print)
    one.leave(seconds)


def test_what_is_left_to_a_playbook_is_its_next_tasks_at_once(api: DrivenApi) -> None:
    clock = FakeClock()
    left(api, clock)
    again = lease_of(api, "again", clock, playbook="nightly")
    again.acquire(print)
    assert (holder(api), clock.now) == ("again", 0.0)
    # It is held as any other from now on.
    clock.on_sleep.append(lambda _now: again.keep())
    with pytest.raises(HeldByAnother):
        lease_of(api, "two", clock).acquire(print)


def test_anybody_else_is_refused_at_once_with_the_name_and_for_how_long(api: DrivenApi) -> None:
    clock = FakeClock()
    left(api, clock)
    clock.sleep(100)
    for playbook in ("", "another"):
        told = "one drives this rollout, and is between two steps, for 500 s at most.*delete the Lease iris-r"
        with pytest.raises(HeldByAnother, match=told):
            lease_of(api, "two", clock, playbook=playbook).acquire(print)
    assert clock.now == 100


@pytest.mark.parametrize("ahead", [0.0, 1000.0])
def test_what_was_left_too_long_ago_is_free(api: DrivenApi, ahead: float) -> None:
    """By the clock of who looks: one that is ahead takes it early, and then the first one is refused."""
    clock = FakeClock()
    left(api, clock)
    clock.sleep(601 - ahead if ahead < 601 else 0)
    two = lease_of(api, "two", clock, 1_700_000_000.0 + ahead, playbook="another")
    two.acquire(print)
    assert holder(api) == "two"
    clock.on_sleep.append(lambda _now: two.keep())
    with pytest.raises(HeldByAnother, match="two drives"):
        lease_of(api, "again", clock, playbook="nightly").acquire(print)


def test_a_person_need_not_wait_and_gives_it_back_as_it_was(api: DrivenApi) -> None:
    clock = FakeClock()
    left(api, clock)
    clock.sleep(100)
    (before,) = [each for path, each in api.objects.items() if "leases" in path]
    person = lease_of(api, "person", clock)
    assert person.nobody_drives()
    person.acquire(print, by_a_person=True)
    assert holder(api) == "person"
    assert not person.nobody_drives()
    person.release(give_back=True)
    (after,) = [each for path, each in api.objects.items() if "leases" in path]
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]


def test_only_what_is_left_to_the_same_playbook_can_be_given_up(api: DrivenApi) -> None:
    clock = FakeClock()
    left(api, clock)
    assert not lease_of(api, "two", clock).give_up()
    assert not lease_of(api, "two", clock, playbook="another").give_up()
    assert lease_of(api, "again", clock, playbook="nightly").give_up()
    assert not lease_of(api, "again", clock, playbook="nightly").give_up()
    lease_of(api, "two", clock).acquire(print)
    assert (holder(api), clock.now) == ("two", 0.0)
