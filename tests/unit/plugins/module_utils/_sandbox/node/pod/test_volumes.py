# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod import volumes
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.volumes import VolumeError

CONFIGMAP = {"name": "v", "configMap": {"name": "c"}}


def test_data_of_decodes() -> None:
    coded = base64.b64encode(b"\xff").decode()
    assert volumes.data_of({"data": {"a": "ä"}, "binaryData": {"b": coded}}) == {
        "a": "ä".encode(),
        "b": b"\xff",
    }
    assert volumes.data_of({}) == {}


def test_location(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    assert volumes.location({"name": "v", "emptyDir": {}}, tmp_path, shared) == tmp_path / "v"
    assert volumes.location(CONFIGMAP, tmp_path, shared) == tmp_path / "v"
    inside = {"name": "v", "hostPath": {"path": "/sandbox/gateway/x"}}
    assert volumes.location(inside, tmp_path, shared) == shared / "gateway/x"


@pytest.mark.parametrize("path", ["/etc", "/sandboxes/x", "/sandbox/../etc", "sandbox/x"])
def test_host_paths_elsewhere_are_not_offered(path: str, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="offered"):
        volumes.location({"name": "v", "hostPath": {"path": path}}, tmp_path, tmp_path)


def test_own_volumes_and_their_configmaps() -> None:
    account = {"name": "x", "projected": {}}
    mount = {"name": "x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    spec = {
        "volumes": [CONFIGMAP, account, {"name": "e", "emptyDir": {}}],
        "containers": [{"volumeMounts": [mount]}],
    }
    assert [one["name"] for one in volumes.own_volumes({"spec": spec})] == ["v", "e"]
    assert volumes.configmaps({"spec": spec}) == {"c"}


@pytest.mark.parametrize("kind", [{"emptyDir": {}}, {"hostPath": {"path": "/sandbox/a"}}])
def test_a_folder_is_made_and_left_alone(kind: dict[str, Any], tmp_path: Path) -> None:
    where = tmp_path / "deep" / "v"
    assert not volumes.show({"name": "v", **kind}, where, lambda _name: None)
    (where / "own").touch()
    assert not volumes.show({"name": "v", **kind}, where, lambda _name: None)
    assert (where / "own").exists()


def test_a_configmap_is_shown_once_it_is_there(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match='configmap "c" not found'):
        volumes.show(CONFIGMAP, tmp_path / "v", lambda _name: None)
    found = {"c": {"data": {"k": "one"}}}
    assert volumes.show(CONFIGMAP, tmp_path / "v", found.get)
    assert not volumes.show(CONFIGMAP, tmp_path / "v", found.get)
    assert shown(tmp_path / "v") == {"k": b"one"}


def shown(where: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in where.iterdir() if not entry.name.startswith("..")}


def test_write_shows_changes_all_at_once(tmp_path: Path) -> None:
    assert volumes.write(tmp_path, {"a": b"1", "b": b"1"})
    assert shown(tmp_path) == {"a": b"1", "b": b"1"}
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o644
    before = os.readlink(tmp_path / "..data")

    assert not volumes.write(tmp_path, {"a": b"1", "b": b"1"})
    assert os.readlink(tmp_path / "..data") == before

    assert volumes.write(tmp_path, {"a": b"2", "c": b"2"})
    assert shown(tmp_path) == {"a": b"2", "c": b"2"}
    assert os.readlink(tmp_path / "..data") != before
    assert not (tmp_path / before).exists()


def test_write_mends_what_was_interrupted(tmp_path: Path) -> None:
    (tmp_path / "..data_tmp").symlink_to("nowhere")
    (tmp_path / "..data").symlink_to("gone")
    assert volumes.write(tmp_path, {"a": b"1"})
    assert shown(tmp_path) == {"a": b"1"}
