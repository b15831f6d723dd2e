# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of changes, against an Envoy that only does what its files tell it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway import config
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway.admin import GatewayState
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway.config import GatewayFiles
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.routes import (
    CONFIRM_SECONDS,
    DRAIN_LIMIT_SECONDS,
    DRAIN_SECONDS,
    GatewayWriter,
)

OLD, NEW = "ns/old", "ns/new"
PODS = {OLD: [("127.9.0.2", 8080)], NEW: [("127.9.0.3", 8080)]}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeEnvoy:
    """Takes files over, and refuses routes to clusters that it lacks, as ``validate_clusters`` does."""

    def __init__(self, files: GatewayFiles) -> None:
        self.files = files
        self.cds: Any = config.cds_document({})
        self.rds: Any = config.rds_document({})
        self.rejected = 0
        self.active: dict[str, int] = {}
        self.deaf = False
        self.gone = False

    def state(self) -> GatewayState:
        if self.gone:
            raise ConnectionRefusedError("gone")
        if not self.deaf:
            self._read()
        return GatewayState(
            self.cds["version_info"], self.rds["version_info"], 0, self.active, 0, 0, self.rejected
        )

    def _read(self) -> None:
        cds, rds = self.files.read(config.CDS_FILE), self.files.read(config.RDS_FILE)
        used = {name for weights in config.hosts_of(self.rds).values() for name in weights}
        assert used <= set(config.endpoints_of(cds)), "a cluster was removed that a route still names"
        self.cds = cds
        named = {name for weights in config.hosts_of(rds).values() for name in weights}
        if named <= set(config.endpoints_of(cds)):
            self.rds = rds
        else:
            self.rejected += 1


@pytest.fixture
def files(tmp_path: Path) -> GatewayFiles:
    made = GatewayFiles(tmp_path)
    made.create_if_missing()
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writer(files: GatewayFiles, clock: Clock) -> GatewayWriter:
    return GatewayWriter(files, clock, clock.sleep)


@pytest.fixture
def proxy(files: GatewayFiles) -> FakeEnvoy:
    return FakeEnvoy(files)


def split(old: int, new: int) -> dict[str, dict[str, int]]:
    return {"h": {name: weight for name, weight in ((OLD, old), (NEW, new)) if weight}}


def test_old_cluster_outlives_its_routes_until_it_is_drained(
    writer: GatewayWriter, proxy: FakeEnvoy, clock: Clock
) -> None:
    assert writer.apply(split(100, 0), PODS, [proxy]).clusters == {OLD}
    both = writer.apply(split(50, 50), PODS, [proxy])
    assert (both.confirmed, both.clusters, both.draining) == (True, {OLD, NEW}, False)
    moved = writer.apply(split(0, 100), PODS, [proxy])
    assert (moved.confirmed, moved.clusters, moved.draining) == (True, {OLD, NEW}, True)
    assert config.hosts_of(proxy.rds) == split(0, 100)
    clock.now += DRAIN_SECONDS - 0.01
    assert writer.apply(split(0, 100), PODS, [proxy]).clusters == {OLD, NEW}
    clock.now += 0.02
    proxy.active = {OLD: 1}
    assert writer.apply(split(0, 100), PODS, [proxy]).clusters == {OLD, NEW}
    proxy.active = {OLD: 0}
    done = writer.apply(split(0, 100), PODS, [proxy])
    assert (done.clusters, done.draining) == ({NEW}, False)
    assert set(config.endpoints_of(proxy.cds)) == {NEW}


def test_request_that_never_ends_does_not_hold_a_cluster_for_ever(
    writer: GatewayWriter, proxy: FakeEnvoy, clock: Clock
) -> None:
    writer.apply(split(100, 0), PODS, [proxy])
    writer.apply(split(0, 100), PODS, [proxy])
    proxy.active = {OLD: 1}
    clock.now += DRAIN_LIMIT_SECONDS
    assert writer.apply(split(0, 100), PODS, [proxy]).clusters == {NEW}


def test_cluster_that_gets_routes_again_starts_a_new_drain(
    writer: GatewayWriter, proxy: FakeEnvoy, clock: Clock
) -> None:
    writer.apply(split(100, 0), PODS, [proxy])
    writer.apply(split(0, 100), PODS, [proxy])
    writer.apply(split(50, 50), PODS, [proxy])
    clock.now += DRAIN_SECONDS * 2
    assert writer.apply(split(0, 100), PODS, [proxy]).clusters == {OLD, NEW}
    assert writer.apply(split(0, 100), PODS, [proxy]).clusters == {OLD, NEW}


def test_drain_starts_anew_even_after_routes_that_were_not_confirmed(
    writer: GatewayWriter, proxy: FakeEnvoy, clock: Clock
) -> None:
    writer.apply(split(100, 0), PODS, [proxy])
    writer.apply(split(0, 100), PODS, [proxy])
    clock.now += DRAIN_SECONDS / 2
    proxy.deaf = True
    assert not writer.apply(split(50, 50), PODS, [proxy]).confirmed
    proxy.deaf = False
    clock.now += DRAIN_SECONDS
    assert writer.apply(split(0, 100), PODS, [proxy]).clusters == {OLD, NEW}
    assert writer.apply(split(0, 100), PODS, [proxy]).clusters == {OLD, NEW}


def test_new_writer_drains_what_the_last_one_left(
    files: GatewayFiles, writer: GatewayWriter, proxy: FakeEnvoy, clock: Clock
) -> None:
    writer.apply(split(100, 0), PODS, [proxy])
    writer.apply(split(0, 100), PODS, [proxy])
    clock.now += DRAIN_SECONDS * 2
    successor = GatewayWriter(files, clock, clock.sleep)
    assert successor.applied() == split(0, 100)
    assert successor.apply(split(0, 100), PODS, [proxy]).clusters == {OLD, NEW}
    clock.now += DRAIN_SECONDS
    assert successor.apply(split(0, 100), PODS, [proxy]).clusters == {NEW}


def test_routes_wait_for_their_clusters(writer: GatewayWriter, proxy: FakeEnvoy, files: GatewayFiles) -> None:
    writer.apply(split(100, 0), PODS, [proxy])
    proxy.deaf = True
    stuck = writer.apply(split(0, 100), PODS, [proxy])
    assert not stuck.confirmed
    assert f"within {CONFIRM_SECONDS:g} s" in stuck.problem
    assert stuck.clusters == {OLD, NEW}
    assert config.hosts_of(files.read(config.RDS_FILE)) == split(100, 0)
    proxy.deaf = False
    assert writer.apply(split(0, 100), PODS, [proxy]).confirmed


def test_refused_update_is_a_problem_at_once(
    writer: GatewayWriter, proxy: FakeEnvoy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        proxy.rejected += 1

    monkeypatch.setattr(proxy, "_read", refuse)
    outcome = writer.apply(split(100, 0), PODS, [proxy])
    assert "refused version" in outcome.problem
    assert clock.now == 0


def test_gateway_that_started_before_the_last_write_is_told_again(
    files: GatewayFiles, writer: GatewayWriter, proxy: FakeEnvoy
) -> None:
    writer.apply(split(100, 0), PODS, [proxy])
    late = FakeEnvoy(files)
    late.deaf = True
    inode = (files.folder / config.CDS_FILE).stat().st_ino
    assert not writer.apply(split(100, 0), PODS, [proxy, late]).confirmed
    assert (files.folder / config.CDS_FILE).stat().st_ino != inode


def test_without_a_gateway_the_files_wait_for_one(writer: GatewayWriter, files: GatewayFiles) -> None:
    outcome = writer.apply(split(100, 0), PODS, [])
    assert (outcome.confirmed, outcome.problem) == (False, "No gateway is ready.")
    assert config.hosts_of(files.read(config.RDS_FILE)) == split(100, 0)


def test_gateway_that_does_not_answer_is_a_problem_and_keeps_clusters(
    writer: GatewayWriter, proxy: FakeEnvoy, clock: Clock
) -> None:
    writer.apply(split(100, 0), PODS, [proxy])
    writer.apply(split(0, 100), PODS, [proxy])
    clock.now += DRAIN_SECONDS * 2
    proxy.gone = True
    outcome = writer.apply(split(0, 100), PODS, [proxy])
    assert "does not answer" in outcome.problem
    assert outcome.clusters == {OLD, NEW}


def test_endpoints_follow_the_pods(writer: GatewayWriter, proxy: FakeEnvoy) -> None:
    writer.apply(split(100, 0), PODS, [proxy])
    assert writer.apply(split(100, 0), {OLD: [("127.9.0.9", 8080)]}, [proxy]).confirmed
    assert config.endpoints_of(proxy.cds) == {OLD: [("127.9.0.9", 8080)]}
    writer.apply(split(100, 0), {}, [proxy])
    assert config.endpoints_of(proxy.cds) == {OLD: []}
