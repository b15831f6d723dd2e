# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import store
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.facts import (
    ContainerFacts,
    PodFacts,
    Running,
    Terminated,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.paths import Layout


def layout(tmp_path: Path) -> Layout:
    where = Layout(tmp_path)
    where.pods.mkdir()
    return where


def facts(address: str) -> PodFacts:
    ended = Terminated(1, "Error", 1.0, 2.0)
    return PodFacts(
        address,
        "127.9.0.1",
        5.0,
        {"a": ContainerFacts(Running(3.0), ended, 2, True, "pod-1", 20.0), "b": ContainerFacts()},
    )


def pod(where: Layout, name: str, address: str) -> store.PodFolder:
    folder = store.PodFolder(where.pod("n", name, f"uid-{name}"))
    folder.create()
    folder.save(facts(address))
    return folder


def test_facts_are_kept(tmp_path: Path) -> None:
    folder = pod(layout(tmp_path), "p", "127.9.1.1")
    assert folder.load() == facts("127.9.1.1")
    assert folder.uid == "uid-p"


def test_facts_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    folder = pod(layout(tmp_path), "p", "127.9.1.1")
    (folder.path / "pod.json").write_text('{"address": ')
    assert folder.load() is None
    assert store.PodFolder(tmp_path / "n_none_u").load() is None


def test_only_the_owner_can_read_credentials(tmp_path: Path) -> None:
    folder = pod(layout(tmp_path), "p", "127.9.1.1")
    assert folder.path.stat().st_mode & 0o077 == 0
    assert folder.service_account.stat().st_mode & 0o077 == 0


def test_a_retired_pod_leaves_its_logs(tmp_path: Path) -> None:
    folder = pod(layout(tmp_path), "p", "127.9.1.1")
    folder.log("a").write_text("said")
    (folder.service_account / "token").write_text("secret")
    folder.kubeconfig.write_text("secret")
    (folder.volumes / "link").symlink_to(tmp_path)
    assert not folder.retired
    folder.retire()
    assert folder.retired
    assert [entry.name for entry in folder.path.iterdir()] == ["a.log"]
    assert tmp_path.exists()


def test_old_logs_are_removed_and_living_pods_are_not(tmp_path: Path) -> None:
    where = layout(tmp_path)
    living = pod(where, "living", "127.9.1.1")
    for number in range(60):
        folder = pod(where, f"gone{number}", "127.9.1.2")
        folder.retire()
        os.utime(folder.path, (number, number))
    store.prune_logs(where)
    left = {folder.path.name for folder in store.folders(where)}
    assert left == {living.path.name} | {f"n_gone{number}_uid-gone{number}" for number in range(10, 60)}


def test_addresses_are_given_in_turn(tmp_path: Path) -> None:
    addresses = store.Addresses(layout(tmp_path), 9)
    assert [addresses.take() for _unused in range(3)] == ["127.9.1.1", "127.9.1.2", "127.9.1.3"]
    addresses.give_back("127.9.1.1")
    assert addresses.take() == "127.9.1.4"
    for _unused in range(250):
        last = addresses.take()
    assert last == "127.9.1.254"
    assert addresses.take() == "127.9.2.1"


def test_addresses_go_on_where_another_node_stopped(tmp_path: Path) -> None:
    where = layout(tmp_path)
    store.Addresses(where, 9).take()
    assert store.Addresses(where, 9).take() == "127.9.1.2"


def test_addresses_of_living_pods_are_left_out(tmp_path: Path) -> None:
    where = layout(tmp_path)
    pod(where, "living", "127.9.1.1")
    pod(where, "gone", "127.9.1.2").retire()
    addresses = store.Addresses(where, 9)
    assert [addresses.take(), addresses.take()] == ["127.9.1.2", "127.9.1.3"]


def test_addresses_begin_again_after_the_last(tmp_path: Path) -> None:
    where = layout(tmp_path)
    (where.pods / "next-address").write_text(str(254 * 254 - 1))
    addresses = store.Addresses(where, 9)
    assert [addresses.take(), addresses.take()] == ["127.9.254.254", "127.9.1.1"]
