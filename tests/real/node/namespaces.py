# SPDX-License-Identifier: GPL-3.0-or-later
"""The namespaces the node lives in: when their first process ends, the kernel removes all in them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common import processes
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records

from . import places
from .places import Places

INIT = "namespaces"
ROLE = "real"
_SETUP_SECONDS = 10.0
# The parts write to /run and /var wherever they are told to write: these are the node's own.
_SETUP = """\
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/var /run/var.work
mount -t overlay -o lowerdir=/var,upperdir=/run/var,workdir=/run/var.work overlay /var
mount --bind {config}/resolv.conf /etc/resolv.conf
ip link set lo up
ip link add {bridge} type bridge
ip address add {address}/24 dev {bridge}
ip link set {bridge} up
ip route add default via {nowhere} dev {bridge}
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
touch {ready}
trap '' CHLD
exec sleep infinity
"""
_KINDS = ("--mount", "--net", "--ipc", "--uts", "--pid")


class NodeError(Exception):
    """The node does not come up; the text says which part and why."""


class Namespaces:
    """Makes them, enters them, ends them. The first process does nothing but reap what is left to it."""

    def __init__(self, where: Places) -> None:
        self.where = where

    def _record(self) -> Optional[records.Process]:
        return records.read(self.where.processes / f"{INIT}.json")

    def alive(self) -> bool:
        """Whether they are there, set up."""
        record = self._record()
        return record is not None and records.alive(record) and self.where.ready.exists()

    @property
    def pid(self) -> int:
        """The number of their first process outside of them. Raises NodeError if they are not there."""
        record = self._record()
        inside = child(record.pid) if record is not None and records.alive(record) else None
        if inside is None:
            raise NodeError("The node's namespaces are not there: bring it up.")
        return inside

    def make(self, environment: Mapping[str, str]) -> None:
        """Make and set them up."""
        self.where.ready.unlink(missing_ok=True)
        script = _SETUP.format(
            config=self.where.config,
            bridge=places.BRIDGE,
            address=places.ADDRESS,
            nowhere=places.NOWHERE,
            ready=self.where.ready,
        )
        argv = ["unshare", *_KINDS, "--fork", "--kill-child", "--mount-proc", "sh", "-euc", script]
        log = self.where.logs / f"{INIT}.log"
        records.start(
            self.where.processes, INIT, argv, role=ROLE, log=log, env=environment, cwd=self.where.root
        )
        deadline = time.monotonic() + _SETUP_SECONDS
        while not self.alive():
            record = self._record()
            if record is None or not records.alive(record) or time.monotonic() > deadline:
                last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
                raise NodeError(f"The node's namespaces cannot be set up: {' | '.join(last)} ({log}).")
            time.sleep(0.05)

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` inside of them all."""
        return ["nsenter", "--target", str(self.pid), *_KINDS, "--", *argv]

    def enter_network(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` with the node's network and the machine's files."""
        return ["nsenter", "--target", str(self.pid), "--net", "--", *argv]

    def run(self, argv: Sequence[str], environment: Mapping[str, str], stdin: str = "") -> str:
        """Run a command inside to its end; returns its standard output. Raises NodeError."""
        done = subprocess.run(
            self.enter(argv), env=environment, input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-6:])
            raise NodeError(
                f"{Path(argv[0]).name} {' '.join(argv[2:10])} ended with {done.returncode}: {last}"
            )
        return done.stdout


def child(pid: int) -> Optional[int]:
    """The only child of a process that waits for one; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return None
    children = [int(each) for each in text.split() if processes.start_time(int(each)) is not None]
    return children[0] if children else None


def cgroups(where: Places) -> list[Path]:
    """The node's folder in each hierarchy of control groups, there or not; one with version 2."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root / where.cgroup]
    return [each / where.cgroup for each in sorted(root.iterdir()) if each.is_dir() and not each.is_symlink()]


def make_cgroups(where: Places) -> None:
    """Make the folders below which the kubelet puts all pods."""
    for folder in cgroups(where):
        folder.mkdir(exist_ok=True)
        # All pods together would get what one process gets: on a busy machine next to nothing.
        for name, share in (("cpu.shares", "10240"), ("cpu.weight", "1000")):
            if (folder / name).exists():
                (folder / name).write_text(share, "ascii")
        # A new folder of cpusets is empty, and nothing could run in it.
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (folder / name).exists() and not (folder / "cgroup.controllers").exists():
                (folder / name).write_text((folder.parent / name).read_text("ascii"), "ascii")


def remove_cgroups(where: Places, seconds: float = 10.0) -> None:
    """Remove them once all in them has ended. Raises NodeError if something holds one."""
    deadline = time.monotonic() + seconds
    left = [folder for folder in cgroups(where) if folder.is_dir()]
    while left:
        for folder in left:
            for path, _folders, _files in os.walk(folder, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:  # its processes are still ending
                    break
        left = [folder for folder in left if folder.is_dir()]
        if left and time.monotonic() > deadline:
            raise NodeError(f"The control group {left[0]} cannot be removed: a process is in it.")
        if left:
            time.sleep(0.1)
