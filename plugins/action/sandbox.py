# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows each step live while the module of the same name works, and tells it where the collection lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.plugin_utils.here import load
from ansible_collections.iter8.kfserving.plugins.plugin_utils.live import LiveActionModule


class ActionModule(LiveActionModule):
    """The sandbox's processes run the collection's own code, which is a folder on the controller only."""

    _module = load("sandbox")

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        if self._connection.transport != "local":
            return {
                "failed": True,
                "msg": "The sandbox runs on the controller only: run the task with 'connection: local', "
                "or delegate it to localhost.",
            }
        # A worker runs this; its parent is the playbook.
        playbook = os.getppid()
        source = Path(__file__).resolve().parents[1] / "module_utils"
        self._task.args = {"source_dir": str(source), "owner_pid": playbook, **self._task.args}
        return super().run(tmp, task_vars)
