# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the supported versions of ansible-core differ in what tests use."""

from __future__ import annotations

import inspect
import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

from ansible.module_utils import basic
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.parsing.dataloader import DataLoader

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # ansible-core 2.16
    patch_module_args = None


def module_arguments(arguments: dict[str, Any], check_mode: bool = False) -> AbstractContextManager[Any]:
    """Within it, AnsibleModule takes these arguments, and returns them as ``invocation``."""
    given = {**arguments, "_ansible_check_mode": check_mode}
    if "inject_invocation" in PASS_VARS:  # Since ansible-core 2.21 a module returns it only when asked to.
        given["_ansible_inject_invocation"] = True
    if patch_module_args:
        return patch_module_args(given)
    return mock.patch.object(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())


def templates(path: Path) -> dict[str, Any]:
    """A YAML file's mapping, whose strings may be templates."""
    loader = DataLoader()
    # Since ansible-core 2.19 only what is trusted is templated.
    trusted = "trusted_as_template" in inspect.signature(loader.load_from_file).parameters
    return dict(loader.load_from_file(str(path), **({"trusted_as_template": True} if trusted else {})))
