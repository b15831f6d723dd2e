# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sandbox consists of, and what can go wrong with it."""

from __future__ import annotations

from ..control_plane import components
from ..paths import Layout, StateError
from ..processes import records
from ..programs.cache import BinariesError

NODE = "node"
# In the order in which they are started.
PARTS = (components.ETCD, components.APISERVER, components.CONTROLLER_MANAGER, NODE)


class SandboxError(Exception):
    """A sandbox cannot be brought up or removed; the text says why and what to do."""


# All that `present.up` and `absent.down` may raise for reasons of the user's or the machine's.
ERRORS = (
    SandboxError,
    StateError,
    records.ProcessError,
    BinariesError,
    components.ControlPlaneError,
    OSError,
)


def running(where: Layout, part: str) -> bool:
    """Whether this part of the sandbox runs."""
    return records.running(where.processes, part)
