# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import pki
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import main as node


@pytest.fixture
def where(tmp_path: Path) -> paths.Layout:
    made = paths.Layout(tmp_path)
    made.processes.mkdir()
    return made


def run(where: paths.Layout, capsys: pytest.CaptureFixture[str]) -> str:
    """What the node says when it cannot run."""
    assert node.main(["--state-dir", str(where.root)]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    return said


def describe(where: paths.Layout, **programs: str) -> paths.Sandbox:
    made = paths.Sandbox("s", 9, "https://127.0.0.1:1", 0.0, programs=programs)
    paths.write_sandbox(where, made)
    return made


def test_a_folder_that_is_no_sandbox(where: paths.Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert "sandbox.json is missing" in run(where, capsys)
    assert "No such file" in run(paths.Layout(where.root / "none"), capsys)


def test_a_second_node(where: paths.Layout, capsys: pytest.CaptureFixture[str]) -> None:
    with open(where.root / "node.lock", "w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        assert "Another node" in run(where, capsys)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "clusters: 5", '{"current-context": "x", "contexts": [1]}']
)
def test_a_kubeconfig_that_cannot_be_used(
    content: str, where: paths.Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(where)
    where.node_kubeconfig.write_text(content)
    assert str(where.node_kubeconfig) in run(where, capsys)


def test_an_authority_that_is_none(where: paths.Layout, capsys: pytest.CaptureFixture[str]) -> None:
    describe(where)
    pki.create(where, "s", "127.9.0.2")
    pki.write_kubeconfigs(where, "https://127.0.0.1:1", "sandbox-s")
    text = where.node_kubeconfig.read_text()
    begin = text.index('certificate-authority-data": "') + len('certificate-authority-data": "')
    where.node_kubeconfig.write_text(text[:begin] + "AAAA" + text[text.index('"', begin) :])
    assert "The node cannot run" in run(where, capsys)


def test_what_a_pods_command_may_name(where: paths.Layout) -> None:
    sandbox = describe(
        where, envoy="/e/envoy", etcd="/k/etcd", prometheus="/p/prometheus", python3="/v/python3"
    )
    assert node._programs(sandbox) == {
        "python": "/v/python3",
        "python3": "/v/python3",
        "envoy": "/e/envoy",
        "prometheus": "/p/prometheus",
    }
