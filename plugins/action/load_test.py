# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the module of the same name the library for HTTP/2, where its host lacks it."""

from __future__ import annotations

import os
from typing import Any

from ansible import constants
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http2.library import (
    ARCHIVE,
    archive,
    require,
)
from ansible_collections.iter8.kfserving.plugins.plugin_utils.here import Here, load


class ActionModule(Here):
    """The module says when it lacks it, so that nothing is brought where it is not needed."""

    _module = load("load_test")

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        done = self._execute_module(
            module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
        )
        if done.pop("lacks_http2", False) and not arguments.get("http2_library"):
            done = self._again(arguments, task_vars, done)
        result.update(done)
        return result

    def _again(
        self, arguments: dict[str, Any], task_vars: dict[str, Any] | None, done: dict[str, Any]
    ) -> dict[str, Any]:
        """With the control node's own library; what was said before, if it has none either."""
        try:
            require()
            data = archive()
        except LoadError:
            return done
        folder = self._make_tmp_path()
        try:
            place = self._connection._shell.join_path(folder, ARCHIVE)
            self._bring(data, place)
            self._fixup_perms2((folder, place))
            again = self._execute_module(
                module_args={**arguments, "http2_library": place},
                task_vars=task_vars,
                delete_remote_tmp=False,
            )
        finally:
            self._remove_tmp_path(folder)
        again.pop("lacks_http2", None)
        return dict(again)

    def _bring(self, data: bytes, place: str) -> None:
        local = os.path.join(constants.DEFAULT_LOCAL_TMP, ARCHIVE)  # Ansible's own, removed when it ends
        with open(local, "wb") as file:
            file.write(data)
        self._transfer_file(local, place)
        os.unlink(local)
