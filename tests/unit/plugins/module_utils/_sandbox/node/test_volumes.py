# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, Mapping, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import volumes
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.volumes import (
    Content,
    TokenRequest,
    VolumeError,
)

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}},
    "spec": {},
}
DATA = {("ConfigMap", "c"): {"one": b"1", "two": b"2"}, ("Secret", "s"): {"key": b"\x00secret"}}


def lookup(kind: str, name: str) -> Optional[Mapping[str, bytes]]:
    return DATA.get((kind, name))


def content(volume: dict[str, Any]) -> Optional[Content]:
    return volumes.content(
        POD, volume, ("127.1.1.1", "127.1.0.1"), lookup, lambda wish: f"{wish.audience}:{wish.seconds}"
    )


def files(**kept: tuple[bytes, int]) -> Content:
    return Content({name.replace("__", "/"): value for name, value in kept.items()})


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"configMap": {"name": "c"}}, files(one=(b"1", 0o644), two=(b"2", 0o644))),
        (
            {"configMap": {"name": "c", "defaultMode": 0o400, "items": [{"key": "one", "path": "sub/x"}]}},
            files(sub__x=(b"1", 0o400)),
        ),
        (
            {"configMap": {"name": "c", "items": [{"key": "two", "path": "x", "mode": 0o755}]}},
            files(x=(b"2", 0o755)),
        ),
        ({"configMap": {"name": "none", "optional": True}}, files()),
        (
            {"configMap": {"name": "c", "optional": True, "items": [{"key": "none", "path": "x"}]}},
            files(),
        ),
        ({"secret": {"secretName": "s", "defaultMode": 0o600}}, files(key=(b"\x00secret", 0o600))),
        (
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            files(l=(b'a="b"', 0o644)),
        ),
        (
            {
                "projected": {
                    "sources": [
                        {"configMap": {"name": "c", "items": [{"key": "one", "path": "ca.crt"}]}},
                        {
                            "serviceAccountToken": {
                                "path": "token",
                                "audience": "me",
                                "expirationSeconds": 600,
                            }
                        },
                    ]
                }
            },
            Content({"ca.crt": (b"1", 0o644), "token": (b"me:600", 0o600)}),
        ),
        ({"emptyDir": {}}, None),
        ({"hostPath": {"path": "/sandbox/x"}}, None),
    ],
)
def test_content(volume: dict[str, Any], expected: Optional[Content]) -> None:
    assert content({"name": "v", **volume}) == expected


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        ({"configMap": {"name": "c", "items": [{"key": "none", "path": "x"}]}}, "no key 'none'"),
        ({"configMap": {"name": "c", "items": [{"key": "one", "path": "../x"}]}}, "leads out"),
        ({"configMap": {"name": "c", "items": [{"key": "one", "path": "/etc/x"}]}}, "leads out"),
    ],
)
def test_content_that_cannot_be_had(volume: dict[str, Any], text: str) -> None:
    with pytest.raises(VolumeError, match=text):
        content({"name": "v", **volume})


def test_data_of_decodes() -> None:
    coded = base64.b64encode(b"\xff").decode()
    assert volumes.data_of({"kind": "ConfigMap", "data": {"a": "ä"}, "binaryData": {"b": coded}}) == {
        "a": "ä".encode(),
        "b": b"\xff",
    }
    assert volumes.data_of({"kind": "Secret", "data": {"a": coded}}) == {"a": b"\xff"}
    assert volumes.data_of({"kind": "ConfigMap"}) == {}


def test_location(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    assert volumes.location({"name": "v", "emptyDir": {}}, tmp_path, shared) == tmp_path / "v"
    inside = {"name": "v", "hostPath": {"path": "/sandbox/gateway/x"}}
    assert volumes.location(inside, tmp_path, shared) == shared / "gateway/x"


@pytest.mark.parametrize(
    "volume",
    [
        {"hostPath": {"path": "/etc"}},
        {"hostPath": {"path": "/sandboxes/x"}},
        {"hostPath": {"path": "/sandbox/../etc"}},
        {"nfs": {}},
        {},
    ],
)
def test_location_that_is_not_offered(volume: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="offered"):
        volumes.location({"name": "v", **volume}, tmp_path, tmp_path)


def test_prepare(tmp_path: Path) -> None:
    volumes.prepare({"name": "v", "emptyDir": {}}, tmp_path / "empty")
    volumes.prepare(
        {"name": "v", "hostPath": {"path": "/sandbox/a", "type": "DirectoryOrCreate"}}, tmp_path / "a"
    )
    assert (tmp_path / "empty").is_dir()
    assert (tmp_path / "a").is_dir()
    with pytest.raises(VolumeError, match="is not a directory"):
        volumes.prepare(
            {"name": "v", "hostPath": {"path": "/sandbox/b", "type": "Directory"}}, tmp_path / "b"
        )


def test_references() -> None:
    listed = [
        {"name": "a", "configMap": {"name": "c"}},
        {"name": "b", "secret": {"secretName": "s"}},
        {"name": "d", "projected": {"sources": [{"configMap": {"name": "p"}}, {"secret": {"name": "q"}}]}},
    ]
    pod = {"spec": {"volumes": listed}}
    assert volumes.references(pod, "configMap") == {"c", "p"}
    assert volumes.references(pod, "secret") == {"s", "q"}


def shown(where: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in where.iterdir() if not entry.name.startswith("..")}


def test_write_shows_changes_all_at_once(tmp_path: Path) -> None:
    where = tmp_path / "v"
    assert volumes.write(where, Content({"a": (b"1", 0o644), "b": (b"1", 0o600)}))
    assert shown(where) == {"a": b"1", "b": b"1"}
    assert (where / "b").stat().st_mode & 0o777 == 0o600
    before = os.readlink(where / "..data")

    assert not volumes.write(where, Content({"a": (b"1", 0o644), "b": (b"1", 0o600)}))
    assert os.readlink(where / "..data") == before

    assert volumes.write(where, Content({"a": (b"2", 0o644), "c": (b"2", 0o644)}))
    assert shown(where) == {"a": b"2", "c": b"2"}
    assert os.readlink(where / "..data") != before
    assert not (where / before).exists()


def test_write_makes_folders(tmp_path: Path) -> None:
    volumes.write(tmp_path / "v", Content({"sub/deep/a": (b"1", 0o644)}))
    assert (tmp_path / "v/sub/deep/a").read_bytes() == b"1"


def test_write_mends_what_was_interrupted(tmp_path: Path) -> None:
    where = tmp_path / "v"
    where.mkdir()
    (where / "..data_tmp").symlink_to("nowhere")
    (where / "..data").symlink_to("gone")
    assert volumes.write(where, Content({"a": (b"1", 0o644)}))
    assert shown(where) == {"a": b"1"}


def test_token_requests_are_hashable_by_what_they_ask() -> None:
    assert len({TokenRequest("t", "a", 1), TokenRequest("t", "a", 1), TokenRequest("t", "b", 1)}) == 2
