# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs import cache
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.cache import BinariesError
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.debian import apt as debian
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.debian import build

DEB822 = """\
Types: deb
# a remark
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
"""
EXPECTED = """\
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
"""


def etc(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "etc").mkdir(exist_ok=True)
    return folder / "etc"


@pytest.mark.parametrize(
    ("files", "codename", "expected"),
    [
        ({"sources.list.d/debian.sources": DEB822}, "bookworm", EXPECTED),
        (
            {"sources.list.d/debian.sources": DEB822.replace("bookworm", "trixie")},
            "trixie",
            EXPECTED,
        ),
        (
            {
                "sources.list": "# deb http://old.test/debian bookworm main\n"
                "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main contrib # note\n"
                "deb-src http://mirror.test/debian bookworm main\n"
                "deb http://mirror.test/debian-security bookworm-security main\n"
            },
            "bookworm",
            "Types: deb deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n"
            "Signed-By: /k.gpg\n\n"
            "Types: deb deb-src\nURIs: http://mirror.test/debian-security\nSuites: bookworm-security\n"
            "Components: main\n",
        ),
        (
            {"sources.list": "deb http://mirror.test/debian sid main\n"},
            "trixie",
            "Types: deb deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n",
        ),
        # Others' packages, backports, what is switched off or has no component main: all left out.
        (
            {
                "sources.list": "deb http://other.test/repo nodistro main\n"
                "deb http://mirror.test/debian bookworm-backports main\n"
                "deb http://mirror.test/debian bookworm contrib\n",
                "sources.list.d/off.sources": DEB822.split("\n\n", maxsplit=1)[0] + "\nEnabled: no\n",
                "sources.list.d/other.sources.disabled": DEB822,
            },
            "bookworm",
            "",
        ),
        ({}, "bookworm", ""),
    ],
)
def test_sources(tmp_path: Path, files: dict[str, str], codename: str, expected: str) -> None:
    assert debian.sources(etc(tmp_path, files), codename) == expected


def test_a_key_that_stands_in_the_entry_is_kept_whole(tmp_path: Path) -> None:
    key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    files = {"sources.list.d/d.sources": DEB822.split("Signed", maxsplit=1)[0] + key}
    written = debian.sources(etc(tmp_path, files), "bookworm")
    assert written.endswith("Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n")


# -- a machine with an apt that plays its part

APT_CONFIG = """#!/bin/sh
echo 'APT::Update::Post-Invoke:: "rm /var/cache/apt/archives/*.deb";'
echo 'APT::Update::Post-Invoke-Success:: "/usr/bin/dbus";'
echo 'DPkg::Pre-Install-Pkgs:: "preconfigure";'
echo 'Acquire::IndexTargets::deb::DEP-11::MetaKey "x";'
echo 'Acquire::IndexTargets::deb::Packages::MetaKey "Packages";'
echo 'Acquire::http::Proxy "http://proxy.test:3128";'
"""
APT_GET = """#!/bin/sh
echo "$*" >> {calls}
[ -z "$APT_FAILS" ] || {{ echo "E: Failed to fetch http://mirror.test  Could not resolve" >&2; exit 100; }}
grep -q proxy.test "$APT_CONFIG" || exit 9
case "$1" in
download) shift 2; for package in "$@"; do : > "${{package}}_1_amd64.deb"; done;;
source) cp {sources}/* .;;
esac
"""
APT_CACHE = """#!/bin/sh
echo 'golang-go'; echo '  Depends: golang-1.19-go'; echo '  Depends: golang-src'
"""
DPKG_DEB = """#!/bin/sh
case "$2" in
*golang-1.19-go_*) mkdir -p "$3/usr/lib/go-1.19/bin"; cp {go} "$3/usr/lib/go-1.19/bin/go";;
*reflect2*) mkdir -p "$3/usr/share/gocode/src/github.com/modern-go/reflect2"
  echo new > "$3/usr/share/gocode/src/github.com/modern-go/reflect2/reflect2.go";;
*prometheus*) mkdir -p "$3/usr/bin"; touch "$3/usr/bin/prometheus";;
esac
"""
# The compiler: says what it was asked, and makes "programs". A gate holds it up until that is gone.
GO = """#!/bin/sh
echo "go $*" >> {calls}
[ -z "$GO_FAILS" ] || {{ echo "x.go:1: undefined: y"; exit 2; }}
case "$1 $2" in
"build -o") cp {generator} "$3";;
"list -deps") echo a; echo b;;
"build -v") grep -q new vendor/github.com/modern-go/reflect2/reflect2.go || exit 3
  grep -q made pkg/generated/openapi/zz_generated.openapi.go || exit 4
  grep -q patched cmd/kube-apiserver/main.go || exit 5
  echo a; while [ -e {gates}/half ]; do sleep 0.02; done
  echo b; while [ -e {gates}/linking ]; do sleep 0.02; done
  for name in kube-apiserver kube-controller-manager; do
    out=$(echo "$*" | sed 's/.* -o \\([^ ]*\\) .*/\\1/')
    printf '#!/bin/sh\\necho Kubernetes v1.20.2\\n' > "$out$name"
  done;;
esac
"""
GENERATOR = """#!/bin/sh
echo openapi-gen "$@" >> {calls}
out="$4/k8s.io/kubernetes/pkg/generated/openapi"
mkdir -p "$out"
echo made > "$out/zz_generated.openapi.go"
"""
PATCH = """--- a/cmd/kube-apiserver/main.go
+++ b/cmd/kube-apiserver/main.go
@@ -1 +1 @@
-original
+patched
"""


class Machine:
    """A Debian machine in a folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.calls.touch()
        sources = folder / "sources"
        sources.mkdir()
        generator = self._program("openapi-gen", GENERATOR.format(calls=self.calls))
        go = self._program("go", GO.format(calls=self.calls, generator=generator, gates=folder))
        bin_dir = folder / "bin"
        bin_dir.mkdir()
        for name, content in (
            ("apt-config", APT_CONFIG),
            ("apt-get", APT_GET.format(calls=self.calls, sources=sources)),
            ("apt-cache", APT_CACHE),
            ("dpkg-deb", DPKG_DEB.format(go=go)),
        ):
            self._program(f"bin/{name}", content)
        monkeypatch.setenv("PATH", f"{bin_dir}:/usr/bin:/bin")
        self._make_sources(sources)
        self.etc = etc(folder, {"sources.list.d/debian.sources": DEB822})
        self.os_release = folder / "os-release"
        self.os_release.write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
        self.work = folder / "work"
        (self.work / "processes").mkdir(parents=True)

    def _program(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content)
        path.chmod(0o755)
        return path

    def _make_sources(self, sources: Path) -> None:
        tree = self.folder / "tree"
        for name, content in (
            ("kubernetes-1.20.2/cmd/kube-apiserver/main.go", "original\n"),
            ("kubernetes-1.20.2/vendor/github.com/modern-go/reflect2/old.go", "old\n"),
            ("kubernetes-1.20.2/pkg/generated/openapi/doc.go", "package openapi\n"),
            ("kubernetes-1.20.2/pkg/apis/x/doc.go", "// +k8s:openapi-gen=true\n"),
            ("kubernetes-1.20.2/staging/src/k8s.io/api/core/v1/doc.go", "// +k8s:openapi-gen=true\n"),
            ("kubernetes-1.20.2/staging/src/k8s.io/sample-apiserver/doc.go", "// +k8s:openapi-gen=true\n"),
            ("kubernetes-1.20.2/pkg/apis/y/doc_test.go", "// +k8s:openapi-gen=true\n"),
            ("debian/patches/series", "# remark\nfirst.patch\n"),
            ("debian/patches/first.patch", PATCH),
        ):
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        stem = "kubernetes_1.20.5+really1.20.2"
        shutil.make_archive(str(sources / f"{stem}.orig"), "gztar", tree, "kubernetes-1.20.2")
        shutil.make_archive(str(sources / f"{stem}-1.debian"), "xztar", tree, "debian")
        (sources / f"{stem}-1.dsc").touch()

    def apt(self) -> debian.Apt:
        return debian.Apt(self.work / "apt", self.etc, self.os_release)

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def build_it(machine: Machine, report: Callable[[str], None] = lambda _text: None) -> build.Build:
    apt = machine.apt()
    apt.update()
    return build.Build(machine.work, apt, report, sleep=lambda _seconds: time.sleep(0.01))


def test_the_whole_build(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_SAY_SECONDS", 0.0)
    steps: list[str] = []
    gates = {"50 %": machine.folder / "half", "linking": machine.folder / "linking"}
    for gate in gates.values():
        gate.touch()

    def report(text: str) -> None:
        steps.append(text)
        for word, gate in gates.items():
            if word in text:
                gate.unlink(missing_ok=True)

    job = build_it(machine, report)
    programs = job.programs()
    assert job.version == "1.20.2"
    assert {name: path.read_text() for name, path in programs.items()} == dict.fromkeys(
        ("kube-apiserver", "kube-controller-manager"), "#!/bin/sh\necho Kubernetes v1.20.2\n"
    )
    generator = next(call for call in machine.called() if call.startswith("openapi-gen"))
    assert generator.split("--input-dirs ")[1].split(",") == [
        "k8s.io/kubernetes/pkg/apis/x",
        "k8s.io/kubernetes/vendor/k8s.io/api/core/v1",
    ]
    compiling = next(call for call in machine.called() if call.startswith("go build -v"))
    assert "-tags providerless,dockerless" in compiling
    assert "-X k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitVersion=v1.20.2" in compiling
    assert " -s -w " in compiling
    assert any("compiling 2 packages" in step for step in steps)
    assert any("compiling, 50 %" in step for step in steps)
    assert any(step.startswith("building Kubernetes: linking") for step in steps)
    assert list((machine.work / "processes").iterdir()) == []


def test_apt_keeps_the_machines_settings_but_not_its_hooks_and_writes_only_below_its_folder(
    machine: Machine,
) -> None:
    machine.apt().update()
    written = (machine.work / "apt/apt.conf").read_text()
    assert "proxy.test" in written
    assert "Invoke" not in written
    assert "Pre-Install-Pkgs" not in written
    assert "DEP-11" not in written
    assert "IndexTargets::deb::Packages" in written
    for setting in ("Dir::State::lists", "Dir::Cache", "Dir::Etc::sourcelist"):
        assert f'{setting} "{machine.work}/apt/' in written
    assert "AllowUnauthenticated" not in written + "".join(machine.called())
    assert (machine.work / "apt/debian.sources").read_text() == EXPECTED


def test_no_network_is_one_error_with_apts_words(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APT_FAILS", "1")
    with pytest.raises(
        BinariesError, match="E: Failed to fetch http://mirror.test  Could not resolve. Name a folder"
    ):
        build_it(machine)


def test_a_step_that_fails_is_an_error_with_its_last_lines(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = build_it(machine)
    environment = job._environment
    monkeypatch.setattr(job, "_goroot", machine.folder, raising=False)
    monkeypatch.setattr(job, "_environment", lambda: {**environment(), "GO_FAILS": "1"})
    with pytest.raises(BinariesError, match=r"go build ended with 2: x\.go:1: undefined: y"):
        job.programs()


def test_a_patch_that_does_not_apply_is_an_error(machine: Machine) -> None:
    job = build_it(machine)
    job._fetch()
    upstream = next(path for path in job._files if ".orig." in path.name)
    changed = machine.folder / "tree/kubernetes-1.20.2/cmd/kube-apiserver/main.go"
    changed.write_text("something else\n")
    shutil.make_archive(
        str(upstream)[: -len(".tar.gz")], "gztar", machine.folder / "tree", "kubernetes-1.20.2"
    )
    with pytest.raises(BinariesError, match="patch -p1 ended with 1"):
        job._unpack()


def test_another_version_of_the_source_is_refused(machine: Machine) -> None:
    for path in (machine.folder / "sources").iterdir():
        path.rename(path.with_name(path.name.replace("1.20.5+really1.20.2", "1.32.3")))
    with pytest.raises(BinariesError, match=r"Debian's source here is Kubernetes 1\.32\.3; only 1\.20\.x"):
        build_it(machine).programs()


@pytest.mark.parametrize(
    ("dsc", "version"),
    [
        ("/d/kubernetes_1.20.5+really1.20.2-1.1+deb12u1.dsc", "1.20.2"),
        ("/d/kubernetes_1.32.3+ds-2.dsc", "1.32.3"),
        ("/d/kubernetes_2-1.dsc", None),
    ],
)
def test_source_version(dsc: str, version: Optional[str]) -> None:
    if version is not None:
        assert build.source_version(dsc) == version
        return
    with pytest.raises(BinariesError, match="names no version"):
        build.source_version(dsc)


def test_a_machine_that_is_not_debian_is_told_what_else_to_do(machine: Machine) -> None:
    machine.os_release.write_text('ID=fedora\nPRETTY_NAME="Fedora Linux 40"\n')
    with pytest.raises(
        BinariesError, match=r"only be built or unpacked on Debian \(this is Fedora Linux 40\). Name"
    ):
        machine.apt()


def test_missing_tools_are_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(debian.shutil, "which", lambda name: None if name == "apt-cache" else which(name))
    with pytest.raises(BinariesError, match="apt-cache missing"):
        machine.apt()


def test_a_machine_without_a_mirror_is_an_error(machine: Machine) -> None:
    (machine.etc / "sources.list.d/debian.sources").unlink()
    with pytest.raises(BinariesError, match="name no place for Debian's packages"):
        machine.apt()


def test_prometheus_comes_from_debian(machine: Machine) -> None:
    apt = machine.apt()
    apt.unpack(["prometheus"], machine.work / "root")
    assert (machine.work / "root/usr/bin/prometheus").is_file()
    assert list(apt.packages.glob("*.deb")) == []


def test_missing_build_tools_are_unpacked_too(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(build.shutil, "which", lambda name: None if name in ("patch", "xz") else which(name))
    build_it(machine)._fetch()
    download = next(call for call in machine.called() if call.startswith("download"))
    assert download.split()[2:] == [
        "golang-1.19-go",
        "golang-1.19-src",
        "golang-github-modern-go-reflect2-dev",
        "patch",
        "xz-utils",
    ]


def test_an_interrupted_build_ends_its_compiler(machine: Machine) -> None:
    (machine.folder / "go").write_text("#!/bin/sh\nsleep 60\n")
    naps = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 40:
            raise KeyboardInterrupt

    where = machine.folder / "cache"
    where.mkdir()
    found: list[int] = []

    def run() -> None:
        with cache.preparing(where) as folder:
            machine.work = folder
            job = build_it(machine)
            job.sleep = sleep
            try:
                job.programs()
            finally:
                found.extend(process.pid for process in cache.records.read_all(folder / "processes"))

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(found) == 1
    assert not Path(f"/proc/{found[0]}").exists() or "Z" in Path(f"/proc/{found[0]}/stat").read_text()
    assert list(where.iterdir()) == []
