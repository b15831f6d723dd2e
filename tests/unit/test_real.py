# SPDX-License-Identifier: GPL-3.0-or-later
"""What of `make real` can be wrong without a cluster."""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ..real import __main__ as program
from ..real import cluster
from ..real.node import configuration, namespaces
from ..real.node.places import Places
from ..real.programs import images, recipes
from ..real.rollout import routed, shares
from ..real.stack import gateway, manifests

GO_MOD = """\
module k8s.io/kubernetes

replace (
    k8s.io/api => ./staging/src/k8s.io/api
    k8s.io/client-go => ./staging/src/k8s.io/client-go
)
"""


def test_an_image_is_an_oci_layout_whose_digests_are_those_of_its_files(tmp_path: Path) -> None:
    program_file = tmp_path / "program"
    program_file.write_bytes(b"content")
    images.write(tmp_path / "image.tar", "dev.local/a:1", program_file, "bin/a")
    with tarfile.open(tmp_path / "image.tar") as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    (told,) = json.loads(files["index.json"])["manifests"]
    assert told["annotations"]["io.containerd.image.name"] == "dev.local/a:1"

    def blob(reference: dict[str, Any]) -> bytes:
        content = files["blobs/sha256/" + reference["digest"].removeprefix("sha256:")]
        assert len(content) == reference["size"]
        return content

    manifest = json.loads(blob(told))
    config = json.loads(blob(manifest["config"]))
    assert config["config"]["Entrypoint"] == ["/bin/a"]
    assert config["config"]["User"].isdigit()
    assert config["config"]["User"] != "0"
    layer = tmp_path / "layer.tar"
    layer.write_bytes(blob(manifest["layers"][0]))
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    with tarfile.open(layer) as tar:
        entry = tar.getmember("bin/a")
        assert entry.mode == 0o755
        assert tar.extractfile(entry).read() == b"content"  # type: ignore[union-attr]


def test_two_writes_of_an_image_give_one_file(tmp_path: Path) -> None:
    program_file = tmp_path / "program"
    program_file.write_bytes(b"content")
    for name in ("one", "two"):
        images.write(tmp_path / name, "dev.local/a:1", program_file, "a")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_only_wanted_documents_are_parsed_and_licences_are_none(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(
        "# A licence.\n---\nkind: A\nmetadata:\n  name: one\n--- # note\nkind: B\nmetadata:\n  name: two\n"
        "---\nkind: C\nmetadata:\n  name: three\n  broken: [\n"
    )
    found = manifests.read([file], lambda kind, name: (kind, name) in (("A", "one"), ("B", "two")))
    assert [each["metadata"]["name"] for each in found] == ["one", "two"]


def test_no_image_is_pulled_and_requests_are_lowered_and_cpu_is_not_limited() -> None:
    container: dict[str, Any] = {
        "image": "ko://a",
        "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    }
    deployment = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [container]}}}}
    manifests.use_what_is_there([deployment, {"kind": "Service"}])
    assert container["imagePullPolicy"] == "Never"
    assert container["resources"] == {
        "requests": {"cpu": "10m", "memory": "20Mi"},
        "limits": {"memory": "1Gi"},
    }


def test_published_modules_stand_for_the_staged_ones(tmp_path: Path) -> None:
    text = recipes.KUBERNETES.adapt(GO_MOD, tmp_path, None)  # type: ignore[arg-type]
    assert "./staging" not in text
    assert f"k8s.io/api => k8s.io/api v0.{recipes.KUBERNETES_VERSION.partition('.')[2]}" in text


def test_a_listener_has_the_port_of_its_entry_point() -> None:
    """Else Traefik attaches no route to it."""
    _class, made = gateway.gateway("kserve", "gateway")
    (listener,) = made["spec"]["listeners"]
    deployment = next(each for each in gateway.documents("image") if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert f"--entrypoints.gateway.address=:{listener['port']}" in container["args"]


@pytest.mark.parametrize(
    ("traffic", "wanted", "done"),
    [
        ([("r2", 20), ("r1", 80)], {"r2": 20, "r1": 80}, True),
        # The percents are there, and both are of the old revision.
        ([("r1", 20), ("r1", 80)], {"r2": 20, "r1": 80}, False),
        ([("r2", 0), ("r1", 100)], {"r1": 100}, True),
        # Rolled back after the promotion, for a moment: "prev" has all, and is the bad one.
        ([("r2", 0), ("r2", 100)], {"r1": 100}, False),
    ],
)
def test_traffic_is_told_by_the_names_of_revisions(
    traffic: list[tuple[str, int]], wanted: dict[str, int], done: bool
) -> None:
    entries = [{"revisionName": name, "percent": percent} for name, percent in traffic]
    status = {
        "url": "http://m",
        "conditions": [{"type": "Ready", "status": "True"}],
        "components": {"predictor": {"traffic": entries}},
    }
    assert routed(wanted)({"status": status}) is done
    assert sum(shares({"status": status}).values()) == 100


def test_the_machine_is_told_all_that_it_lacks_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(cluster.shutil, "which", lambda tool, path=None: None if tool == "nsenter" else tool)
    with pytest.raises(cluster.CannotRun) as caught:
        cluster.require_machine({cluster.MANAGER: str(tmp_path / "manager")})
    for words in ("root", "nsenter", "REAL_KSERVE_MANAGER", *cluster.NAMED):
        assert words in str(caught.value)


def test_a_manager_that_asks_for_a_loader_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(cluster.CannotRun, match="CGO_ENABLED=0"):
        cluster.require_machine({cluster.MANAGER: sys.executable})
    script = tmp_path / "manager"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert not cluster._needs_a_loader(script)


def test_a_machine_that_cannot_run_it_is_exit_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacks() -> None:
        raise cluster.CannotRun("It needs root.")

    monkeypatch.setattr(cluster, "require_machine", lacks)
    assert program.main(["up"]) == 2
    assert "It needs root." in capsys.readouterr().err


def test_half_a_name_of_a_cluster_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in cluster.NAMED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REAL_KUBECONFIG", "/nowhere")
    assert program.main(["test"]) == 2
    assert "REAL_CONTEXT" in capsys.readouterr().err


def test_two_state_folders_have_control_groups_of_their_own(tmp_path: Path) -> None:
    one, two = Places(tmp_path / "a"), Places(tmp_path / "b")
    assert set(namespaces.cgroups(one)).isdisjoint(namespaces.cgroups(two))


def test_the_configuration_names_only_folders_of_the_node(tmp_path: Path) -> None:
    where = Places(tmp_path / "real")
    configuration.write(where, tmp_path / "tools/cni")
    kubelet = json.loads((where.config / "kubelet.json").read_text())
    assert kubelet["cgroupRoot"] == f"/{where.cgroup}"
    for key in ("podLogsDir", "resolvConf"):
        assert kubelet[key].startswith(str(where.root))
    assert f'root = "{where.root}/containerd"' in (where.config / "containerd.toml").read_text()
