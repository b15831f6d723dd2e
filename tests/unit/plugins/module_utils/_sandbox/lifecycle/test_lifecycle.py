# SPDX-License-Identifier: GPL-3.0-or-later
"""What `sandbox.up` and `sandbox.down` do around the control plane itself."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import components, pki
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.lifecycle import (
    absent,
    library,
    parts,
    present,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import exclusive, records
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs import cache, find

PROGRAMS = find.Programs({"etcd": Path("/e")}, {"etcd": "3.5.1"})
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


class Home:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {"XDG_STATE_HOME": str(folder / "state"), "HOME": str(folder)}
        self.where = paths.layout("one", self.env)
        self.steps: list[str] = []
        self.boots: list[int] = []
        self.failures: list[Exception] = []

    def boot(self, where: paths.Layout, described: paths.Sandbox, _report: Any) -> list[str]:
        """Start stand-ins for the parts, unless this boot is to fail."""
        self.boots.append(described.network)
        if self.failures:
            start(where, "etcd", components.ROLE)
            raise self.failures.pop()
        return [part for part in parts.PARTS if start(where, part, role(part))]

    def up(self, name: str = "one", api_port: Optional[int] = None) -> present.Up:
        options = present.SandboxOptions(present.default_source(), self.folder / "cache", api_port=api_port)
        return present.up(name, options, self.steps.append, env=self.env)

    def down(self, name: str = "one") -> absent.Down:
        return absent.down(name, self.steps.append, cache_dir=self.folder / "cache", env=self.env)


def role(part: str) -> str:
    return "node" if part == "node" else components.ROLE


def start(where: paths.Layout, name: str, kind: str) -> Optional[records.Process]:
    if parts.running(where, name):
        return None
    return records.start(
        where.processes, name, SLEEPER, role=kind, log=where.root / "log", env={}, cwd=where.root
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    found = Home(tmp_path)
    monkeypatch.setattr(find, "obtain", lambda *_a, **_k: PROGRAMS)
    monkeypatch.setattr(present, "_boot", found.boot)
    monkeypatch.setattr(components.KubeClient, "healthy", lambda _self, _path: True)
    yield found
    for name in ("one", "two"):
        found.down(name)


def test_up_twice_then_down_twice(home: Home) -> None:
    first = home.up()
    assert first.changed
    assert first.sandbox == paths.read_sandbox(home.where)
    assert home.where.root.stat().st_mode & 0o777 == 0o700
    assert not home.up().changed
    removed = home.down()
    assert removed.changed
    assert removed.ended == ["node", "etcd", "kube-apiserver", "kube-controller-manager"]
    assert not (home.folder / "state/iter8-kfserving").exists()
    assert not home.down().changed


def test_two_sandboxes_have_two_networks(home: Home) -> None:
    one, two = home.up().sandbox, home.up("two").sandbox
    assert one is not None
    assert two is not None
    assert one.network != two.network
    home.down()
    assert home.where.root.parent.exists()
    assert not home.up("two").changed


def test_a_port_that_another_took_is_replaced_and_named_once_it_is_not(home: Home) -> None:
    home.failures = [components.PortTaken("taken")]
    outcome = home.up()
    assert outcome.changed
    assert len(home.boots) == 2
    assert outcome.sandbox is not None
    assert outcome.sandbox.network == home.boots[1]

    home.down()
    home.failures = [components.PortTaken("taken")] * 3
    with pytest.raises(components.PortTaken):
        home.up()
    home.down()
    home.failures = [components.PortTaken("taken")]
    with pytest.raises(components.PortTaken):
        home.up(api_port=components.choose_ports(None)["api"])


def test_a_boot_that_fails_ends_what_it_started_and_keeps_the_logs(home: Home) -> None:
    home.failures = [components.ControlPlaneError("died")]
    with pytest.raises(components.ControlPlaneError, match="died"):
        home.up()
    assert len(home.boots) == 1
    assert records.marked(home.where.root) == []
    assert (home.where.root / "log").exists()
    assert home.up().changed


def test_another_port_of_a_running_sandbox_is_refused(home: Home) -> None:
    outcome = home.up()
    assert outcome.sandbox is not None
    port = outcome.sandbox.ports["api"]
    assert not home.up(api_port=port).changed
    with pytest.raises(
        parts.SandboxError, match=f"has its API server on port {port}, not {port + 1}: remove"
    ):
        home.up(api_port=port + 1)


def test_programs_that_are_gone_are_obtained_again(home: Home) -> None:
    home.up()
    records.end_all(records.read_all(home.where.processes), 0)
    token = pki.token(home.where, pki.ADMIN)
    mended = home.up()
    assert mended.changed
    assert any(
        "not running: etcd, kube-apiserver, kube-controller-manager, node" in step for step in home.steps
    )
    assert pki.token(home.where, pki.ADMIN) == token


def test_the_copied_code_can_be_imported_with_other_collections_beside_it(home: Home, tmp_path: Path) -> None:
    home.up()
    other = tmp_path / "other/ansible_collections/some/thing"
    other.mkdir(parents=True)
    (other / "mod.py").write_text("value = 5\n")
    code = (
        "import ansible_collections.some.thing.mod as other\n"
        "import ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.paths as ours\n"
        "print(other.value, ours.__file__)\n"
    )
    env = {"PYTHONPATH": f"{home.where.lib}:{tmp_path}/other"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", str(home.where.lib / library.COLLECTION / "_sandbox/paths.py")]


def test_processes_are_ended_in_order(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.up()
    start(home.where, "pod-a", "pod")
    groups: list[set[str]] = []
    end_all = records.end_all

    def recording(several: Any, grace: float) -> Any:
        groups.append({process.role for process in several})
        return end_all(several, grace)

    monkeypatch.setattr(records, "end_all", recording)
    home.down()
    assert groups[:3] == [{"node"}, {"pod"}, {"control-plane"}]


def test_what_left_its_session_is_ended_too(home: Home) -> None:
    home.up()
    code = f"import subprocess\nsubprocess.Popen({SLEEPER!r}, start_new_session=True)"
    argv = [sys.executable, "-c", code]
    process = records.start(
        home.where.processes,
        "pod",
        argv,
        role="pod",
        log=home.where.root / "log",
        env={},
        cwd=home.where.root,
    )
    assert process.child is not None
    process.child.wait(10)
    assert any(each.startswith("marked-") for each in home.down().ended)
    assert records.marked(home.where.root) == []


def test_an_interrupted_removal_is_finished(home: Home) -> None:
    home.up()
    home.where.processes.rename(home.where.closed_processes)
    home.where.processes.mkdir()
    (home.where.closed_processes / "node.json").rename(home.where.processes / "node.json")
    assert set(home.down().ended) == set(parts.PARTS)
    assert not home.where.root.exists()


def test_nothing_starts_while_it_is_being_removed(home: Home) -> None:
    home.up()
    absent.close(home.where)
    with pytest.raises(records.ProcessError, match="cannot be started"):
        start(home.where, "pod-b", "pod")


def test_a_second_present_waits_for_the_first_and_says_so(home: Home) -> None:
    home.where.root.parent.mkdir(parents=True)
    with open(exclusive.lock_path(home.where), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                fcntl.flock(lock, fcntl.LOCK_UN)

        options = present.SandboxOptions(present.default_source(), home.folder / "cache")
        assert present.up("one", options, home.steps.append, env=home.env, sleep=sleep).changed
    assert len(naps) == 3
    assert home.steps.count("waiting for another run that works on the sandbox one") == 1


def test_a_lock_file_that_its_holder_removed_is_no_lock(home: Home) -> None:
    path = exclusive.lock_path(home.where)
    path.parent.mkdir(parents=True)
    taken = []

    def remove(_seconds: float) -> None:
        path.unlink()
        fcntl.flock(first, fcntl.LOCK_UN)

    with open(path, "w", encoding="utf-8") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with exclusive.locked(home.where, lambda: None, remove):
            taken.append(path.stat().st_ino)
            assert taken[0] != os.fstat(first.fileno()).st_ino


def test_absent_ends_what_a_killed_build_left(home: Home) -> None:
    where = home.folder / "cache"
    folder = where / "preparing-x"
    (folder / "processes").mkdir(parents=True)
    records.start(
        folder / "processes", "step-03", SLEEPER, role="build", log=folder / "l", env={}, cwd=folder
    )
    removed = home.down()
    assert removed.changed
    assert removed.ended == ["step-03"]
    assert list(where.glob("preparing-*")) == []


def test_a_failure_before_anything_runs_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        record = json.loads((home.where.processes / "present.json").read_text())
        assert record["pid"] == os.getpid()
        raise cache.BinariesError("no network")

    monkeypatch.setattr(find, "obtain", fail)
    with pytest.raises(cache.BinariesError):
        home.up()
    assert not (home.folder / "state/iter8-kfserving").exists()


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_sandbox_without_a_record_is_made_anew(home: Home, content: Optional[str]) -> None:
    home.up()
    old = records.read(home.where.processes / "etcd.json")
    assert old is not None
    home.where.record.unlink()
    if content is not None:
        home.where.record.write_text(content)
    assert present.would_change("one", home.env)
    assert home.up().changed
    assert not records.alive(old)
    assert "removing what an interrupted run left" in home.steps
    assert not present.would_change("one", home.env)


def test_would_remove_names_what_runs(home: Home) -> None:
    assert absent.would_remove("one", home.env) == []
    home.up()
    assert set(absent.would_remove("one", home.env)) == set(parts.PARTS)
    records.end_all([p for p in records.read_all(home.where.processes) if p.id == "node"], 0)
    assert "node" not in absent.would_remove("one", home.env)
