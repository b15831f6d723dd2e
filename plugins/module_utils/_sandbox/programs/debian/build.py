# SPDX-License-Identifier: GPL-3.0-or-later
"""Build kube-apiserver and kube-controller-manager from Debian's source package of Kubernetes.

The tree's own makefile builds seven generators and takes four minutes before it compiles anything of use;
only one generated file is needed here, and only one generator for it.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from typing import Callable, Optional

from ...processes import records
from ..cache import BinariesError, Report
from .apt import Apt

# What a build takes at its largest is 2,610 MB (measured).
ROOM_MEGABYTES = 3000
SUPPORTED = "1.20."
_MODULE = "k8s.io/kubernetes"
_TAGS = "providerless,dockerless"
PROGRAMS = ("kube-apiserver", "kube-controller-manager")
_GENERATED = Path("pkg/generated/openapi")
_POLL_SECONDS = 0.5
_SAY_SECONDS = 10.0


def source_version(dsc: str) -> str:
    """The version of Kubernetes from the name of Debian's .dsc file; `+really` names what is inside."""
    match = re.search(r"_(?:.*\+really)?([0-9]+\.[0-9]+\.[0-9]+)[^/]*\.dsc$", dsc)
    if match is None:
        raise BinariesError(f"{dsc} names no version of Kubernetes.")
    return match[1]


def openapi_packages(tree: Path) -> list[str]:
    """The packages whose types are described in the generated file, as the tree's makefile finds them."""
    found = set()
    for top in ("pkg", "staging/src/k8s.io"):
        for folder, _folders, files in os.walk(tree / top):
            name = Path(folder).relative_to(tree).as_posix()
            if re.search(r"testdata|code-generator|sample", name):
                continue
            for file in files:
                if not file.endswith(".go") or file.endswith("_test.go") or file.startswith("zz_generated"):
                    continue
                if "+k8s:openapi-gen=" in Path(folder, file).read_text(encoding="utf-8", errors="replace"):
                    found.add(name)
                    break
    return sorted(f"{_MODULE}/{re.sub('^staging/src/', 'vendor/', name)}" for name in found)


def _flags(version: str) -> str:
    """Linker flags: no debugging tables, and the version that `--version` and the API give."""
    major, minor, _patch = version.split(".")
    variables = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "archive"}
    package = f"{_MODULE}/vendor/k8s.io/component-base/version"
    return " ".join(["-s", "-w", *(f"-X {package}.{key}={value}" for key, value in variables.items())])


class Build:
    """One build, all of it below `folder` (which has a folder `processes`); `programs()` gives the result."""

    def __init__(
        self,
        folder: Path,
        apt: Apt,
        report: Report,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder = folder
        self.apt = apt
        self.sleep = sleep
        self.began = time.monotonic()
        self.version = ""
        self._report = report
        self._root = folder / "root"
        self._out = folder / "out"
        self._tree = folder / "go/src/k8s.io/kubernetes"
        self._steps = 0

    def _say(self, text: str) -> None:
        self._report(f"building Kubernetes: {text} ({time.monotonic() - self.began:.0f} s)")

    def programs(self) -> dict[str, Path]:
        """Do it all. Raises BinariesError."""
        self._fetch()
        self._unpack()
        self._generate()
        self._compile()
        return {name: self._out / name for name in PROGRAMS}

    def _fetch(self) -> None:
        self._say("fetching Go from Debian")
        compiler = self.apt.newest_go()
        tools = [
            package for tool, package in (("patch", "patch"), ("xz", "xz-utils")) if not shutil.which(tool)
        ]
        packages = [compiler, compiler.replace("-go", "-src"), "golang-github-modern-go-reflect2-dev", *tools]
        self.apt.unpack(packages, self._root)
        self._goroot = self._root / "usr/lib" / compiler.replace("golang", "go").rpartition("-go")[0]
        self._say("fetching the source of Kubernetes from Debian")
        self._files = self.apt.source("kubernetes")
        self.version = source_version(next(str(path) for path in self._files if path.suffix == ".dsc"))
        if not self.version.startswith(SUPPORTED):
            raise BinariesError(
                f"Debian's source here is Kubernetes {self.version}; only {SUPPORTED}x can be built from it. "
                "Name a folder with release binaries (binaries_dir)."
            )

    def _unpack(self) -> None:
        self._say("unpacking")
        self._tree.mkdir(parents=True)
        upstream = next(path for path in self._files if ".orig.tar." in path.name)
        debian = next(path for path in self._files if ".debian.tar." in path.name)
        self._run(["tar", "-xf", str(upstream), "-C", str(self._tree), "--strip-components=1"])
        self._run(["tar", "-xf", str(debian), "-C", str(self._tree)])
        patches = self._tree / "debian/patches"
        series = (patches / "series").read_text(encoding="utf-8").splitlines()
        for name in (line.split()[0] for line in series if line.strip() and not line.startswith("#")):
            self._run(["patch", "-p1", "-i", str(patches / name)])
        # The vendored one is too old for Go 1.18 and later: the apiserver crashes when it lists objects.
        reflect2 = self._tree / "vendor/github.com/modern-go/reflect2"
        shutil.rmtree(reflect2)
        shutil.copytree(self._root / "usr/share/gocode/src/github.com/modern-go/reflect2", reflect2)

    def _generate(self) -> None:
        self._say("generating the API's description")
        generator = self.folder / "openapi-gen"
        self._run(["go", "build", "-o", str(generator), "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"])
        output = self.folder / "generated"
        argv = [str(generator), "--output-file-base", "zz_generated.openapi", "--output-base", str(output)]
        argv += ["--go-header-file", "hack/boilerplate/boilerplate.generatego.txt"]
        argv += ["--report-filename", str(self.folder / "violations.txt")]
        argv += ["--output-package", f"{_MODULE}/{_GENERATED}"]
        argv += ["--input-dirs", ",".join(openapi_packages(self._tree))]
        self._run(argv)
        made = output / _MODULE / _GENERATED / "zz_generated.openapi.go"
        shutil.copy(made, self._tree / _GENERATED)

    def _compile(self) -> None:
        commands = [f"./cmd/{name}" for name in PROGRAMS]
        listing = self._run(["go", "list", "-deps", "-tags", _TAGS, *commands])
        total = len(listing.splitlines())
        self._say(f"compiling {total} packages")
        self._out.mkdir()
        argv = ["go", "build", "-v", "-trimpath", "-tags", _TAGS, "-ldflags", _flags(self.version)]
        self._run([*argv, "-o", f"{self._out}/", *commands], total)

    def _environment(self) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return {
            "PATH": f"{self._goroot}/bin:{self._root}/usr/bin:{os.environ.get('PATH', os.defpath)}",
            "LC_ALL": "C",
            "HOME": str(self.folder),
            "TMPDIR": str(temporary),
            "GOROOT": str(self._goroot),
            "GOPATH": str(self.folder / "go"),
            "GOCACHE": str(self.folder / "gocache"),
            "GO111MODULE": "off",
            "GOENV": "off",
            "GOFLAGS": "",
            "CGO_ENABLED": "0",
        }

    def _run(self, argv: list[str], packages: int = 0) -> str:
        """Run a step as a recorded process; returns its output. With `packages`, says how far it is.

        `go build -v` names each package when it has been compiled.
        """
        self._steps += 1
        log = self.folder / f"{self._steps:02}.log"
        process = records.start(
            self.folder / "processes",
            f"step-{self._steps:02}",
            argv,
            role="build",
            log=log,
            env=self._environment(),
            cwd=self._tree,
        )
        said = time.monotonic()
        while (status := self._status(process)) is None:
            self.sleep(_POLL_SECONDS if packages else 0.05)
            if packages and time.monotonic() - said >= _SAY_SECONDS:
                said = time.monotonic()
                done = min(log.read_bytes().count(b"\n"), packages)
                self._say(f"compiling, {100 * done // packages} %" if done < packages else "linking")
        process.record.unlink(missing_ok=True)
        output = log.read_text(encoding="utf-8", errors="replace")
        if status != 0:
            last = " | ".join(output.splitlines()[-5:])
            step = " ".join(argv[:2])
            raise BinariesError(
                f"Building Kubernetes from Debian's source failed: {step} ended with {status}: {last}"
            )
        return output

    @staticmethod
    def _status(process: records.Process) -> Optional[int]:
        assert process.child is not None
        return process.child.poll()
