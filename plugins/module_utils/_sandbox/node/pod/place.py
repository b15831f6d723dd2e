# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a container runs on this machine: its folder, its address, its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from ...processes import records
from ..context import Context
from ..store import PodFolder
from . import credentials, environment, volumes


@dataclass(frozen=True)
class Place:
    """One container's surroundings.

    pod: its Pod as it was first seen; what is read of it here cannot change.
    """

    context: Context
    pod: Mapping[str, Any]
    spec: Mapping[str, Any]
    folder: PodFolder
    address: str

    @property
    def whom(self) -> str:
        """The container in the kubelet's words."""
        meta = self.pod["metadata"]
        return f"container={self.spec['name']} pod={meta['name']}_{meta['namespace']}({meta['uid']})"

    def port(self, wanted: Any) -> int:
        """A port by number or by the name that the container's spec gives it. Raises ValueError."""
        if isinstance(wanted, int) or str(wanted).isdigit():
            return int(wanted)
        for port in self.spec.get("ports") or ():
            if port.get("name") == wanted:
                return int(port["containerPort"])
        raise ValueError(f"container {self.spec['name']} has no port named {wanted!r}")

    def command_line(self) -> list[str]:
        """What the container runs. Raises VolumeError, as `environment` does."""
        return environment.command_line(self.spec, self.environment())

    def environment(self) -> dict[str, str]:
        """What its processes find in their environment. Raises VolumeError."""
        return environment.compose(self.spec, self._base())

    def _base(self) -> dict[str, str]:
        meta, context = self.pod["metadata"], self.context
        # A pod's program may itself call the others by name.
        programs = dict.fromkeys(os.path.dirname(program) for program in context.programs.values())
        env = {
            "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
            "HOME": str(self.folder.path),
            "TMPDIR": str(self.folder.path / "tmp"),
            "LANG": "C.UTF-8",
            "HOSTNAME": meta["name"],
            "PYTHONPATH": str(context.layout.lib),
            # So that a log shows what was said before a kill.
            "PYTHONUNBUFFERED": "1",
            "POD_IP": self.address,
            "POD_NAME": meta["name"],
            "POD_NAMESPACE": meta["namespace"],
        }
        if credentials.wanted(self.pod):
            env["KUBECONFIG"] = str(self.folder.kubeconfig)
        if "LD_LIBRARY_PATH" in os.environ:
            env["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        for volume in volumes.own_volumes(self.pod):
            where = volumes.location(volume, self.folder.volumes, context.layout.shared)
            env[environment.volume_variable(volume["name"])] = str(where)
        return env

    async def launch(self, identity: str, argv: Sequence[str], role: str, log: Path) -> records.Process:
        """Start a program here, by its path or by the name of one of the sandbox's. Raises ProcessError."""
        context, env = self.context, self.environment()
        program = context.programs.get(argv[0], argv[0])

        def start() -> records.Process:
            return records.start(
                context.layout.processes,
                identity,
                [program, *argv[1:]],
                role=role,
                log=log,
                env=env,
                cwd=self.folder.path,
            )

        return await context.blocking(start)
