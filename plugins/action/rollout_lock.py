# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the module of the same name which playbook it works for."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.iter8.kfserving.plugins.plugin_utils.here import load
from ansible_collections.iter8.kfserving.plugins.plugin_utils.live import LiveActionModule


class ActionModule(LiveActionModule):
    """The lock is on the controller, where the playbook runs."""

    _module = load("rollout_lock")
    _shows_progress = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        if self._connection.transport != "local":
            return {
                "failed": True,
                "msg": "The lock is on the controller: run the task with 'connection: local', or delegate it "
                "to localhost.",
            }
        # A worker runs this; its parent is the playbook.
        self._task.args = {"owner_pid": os.getppid(), **self._task.args}
        return super().run(tmp, task_vars)
