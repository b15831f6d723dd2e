# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's pod: write Envoy's start configuration and become Envoy; or, before the end, drain it.

``python3 -m …_sandbox.gateway.main run`` is the container's command, ``… drain`` its preStop hook: Envoy
itself ends at once on SIGTERM, with requests in flight. Needs ``POD_IP``, ``HOME`` (the pod's folder) and
``VOLUME_GATEWAY`` (the folder shared with the serving controller, which writes clusters and routes there).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .admin import Admin
from .config import GatewayFiles, bootstrap

DRAIN_SECONDS = 8
"""How long clients are still served, each with ``Connection: close``. On a busy machine the next gateway
is ready, and its address on the Service, only after some seconds."""
QUIET_SECONDS = 1.0
"""No connection and no request for so long: nobody is left to wait for."""


def argv(config: Path) -> list[str]:
    """Return Envoy's command line. Hot restart is off: its shared memory would tie sandboxes together."""
    return [
        "envoy",
        "--config-path",
        str(config),
        "--concurrency",
        "2",
        "--disable-hot-restart",
        "--log-level",
        "warning",
        "--drain-time-s",
        str(DRAIN_SECONDS),
        "--drain-strategy",
        "immediate",
        "--file-flush-interval-msec",
        "200",
    ]


def prepare(env: Mapping[str, str]) -> Path:
    """Write the start configuration into the pod's folder, and empty routes if there are none yet."""
    shared = Path(env["VOLUME_GATEWAY"])
    files = GatewayFiles(shared)
    files.create_if_missing()
    config = Path(env["HOME"]) / "envoy.json"
    document = bootstrap(env["POD_IP"], str(files.folder), str(shared / "access.log"))
    config.write_text(json.dumps(document))
    return config


def drain(
    admin: Admin,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Ask Envoy to drain, and wait until its clients have gone or the drain time is over."""
    admin.start_drain()
    quiet_since = start = clock()
    requests = -1
    while clock() < min(start + DRAIN_SECONDS, quiet_since + QUIET_SECONDS):
        state = admin.state()
        if state.downstream_connections or state.downstream_requests != requests:
            requests = state.downstream_requests
            quiet_since = clock()
        sleep(0.1)


def main(arguments: list[str]) -> None:
    """Run one of the two commands."""
    if arguments == ["run"]:
        command = argv(prepare(os.environ))
        os.execvp(command[0], command)
    elif arguments == ["drain"]:
        drain(Admin(os.environ["POD_IP"]))
    else:
        sys.exit("usage: gateway run|drain")
