# SPDX-License-Identifier: GPL-3.0-or-later
"""Container tools of Debian 12, unpacked into the cache; nothing is installed on the machine."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs import cache
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.debian.apt import SUITE, Apt

from .golang import Report

# Tools, and the libraries of theirs that a machine without them lacks.
PACKAGES = [
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "conntrack",
    "libseccomp2",
    "libip4tc2",
    "libip6tc2",
    "libxtables12",
    "libnftnl11",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
]
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
# iptables, iptables-save and so on are one program that goes by the name it is called.
_TABLES = "usr/sbin/xtables-nft-multi"


def folder(where: Path) -> Path:
    """Where they are unpacked."""
    return where / f"debian-{SUITE}-linux-amd64"


def unpacked(where: Path, report: Report) -> Path:
    """The folder they are unpacked in, as / is on Debian. Raises BinariesError."""
    root = folder(where)
    with cache.locked(where, report):
        if root.is_dir():
            return root
        report("container tools: fetching them from Debian")
        with cache.preparing(where) as scratch:
            apt = Apt(scratch / "apt")
            apt.update()
            apt.unpack(PACKAGES, scratch / "root")
            for family in ("iptables", "ip6tables"):
                for suffix in ("", "-save", "-restore"):
                    link = scratch / "root/usr/sbin" / f"{family}{suffix}"
                    link.unlink(missing_ok=True)
                    link.symlink_to(Path(_TABLES).name)
            os.rename(scratch / "root", root)
    return root


def environment(root: Path) -> dict[str, str]:
    """What programs need to find these tools, their libraries and their extensions."""
    folders = [str(root / each) for each in ("usr/sbin", "usr/bin")]
    return {
        "PATH": ":".join([*folders, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]),
        "LD_LIBRARY_PATH": str(root / _LIBRARIES),
        "XTABLES_LIBDIR": str(root / _LIBRARIES / "xtables"),
    }
