# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows what happens, live, while the module of the same name works; in check mode what would."""

from __future__ import annotations

import os
import socket
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.processes import start_time
from ansible_collections.iter8.kfserving.plugins.plugin_utils.here import load
from ansible_collections.iter8.kfserving.plugins.plugin_utils.live import LiveActionModule


class ActionModule(LiveActionModule):
    """In check mode the module writes no progress file, so its plan is shown once it has ended."""

    _module = load("progressive_rollout")

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        # A worker runs this; its parent is the playbook.
        playbook = os.getppid()
        started = (start_time(playbook) or "").replace(" ", "-")
        name = f"{socket.gethostname()}/{playbook}/{started}"
        self._task.args = {"playbook": name, **self._task.args}
        result = super().run(tmp, task_vars)
        if self._task.check_mode and self._may_print():
            self._show_afterwards(result, task_vars)
        return result
