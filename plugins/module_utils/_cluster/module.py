# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of this room share: run, and end with a result or with one clear error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import (
    plain,
    printable,
    printable_lines,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import ProgressFileError
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from .client.auth import AUTH_ARGUMENTS
from .client.errors import ClusterError

# Of whatever makes objects that `ownership` removes with the run.
RECORD_ARGUMENTS: Mapping[str, Any] = {
    "run_id": {"type": "str", "required": True},
    "record": {"type": "path", "required": True},
    "record_namespace": {"type": "str", "default": "default"},
}

# Of whatever waits for workloads that it has applied: each of them.
WORKLOAD_ARGUMENTS: Mapping[str, Any] = {
    "kind": {"type": "str", "choices": ["Deployment", "StatefulSet", "DaemonSet"], "required": True},
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
}

# What the user gave, to be applied as it is.
_VERBATIM = frozenset({"definitions"})


class Failed(ClusterError):
    """A failure that still has something to return."""

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        super().__init__(message)
        self.result = result


def run_module(
    arguments: Mapping[str, Any], execute: Callable[[Any], dict[str, Any]], **options: Any
) -> None:
    """Runs the module of these arguments and those that name a cluster; ``options`` are AnsibleModule's."""
    spec = {**AUTH_ARGUMENTS, **arguments}
    run(AnsibleK8SModule(argument_spec=spec, supports_check_mode=True, **options), execute)


def run(module: Any, execute: Callable[[Any], dict[str, Any]]) -> None:
    """Ends the module with what ``execute`` returns, or with the message (and result) of its ClusterError.

    What the cluster said is printable in both: Ansible sends results to terminals and logs.
    """
    try:
        result = execute(module)
    except Failed as failure:
        module.fail_json(msg=printable(str(failure)), **printable_result(failure.result))
    except (ClusterError, ProgressFileError) as error:
        module.fail_json(msg=printable(str(error)))
    else:
        module.exit_json(**printable_result(result))


def printable_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result as it may be shown: sentences on one line, objects with the lines that they have."""
    shown = {}
    for name, value in result.items():
        text = printable if isinstance(value, str) else printable_lines
        shown[name] = value if name in _VERBATIM else plain(value, text)
    return shown
