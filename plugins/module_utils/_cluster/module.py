# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of this room share: run, and end with a result or with one clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError
from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import ProgressFileError


class Failed(ClusterError):
    """A failure that still has something to return."""

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        super().__init__(message)
        self.result = result


def run(module: Any, execute: Callable[[Any], dict[str, Any]]) -> None:
    """Ends the module with what ``execute`` returns, or with the message (and result) of its ClusterError."""
    try:
        result = execute(module)
    except Failed as failure:
        module.fail_json(msg=str(failure), **failure.result)
    except (ClusterError, ProgressFileError) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**result)
