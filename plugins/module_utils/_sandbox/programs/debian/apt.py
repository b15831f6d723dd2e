# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages and source packages of Debian, without root: apt with folders of its own.

apt keeps verifying signatures and digests with the machine's keys; nothing of the machine's own apt is
changed. The packages are those of Debian 12 whatever Debian runs here, since they are known to work together,
and since programs built for an older Debian run on a newer one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Mapping, Optional

from ..cache import BinariesError

SUITE = "bookworm"

_ELSEWHERE = (
    "Name a folder with kube-apiserver and kube-controller-manager (binaries_dir, or KUBEBUILDER_ASSETS), "
    "and have prometheus on PATH; or use a cluster of your own."
)
_ROLLING = ("stable", "oldstable", "testing", "unstable", "sid")
# Hooks would run programs that only root may run; the other index files are not needed.
_UNWANTED = re.compile(
    r"(APT::Update|DPkg)::\S*(Invoke|Install-Pkgs)|Acquire::IndexTargets::deb::(?!Packages)", re.IGNORECASE
)


def _release(os_release: Path) -> Mapping[str, str]:
    """What os-release(5) says."""
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key: value.strip("\"'") for key, value in pairs}


def _suite(name: str, codename: str) -> Optional[str]:
    """The suite of Debian 12 that stands for one of this machine's Debian; None if it is none of Debian's."""
    stem, dash, suffix = name.partition("-")
    if stem not in (codename, *_ROLLING) or (dash and suffix not in ("updates", "security")):
        return None
    return f"{SUITE}{dash}{suffix}"


def _one_line(text: str) -> list[str]:
    """Entries of a sources.list, in the deb822 form. See sources.list(5)."""
    entries = []
    for line in text.splitlines():
        match = re.match(
            r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<parts>[^#]+)", line
        )
        if match is None:
            continue
        options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
        fields = {"URIs": match["uri"], "Suites": match["suite"], "Components": match["parts"].strip()}
        if "signed-by" in options:
            fields["Signed-By"] = options["signed-by"].replace(",", " ")
        entries.append("\n".join(f"{key}: {value}" for key, value in fields.items()))
    return entries


def _stanza(text: str, codename: str) -> Optional[str]:
    """A deb822 stanza turned to Debian 12, sources included; None if it is not one of Debian's own."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    fields: dict[str, str] = {}
    key = ""
    for line in lines:
        if line[0] in " \t":
            fields[key] += "\n" + line
        elif ":" in line:
            key, _colon, value = line.partition(":")
            key = key.strip().lower()
            fields[key] = value.strip()
    suites = [_suite(name, codename) for name in fields.get("suites", "").split()]
    kept = list(dict.fromkeys(suite for suite in suites if suite))
    off = fields.get("enabled", "yes").lower() in ("no", "false", "0")
    if off or not kept or "deb" not in fields.get("types", "deb").split():
        return None
    if "main" not in fields.get("components", "").split():
        return None
    signed = f"\nSigned-By: {fields['signed-by']}" if "signed-by" in fields else ""
    uris = fields.get("uris", "")
    return f"Types: deb deb-src\nURIs: {uris}\nSuites: {' '.join(kept)}\nComponents: main{signed}\n"


def sources(etc: Path, codename: str) -> str:
    """The sources of Debian 12, packages and sources, at the places this machine takes its Debian from.

    etc: the machine's /etc/apt. Empty if it names none.
    """
    stanzas: list[str] = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]:
        if path.is_file():
            stanzas += _one_line(path.read_text(encoding="utf-8"))
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        stanzas += re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))
    turned = (_stanza(stanza, codename) for stanza in stanzas)
    return "\n".join(dict.fromkeys(stanza for stanza in turned if stanza))


class Apt:
    """apt with its own folders below `folder`. Each method raises BinariesError with apt's own last words."""

    def __init__(
        self, folder: Path, etc: Path = Path("/etc/apt"), os_release: Path = Path("/etc/os-release")
    ):
        release = _release(os_release)
        missing = [
            tool
            for tool in ("apt-get", "apt-cache", "apt-config", "dpkg-deb", "tar")
            if not shutil.which(tool)
        ]
        if release.get("ID") != "debian" or missing:
            what = (
                f"{', '.join(missing)} missing"
                if missing
                else f"this is {release.get('PRETTY_NAME', 'another')}"
            )
            raise BinariesError(
                f"The programs of the sandbox can only be built or unpacked on Debian ({what}). {_ELSEWHERE}"
            )
        listed = sources(etc, release.get("VERSION_CODENAME", SUITE))
        if not listed:
            raise BinariesError(
                f"{etc}/sources.list and sources.list.d name no place for Debian's packages. {_ELSEWHERE}"
            )
        self.folder = folder
        self.packages = folder / "packages"
        for part in ("lists/partial", "cache/archives/partial", "packages"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "debian.sources").write_text(listed, encoding="utf-8")
        self._env = {**os.environ, "LC_ALL": "C", "APT_CONFIG": str(folder / "apt.conf")}
        self._configure()

    def _configure(self) -> None:
        """Take the machine's configuration (proxies and the like) without its hooks, with our own folders."""
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
        lines = [line for line in dump.splitlines() if not _UNWANTED.match(line)]
        lines += [
            f'Dir::State::lists "{self.folder}/lists";',
            f'Dir::Cache "{self.folder}/cache";',
            f'Dir::Etc::sourcelist "{self.folder}/debian.sources";',
            'Dir::Etc::sourceparts "/dev/null";',
            'Dir::Etc::main "/dev/null";',
            'Dir::Etc::parts "/dev/null";',
            'Dir::Etc::preferences "/dev/null";',
            'Dir::Etc::preferencesparts "/dev/null";',
            'Acquire::Languages "none";',
            'Acquire::Retries "2";',
            'Acquire::http::Timeout "15";',
            'Acquire::https::Timeout "15";',
        ]
        (self.folder / "apt.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _run(self, argv: list[str], what: str) -> str:
        done = subprocess.run(
            argv,
            cwd=self.packages,
            env=self._env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            words = [
                line for line in (done.stderr + done.stdout).splitlines() if line.startswith(("E:", "W:"))
            ]
            last = " ".join(words[-2:] or (done.stderr or done.stdout).splitlines()[-2:])
            raise BinariesError(f"{what} could not be had from Debian: {last.strip(' .')}. {_ELSEWHERE}")
        return done.stdout

    def update(self) -> None:
        """Fetch the lists of packages. No network is an error here, not a silent nothing."""
        self._run(["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"], "The list of packages")

    def newest_go(self) -> str:
        """The name of the package that holds the release's Go compiler, such as golang-1.19-go."""
        shown = self._run(["apt-cache", "depends", "golang-go"], "Go")
        match = re.search(r"Depends: (golang-[0-9.]+-go)\b", shown)
        if match is None:
            raise BinariesError(f"Debian's package golang-go names no compiler. {_ELSEWHERE}")
        return match[1]

    def unpack(self, names: list[str], root: Path) -> None:
        """Download packages and unpack them below `root`; nothing is installed."""
        if not names:
            return
        before = set(self.packages.glob("*.deb"))
        self._run(["apt-get", "download", "-q", *names], ", ".join(names))
        root.mkdir(exist_ok=True)
        for package in sorted(set(self.packages.glob("*.deb")) - before):
            self._run(["dpkg-deb", "-x", str(package), str(root)], package.name)
            package.unlink()

    def source(self, name: str) -> list[Path]:
        """Download a source package; returns its files."""
        self._run(["apt-get", "source", "-q", "--download-only", name], f"The source of {name}")
        return sorted(self.packages.glob(f"{name}_*"))
