# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares a host's clock with this one: the module of the same name only documents it.

A module takes longer to be run than the clocks may be uncertain, a command of the shell does not.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.offset import (
    Estimate,
    Offset,
    from_stamp,
)
from ansible_collections.iter8.kfserving.plugins.plugin_utils.clock import DATE, read_time


class ActionModule(ActionBase):
    """Asks over the task's own connection, delegated or not."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _valid, arguments = self.validate_argument_spec({"rounds": {"type": "int", "default": 5}})
        try:
            self._ask()  # the connection is there then
            comparisons = Estimate()
            for each in filter(None, [self._ask() for _round in range(max(1, arguments["rounds"]))]):
                comparisons.add(each, 0.0)
        except ValueError as error:
            return {**result, "failed": True, "msg": f"The clock of this host cannot be read: {error}."}
        found = comparisons.offset
        if found is None:
            message = "The clocks cannot be compared: the controller's was set back each time. Run it again."
            return {**result, "failed": True, "msg": message}
        low, high = round(found.low, 6), round(found.high, 6)
        return {**result, "changed": False, "low": low, "high": high, "ahead": round((low + high) / 2, 6)}

    def _ask(self) -> Offset | None:
        sent = time.time()
        answer = self._low_level_execute_command(DATE, sudoable=False)
        received = time.time()
        if answer["rc"]:
            raise ValueError(f"'{DATE}' ended with {answer['rc']}: {answer['stderr'].strip()[:200]}")
        stamp, fineness = read_time(answer["stdout"])
        return from_stamp(stamp, fineness, sent, received)
