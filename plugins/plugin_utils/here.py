# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module in a fork of Ansible's worker instead of in a Python that is started for it.

Ansible sends each task's module, with all that it imports, to a new Python, which compiles and imports it
again: a third to a whole second of CPU, most of what a short task costs. Here it is loaded once in the
playbook's own process, before workers are forked. Only where nothing is lost by it: on the controller, with
the playbook's own Python, as the same user. Like ansible.netcommon's import_modules. Private to this
collection.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NoReturn

from ansible import constants as C
from ansible.module_utils import basic
from ansible.module_utils.common import json as encoding
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import filter_loader, test_loader
from ansible.release import __version__ as CORE
from ansible.utils.display import Display

try:
    from ansible.vars.clean import remove_internal_keys
except ImportError:  # from ansible-core 2.21 on the result does it itself
    remove_internal_keys = None

PACKAGE = "ansible_collections.iter8.kfserving.plugins.modules"
# What is used of Ansible's own is not promised to stay: with a newer one, modules go the way that it has.
NEWEST = (2, 21)
# The first look for a filter or test by its full name reads the files of all of them, which each worker would
# else do anew.
filter_loader.get("ansible.builtin.expanduser")
test_loader.get("ansible.builtin.file")
# From here on Ansible keeps what it sends to a host, and says how.
_DEBUGGING = 3


def load(name: str) -> ModuleType | None:
    """A module of this collection with what it will import; None where that is not to be had."""
    try:
        found = importlib.import_module(f"{PACKAGE}.{name}")
    except ImportError:
        return None
    # It is imported late, by those alone that need it, as it costs most; here it is paid for once.
    with contextlib.suppress(ImportError):
        importlib.import_module("ansible_collections.kubernetes.core.plugins.module_utils.k8s.client")
    return found


class Here(ActionBase):  # type: ignore[misc]
    """An action whose module runs here where it can, and else as Ansible runs modules."""

    # None where it is always sent.
    _module: ModuleType | None = None

    def _execute_module(self, *given: Any, **named: Any) -> dict[str, Any]:
        # Whatever else is asked for is about files and processes of Ansible's own way.
        plain = not given and not any(named[each] for each in set(named) - {"module_args", "task_vars"})
        task_vars = named.get("task_vars") or {}
        if self._module is not None and plain and "delete_remote_tmp" not in named and can(self, task_vars):
            return run(self, self._module, named["module_args"], task_vars)
        return dict(super()._execute_module(*given, **named))


def can(action: ActionBase, task_vars: Mapping[str, Any]) -> bool:
    """Whether the module would see the same world here as where Ansible would run it."""
    if tuple(int(number) for number in CORE.split(".")[:2]) > NEWEST:
        return False
    if action._connection.transport != "local" or action._connection.become is not None:
        return False
    if action._task.delegate_to:  # to a host with variables of its own
        return False
    if (
        any(action._task.environment or [])
        or C.DEFAULT_KEEP_REMOTE_FILES
        or Display().verbosity >= _DEBUGGING
    ):
        return False
    named = action._templar.template(task_vars.get("ansible_python_interpreter") or "")
    return bool(named) and str(named) == sys.executable


def run(
    action: ActionBase, module: ModuleType, arguments: Mapping[str, Any], task_vars: Any
) -> dict[str, Any]:
    """What the module returns, as ActionBase._execute_module has it."""
    given = dict(arguments)
    action._update_module_args(module.__name__.rpartition(".")[2], given, task_vars)
    result = _forked(module, _encoded(given), action._loader.get_basedir())
    # From ansible-core 2.19 on the way of encoding is named.
    profile = ("legacy",) if hasattr(encoding, "get_module_encoder") else ()
    parsed = action._parse_returned_data(result, *profile)
    if remove_internal_keys is None:
        parsed.remove_internal_keys()
        return dict(parsed.as_result_dict(for_round_trip=True))
    remove_internal_keys(parsed)
    return dict(parsed)


def _encoded(arguments: dict[str, Any]) -> bytes:
    if hasattr(encoding, "get_module_encoder"):
        encoder = encoding.get_module_encoder("legacy", encoding.Direction.CONTROLLER_TO_MODULE)
        return json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
    return json.dumps(
        {"ANSIBLE_MODULE_ARGS": arguments}, cls=encoding.AnsibleJSONEncoder, vault_to_text=True
    ).encode()


def _forked(module: ModuleType, arguments: bytes, folder: str) -> dict[str, Any]:
    """Its exit status and what it printed."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile(dir=C.DEFAULT_LOCAL_TMP) as errors:
        child = os.fork()
        if child == 0:
            os.close(reading)
            _run(module, arguments, folder, writing, errors.fileno())
        os.close(writing)
        status: int | None = None
        try:
            with open(reading, encoding="utf-8", errors="surrogateescape") as pipe:
                printed = pipe.read()
            _pid, status = os.waitpid(child, 0)
        finally:
            # The task's own time limit, for instance.
            if status is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
        errors.seek(0)
        said = errors.read().decode(errors="surrogateescape")
    return {
        "rc": os.waitstatus_to_exitcode(status),
        "stdout": printed,
        "stdout_lines": printed.splitlines(),
        "stderr": said,
        "stderr_lines": said.splitlines(),
    }


def _run(module: ModuleType, arguments: bytes, folder: str, writing: int, errors: int) -> NoReturn:
    """In the child, never to return."""
    code: Any = 1
    try:
        for handle, target in ((os.open(os.devnull, os.O_RDONLY), 0), (writing, 1), (errors, 2)):
            os.dup2(handle, target)
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
        sys.stdout = io.TextIOWrapper(
            io.FileIO(1, "w", closefd=False), encoding="utf-8", errors="surrogateescape"
        )
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), errors="backslashreplace")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        os.close(writing)
        os.chdir(folder)
        basic._ANSIBLE_ARGS = arguments
        if hasattr(basic, "_ANSIBLE_PROFILE"):
            basic._ANSIBLE_PROFILE = "legacy"
        module.main()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  Nothing may get out into the worker's own code.
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)
