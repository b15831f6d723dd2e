# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the module of the same name what its host lacks: the library for HTTP/2, and files that lie here."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http2.library import (
    ARCHIVE,
    archive,
    require,
)
from ansible_collections.iter8.kfserving.plugins.plugin_utils.here import Here, load
from ansible_collections.iter8.kfserving.plugins.plugin_utils.load_files import with_files


class ActionModule(Here):
    """The module says when it lacks it, so that nothing is brought where it is not needed."""

    _module = load("load_test")

    TRANSFERS_FILES = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._copied: list[str] = []

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        if not boolean(self._task.args.get("copy_files", False), strict=False):
            return {**result, **self._load(dict(self._task.args), task_vars)}
        folder = self._make_tmp_path()
        try:
            arguments = with_files(self._task.args, lambda path: self._copy(path, folder))
            return {**result, **self._load(arguments, task_vars)}
        except AnsibleConnectionFailure:
            raise
        except (AnsibleError, OSError) as error:
            return {**result, "failed": True, "msg": f"A file of the load cannot be copied: {error}"}
        finally:
            self._remove_tmp_path(folder)

    def _load(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        done = self._execute_module(
            module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
        )
        if done.pop("lacks_http2", False) and not arguments.get("http2_library"):
            done = self._again(arguments, task_vars, done)
        return dict(done)

    def _copy(self, path: str, folder: str) -> str:
        """A file of the controller's, which may be vaulted, into a folder of the host's."""
        local = self._loader.get_real_file(self._find_needle("files", os.path.expanduser(path)), decrypt=True)
        place = str(
            self._connection._shell.join_path(folder, f"{len(self._copied)}-{os.path.basename(path)}")
        )
        self._copied.append(place)
        self._transfer_file(local, place)
        self._fixup_perms2((folder, place))
        return place

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
        # In Ansible's own folder; a file for each, since hosts take their turns side by side.
        with tempfile.NamedTemporaryFile(dir=constants.DEFAULT_LOCAL_TMP) as file:
            file.write(data)
            file.flush()
            self._transfer_file(file.name, place)
