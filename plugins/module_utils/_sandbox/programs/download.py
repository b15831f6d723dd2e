# SPDX-License-Identifier: GPL-3.0-or-later
"""Official release binaries, checked against the SHA-256 their projects publish."""

from __future__ import annotations

import http.client
import shutil
import tarfile
import threading
import urllib.request
from pathlib import Path

from .cache import BinariesError, Report, sha256

KUBERNETES = "https://dl.k8s.io/release"
PROMETHEUS = "https://github.com/prometheus/prometheus/releases/download"

# The last of the line that KFServing 0.5 and iter8 0.1 were made for; the one Debian's source is of, too.
KUBERNETES_VERSION = "v1.20.15"
PROMETHEUS_VERSION = "2.42.0"

# Within this time a host that cannot be reached is given up, in seconds: name look-up and connection.
REACH_SECONDS = 4.0
_READ_SECONDS = 30.0
_BLOCK = 1 << 20


class NotReachable(Exception):
    """The host could not be reached, or does not have the file: another way may be tried."""


_NETWORK_ERRORS = (OSError, http.client.HTTPException)


def _fetch_text(url: str) -> str:
    """A small text, within REACH_SECONDS in all. Raises NotReachable.

    In a thread, since the time-out of a socket does not cover the look-up of the name.
    """
    answer: list[str] = []
    trouble: list[Exception] = []

    def fetch() -> None:
        try:
            with urllib.request.urlopen(url, timeout=REACH_SECONDS) as response:
                answer.append(response.read(1 << 16).decode("ascii"))
        except (*_NETWORK_ERRORS, ValueError) as error:
            trouble.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    if answer:
        return answer[0]
    reason = trouble[0] if trouble else f"no answer within {REACH_SECONDS:.0f} s"
    raise NotReachable(f"{url} cannot be had: {reason}")


def _download(url: str, target: Path, name: str, report: Report) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_READ_SECONDS) as response, open(target, "wb") as stream:
            total = int(response.headers.get("Content-Length") or 0)
            said = -1
            while block := response.read(_BLOCK):
                stream.write(block)
                tenth = 10 * stream.tell() // total if total else 0
                if tenth != said:
                    said = tenth
                    report(f"downloading {name}: {stream.tell() // 1_000_000} of {total // 1_000_000} MB")
            if total and stream.tell() != total:
                raise NotReachable(f"{url} broke off after {stream.tell()} of {total} bytes")
    except _NETWORK_ERRORS as error:
        raise NotReachable(f"{url} cannot be had: {error}") from error


def _check(path: Path, expected: str, url: str) -> None:
    found = sha256(path)
    if found != expected:
        path.unlink()
        raise BinariesError(
            f"{url} has the wrong checksum: SHA-256 {found}, but {expected} is published. It was not used. "
            "Run again; if that does not help, something between here and there changes what is downloaded."
        )


def kubernetes(
    names: list[str], version: str, arch: str, folder: Path, *, report: Report, base: str = KUBERNETES
) -> dict[str, Path]:
    """Download Kubernetes' programs into `folder`. `version` with its v, `arch` as Go names it.

    Raises NotReachable, BinariesError for a wrong checksum.
    """
    urls = {name: f"{base}/{version}/bin/linux/{arch}/{name}" for name in names}
    digests = {name: _fetch_text(f"{url}.sha256").split()[:1] for name, url in urls.items()}
    for name, url in urls.items():
        _download(url, folder / name, f"{name} {version}", report)
        _check(folder / name, "".join(digests[name]), url)
    return {name: folder / name for name in names}


def prometheus(arch: str, folder: Path, *, report: Report, base: str = PROMETHEUS) -> Path:
    """Download Prometheus into `folder`. Raises as `kubernetes` does."""
    stem = f"prometheus-{PROMETHEUS_VERSION}.linux-{arch}"
    place = f"{base}/v{PROMETHEUS_VERSION}"
    lines = (line.split() for line in _fetch_text(f"{place}/sha256sums.txt").splitlines())
    published = {words[1]: words[0] for words in lines if len(words) == 2}
    archive = folder / f"{stem}.tar.gz"
    _download(f"{place}/{archive.name}", archive, f"Prometheus {PROMETHEUS_VERSION}", report)
    _check(archive, published.get(archive.name, "nothing"), f"{place}/{archive.name}")
    program = folder / "prometheus"
    with tarfile.open(archive) as content:
        source = content.extractfile(f"{stem}/prometheus")
        assert source is not None  # its digest is the published one: it is what it says
        with source, open(program, "wb") as stream:
            shutil.copyfileobj(source, stream)
    program.chmod(0o755)
    archive.unlink()
    return program
